"""Dense layers, embeddings, preprocessing, reshaping, and layers that do nothing in inference."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from plait import layers
from plait.layers.dropout import Noise
from plait.saving.onnx.activations import activate
from plait.saving.onnx.arrays import (
    broadcast_to,
    equal,
    expand_dims,
    gather,
    logical,
    one_hot,
    pad,
    product,
    repeat,
    reshape,
    size,
    sizes,
    slice_axis,
    squeeze,
)
from plait.saving.onnx.reductions import einsum, matmul, reduce, some, total
from plait.saving.onnx.registry import mask_of, onnx_converter, refuse
from plait.saving.onnx.tensor import Tensor, cast, constant, where, wide


@onnx_converter(layers.Dense)
def convert_dense(layer: layers.Dense, inputs: Tensor) -> Tensor:
    """Write `Dense`."""
    outputs = matmul(inputs, layer.kernel)
    if layer.bias is not None:
        outputs = outputs + layer.bias
    return activate(layer.activation, outputs)


@onnx_converter(layers.EinsumDense)
def convert_einsum_dense(layer: layers.EinsumDense, inputs: Tensor) -> Tensor:
    """Write `EinsumDense`."""
    outputs = einsum(layer.equation, inputs, layer.kernel)
    if layer.bias is not None:
        outputs = outputs + layer.bias
    return activate(layer.activation, outputs)


@onnx_converter(layers.Embedding)
def convert_embedding(layer: layers.Embedding, inputs: Tensor) -> Tensor:
    """Write `Embedding`; runtimes refuse numbers outside the table, where plait gives NaN."""
    table = constant(layer.embeddings).cast(wide(layer.compute_dtype))
    return gather(table, cast(inputs, "int32") if inputs.dtype != "int64" else inputs, 0)


@mask_of(layers.Embedding)
def mask_of_embedding(layer: layers.Embedding, inputs: Tensor, previous: Any) -> Any:
    """Return where the input is not 0."""
    return logical("Not", equal(inputs, 0)) if layer.mask_zero else None


@onnx_converter(layers.Masking)
def convert_masking(layer: layers.Masking, inputs: Tensor) -> Tensor:
    """Write `Masking`."""
    kept = expand_dims(mask_of_masking(layer, inputs, None), -1)
    return cast(where(kept, inputs, 0), inputs.dtype)


@mask_of(layers.Masking)
def mask_of_masking(layer: layers.Masking, inputs: Tensor, previous: Any) -> Tensor:
    """Return which steps hold another value than that of padding."""
    return some(logical("Not", equal(inputs, layer.mask_value)), -1)


@onnx_converter(layers.Rescaling)
def convert_rescaling(layer: layers.Rescaling, inputs: Tensor) -> Tensor:
    """Write `Rescaling`."""
    dtype = wide(layer.compute_dtype)
    scale, offset = (constant(value).cast(dtype) for value in (layer.scale, layer.offset))
    return cast(inputs, dtype) * scale + offset


@onnx_converter(layers.Normalization)
def convert_normalization(layer: layers.Normalization, inputs: Tensor) -> Tensor:
    """Write `Normalization`."""

    x = cast(inputs, wide(layer.compute_dtype))
    mean = constant(layer.mean, f"{layer.name}/mean")
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, x.dtype)), np.float32(1e-7))
    spread = constant(deviation, f"{layer.name}/deviation")
    return x * spread + mean if layer.invert else (x - mean) / spread


@onnx_converter(layers.CategoryEncoding)
def convert_category_encoding(
    layer: layers.CategoryEncoding, inputs: Tensor, count_weights: Any = None
) -> Tensor:
    """Write `CategoryEncoding`."""
    mode = layer.output_mode
    x = cast(inputs, "int32") if "float" not in inputs.dtype else inputs
    if mode == "one_hot" and x.ndim > 1 and x.shape[-1] == 1:
        x = squeeze(x, -1)
    encoded = one_hot(x, layer.num_tokens, layer.compute_dtype)
    if mode == "one_hot":
        return encoded
    if mode == "multi_hot":
        return reduce("ReduceMax", encoded, -2)
    if count_weights is not None:
        encoded = encoded * expand_dims(cast(count_weights, encoded.dtype), -1)
    return total(encoded, -2)


# -- other shapes ---------------------------------------------------------------------------


@onnx_converter(layers.Flatten)
def convert_flatten(layer: layers.Flatten, inputs: Tensor) -> Tensor:
    """Write `Flatten`."""
    if layer.data_format == "channels_first" and inputs.ndim > 1:
        inputs = inputs.transpose([0, *range(2, inputs.ndim), 1])
    return reshape(inputs, [size(inputs, 0), product(sizes(inputs)[1:])])


@onnx_converter(layers.Reshape)
def convert_reshape(layer: layers.Reshape, inputs: Tensor) -> Tensor:
    """Write `Reshape`."""
    target = layer.compute_output_shape(inputs.shape)[1:]
    return reshape(inputs, [size(inputs, 0), *(-1 if item is None else item for item in target)])


@onnx_converter(layers.Permute)
def convert_permute(layer: layers.Permute, inputs: Tensor) -> Tensor:
    """Write `Permute`."""
    return inputs.transpose((0, *layer.dims))


@onnx_converter(layers.RepeatVector)
def convert_repeat_vector(layer: layers.RepeatVector, inputs: Tensor) -> Tensor:
    """Write `RepeatVector`."""
    return broadcast_to(expand_dims(inputs, 1), [size(inputs, 0), layer.n, size(inputs, 1)])


@onnx_converter(layers.ZeroPadding1D)
@onnx_converter(layers.ZeroPadding2D)
@onnx_converter(layers.ZeroPadding3D)
def convert_padding(layer: layers.ZeroPadding2D, inputs: Tensor) -> Tensor:
    """Write `ZeroPadding1D`, `ZeroPadding2D`, `ZeroPadding3D`."""
    widths = dict(zip(layer._axes(), _pairs(layer.padding), strict=True))
    return pad(inputs, [widths.get(axis, (0, 0)) for axis in range(inputs.ndim)])


@onnx_converter(layers.Cropping1D)
@onnx_converter(layers.Cropping2D)
@onnx_converter(layers.Cropping3D)
def convert_cropping(layer: layers.Cropping2D, inputs: Tensor) -> Tensor:
    """Write `Cropping1D`, `Cropping2D`, `Cropping3D`."""
    for axis, (before, after) in zip(layer._axes(), _pairs(layer.cropping), strict=True):
        inputs = slice_axis(inputs, axis, before, -after if after else None)
    return inputs


def _pairs(value: Any) -> Any:
    return (value,) if isinstance(value[0], int) else value


@onnx_converter(layers.UpSampling1D)
@onnx_converter(layers.UpSampling3D)
def convert_upsampling(layer: layers.UpSampling1D, inputs: Tensor) -> Tensor:
    """Write `UpSampling1D` and `UpSampling3D`."""
    for axis, factor in zip(layer._axes(), layer._factors(), strict=True):
        inputs = repeat(inputs, factor, axis)
    return inputs


@onnx_converter(layers.UpSampling2D)
def convert_upsampling_2d(layer: layers.UpSampling2D, inputs: Tensor) -> Tensor:
    """Write `UpSampling2D`: what `jax.image.resize` does is a product with a fixed matrix."""
    if layer.interpolation == "nearest":
        return convert_upsampling(layer, inputs)  # type: ignore[arg-type]
    axes = [axis % inputs.ndim for axis in layer._axes()]
    target = [
        None if inputs.shape[axis] is None else inputs.shape[axis] * factor  # type: ignore[operator]
        for axis, factor in zip(axes, layer._factors(), strict=True)
    ]
    return resize(inputs, axes, target, layer.interpolation)


def resize(
    x: Tensor, axes: list[int], target: list[int | None], method: str, antialias: bool = False
) -> Tensor:
    """Resize axes to fixed sizes as `jax.image.resize`, which is linear along each axis."""

    dtype = x.dtype
    x = cast(x, "float32")
    for axis, wanted in zip(axes, target, strict=True):
        have = x.shape[axis]
        if have is None or wanted is None:
            refuse(
                f"it interpolates ({method}) over axis {axis}, whose size is not known.",
                fix="give that size in Input(shape=...), or interpolation='nearest'",
            )
        unit = np.eye(have, dtype=np.float32)
        weights = jax.image.resize(unit, (have, wanted), method, antialias=antialias)
        last = [*(item for item in range(x.ndim) if item != axis), axis]
        x = matmul(x.transpose(last), np.asarray(weights)).transpose(np.argsort(last).tolist())
    return x if dtype == "float32" else cast(x, dtype)


@onnx_converter(Noise)
@onnx_converter(layers.Dropout)
@onnx_converter(layers.SpatialDropout1D)
@onnx_converter(layers.SpatialDropout2D)
@onnx_converter(layers.SpatialDropout3D)
@onnx_converter(layers.AlphaDropout)
@onnx_converter(layers.GaussianNoise)
@onnx_converter(layers.GaussianDropout)
@onnx_converter(layers.ActivityRegularization)
@onnx_converter(layers.Identity)
def convert_identity(layer: Any, inputs: Any) -> Any:
    """Write the layers that hand on their input outside training."""
    return inputs
