"""Convolutions and poolings. ONNX has channels first; see `tensor` for why that costs little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plait import kernels, layers
from plait.graph.tensor import Shape
from plait.kernels.convolution import transposed_padding
from plait.kernels.windows import same_padding, spans
from plait.layers.convolution import Conv
from plait.layers.depthwise import DepthwiseConv, SeparableConv
from plait.layers.global_pooling import GlobalAveragePooling, GlobalMaxPooling
from plait.layers.pooling import AveragePooling, MaxPooling
from plait.layers.transposed import ConvTranspose
from plait.saving.onnx.activations import activate
from plait.saving.onnx.arrays import expand_dims
from plait.saving.onnx.reductions import mean, reduce, total
from plait.saving.onnx.registry import mask_of, onnx_converter, refuse
from plait.saving.onnx.tensor import (
    Constant,
    Tensor,
    cast,
    constant,
    materialize,
    where,
    wide,
)

Sizes = tuple[int, ...]


def channels_first(x: Tensor, data_format: str) -> Tensor:
    """Return images with channels on axis 1."""
    return x if data_format == "channels_first" else x.transpose([0, -1, *range(1, x.ndim - 1)])


def as_before(x: Tensor, data_format: str) -> Tensor:
    """Undo `channels_first`."""
    return x if data_format == "channels_first" else x.transpose([0, *range(2, x.ndim), 1])


def _padding(
    sizes: Sequence[int | None], window: Sizes, strides: Sizes, dilation: Sizes, padding: str
) -> dict[str, Any]:
    """Return the attribute of ONNX that pads as Keras does."""
    reach = spans(window, dilation)
    if padding == "valid":
        return {"pads": [0] * (2 * len(window))}
    if padding == "causal":
        return {"pads": [span - 1 for span in reach] + [0] * len(window)}
    if None not in sizes or max(strides) == 1:
        measured = [1 if size is None else size for size in sizes]
        pads = same_padding(measured, reach, strides)
        if max(strides) == 1:
            pads = [((span - 1) // 2, span - 1 - (span - 1) // 2) for span in reach]
        return {"pads": [before for before, _ in pads] + [after for _, after in pads]}
    if max(dilation) > 1:
        refuse(
            "it pads a dilated, strided window over sizes that are not known.",
            fix="give them in Input(shape=...)",
        )
    return {"auto_pad": "SAME_UPPER"}


def conv(
    x: Tensor,
    kernel: Any,
    strides: Sizes,
    padding: str,
    dilation: Sizes,
    data_format: str,
    bias: Any = None,
) -> Tensor:
    """Convolve as `plait.kernels.conv`, in as many groups as the channels say."""
    kernel = kernel if isinstance(kernel, Tensor) else constant(kernel)
    image = cast(channels_first(x, data_format), kernel.dtype)
    rank, dtype = image.ndim - 2, image.dtype
    window: Sizes = kernel.shape[:-2]  # type: ignore[assignment]
    channels, inner = image.shape[1], kernel.shape[-2]
    if channels is None or inner is None:
        refuse("the channels of its input have no known number.")
    weights = kernel.transpose((rank + 1, rank, *range(rank)))
    inputs = [image.value, materialize(x.writer, weights, dtype)]
    if bias is not None:
        inputs.append(materialize(x.writer, bias, dtype))
    source = x.writer.add(
        "Conv",
        *inputs,
        kernel_shape=list(window),
        strides=list(strides),
        dilations=list(dilation),
        group=channels // inner,
        **_padding(image.shape[2:], window, strides, dilation, padding),
    )
    sizes = kernels.output_sizes(image.shape[2:], window, strides, padding, dilation)
    shape: Shape = (image.shape[0], kernel.shape[-1], *sizes)
    return as_before(Tensor(x.writer, source, shape, dtype), data_format)


def depthwise_kernel(kernel: Any) -> Constant | Tensor:
    """Return ``(*window, channels, multiplier)`` as the kernel of a grouped convolution."""
    if isinstance(kernel, Tensor):
        refuse("its kernel is no constant.", fix="a DepthwiseConv2D layer")
    stored = constant(kernel)
    *window, channels, multiplier = stored.array.shape
    return stored.reshape(*window, 1, channels * multiplier)


def conv_transpose(
    x: Tensor,
    kernel: Any,
    strides: Sizes,
    padding: str,
    output_padding: Sizes | None,
    dilation: Sizes,
    data_format: str,
    bias: Any = None,
) -> Tensor:
    """Convolve as `plait.kernels.conv_transpose`.

    JAX pads the strided input with as much as it says on each side; ONNX with the reach of the
    kernel less 1, and cuts or adds from there.
    """
    kernel = kernel if isinstance(kernel, Tensor) else constant(kernel)
    image = cast(channels_first(x, data_format), kernel.dtype)
    rank = image.ndim - 2
    window: Sizes = kernel.shape[:-2]  # type: ignore[assignment]
    reach = spans(window, dilation)
    padded = transposed_padding(reach, strides, padding, output_padding)
    more = [after - span + 1 for span, (_, after) in zip(reach, padded, strict=True)]
    inputs = [image.value]
    inputs.append(
        materialize(x.writer, kernel.transpose((rank + 1, rank, *range(rank))), image.dtype)
    )
    if bias is not None:
        inputs.append(materialize(x.writer, bias, image.dtype))
    source = x.writer.add(
        "ConvTranspose",
        *inputs,
        kernel_shape=list(window),
        strides=list(strides),
        dilations=list(dilation),
        pads=[span - 1 - before for span, (before, _) in zip(reach, padded, strict=True)]
        + [max(-item, 0) for item in more],
        output_padding=[max(item, 0) for item in more],
    )
    sizes = kernels.transposed_sizes(
        image.shape[2:], window, strides, padding, output_padding, dilation
    )
    made = Tensor(x.writer, source, (image.shape[0], kernel.shape[-2], *sizes), image.dtype)
    return as_before(made, data_format)


@onnx_converter(Conv)
@onnx_converter(layers.Conv1D)
@onnx_converter(layers.Conv2D)
@onnx_converter(layers.Conv3D)
def convert_conv(layer: Conv, inputs: Tensor) -> Tensor:
    """Write `Conv1D`, `Conv2D`, `Conv3D`."""
    outputs = conv(
        inputs, layer.kernel, layer.strides, layer.padding, layer.dilation_rate,
        layer.data_format, layer.bias,
    )  # fmt: skip
    return activate(layer.activation, outputs)


@onnx_converter(DepthwiseConv)
@onnx_converter(layers.DepthwiseConv1D)
@onnx_converter(layers.DepthwiseConv2D)
def convert_depthwise(layer: DepthwiseConv, inputs: Tensor) -> Tensor:
    """Write `DepthwiseConv1D`, `DepthwiseConv2D`."""
    outputs = conv(
        inputs, depthwise_kernel(layer.kernel), layer.strides, layer.padding,
        layer.dilation_rate, layer.data_format, layer.bias,
    )  # fmt: skip
    return activate(layer.activation, outputs)


@onnx_converter(SeparableConv)
@onnx_converter(layers.SeparableConv1D)
@onnx_converter(layers.SeparableConv2D)
def convert_separable(layer: SeparableConv, inputs: Tensor) -> Tensor:
    """Write `SeparableConv1D`, `SeparableConv2D`."""
    each = conv(
        inputs, depthwise_kernel(layer.depthwise_kernel), layer.strides, layer.padding,
        layer.dilation_rate, layer.data_format,
    )  # fmt: skip
    ones = (1,) * layer.rank
    outputs = conv(each, layer.pointwise_kernel, ones, "valid", ones, layer.data_format, layer.bias)
    return activate(layer.activation, outputs)


@onnx_converter(ConvTranspose)
@onnx_converter(layers.Conv1DTranspose)
@onnx_converter(layers.Conv2DTranspose)
@onnx_converter(layers.Conv3DTranspose)
def convert_transposed(layer: ConvTranspose, inputs: Tensor) -> Tensor:
    """Write `Conv1DTranspose`, `Conv2DTranspose`, `Conv3DTranspose`."""
    outputs = conv_transpose(
        inputs, layer.kernel, layer.strides, layer.padding, layer.output_padding,
        layer.dilation_rate, layer.data_format, layer.bias,
    )  # fmt: skip
    return activate(layer.activation, outputs)


# -- poolings -------------------------------------------------------------------------------


def pool(
    kind: str, x: Tensor, window: Sizes, strides: Sizes, padding: str, data_format: str
) -> Tensor:
    """Pool as `plait.kernels.max_pool` and `average_pool`."""
    image = channels_first(x, data_format)
    dtype = image.dtype
    if "float" not in dtype:
        image = cast(image, "float32")
    ones = (1,) * len(window)
    settings: dict[str, Any] = {"count_include_pad": 0} if kind == "AveragePool" else {}
    source = x.writer.add(
        kind,
        image.value,
        kernel_shape=list(window),
        strides=list(strides),
        **settings,
        **_padding(image.shape[2:], window, strides, ones, padding),
    )
    sizes = kernels.output_sizes(image.shape[2:], window, strides, padding, what="pool")
    made = Tensor(x.writer, source, (*image.shape[:2], *sizes), image.dtype)
    return as_before(cast(made, dtype) if kind == "MaxPool" else made, data_format)


@onnx_converter(MaxPooling)
@onnx_converter(layers.MaxPooling1D)
@onnx_converter(layers.MaxPooling2D)
@onnx_converter(layers.MaxPooling3D)
def convert_max_pooling(layer: MaxPooling, inputs: Tensor) -> Tensor:
    """Write `MaxPooling1D`, `MaxPooling2D`, `MaxPooling3D`."""
    return pool("MaxPool", inputs, layer.pool_size, layer.strides, layer.padding, layer.data_format)


@onnx_converter(AveragePooling)
@onnx_converter(layers.AveragePooling1D)
@onnx_converter(layers.AveragePooling2D)
@onnx_converter(layers.AveragePooling3D)
def convert_average_pooling(layer: AveragePooling, inputs: Tensor) -> Tensor:
    """Write `AveragePooling1D`, `AveragePooling2D`, `AveragePooling3D`."""
    x = inputs if "float" in inputs.dtype else cast(inputs, wide(layer.compute_dtype))
    return pool("AveragePool", x, layer.pool_size, layer.strides, layer.padding, layer.data_format)


@onnx_converter(GlobalMaxPooling)
@onnx_converter(layers.GlobalMaxPooling1D)
@onnx_converter(layers.GlobalMaxPooling2D)
@onnx_converter(layers.GlobalMaxPooling3D)
def convert_global_max(layer: GlobalMaxPooling, inputs: Tensor) -> Tensor:
    """Write `GlobalMaxPooling1D`, `GlobalMaxPooling2D`, `GlobalMaxPooling3D`."""
    return cast(reduce("ReduceMax", inputs, layer._size_axes, layer.keepdims), inputs.dtype)


@onnx_converter(GlobalAveragePooling)
@onnx_converter(layers.GlobalAveragePooling1D)
@onnx_converter(layers.GlobalAveragePooling2D)
@onnx_converter(layers.GlobalAveragePooling3D)
def convert_global_average(layer: GlobalAveragePooling, inputs: Tensor, mask: Any = None) -> Tensor:
    """Write `GlobalAveragePooling1D`, `GlobalAveragePooling2D`, `GlobalAveragePooling3D`."""
    x = inputs if "float" in inputs.dtype else cast(inputs, wide(layer.compute_dtype))
    axes = layer._size_axes
    if mask is None:
        return mean(x, axes, layer.keepdims)
    counted = expand_dims(cast(mask, "bool"), layer._channel_axis)
    number = total(cast(counted, x.dtype), axes, layer.keepdims)
    return total(where(counted, x, 0.0), axes, layer.keepdims) / number


@mask_of(layers.GlobalAveragePooling1D)
def mask_of_average(layer: Any, inputs: Tensor, previous: Any) -> None:
    """Return None: the steps are gone."""
    return
