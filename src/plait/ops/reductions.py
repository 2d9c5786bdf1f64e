"""Sums, means, extrema, quantiles and running totals along axes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as special

from plait.ops.arguments import Function, Table

_REDUCTIONS = """
all amax amin any argmax argmin mean median nanargmax nanargmin nanmax nanmean nanmedian nanmin
nanprod nanstd nansum nanvar ptp std sum var
"""


def _reduction(function: Function) -> Function:
    return lambda x, axis=None, keepdims=False: function(x, axis=axis, keepdims=keepdims)


def _extremum(function: Function) -> Function:
    return lambda x, axis=None, keepdims=False, initial=None: function(
        x, axis=axis, keepdims=keepdims, initial=initial
    )


def _running(function: Function) -> Function:
    return lambda x, axis=None, dtype=None: function(x, axis=axis, dtype=dtype)


def _quantile(function: Function) -> Function:
    return lambda x, q, axis=None, method="linear", keepdims=False: function(
        x, q, axis=axis, method=method, keepdims=keepdims
    )


def _bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> jax.Array:
    """Count; the rows of a matrix are counted apart, to the same length."""
    no_sparse(sparse)
    if x.ndim < 2:
        return jnp.bincount(x, weights=weights, minlength=minlength)
    length = max(int(jnp.max(x)) + 1, minlength)
    if weights is None:
        return jax.vmap(lambda row: jnp.bincount(row, length=length))(x)
    return jax.vmap(lambda row, w: jnp.bincount(row, weights=w, length=length))(x, weights)


def no_sparse(sparse: Any) -> None:
    """Refuse ``sparse=True``.

    Raises:
        ConfigError: it was asked for.
    """
    from plait.errors import ConfigError

    if sparse:
        raise ConfigError("takes no sparse=True: plait's tensors are dense.", fix="sparse=False")


TABLE: Table = {
    **{name: _reduction(getattr(jnp, name)) for name in _REDUCTIONS.split()},
    **{name: _extremum(getattr(jnp, name)) for name in ("max", "min")},
    **{name: _running(getattr(jnp, name))
       for name in ("cumprod", "cumsum", "nancumprod", "nancumsum")},
    **{name: _quantile(getattr(jnp, name))
       for name in ("nanpercentile", "nanquantile", "percentile", "quantile")},
    "allclose": lambda x1, x2, rtol=1e-05, atol=1e-08, equal_nan=False: jnp.allclose(
        x1, x2, rtol, atol, equal_nan
    ),
    "average": lambda x, axis=None, weights=None: jnp.average(x, axis, weights),
    "bincount": _bincount,
    "count_nonzero": lambda x, axis=None: jnp.count_nonzero(x, axis).astype(jnp.int32),
    "histogram": lambda x, bins=10, range=None: jnp.histogram(x, bins, range),
    "logsumexp": lambda x, axis=None, keepdims=False: special.logsumexp(
        x, axis, keepdims=keepdims
    ),
    "prod": lambda x, axis=None, keepdims=False, dtype=None: jnp.prod(
        x, axis, dtype, keepdims=keepdims
    ),
    "trapezoid": lambda y, x=None, dx=1.0, axis=-1: jnp.trapezoid(y, x, dx, axis),
}  # fmt: skip
