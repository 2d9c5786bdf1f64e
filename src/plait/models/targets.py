"""What targets mean: patterns over paths, and places within nested models."""

from __future__ import annotations

import fnmatch
from typing import Any

from plait.core.layer import Layer
from plait.core.walk import walk
from plait.errors import GraphError, did_you_mean
from plait.graph.tensor import SymbolicTensor


def is_glob(target: Any) -> bool:
    """Return whether a target is a pattern and not one name."""
    return isinstance(target, str) and bool(set(target) & set("*?:"))


def matches(pattern: str, path: str, layer: Layer) -> bool:
    """Return whether a path and its layer match ``path-glob`` or ``path-glob:ClassName``.

    ``*`` stays within one part of a path, ``**`` crosses parts.
    """
    glob, _, kind = pattern.partition(":")
    if kind and not fnmatch.fnmatchcase(type(layer).__name__, kind):
        return False
    return _match_parts((glob or "**").split("/"), path.split("/"))


def _match_parts(globs: list[str], parts: list[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_match_parts(globs[1:], parts[i:]) for i in range(len(parts) + 1))
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], globs[0])
        and _match_parts(globs[1:], parts[1:])
    )


def no_match(model: Any, pattern: str) -> GraphError:
    """Return the error for a pattern that matches no layer of a model."""
    within = {path: layer for path, layer in walk(model) if path}
    classes = sorted({type(layer).__name__ for layer in within.values()})
    glob, _, kind = pattern.partition(":")
    hint = did_you_mean(glob, within)
    if kind:
        hint = did_you_mean(kind, [known for known in classes if known != kind])
    return GraphError(
        f"no layer of {model.describe()} matches {pattern!r}.{hint}",
        fix="patterns are 'name' or 'name:Class'; '**' also looks into nested models, as in "
        f"'encoder/**' and '**/*:Dense'; the classes are {', '.join(classes)}",
    )


def only(model: Any, pattern: str, paths: list[str]) -> str:
    """Return the one path that a pattern matches.

    Raises:
        GraphError: it matches none, or several.
    """
    if not paths:
        raise no_match(model, pattern)
    if len(paths) > 1:
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        raise GraphError(
            f"{pattern!r} matches {len(paths)} layers of {model.describe()}, and one is wanted: "
            f"{', '.join(paths[:5])}{more}.",
            fix=f"name it: {paths[0]!r}",
        )
    return paths[0]


def has_graph(layer: Any) -> bool:
    """Return whether a layer is a model with a graph."""
    return getattr(layer, "has_graph", False)


def is_list(layer: Any) -> bool:
    """Return whether a layer is a `Sequential`."""
    from plait.models.sequential import Sequential

    return isinstance(layer, Sequential)


def as_path(model: Any, target: Any) -> Any:
    """Return a layer or a tensor within a nested model as the path to it; others as they are."""
    if not isinstance(target, Layer | SymbolicTensor):
        return target
    for path, layer in walk(model):
        graph = getattr(layer, "graph", None) if path and has_graph(layer) else None
        if graph is None:
            continue
        if isinstance(target, Layer):
            if any(target is known for known in graph.layers):
                return f"{path}/{target.name}"
        elif target.node in graph.names:
            return f"{path}/{graph.names[target.node]}[{target.index}]"
    return target
