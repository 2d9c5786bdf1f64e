"""Checks of constructor arguments that several families of layers take."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from plait.errors import ConfigError


def whole_number(who: str, name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int if it is a whole number of at least `minimum`.

    Raises:
        ConfigError: it is not.
    """
    if not _is_whole(value) or value < minimum:
        kind = "a positive whole number" if minimum == 1 else f"a whole number >= {minimum}"
        raise ConfigError(
            f"{who}: {name} must be {kind}, received {value!r}.", fix=f"{who}({name}=32)"
        )
    return int(value)


def sizes(who: str, name: str, value: Any, count: int, minimum: int = 1) -> tuple[int, ...]:
    """Return `value`, one whole number or `count` of them, as a tuple of `count`.

    Raises:
        ConfigError: it is neither, or one is below `minimum`.
    """
    found = (value,) * count if _is_whole(value) else value
    if (
        not isinstance(found, list | tuple)
        or len(found) != count
        or not all(_is_whole(size) and size >= minimum for size in found)
    ):
        raise ConfigError(
            f"{who}: {name} must be a whole number >= {minimum}, or {count} of them; "
            f"received {value!r}.",
            fix=f"{name}={max(minimum, 2)}" + (f" or {name}={(2,) * count}" if count > 1 else ""),
        )
    return tuple(int(size) for size in found)


def data_format(who: str, value: Any) -> str:
    """Return "channels_last" (the default, for None) or "channels_first".

    Raises:
        ConfigError: it is another value.
    """
    if value is None:
        return "channels_last"
    if value not in ("channels_last", "channels_first"):
        raise ConfigError(
            f"{who}: data_format must be 'channels_last' or 'channels_first', received {value!r}.",
            fix="data_format='channels_last'",
        )
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
