"""Which array of a file belongs to which variable of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plait.core.layer import Layer
from plait.core.variable import Variable
from plait.core.walk import variables_by_path
from plait.errors import ConfigError
from plait.saving.layout import groups
from plait.saving.report import LoadReport


@dataclass(frozen=True)
class Stored:
    """An array in a file.

    Attributes:
        path: what it is called there.
        key: the names of the layers on the way and the variable, if the file says them.
        place: where Keras keeps it, if the file says so.
        shape: its shape.
        read: returns the array.
        named_place: the same, with names of layers instead of classes and numbers.
    """

    path: str
    key: str | None
    place: str | None
    shape: tuple[int, ...]
    read: Callable[[], Any]
    named_place: str | None = None

    @property
    def automatic(self) -> bool:
        """Whether a name on the way is that of a class, maybe with a number: nobody's choice."""
        classes = {re.sub(r"_\d+$", "", part) for part in (self.place or "").split("/")}
        names = (re.sub(r"_\d+$", "", part) for part in (self.key or "").split("/")[:-1])
        return any(name in classes for name in names)


@dataclass(frozen=True, eq=False)
class Wanted:
    """A variable of a model and what it may be called in a file.

    Attributes:
        path: its path in plait.
        keys: names of layers with the variable's name or number behind them.
        place: where Keras 3 keeps it.
        named_place: the same, with names of layers instead of classes and numbers.
        legacy: the number of its layer, and its own in the layer, in a legacy file.
        automatic: whether a name in its path was given by no person.
    """

    path: str
    keys: tuple[str, ...]
    place: str
    named_place: str
    legacy: str | None
    automatic: bool
    variable: Variable


def wanted_by(model: Layer) -> list[Wanted]:
    """Return every variable of a model, in Keras' order of files."""
    paths = {id(variable): path for path, variable in variables_by_path(model).items()}
    legacy, written = _legacy_places(model), groups(model)
    names = {group.path: group.layer.name for group in written}
    named = {place: named_place(place, names) for group in written for place in group.places}
    found: dict[int, Wanted] = {}
    for group in written:
        above = "/".join(group.names)
        for index, variable in enumerate(group.variables):
            name, number = legacy.get(id(variable), (None, None))
            keys = [f"{above}/{last}".lstrip("/") for last in (index, variable.name)]
            path, place = paths[id(variable)], group.places[index]
            every = (path, *keys, *filter(None, [name]))
            found.setdefault(
                id(variable),
                Wanted(path, every, place, named[place], number, group.automatic, variable),
            )
    order = {id(variable): i for i, variable in enumerate(model.variables)}
    return sorted(found.values(), key=lambda wanted: order[id(wanted.variable)])


def named_place(place: str, names: Mapping[str, str]) -> str:
    """Return a place with names of layers for the classes and numbers behind ``layers/``.

    Args:
        place: ``layers/dense_1/vars/0``.
        names: path of a group -> the name of its layer.
    """
    parts = place.split("/")
    for i in range(1, len(parts)):
        if parts[i - 1] == "layers":
            name = names.get("/".join(place.split("/")[: i + 1]))
            parts[i] = parts[i] if name is None else f"={name}"
    return "/".join(parts)


def _legacy_places(model: Any) -> dict[int, tuple[str, str]]:
    """Return id of a variable -> the name and the number of its layer, with its own number."""
    found: dict[int, tuple[str, str]] = {}
    layers = [layer for layer in getattr(model, "layers", ()) if layer.variables]
    for count, layer in enumerate(layers):
        for index, variable in enumerate(
            [*layer.trainable_variables, *layer.non_trainable_variables]
        ):
            found.setdefault(id(variable), (f"{layer.name}:{index}", f"{count}:{index}"))
    return found


Pairs = dict[Wanted, Stored]


