"""Convolutions: on `jax.lax`, or native where `plait.kernels.table` says so.

Inputs are ``(batch, *sizes, channels)``, or ``(batch, channels, *sizes)`` with `data_format`
"channels_first"; kernels have Keras' layout. What is computed is a cross-correlation, as in Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import jax
from jax import lax

from plait.errors import ShapeError
from plait.kernels import trilinear
from plait.kernels.table import is_native
from plait.kernels.windows import Sizes, output_sizes, per_axis, same_padding, spans

PerAxis = int | Sequence[int]


def conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: PerAxis = 1,
    padding: str = "valid",
    dilation_rate: PerAxis = 1,
    groups: int | None = None,
    data_format: str = "channels_last",
) -> jax.Array:
    """Convolve.

    Args:
        x: the input; cast to the kernel's dtype.
        kernel: ``(*window, channels / groups, filters)``.
        strides: the steps between windows.
        padding: "valid", "same", or, over one axis, "causal".
        dilation_rate: the steps between the elements of a window.
        groups: how many groups of channels are convolved separately; default: as many as the
            channels of the input and of the kernel say.
        data_format: where the channels are.

    Raises:
        ShapeError: the kernel is larger than the input, or their channels do not fit.
    """
    rank = kernel.ndim - 2
    strides, dilation = per_axis(strides, rank), per_axis(dilation_rate, rank)
    window = kernel.shape[:-2]
    sizes = _sizes(x, data_format)
    output_sizes(sizes, window, strides, padding, dilation)
    channels = _channels(x, data_format)
    found, rest = divmod(channels, kernel.shape[-2])
    if rest or groups not in (None, found):
        raise ShapeError(
            f"cannot convolve {channels} channels in {groups or 'equal'} groups: the kernel "
            f"{kernel.shape} takes {kernel.shape[-2]} in each.",
            fix=f"give it {kernel.shape[-2] * (groups or 1)} channels",
        )
    x = x.astype(kernel.dtype)
    native = native_window(x, kernel, strides, padding, dilation, data_format)
    if native is not None:
        return trilinear.output_of(x, kernel, *native)
    pads: str | list[tuple[int, int]] = padding.upper()
    if padding == "causal":
        pads = [(span - 1, 0) for span in spans(window, dilation)]
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=_layout(rank, data_format),
        feature_group_count=found,
    )


def native_window(
    x: jax.Array,
    kernel: jax.Array,
    strides: PerAxis,
    padding: str,
    dilation_rate: PerAxis,
    data_format: str = "channels_last",
) -> tuple[Sizes, trilinear.Geometry] | None:
    """Return the sizes of the output and how the window moves, or None if that is not native.

    Raises:
        ShapeError: the kernel is larger than the input.
    """
    if data_format != "channels_last" or not is_native("convolution", x, kernel):
        return None
    rank = kernel.ndim - 2
    strides, dilation = per_axis(strides, rank), per_axis(dilation_rate, rank)
    sizes, window = x.shape[1:-1], kernel.shape[:-2]
    new_sizes = cast(Sizes, output_sizes(sizes, window, strides, padding, dilation))
    reach = spans(window, dilation)
    if padding == "same":
        pads = same_padding(sizes, reach, strides)
    else:
        pads = [(span - 1 if padding == "causal" else 0, 0) for span in reach]
    geometry = _geometry(strides, dilation, pads, x.shape[-1] // kernel.shape[-2])
    output = (x.shape[0], *new_sizes, kernel.shape[-1])
    if not trilinear.is_fast(x.shape, kernel.shape, output, geometry):
        return None
    return new_sizes, geometry


def depthwise_conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: PerAxis = 1,
    padding: str = "valid",
    dilation_rate: PerAxis = 1,
    data_format: str = "channels_last",
) -> jax.Array:
    """Convolve every channel with its own filters.

    Args:
        x: the input; cast to the kernel's dtype.
        kernel: ``(*window, channels, multiplier)``.
        strides: the steps between windows.
        padding: "valid" or "same".
        dilation_rate: the steps between the elements of a window.
        data_format: where the channels are.

    Returns:
        An array of ``channels * multiplier`` channels, those of one input channel side by side.

    Raises:
        ShapeError: the kernel is larger than the input, or their channels differ.
    """
    *window, channels, multiplier = kernel.shape
    if _channels(x, data_format) != channels:
        raise ShapeError(
            f"cannot convolve {_channels(x, data_format)} channels with a depthwise kernel for "
            f"{channels}.",
            fix=f"give it {channels} channels",
        )
    grouped = kernel.reshape(*window, 1, channels * multiplier)
    return conv(x, grouped, strides, padding, dilation_rate, channels, data_format)


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    strides: PerAxis = 1,
    padding: str = "valid",
    output_padding: PerAxis | None = None,
    dilation_rate: PerAxis = 1,
    data_format: str = "channels_last",
) -> jax.Array:
    """Convolve with the transpose of a convolution: the gradient of `conv` by its input.

    Args:
        x: the input; cast to the kernel's dtype.
        kernel: ``(*window, filters, channels)``.
        strides: the factors by which sizes grow.
        padding: "valid" or "same".
        output_padding: what is added to the sizes; default: as much as makes them `strides`
            times those of the input, or with "valid" those plus what the kernel reaches beyond.
        dilation_rate: the steps between the elements of a window.
        data_format: where the channels are.

    Raises:
        ShapeError: nothing is left of the output, or the channels of input and kernel differ.
    """
    rank = kernel.ndim - 2
    window = kernel.shape[:-2]
    strides, dilation = per_axis(strides, rank), per_axis(dilation_rate, rank)
    extra = None if output_padding is None else per_axis(output_padding, rank)
    sizes = transposed_sizes(_sizes(x, data_format), window, strides, padding, extra, dilation)
    if _channels(x, data_format) != kernel.shape[-1]:
        raise ShapeError(
            f"cannot convolve {_channels(x, data_format)} channels with a transposed kernel for "
            f"{kernel.shape[-1]}.",
            fix=f"give it {kernel.shape[-1]} channels",
        )
    x = x.astype(kernel.dtype)
    reach = spans(window, dilation)
    pads = transposed_padding(reach, strides, padding, extra)
    if data_format == "channels_last" and is_native("transposed convolution", x, kernel):
        # The padding of the convolution whose transpose this is.
        cut = [
            (k - 1 - before, k - 1 - after) for k, (before, after) in zip(reach, pads, strict=True)
        ]
        geometry = _geometry(strides, dilation, cut, 1)
        output = (x.shape[0], *sizes, kernel.shape[-2])
        if trilinear.is_fast(output, kernel.shape, x.shape, geometry):
            return trilinear.input_of(kernel, x, cast(Sizes, sizes), geometry)
    return lax.conv_transpose(
        x,
        kernel,
        strides,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=_layout(rank, data_format),
        transpose_kernel=True,
    )


def transposed_sizes(
    sizes: Sequence[int | None],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str,
    output_padding: Sequence[int] | None,
    dilation: Sequence[int],
) -> tuple[int | None, ...]:
    """Return the sizes that `conv_transpose` makes of `sizes`; None where the size is None.

    With s strides, k the reach of the dilated window and p the output padding (Keras 3): "valid"
    gives ``(n - 1) s + max(k, s)`` or ``(n - 1) s + k + p``, "same" gives ``n s`` or
    ``(n - 1) s + k % 2 + p``.

    Raises:
        ShapeError: nothing is left, or sizes and window have different numbers of axes.
    """
    output_sizes(sizes, window, strides, "same")
    reach = spans(window, dilation)
    pads = transposed_padding(reach, strides, padding, output_padding)
    result = tuple(
        None if size is None else (size - 1) * stride + 2 - span + before + after
        for size, stride, span, (before, after) in zip(sizes, strides, reach, pads, strict=True)
    )
    if any(isinstance(size, int) and size <= 0 for size in result):
        raise ShapeError(
            f"cannot convolve: output_padding={tuple(output_padding or ())} with kernel "
            f"{tuple(window)} leaves sizes {result} of the input {tuple(sizes)}.",
            fix="leave output_padding=None",
        )
    return result


def transposed_padding(
    reach: Sizes, strides: Sequence[int], padding: str, output_padding: Sequence[int] | None
) -> list[tuple[int, int]]:
    """Return how much `lax.conv_transpose` pads its strided input before and after."""
    pads = []
    for axis, (span, stride) in enumerate(zip(reach, strides, strict=True)):
        extra = None if output_padding is None else output_padding[axis]
        if padding == "valid":
            before = span - 1
            pads.append((before, before + (max(stride - span, 0) if extra is None else extra)))
        else:
            total = span + (stride - 2 if extra is None else span % 2 - 2 + extra)
            before = min((total + 1) // 2, span - 1)
            pads.append((before, total - before))
    return pads


def _geometry(
    strides: Sizes, dilation: Sizes, pads: Sequence[tuple[int, int]], groups: int
) -> trilinear.Geometry:
    before, after = zip(*pads, strict=True)
    return trilinear.Geometry(strides, dilation, before, after, groups)


def _layout(rank: int, data_format: str) -> lax.ConvDimensionNumbers:
    sizes = tuple(range(rank))
    shift = 1 if data_format == "channels_last" else 2
    axes = (0, rank + 1 if shift == 1 else 1, *(axis + shift for axis in sizes))
    return lax.ConvDimensionNumbers(axes, (rank + 1, rank, *sizes), axes)


def _sizes(x: jax.Array, data_format: str) -> Sizes:
    return x.shape[1:-1] if data_format == "channels_last" else x.shape[2:]


def _channels(x: jax.Array, data_format: str) -> int:
    return x.shape[-1 if data_format == "channels_last" else 1]
