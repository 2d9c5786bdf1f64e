"""Products with a kernel and sums of a bias: native, or in the form that XLA on CPU runs fastest.

A product over more than two axes is written as one of two: its gradient by the kernel is then a
plain product as well, where XLA would otherwise copy both operands the wrong way around.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from plait.kernels.dense import dense


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """Return ``x @ kernel + bias``.

    Args:
        x: (..., features).
        kernel: (features, units).
        bias: (units,).
    """
    rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    shape = (*x.shape[:-1], kernel.shape[-1])
    native = dense(rows, kernel, bias)
    if native is not None:
        return native.reshape(shape)
    outputs = (rows @ kernel).reshape(shape)
    if bias is None:
        return outputs
    return outputs + spread(bias.reshape((1,) * (x.ndim - 1) + bias.shape), outputs)


def spread(values: jax.Array, x: jax.Array) -> jax.Array:
    """Broadcast values per channel over `x`, except over its axis 1.

    The gradient by `values` sums over axis 1 first, behind a barrier that keeps XLA from merging
    it with the sum over the other axes: that vectorizes, where all at once is one slow loop.
    """
    if x.ndim < 3 or values.shape[1] != 1 or values.shape[-1] == 1:
        return values
    return jax.lax.optimization_barrier(jnp.broadcast_to(values, (x.shape[0], 1, *x.shape[2:])))