def match(
    wanted: Sequence[Wanted],
    stored: Sequence[Stored],
    how: str,
    rename: Mapping[str, str] | None,
) -> Pairs:
    """Return which array belongs to which variable; shapes may still differ."""
    if how == "path":
        return _by_path(wanted, stored, rename)
    return dict(zip(wanted, stored, strict=False)) if how == "order" else _by_shape(wanted, stored)


def check_arguments(how: str, rename: Any, layout: str | None) -> None:
    """Check how weights are to be matched.

    Raises:
        ConfigError: there is no such way.
    """
    if how not in ("path", "shape", "order"):
        raise ConfigError(
            f"match is 'path', 'shape' or 'order'; received {how!r}.", fix="match='path'"
        )
    if layout not in (None, "torch"):
        raise ConfigError(f"layout is 'torch' or None; received {layout!r}.", fix="layout='torch'")
    if how != "path" and (rename or layout):
        raise ConfigError("rename and layout need match='path'.", fix="leave match out")


def _by_path(
    wanted: Sequence[Wanted], stored: Sequence[Stored], rename: Mapping[str, str] | None
) -> Pairs:
    """Match by the names of layers; where automatic names do not fit, by place if all fit so.

    Automatic names differ from one run to the next; places then tell which layer is which.
    """
    by_key: dict[str, Stored] = {}
    for array in stored:
        by_key.setdefault(renamed(array.key or array.path, rename), array)
    named: Pairs = {}
    for want in wanted:
        key = next((key for key in want.keys if key in by_key), None)
        if key is not None:
            named[want] = by_key[key]
    by_place = {array.place: array for array in stored if array.place is not None}
    placed = {
        want: by_place[place]
        for want in wanted
        for place in (want.place, want.legacy)
        if place in by_place
    }
    explained = all(w in named or w.automatic or a.automatic for w, a in placed.items())
    full = _is_full(placed, wanted, stored) and explained
    return placed if full and not rename and not _is_full(named, wanted, stored) else named


def _is_full(pairs: Pairs, wanted: Sequence[Wanted], stored: Sequence[Stored]) -> bool:
    return len(pairs) == len(wanted) == len(stored) and all(
        want.variable.shape == array.shape for want, array in pairs.items()
    )


def _by_shape(wanted: Sequence[Wanted], stored: Sequence[Stored]) -> Pairs:
    waiting: dict[tuple[int, ...], list[Stored]] = {}
    for array in reversed(stored):
        waiting.setdefault(array.shape, []).append(array)
    return {want: waiting[s].pop() for want in wanted if waiting.get(s := want.variable.shape)}


def renamed(path: str, rename: Mapping[str, str] | None) -> str:
    """Return a path with its longest beginning that `rename` knows replaced."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        beginning = "/".join(parts[:count])
        if rename and beginning in rename:
            return "/".join([*filter(None, [rename[beginning]]), *parts[count:]])
    return path


def by_place(wanted: Sequence[Wanted], stored: Sequence[Stored]) -> Pairs:
    """Match a model with the file that it was made from.

    Names of layers in lists are those of the file, so they decide; numbers do where they are not.
    """
    for mine, theirs in (("named_place", "named_place"), ("place", "place")):
        found = {getattr(array, theirs): array for array in stored}
        keys = {want: getattr(want, mine) for want in wanted}
        pairs = {want: found[key] for want, key in keys.items() if key in found}
        if len(pairs) == len(wanted):
            break
    return pairs


def report_of(
    source: str, wanted: Sequence[Wanted], stored: Iterable[Stored], pairs: Pairs
) -> LoadReport:
    """Return what becomes of each weight if `pairs` are loaded."""
    report, used = LoadReport(source), set()
    for want in wanted:
        array = pairs.get(want)
        if array is None:
            report.missing.append(want.path)
            continue
        used.add(array.path)
        if array.shape == want.variable.shape:
            report.loaded[want.path] = array.path
        else:
            report.mismatched[want.path] = (want.variable.shape, array.shape)
    report.unused = [array.path for array in stored if array.path not in used]
    return report
