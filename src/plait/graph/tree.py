"""Nested structures of lists, tuples and dicts, as users write inputs and outputs.

Everything else is a leaf, None included. Dicts keep their own order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def is_leaf(structure: Any) -> bool:
    """Return whether a value is no list, tuple or dict."""
    return _is_leaf_type(type(structure))  # type: ignore[arg-type]


@functools.lru_cache(1024)  # asking an abstract class is slow
def _is_leaf_type(cls: type) -> bool:
    return not issubclass(cls, (list, tuple, dict, Mapping))


def _children(structure: Any) -> list[tuple[str, Any]]:
    if isinstance(structure, Mapping):
        return [(str(key), item) for key, item in structure.items()]
    return [(str(index), item) for index, item in enumerate(structure)]


def leaves_with_path(structure: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each leaf with the keys and indices that lead to it."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), structure)]
    while stack:
        path, item = stack.pop()
        if is_leaf(item):
            yield path, item
        else:
            stack.extend(((*path, key), child) for key, child in reversed(_children(item)))


def flatten(structure: Any) -> list[Any]:
    """Return the leaves, in order."""
    leaves: list[Any] = []
    stack = [structure]
    while stack:
        item = stack.pop()
        if is_leaf(item):
            leaves.append(item)
        else:
            stack.extend(reversed(item if isinstance(item, list | tuple) else [*item.values()]))
    return leaves


def map_structure(function: Callable[..., Any], structure: Any, *rest: Any) -> Any:
    """Apply `function` to each leaf (and to the same place in `rest`); the structure stays."""
    if is_leaf(structure):
        return function(structure, *rest)
    if isinstance(structure, Mapping):
        return {
            key: map_structure(function, item, *(other[key] for other in rest))
            for key, item in structure.items()
        }
    mapped = [
        map_structure(function, item, *(other[i] for other in rest))
        for i, item in enumerate(structure)
    ]
    return _same_sequence(structure, mapped)


def pack(structure: Any, leaves: Any) -> Any:
    """Return `structure` with its leaves replaced by those given, in order."""
    remaining = iter(leaves)
    return map_structure(lambda _: next(remaining), structure)


def _same_sequence(structure: Any, items: list[Any]) -> Any:
    if isinstance(structure, list):
        return items
    cls = type(structure)
    return cls(*items) if hasattr(cls, "_fields") else tuple(items)
