"""Settings that hold for the whole process."""

from __future__ import annotations

from typing import Any

from plait.core.compilation import compile_cache, set_compile_cache
from plait.core.dtypes import dtype_policy, floatx, set_dtype_policy, set_floatx


def image_data_format() -> str:
    """Return "channels_last", the layout that layers assume unless told otherwise."""
    return "channels_last"


def epsilon() -> float:
    """Return the small number that keeps logarithms and divisions finite, 1e-7."""
    return 1e-7


def backend() -> str:
    """Return "jax"."""
    return "jax"


def kernels() -> str:
    """Return "auto" (native kernels where `plait.kernels.TABLE` says so), or "xla" (none)."""
    from plait.kernels import chosen

    return chosen()


def set_kernels(value: str) -> None:
    """Choose the kernels: "auto" or "xla"; what was compiled with others compiles anew.

    The environment variable ``PLAIT_KERNELS`` says what they are at first. ``plait doctor`` shows
    which are used.

    Raises:
        ConfigError: `value` is neither.
    """
    from plait.kernels import choose

    choose(value)


__all__: list[Any] = [
    "backend",
    "compile_cache",
    "dtype_policy",
    "epsilon",
    "floatx",
    "image_data_format",
    "kernels",
    "set_compile_cache",
    "set_dtype_policy",
    "set_floatx",
    "set_kernels",
]
