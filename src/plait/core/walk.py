"""Walk the layers and variables within a layer, by path, and notice when they change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from plait.core.naming import free_name
from plait.core.variable import Variable

if TYPE_CHECKING:
    from plait.core.layer import Layer
    from plait.core.registry import Configurable

_versions = itertools.count(1)
_version = 0


def structure_version() -> int:
    """Return a number that grows whenever a layer's attribute is set anywhere."""
    return _version


def mark_changed(thing: Layer | Configurable) -> None:
    """Note that an attribute of a layer or an optimizer was set: compiled steps may not fit now."""
    global _version
    _version = next(_versions)
    own = thing.__dict__
    own["_changes"] = own.get("_changes", 0) + 1


def changes(thing: Layer | Configurable) -> int:
    """Return how often attributes of a layer or an optimizer were set."""
    return int(thing.__dict__.get("_changes", 0))


def contained(prefix: str, container: Any) -> Iterator[tuple[str, Layer | Variable]]:
    """Yield (path, layer or variable) of those in nested lists, tuples and dicts."""
    from plait.core.layer import Layer

    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in items:
        if isinstance(value, Layer | Variable):
            yield f"{prefix}/{key}", value
        elif isinstance(value, list | tuple | dict):
            yield from contained(f"{prefix}/{key}", value)


def walk(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield (path, layer) for a layer and every layer within it, each once, parents first.

    A layer within is named by its own name if one was given, else by the attribute that holds
    it; the path of the layer itself is empty.
    """
    seen = {id(layer)}
    stack: list[tuple[str, Layer]] = [("", layer)]
    while stack:
        path, current = stack.pop()
        yield path, current
        children = []
        used: set[str] = set()
        for attribute, child in current._children():
            if isinstance(child, Variable) or id(child) in seen:
                continue
            seen.add(id(child))
            segment = child._name if child._named and child._name not in used else attribute
            segment = free_name(segment, used)
            used.add(segment)
            children.append((f"{path}/{segment}" if path else segment, child))
        stack.extend(reversed(children))


def variables_by_path(layer: Layer) -> dict[str, Variable]:
    """Return path -> variable for a layer and all within it, each variable once."""
    found: dict[str, Variable] = {}
    seen: set[int] = set()
    for path, current in walk(layer):
        for name, variable in _own_variables(current):
            if id(variable) not in seen:
                seen.add(id(variable))
                found[free_name(f"{path}/{name}" if path else name, found)] = variable
    return found


def _own_variables(layer: Layer) -> list[tuple[str, Variable]]:
    own = [*layer._variables.items()]
    own += [(name, v) for name, v in layer._children() if isinstance(v, Variable)]
    return sorted(own, key=lambda item: not item[1].trainable)


def trainable_flags(layer: Layer) -> list[tuple[Variable, bool]]:
    """Return every variable with whether it is trained.

    It is if neither itself, nor its layer, nor a layer around that is frozen; in a layer that is
    within several, one way to it without a frozen layer is enough.
    """
    trained = _trained_layers(layer)
    flags: dict[int, tuple[Variable, bool]] = {}
    for _, current in walk(layer):
        for _, variable in _own_variables(current):
            flag = variable.trainable and id(current) in trained
            flags.setdefault(id(variable), (variable, flag))
    return list(flags.values())


def _trained_layers(layer: Layer) -> set[int]:
    found: set[int] = set()
    stack = [layer]
    while stack:
        current = stack.pop()
        if current._trainable and id(current) not in found:
            found.add(id(current))
            stack += [c for _, c in current._children() if not isinstance(c, Variable)]
    return found


def signature(layer: Layer) -> tuple[tuple[int, int], ...]:
    """Return a value that changes when the layer or one within it is changed."""
    return tuple((id(current), changes(current)) for _, current in walk(layer))
