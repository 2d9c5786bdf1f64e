"""New tensors: filled, counted, windows, and from other data."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from plait.core import dtypes
from plait.ops.arguments import Function, Table

_WINDOWS = "bartlett blackman hamming hanning"


def _filled(function: Function) -> Function:
    return lambda shape, dtype=None: function(shape, dtype or dtypes.floatx())


def _like(function: Function) -> Function:
    return lambda x, dtype=None: function(x, dtype)


def _window(function: Function) -> Function:
    return lambda x: function(int(x)).astype(dtypes.floatx())


def _full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    return jnp.full(shape, fill_value, dtype or dtypes.floatx())


def _spaced(function: Function) -> Function:
    return lambda start, stop, num=50, endpoint=True, dtype=None, axis=0: function(
        start, stop, num, endpoint=endpoint, dtype=dtype, axis=axis
    )


TABLE: Table = {
    **{name: _filled(getattr(jnp, name)) for name in ("empty", "ones", "zeros")},
    **{name: _like(getattr(jnp, name)) for name in ("empty_like", "ones_like", "zeros_like")},
    **{name: _window(getattr(jnp, name)) for name in _WINDOWS.split()},
    "arange": lambda start, stop=None, step=None, dtype=None: jnp.arange(start, stop, step, dtype),
    "array": lambda x, dtype=None: jnp.array(x, dtype),
    "eye": lambda N, M=None, k=0, dtype=None: jnp.eye(N, M, k, dtype or dtypes.floatx()),
    "full": _full,
    "full_like": lambda x, fill_value, dtype=None: jnp.full_like(x, fill_value, dtype),
    "geomspace": _spaced(jnp.geomspace),
    "identity": lambda n, dtype=None: jnp.identity(n, dtype or dtypes.floatx()),
    "kaiser": lambda x, beta: jnp.kaiser(int(x), beta).astype(dtypes.floatx()),
    "linspace": lambda start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0: (
        jnp.linspace(start, stop, num, endpoint, retstep, dtype, axis)
    ),
    "logspace": lambda start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0: (
        jnp.logspace(start, stop, num, endpoint, base, dtype, axis)
    ),
    "tri": lambda N, M=None, k=0, dtype=None: jnp.tri(N, M, k, dtype or dtypes.floatx()),
    "vander": lambda x, N=None, increasing=False: jnp.vander(x, N, increasing),
}
