"""Products, normalizations, attention, and windows that slide."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plait.saving.onnx.arrays import as_tensor, expand_dims, minimum, reshape, unary
from plait.saving.onnx.basic import resize
from plait.saving.onnx.convolution import conv, conv_transpose, depthwise_kernel, pool
from plait.saving.onnx.reductions import axes_of, einsum, matmul, mean, softmax, total, variance
from plait.saving.onnx.registry import Converter, refuse
from plait.saving.onnx.tensor import (
    Tensor,
    cast,
    elementwise,
    shape_of,
    where,
)


def _norm(x: Tensor, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    axes = axes_of(x, axis)
    if ord not in (None, 2, "fro", "euclidean") or (ord == 2 and len(axes) > 1):
        if ord == 1 and len(axes) == 1:
            return total(unary("Abs", x), axes, keepdims)
        refuse(f"it is the norm of order {ord!r}.", fix="ord=2, or a sum of your own")
    x = x if "float" in x.dtype else cast(x, "float32")
    return unary("Sqrt", total(x * x, axes, keepdims))


def _dot(x1: Any, x2: Any) -> Tensor:
    if len(shape_of(x1)) == 0 or len(shape_of(x2)) == 0:
        return elementwise("Mul", x1, x2)
    if len(shape_of(x2)) <= 2:
        return matmul(x1, x2)
    return _tensordot(x1, x2, ([-1], [-2]))


def _tensordot(x1: Any, x2: Any, axes: Any = 2) -> Tensor:
    first, second = len(shape_of(x1)), len(shape_of(x2))
    if isinstance(axes, int):
        axes = (list(range(first - axes, first)), list(range(axes)))
    left, right = ([item] if isinstance(item, int) else list(item) for item in axes)
    letters = [chr(ord("a") + index) for index in range(first)]
    others = [chr(ord("A") + index) for index in range(second)]
    for a, b in zip(left, right, strict=True):
        others[b % second] = letters[a % first]
    gone = {letters[a % first] for a in left}
    output = [item for item in [*letters, *others] if item not in gone]
    return einsum(f"{''.join(letters)},{''.join(others)}->{''.join(output)}", x1, x2)


def _inner(x1: Any, x2: Any) -> Tensor:
    if len(shape_of(x1)) == 0 or len(shape_of(x2)) == 0:
        return elementwise("Mul", x1, x2)
    return _tensordot(x1, x2, ([-1], [-1]))


def _outer(x1: Any, x2: Any) -> Tensor:
    first = reshape(as_tensor(x1, [x1, x2]), [-1, 1])
    return first * reshape(as_tensor(x2, [x1, x2]), [1, -1])


def _normalize(x: Tensor, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Tensor:
    if order != 2:
        refuse(f"it normalizes by the norm of order {order}.", fix="order=2")
    length = unary("Sqrt", total(x * x, axis, keepdims=True))
    return x * minimum(1.0 / length, 1 / (1e-7 if epsilon is None else epsilon))


def _moments(
    x: Tensor, axes: Any, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    return mean(x, axes, keepdims), variance(x, axes, keepdims)


def _layer_normalization(
    x: Tensor,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: float | None = None,
) -> Tensor:
    from plait.saving.onnx.normalization import standardized

    axes = axes_of(x, axis)
    made = standardized(x, axes, 1e-7 if epsilon is None else epsilon)

    def along(weight: Any) -> Any:
        missing = [item for item in range(x.ndim) if item not in axes]
        full = len(shape_of(weight)) == x.ndim
        return weight if full else expand_dims(weight, tuple(missing))

    made = made if gamma is None else made * along(gamma)
    return made if beta is None else made + along(beta)


def _rms_normalization(
    x: Tensor, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Tensor:
    square = mean(x * x, axis, keepdims=True) + (1e-7 if epsilon is None else epsilon)
    made = x / unary("Sqrt", square)
    return made if scale is None else made * scale


def _batch_normalization(
    x: Tensor,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Tensor:
    others = tuple(item for item in range(x.ndim) if item != axis % x.ndim)

    def along(vector: Any) -> Tensor:
        return as_tensor(expand_dims(vector, others), [x])

    factor = 1.0 / unary("Sqrt", along(variance) + epsilon)
    factor = factor if scale is None else factor * along(scale)
    made = x * factor - along(mean) * factor
    return made if offset is None else made + along(offset)


def _dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    from plait.saving.onnx.attention import causal_mask

    depth = query.shape[-1]
    if depth is None or query.shape[2] != key.shape[2]:
        refuse("its heads have no known or different numbers of features.")
    scores = einsum("bthd,bshd->bhts", query, key)
    scores = scores * (1 / math.sqrt(depth) if scale is None else float(scale))
    scores = scores if bias is None else scores + bias
    seen = [] if mask is None else [mask]
    seen += [causal_mask(query, key, 1)] if is_causal else []
    for item in seen:
        scores = where(item, scores, float(-0.7 * np.finfo(np.float32).max))
    return einsum("bhts,bshd->bthd", softmax(scores, -1), value)


def _window(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _conv(
    inputs: Tensor,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    rank = inputs.ndim - 2
    return conv(
        inputs, kernel, _window(strides, rank), padding, _window(dilation_rate, rank),
        data_format or "channels_last",
    )  # fmt: skip


def _depthwise_conv(inputs: Tensor, kernel: Any, *args: Any, **kwargs: Any) -> Tensor:
    return _conv(inputs, depthwise_kernel(kernel), *args, **kwargs)


def _separable_conv(
    inputs: Tensor,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    each = _depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return _conv(each, pointwise_kernel, data_format=data_format)


def _conv_transpose(
    inputs: Tensor,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    rank = inputs.ndim - 2
    return conv_transpose(
        inputs, kernel, _window(strides, rank), padding,
        None if output_padding is None else _window(output_padding, rank),
        _window(dilation_rate, rank), data_format or "channels_last",
    )  # fmt: skip


def _pool(kind: str) -> Converter:
    def apply(
        inputs: Tensor,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
    ) -> Tensor:
        window = _window(pool_size, inputs.ndim - 2)
        steps = window if strides is None else _window(strides, len(window))
        return pool(kind, inputs, window, steps, padding, data_format or "channels_last")

    return apply


def _resize(
    images: Tensor,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    if crop_to_aspect_ratio or pad_to_aspect_ratio or "float" not in images.dtype:
        refuse("it crops, pads or rounds beside resizing.", fix="resize floats to a plain size")
    first = images.ndim - (3 if data_format != "channels_first" else 2)
    return resize(images, [first, first + 1], list(size), interpolation, antialias)


TABLE: dict[str, Converter] = {
    "average_pool": _pool("AveragePool"),
    "batch_normalization": _batch_normalization,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "depthwise_conv": _depthwise_conv,
    "dot": _dot,
    "dot_product_attention": _dot_product_attention,
    "einsum": einsum,
    "image.resize": _resize,
    "inner": _inner,
    "layer_normalization": _layer_normalization,
    "matmul": matmul,
    "max_pool": _pool("MaxPool"),
    "moments": _moments,
    "norm": _norm,
    "normalize": _normalize,
    "outer": _outer,
    "rms_normalization": _rms_normalization,
    "separable_conv": _separable_conv,
    "tensordot": _tensordot,
}
"""Name in `plait.ops` -> what it becomes."""
