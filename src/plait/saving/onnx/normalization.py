"""Normalizations. The averages of batch normalization are folded into a scale and a shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plait import layers
from plait.layers.normalizer import axes_within
from plait.saving.onnx.arrays import maximum, reshape, size, sizes, unary
from plait.saving.onnx.reductions import mean, total
from plait.saving.onnx.registry import onnx_converter
from plait.saving.onnx.tensor import Constant, Tensor, cast, constant, wide


def along(values: Any, x: Tensor, axes: Sequence[int]) -> Constant:
    """Return values per entry of `axes` in a shape that broadcasts against `x`."""
    stored = constant(values)
    shape = iter(stored.array.shape)
    return stored.reshape(*(next(shape) if axis in axes else 1 for axis in range(x.ndim)))


def _affine(layer: Any, x: Tensor, axes: Sequence[int]) -> Tensor:
    if layer.gamma is not None:
        x = x * along(layer.gamma, x, axes)
    if layer.beta is not None:
        x = x + along(layer.beta, x, axes)
    return x


@onnx_converter(layers.BatchNormalization)
def convert_batch_normalization(
    layer: layers.BatchNormalization, inputs: Tensor, mask: Any = None
) -> Tensor:
    """Write `BatchNormalization`, as it is outside training."""
    x = cast(inputs, "float32")
    axes = axes_within(layer.axis, x.ndim)
    average, spread = (
        variable.numpy().astype(np.float32)
        for variable in (layer.moving_mean, layer.moving_variance)
    )
    scale = 1.0 / np.sqrt(spread + np.float32(layer.epsilon))
    if layer.gamma is not None:
        scale = scale * layer.gamma.numpy()
    shift = -average * scale
    if layer.beta is not None:
        shift = shift + layer.beta.numpy()
    factor, offset = (
        along(constant(array, f"{layer.name}/{name}"), x, axes)
        for array, name in ((scale, "scale"), (shift, "shift"))
    )
    return x * factor + offset


@onnx_converter(layers.LayerNormalization)
def convert_layer_normalization(layer: layers.LayerNormalization, inputs: Tensor) -> Tensor:
    """Write `LayerNormalization`."""
    x = cast(inputs, "float32")
    axes = axes_within(layer.axis, x.ndim)
    return _affine(layer, standardized(x, axes, layer.epsilon), axes)


def standardized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    """Return ``(x - mean) / sqrt(variance + epsilon)`` over axes."""
    apart = x - mean(x, axes, keepdims=True)
    return apart / unary("Sqrt", mean(apart * apart, axes, keepdims=True) + float(epsilon))


@onnx_converter(layers.GroupNormalization)
def convert_group_normalization(layer: layers.GroupNormalization, inputs: Tensor) -> Tensor:
    """Write `GroupNormalization`."""
    x = cast(inputs, "float32")
    (axis,) = axes_within(layer.axis, x.ndim)
    first = [0, axis, *(item for item in range(1, x.ndim) if item != axis)]
    moved = x.transpose(first)
    channels = x.shape[axis]
    groups = channels if layer.groups == -1 else layer.groups
    whole = sizes(moved)
    grouped = reshape(moved, [size(x, 0), groups, -1])
    result = reshape(standardized(grouped, [2], layer.epsilon), whole, moved.shape)
    return _affine(layer, result.transpose(np.argsort(first).tolist()), [axis])


@onnx_converter(layers.RMSNormalization)
def convert_rms_normalization(layer: layers.RMSNormalization, inputs: Tensor) -> Tensor:
    """Write `RMSNormalization`."""
    x = cast(inputs, "float32")
    axes = axes_within(layer.axis, x.ndim)
    root = unary("Sqrt", mean(x * x, axes, keepdims=True) + float(layer.epsilon))
    return cast(x / root * along(layer.scale, x, axes), wide(inputs.dtype))


@onnx_converter(layers.UnitNormalization)
def convert_unit_normalization(layer: layers.UnitNormalization, inputs: Tensor) -> Tensor:
    """Write `UnitNormalization`."""
    x = cast(inputs, "float32")
    axes = axes_within(layer.axis, x.ndim)
    squares = total(x * x, axes, keepdims=True)
    return x / unary("Sqrt", maximum(squares, 1e-24))
