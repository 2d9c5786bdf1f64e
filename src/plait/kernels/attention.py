"""Attention of several heads: as products on XLA, or as one native kernel.

XLA writes the scores of all heads to memory and reads them again for every step of the softmax,
forward and backward. Natively those of some queries of one head stay in the core's cache; what is
kept for the gradient is the maximum and the sum of each query's scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.kernels.operation import Operation, Shapes
from plait.kernels.table import is_native

QUERY, KEY, VALUE, MASK = range(4)


def attention(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Return ``softmax(query @ key.T / sqrt(channels)) @ value`` of each head.

    A query that sees nothing gets the mean of all values.

    Args:
        query: (batch, queries, heads, channels).
        key: (batch, keys, heads, channels).
        value: (batch, keys, heads, value channels).
        mask: True where a query may see a key; broadcast against (batch, heads, queries, keys).

    Returns:
        (batch, queries, heads, value channels).
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    if mask is None:
        mask = jnp.zeros((0, 0, 0, 0), bool)
    if is_native("attention", query, key, value) and pays(query.shape, key.shape):
        if mask.size:
            mask = jnp.broadcast_to(mask, (*mask.shape[:3], key.shape[1]))
        return _attention(scale, query, key, value, mask)[0]
    return _on_xla(scale, query, key, value, mask)[0]


def attention_weights(query: jax.Array, key: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Return ``softmax(query @ key.T / sqrt(channels))``, (batch, heads, queries, keys), on XLA."""
    return _weights(1.0 / math.sqrt(query.shape[-1]), query, key, mask)


def weighted(weights: jax.Array, value: jax.Array) -> jax.Array:
    """Return the sums of values, of the shape that `attention` returns, on XLA."""
    return jnp.swapaxes(weights @ jnp.swapaxes(value, 1, 2), 1, 2)


def pays(query: Sequence[int], key: Sequence[int]) -> bool:
    """Return whether the native kernels are faster than XLA, by shapes.

    Threads share the heads of all examples, and each takes a dozen queries at a time (measured over
    1 to 4096 queries and keys, 2 to 64 channels).
    """
    batch, queries, heads, _ = query
    return batch * heads >= 4 and queries >= 4 and key[1] >= 4


def _weights(scale: float, query: jax.Array, key: jax.Array, mask: Any) -> jax.Array:
    # As products of matrices, XLA on CPU computes this faster than as the einsum.
    query, key = jnp.swapaxes(query * scale, 1, 2), jnp.transpose(key, (0, 2, 3, 1))
    precise = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.matmul(query, key, preferred_element_type=precise)
    if mask is not None:
        scores = jnp.where(mask, scores, -1e9)  # as Keras 3
    return jax.nn.softmax(scores).astype(query.dtype)


def _on_xla(scale: float, query: Any, key: Any, value: Any, mask: Any) -> tuple[jax.Array]:
    weights = _weights(scale, query, key, mask if mask.size else None)
    return (weighted(weights, value),)


def _shapes(scale: float, operands: Sequence[Any], caches: bool) -> Shapes:
    batch, queries, heads, _ = operands[QUERY].shape
    return [
        (batch, queries, heads, operands[VALUE].shape[-1]),
        (batch, heads, queries, 2) if caches else (0,),
    ]


_attention = Operation(
    "plait_attention",
    operands=4,
    results=1,
    reference=_on_xla,
    shapes=_shapes,
    handlers=("plait_onednn_attention", "plait_onednn_attention_backward"),
    attributes=lambda scale: {"scale": np.float32(scale)},
    kept=(0, 1),
    fixed=frozenset({MASK}),
)
