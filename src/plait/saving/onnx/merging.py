"""Layers that merge several tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from plait import layers
from plait.layers.merging import Merge
from plait.saving.onnx.arrays import (
    broadcast_to,
    concatenate,
    expand_dims,
    logical,
    maximum,
    minimum,
    sizes,
    unary,
)
from plait.saving.onnx.reductions import dot_general, some, total
from plait.saving.onnx.registry import mask_of, onnx_converter
from plait.saving.onnx.tensor import Constant, Tensor, cast, where, wide


def _aligned(inputs: list[Any]) -> list[Any]:
    """Give a tensor of lower rank axes of size 1 after its batch."""
    rank = max(x.ndim for x in inputs)
    return [expand_dims(x, tuple(range(1, 1 + rank - x.ndim))) for x in inputs]


def _fitted(mask: Any, inputs: list[Any]) -> list[Any]:
    masks = mask if mask is not None else [None] * len(inputs)
    return [
        m if m is None else expand_dims(m, tuple(range(m.ndim, x.ndim)))
        for m, x in zip(masks, inputs, strict=True)
    ]


@onnx_converter(layers.Add)
def convert_add(layer: layers.Add, inputs: list[Any], mask: Any = None) -> Tensor:
    """Write `Add`."""
    return functools.reduce(lambda a, b: a + b, _aligned(inputs))


@onnx_converter(layers.Subtract)
def convert_subtract(layer: layers.Subtract, inputs: list[Any], mask: Any = None) -> Tensor:
    """Write `Subtract`."""
    first, second = _aligned(inputs)
    return first - second


@onnx_converter(layers.Multiply)
def convert_multiply(layer: layers.Multiply, inputs: list[Any], mask: Any = None) -> Tensor:
    """Write `Multiply`."""
    aligned = _aligned(inputs)
    masks = _fitted(mask, aligned)
    ones = [
        x if m is None else cast(where(m, x, 1), x.dtype)
        for x, m in zip(aligned, masks, strict=True)
    ]
    result = functools.reduce(lambda a, b: a * b, ones)
    if any(m is None for m in masks):
        return result
    return cast(where(_any_of(masks), result, 0), result.dtype)


def _any_of(masks: list[Any]) -> Tensor:
    return functools.reduce(lambda a, b: logical("Or", a, b), masks)


@onnx_converter(layers.Average)
def convert_average(layer: layers.Average, inputs: list[Any], mask: Any = None) -> Tensor:
    """Write `Average`."""
    summed = functools.reduce(lambda a, b: a + b, _aligned(inputs))
    return cast(summed / len(inputs), wide(layer.compute_dtype))


def _extreme(choose: Callable[[Any, Any], Tensor], inputs: list[Any], mask: Any) -> Tensor:
    aligned = _aligned(inputs)
    masks = _fitted(mask, aligned)
    output, known = aligned[0], masks[0]
    for x, own in zip(aligned[1:], masks[1:], strict=True):
        other = x if own is None else where(own, x, output)
        if known is not None:
            output = where(known, output, other)
        known = logical("Or", known, own) if known is not None and own is not None else None
        output = choose(output, other)
    return output


@onnx_converter(layers.Maximum)
def convert_maximum(layer: layers.Maximum, inputs: list[Any], mask: Any = None) -> Tensor:
    """Write `Maximum`."""
    return _extreme(maximum, inputs, mask)


@onnx_converter(layers.Minimum)
def convert_minimum(layer: layers.Minimum, inputs: list[Any], mask: Any = None) -> Tensor:
    """Write `Minimum`."""
    return _extreme(minimum, inputs, mask)


@mask_of(Merge)
def mask_of_merge(layer: Merge, inputs: Any, previous: Any) -> Any:
    """Return where any input is data, if every input has a mask."""
    if previous is None or any(mask is None for mask in previous):
        return None
    return _any_of(previous)


@onnx_converter(layers.Dot)
def convert_dot(layer: layers.Dot, inputs: list[Any], mask: Any = None) -> Tensor:
    """Write `Dot`."""
    dtype = wide(layer.compute_dtype)
    first, second = (cast(x, dtype) for x in inputs)
    axes = layer._positive_axes(first.ndim, second.ndim)
    if layer.normalize:
        first, second = _unit(first, axes[0]), _unit(second, axes[1])
    outputs = dot_general(first, second, (axes[0], axes[1]))
    return expand_dims(outputs, 1) if outputs.ndim == 1 else outputs


@mask_of(layers.Dot)
def mask_of_dot(layer: layers.Dot, inputs: Any, previous: Any) -> None:
    """Return None: the product has no steps of its own."""
    return


def _unit(x: Tensor, axis: int) -> Tensor:
    length = unary("Sqrt", total(x * x, axis, keepdims=True))
    return x * minimum(1.0 / length, 1e7)


@onnx_converter(layers.Concatenate)
def convert_concatenate(layer: layers.Concatenate, inputs: list[Any]) -> Tensor:
    """Write `Concatenate`."""
    return concatenate(inputs, layer.axis)


@mask_of(layers.Concatenate)
def mask_of_concatenate(layer: layers.Concatenate, inputs: list[Any], previous: Any) -> Any:
    """Return the masks joined as the inputs are; an input without one is all data."""
    if previous is None or all(mask is None for mask in previous):
        return None
    masks = []
    for mask, x in zip(previous, inputs, strict=True):
        whole: Any = Constant(np.ones((1,) * x.ndim, bool))
        if mask is not None:
            whole = expand_dims(mask, tuple(range(mask.ndim, x.ndim)))
        masks.append(broadcast_to(whole, sizes(x), x.writer))
    return some(concatenate(masks, layer.axis), -1)
