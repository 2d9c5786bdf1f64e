"""Normalization over the last axis, forward and backward in one native pass each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.kernels.operation import Operation, Shapes
from plait.kernels.table import is_native


def layer_norm(
    x: jax.Array, scale: jax.Array | None, shift: jax.Array | None, epsilon: float
) -> jax.Array | None:
    """Return ``(x - mean) / sqrt(variance + epsilon) * scale + shift`` (Ba et al. 2016).

    Args:
        x: (..., features), normalized over the last axis.
        scale: (features,); default: 1.
        shift: (features,); default: 0.
        epsilon: what is added to the variance.

    Returns:
        An array of the input's shape; None where there is no native kernel for that.
    """
    given = [operand for operand in (scale, shift) if operand is not None]
    # Less than a vector of features is faster on XLA (measured over 4 to 768 features, 32 to 65536
    # rows).
    if not is_native("layer normalization", x, *given) or x.shape[-1] < 16:
        return None
    nothing = jnp.zeros((0,), x.dtype)
    rest = (nothing if operand is None else operand for operand in (scale, shift))
    (y,) = _layer_norm(epsilon, x.reshape(-1, x.shape[-1]), *rest)
    return y.reshape(x.shape)


def _reference(epsilon: float, x: Any, scale: Any, shift: Any) -> tuple[jax.Array]:
    away = x - jnp.mean(x, -1, keepdims=True)
    y = away * jax.lax.rsqrt(jnp.mean(jnp.square(away), -1, keepdims=True) + epsilon)
    y = y * scale if scale.size else y
    return (y + shift if shift.size else y,)


def _shapes(epsilon: float, operands: Sequence[Any], caches: bool) -> Shapes:
    x = operands[0]
    return [x.shape, (x.shape[0], 2) if caches else (0,)]


_layer_norm = Operation(
    "plait_layer_norm",
    operands=3,
    results=1,
    reference=_reference,
    shapes=_shapes,
    handlers=("plait_onednn_normalization", "plait_onednn_normalization_backward"),
    attributes=lambda epsilon: {"epsilon": np.float32(epsilon)},
    kept=(1,),
    maps_on_xla=True,
)
