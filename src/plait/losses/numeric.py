"""Small numbers and safe divisions shared by losses and metrics."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.core import dtypes

EPSILON = 1e-7
"""Keras' default fuzz factor: probabilities are kept this far from 0 and 1."""


def computing_dtype(dtype: Any = None) -> str:
    """Return the dtype a loss or metric computes in.

    Args:
        dtype: a dtype or policy. None is the default float, but never less than float32: a sum
            over a batch in half width keeps three digits.
    """
    if dtype is None:
        return "float64" if dtypes.floatx() == "float64" else "float32"
    return dtypes.get(dtype).compute_dtype


def floating(x: Any) -> jax.Array:
    """Return `x` as an array of floats; floats keep their dtype."""
    array = jnp.asarray(x)
    return array if dtypes.is_float(array.dtype) else array.astype(computing_dtype())


def divide_no_nan(numerator: Any, denominator: Any) -> jax.Array:
    """Return ``numerator / denominator``, and 0 where the denominator is 0."""
    zero = denominator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))


def clip_probability(p: jax.Array) -> jax.Array:
    """Return `p` kept within ``[EPSILON, 1 - EPSILON]``."""
    return jnp.clip(p, EPSILON, 1.0 - EPSILON)


def log_probability(y_pred: jax.Array, from_logits: bool, axis: int) -> jax.Array:
    """Return the logarithm of class probabilities, as Keras computes it on JAX."""
    if from_logits:
        return jax.nn.log_softmax(y_pred, axis=axis)
    return jnp.log(clip_probability(y_pred / jnp.sum(y_pred, axis=axis, keepdims=True)))


def unit_length(x: jax.Array, axis: int) -> jax.Array:
    """Return `x` divided by its Euclidean norm along `axis`; a zero vector stays zero."""
    squares = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squares, EPSILON**2))
