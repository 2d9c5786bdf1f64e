"""What a model is made of, by name: to tell whether a saved state belongs to it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from plait.core.naming import free_name
from plait.core.variable import Variable
from plait.core.walk import variables_by_path, walk
from plait.errors import ConfigError

if TYPE_CHECKING:
    from plait.models.model import Model

_ROWS = 10
_NUMBERED = re.compile(r"(.+?)(?:_\d+)?")


def named_variables(model: Model) -> dict[str, Variable]:
    """Return every variable that training may change, by name: of layers, optimizers, metrics."""
    named = {f"model/{path}": variable for path, variable in variables_by_path(model).items()}
    for index, optimizer in enumerate(model.optimizers):
        named |= {f"optimizer/{index}/{name}": v for name, v in optimizer.state.items()}
    for metric in model.metrics:
        for variable in metric.variables:
            named[free_name(f"metric/{variable.path}", named)] = variable
    return named


def describe(model: Model) -> dict[str, Any]:
    """Return layers and optimizers with their configuration, without names, as text."""
    return {
        "layers": [_described(layer) for path, layer in walk(model) if path],
        "optimizers": [type(optimizer).__name__ for optimizer in model.optimizers],
    }


def _described(layer: Any) -> str:
    kind = type(layer).__name__
    if hasattr(layer, "has_graph"):
        return kind
    try:
        config = _nameless(layer.get_config())
    except (ConfigError, NotImplementedError):
        return kind
    arguments = (f"{key}={json.dumps(value, default=str)}" for key, value in config.items())
    return f"{kind}({', '.join(arguments)})"


def _nameless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nameless(item) for key, item in value.items() if key != "name"}
    return [_nameless(item) for item in value] if isinstance(value, list | tuple) else value


def refuse_other(what: str, saved: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise an error if two descriptions differ.

    Raises:
        ConfigError: what differs, line by line.
    """
    rows: list[tuple[str, ...]] = []
    for key in {**saved, **here}:
        was, now = saved.get(key, "missing"), here.get(key, "missing")
        if was == now:
            continue
        if isinstance(was, list) and isinstance(now, list):
            rows += _changed_lines(key, was, now)
        else:
            rows.append((key, f"{was} in the checkpoint", f"{now} here"))
    if rows:
        raise _other(what, rows)


def _changed_lines(key: str, was: list[str], now: list[str]) -> Iterator[tuple[str, ...]]:
    matcher = difflib.SequenceMatcher(None, was, now, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            continue
        for line in was[a:b]:
            yield key, "in the checkpoint:", line
        for line in now[c:d]:
            yield key, "here:", line


def pair(
    variables: Mapping[str, Variable], saved: Mapping[str, Any]
) -> list[tuple[Variable, np.ndarray]]:
    """Return every variable with its saved value.

    Names count; where these are automatic and count on (``dense_3`` for ``dense``, in a session
    that built the model before), their order does.

    Raises:
        ConfigError: a variable has no value, or one of another shape or dtype, or a value has no
            variable.
    """
    names = dict(zip(variables, variables, strict=True))
    if variables.keys() != saved.keys():
        ours = dict(zip(_renumbered(variables), variables, strict=True))
        theirs = dict(zip(_renumbered(saved), saved, strict=True))
        names = {ours[label]: theirs.get(label, label) for label in ours}
    rows: list[tuple[str, ...]] = []
    for name, variable in variables.items():
        was = _shown(saved[names[name]]) if names[name] in saved else "missing"
        if was != _shown(variable):
            rows.append((name, f"{was} in the checkpoint", f"{_shown(variable)} here"))
    for name in saved.keys() - set(names.values()):
        rows.append((name, f"{_shown(saved[name])} in the checkpoint", "missing here"))
    if rows:
        raise _other("model", rows)
    return [(variable, saved[names[name]]) for name, variable in variables.items()]


def _shown(value: Any) -> str:
    return f"{tuple(value.shape)} {value.dtype}"


def _renumbered(paths: Iterable[str]) -> list[str]:
    """Return paths with the numbers behind their parts counted anew, in order of appearance."""
    labels: dict[tuple[str, str], dict[str, int]] = {}
    renumbered = []
    for path in paths:
        parent = ""
        for part in path.split("/"):
            match = _NUMBERED.fullmatch(part)
            stem = match[1] if match else part
            seen = labels.setdefault((parent, stem), {})
            parent += f"/{stem}#{seen.setdefault(part, len(seen))}"
        renumbered.append(parent)
    return renumbered


def _other(what: str, rows: list[tuple[str, ...]]) -> ConfigError:
    shown = rows[:_ROWS]
    if len(rows) > _ROWS:
        shown.append((f"and {len(rows) - _ROWS} more",))
    return ConfigError(
        f"the checkpoint is of a run with another {what}:"
        if what == "model"
        else f"the checkpoint is of a run with other {what}:",
        details=shown,
        fix=f"the same {what} as before, or another folder for a new run",
    )
