"""A convolution with what follows it in one: normalization, an addition, and relu.

The native kernel takes each part of the batch through all of that while it is in a core's own
cache; the parts between are not written to memory and read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from plait.kernels import trilinear
from plait.kernels.convolution import PerAxis, native_window
from plait.kernels.operation import Operation, Shapes
from plait.kernels.windows import Sizes


class Kind(NamedTuple):
    """What is computed.

    Attributes:
        normalizes: over the batch; else channels are scaled and shifted.
        relu: whether it ends with relu.
        epsilon: what is added to the variance.
        sizes: those of the output between batch and channels.
        geometry: how the window moves.
    """

    normalizes: bool
    relu: bool
    epsilon: float
    sizes: Sizes
    geometry: trilinear.Geometry


X, KERNEL, SCALE, SHIFT, RESIDUAL = range(5)


def _reference(kind: Kind, *operands: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the output, and the mean and variance of the convolution if it normalizes."""
    x, kernel, scale, shift, residual = operands
    z = trilinear.output_of(x, kernel, kind.sizes, kind.geometry)
    scale = scale if scale.size else jnp.ones((), z.dtype)
    shift = shift if shift.size else jnp.zeros((), z.dtype)
    mean = variance = jnp.zeros((0,), z.dtype)
    if kind.normalizes:
        axes = tuple(range(z.ndim - 1))
        mean = jnp.mean(z, axes)
        variance = jnp.mean(jnp.square(z - mean), axes)
        scale = scale * jax.lax.rsqrt(variance + kind.epsilon)
        shift = shift - mean * scale
    y = z * scale + shift
    if residual.size:
        y = y + residual
    return jax.nn.relu(y) if kind.relu else y, mean, variance


def _shapes(kind: Kind, operands: Sequence[Any], caches: bool) -> Shapes:
    x, kernel = operands[:2]
    filters = kernel.shape[-1]
    output = (x.shape[0], *kind.sizes, filters)
    if not kind.normalizes:
        return [output, (0,), (0,), (0,)]
    return [output, (filters,), (filters,), output]


def _attributes(kind: Kind) -> dict[str, Any]:
    geometry = kind.geometry
    return {
        "normalizes": kind.normalizes,
        "relu": kind.relu,
        "epsilon": np.float32(kind.epsilon),
        "groups": np.int64(geometry.groups),
        **{name: np.asarray(getattr(geometry, name), np.int64) for name in geometry._fields[:-1]},
    }


def _has_gradient(kind: Kind, wanted: Sequence[int], given: Sequence[int]) -> bool:
    return given == [0] if kind.normalizes else SCALE not in wanted


_block = Operation(
    "plait_block",
    operands=5,
    results=3,
    reference=_reference,
    shapes=_shapes,
    handlers=("plait_onednn_block", "plait_onednn_block_backward"),
    attributes=_attributes,
    kept=(0, 1, 2, 3),
    skipped=frozenset({X, SCALE, RESIDUAL}),
    has_gradient=_has_gradient,
)


class Moments(NamedTuple):
    """Mean and variance of each channel over the batch."""

    mean: jax.Array
    variance: jax.Array


def conv_block(
    x: jax.Array,
    kernel: jax.Array,
    scale: jax.Array | None,
    shift: jax.Array | None,
    residual: jax.Array | None,
    *,
    strides: PerAxis = 1,
    padding: str = "valid",
    dilation_rate: PerAxis = 1,
    epsilon: float | None = None,
    relu: bool = False,
) -> tuple[jax.Array, Moments | None] | None:
    """Return ``relu(z * scale + shift + residual)`` of ``z = conv(x, kernel)``.

    Args:
        x: ``(batch, *sizes, channels)``.
        kernel: ``(*window, channels / groups, filters)``.
        scale: (filters,); default: 1.
        shift: (filters,); default: 0.
        residual: what is added, of the output's shape.
        strides: the steps between windows.
        padding: "valid", "same", or, over one axis, "causal".
        dilation_rate: the steps between the elements of a window.
        epsilon: if it is there, z is normalized first: ``(z - mean) / sqrt(variance + epsilon)``.
        relu: whether negative outputs become 0.

    Returns:
        The output, and mean and variance of z if it is normalized; None where there is no native
        kernel for that.

    Raises:
        ShapeError: the kernel is larger than the input.
    """
    native = native_window(x, kernel, strides, padding, dilation_rate)
    if native is None:
        return None
    kind = Kind(epsilon is not None, relu, epsilon or 0.0, *native)
    nothing = jnp.zeros((0,), x.dtype)
    rest = (nothing if operand is None else operand for operand in (scale, shift, residual))
    y, *moments = _block(kind, x, kernel, *rest)
    return y, Moments(*moments) if kind.normalizes else None
