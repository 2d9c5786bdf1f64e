"""Automatic names: ``dense``, ``dense_1``, ... and the names of classes in snake case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager

from plait.errors import ConfigError

_used: Counter[str] = Counter()


def snake_case(name: str) -> str:
    """Return ``batch_normalization`` for ``BatchNormalization``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().strip("_")


def auto_name(prefix: str) -> str:
    """Return `prefix` the first time, then ``prefix_1``, ``prefix_2``, ..."""
    count = _used[prefix]
    _used[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def free_name(name: str, taken: Container[str]) -> str:
    """Return `name`, with a number behind it if it is taken."""
    free, count = name, 0
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


@contextmanager
def numbers_kept() -> Iterator[None]:
    """Let layers made within the block, for no model of the user's, use up no automatic names."""
    before = Counter(_used)
    try:
        yield
    finally:
        _used.clear()
        _used.update(before)


def clear_session() -> None:
    """Start automatic names anew."""
    _used.clear()


def check_name(name: object) -> str:
    """Return a layer's name if it is one.

    Raises:
        ConfigError: it is no string, is empty, or holds a character with a meaning in paths.
    """
    if not isinstance(name, str) or not name or set(name) & set("/@"):
        raise ConfigError(
            f"a layer's name is a string without '/' and '@', which paths are made of; "
            f"received {name!r}.",
            fix="write name='block1_conv' instead of name='block1/conv'",
        )
    return name
