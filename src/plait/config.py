"""Settings that hold for the whole process."""

from __future__ import annotations

from typing import Any

from plait.core.dtypes import dtype_policy, floatx, set_dtype_policy
from plait.errors import ConfigError


def set_floatx(value: str) -> None:
    """Set the default float dtype: "float16", "bfloat16" or "float32".

    Raises:
        ConfigError: it is another, or float64, which needs JAX's 64-bit mode.
    """
    if value not in ("float16", "bfloat16", "float32"):
        raise ConfigError(
            f"{value!r} is no default float of plait.", fix="'float32', 'bfloat16' or 'float16'"
        )
    set_dtype_policy(value)


def image_data_format() -> str:
    """Return "channels_last", the layout that layers assume unless told otherwise."""
    return "channels_last"


def epsilon() -> float:
    """Return the small number that keeps logarithms and divisions finite, 1e-7."""
    return 1e-7


def backend() -> str:
    """Return "jax"."""
    return "jax"


__all__: list[Any] = [
    "backend",
    "dtype_policy",
    "epsilon",
    "floatx",
    "image_data_format",
    "set_dtype_policy",
    "set_floatx",
]
