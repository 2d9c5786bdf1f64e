"""Functions that slide a window: convolutions, poolings, patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from plait import kernels
from plait.errors import ConfigError, ShapeError
from plait.ops.arguments import Table

Sizes = int | Sequence[int]


def layout(data_format: str | None) -> str:
    """Return where the channels are; None is "channels_last".

    Raises:
        ConfigError: it is neither of the two.
    """
    if data_format not in (None, "channels_last", "channels_first"):
        raise ConfigError(
            f"has no data_format {data_format!r}.", fix="'channels_last' or 'channels_first'"
        )
    return data_format or "channels_last"


def conv(
    inputs: jax.Array,
    kernel: jax.Array,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """Convolve, in as many groups as the channels of input and kernel say."""
    return kernels.conv(
        inputs, kernel, strides, padding, dilation_rate, data_format=layout(data_format)
    )


def depthwise_conv(
    inputs: jax.Array,
    kernel: jax.Array,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """Convolve every channel with its own filters."""
    return kernels.depthwise_conv(
        inputs, kernel, strides, padding, dilation_rate, layout(data_format)
    )


def _separable_conv(
    inputs: jax.Array,
    depthwise_kernel: jax.Array,
    pointwise_kernel: jax.Array,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """Convolve every channel with its own filters, then mix the channels. Source: Chollet 2017."""
    deep = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(deep, pointwise_kernel, data_format=data_format)


def _conv_transpose(
    inputs: jax.Array,
    kernel: jax.Array,
    strides: Sizes = 1,
    padding: str = "valid",
    output_padding: Sizes | None = None,
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """Convolve with the transpose of a convolution."""
    return kernels.conv_transpose(
        inputs, kernel, strides, padding, output_padding, dilation_rate, layout(data_format)
    )


def _max_pool(
    inputs: jax.Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Return the maximum of every window."""
    return kernels.max_pool(inputs, pool_size, strides, padding, layout(data_format))


def _average_pool(
    inputs: jax.Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Return the mean of every window, of what is no padding."""
    return kernels.average_pool(inputs, pool_size, strides, padding, layout(data_format))


def _adaptive_average_pool(
    inputs: jax.Array, output_size: Sizes, data_format: str | None = None
) -> jax.Array:
    """Return the means of as many windows as `output_size` says."""

    def mean(windows: jax.Array, inside: np.ndarray, axis: int) -> jax.Array:
        return jnp.sum(windows * inside, axis) / np.sum(inside, axis).astype(windows.dtype)

    return _adaptive_pool(inputs, output_size, data_format, mean)


def _adaptive_max_pool(
    inputs: jax.Array, output_size: Sizes, data_format: str | None = None
) -> jax.Array:
    """Return the maxima of as many windows as `output_size` says."""
    return _adaptive_pool(
        inputs, output_size, data_format, lambda windows, _, axis: jnp.max(windows, axis)
    )


def _adaptive_pool(x: jax.Array, output_size: Sizes, data_format: str | None, reduce: Any) -> Any:
    """Pool axis by axis; window i of m over n reaches from floor(i n/m) to ceil((i + 1) n/m)."""
    rank = x.ndim - 2
    first = 1 if layout(data_format) == "channels_last" else 2
    outputs = (output_size,) * rank if isinstance(output_size, int) else output_size
    for axis, count in enumerate(outputs, first):
        size = x.shape[axis]
        starts = np.arange(count) * size // count
        stops = -(-np.arange(1, count + 1) * size // count)
        places = starts[:, None] + np.arange(np.max(stops - starts))
        inside = places < stops[:, None]
        windows = jnp.take(x, np.minimum(places, stops[:, None] - 1), axis)
        shape = [1] * axis + list(inside.shape) + [1] * (x.ndim - axis - 1)
        x = reduce(windows, inside.reshape(shape), axis + 1)
    return x


def _pair(value: Sizes) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)  # type: ignore[return-value]


def _unfold(
    x: jax.Array, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> jax.Array:
    """Return the patches of ``(n, c, h, w)`` images as columns: ``(n, c * window, patches)``."""
    patches = lax.conv_general_dilated_patches(
        x,
        _pair(kernel_size),
        _pair(stride),
        [(pad, pad) for pad in _pair(padding)],
        rhs_dilation=_pair(dilation),
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )
    return jnp.reshape(patches, (*patches.shape[:2], patches.shape[2] * patches.shape[3]))


def _fold(
    x: jax.Array,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> jax.Array:
    """Add columns up into images: the transpose of `unfold`."""
    window = _pair(kernel_size)
    channels, rest = divmod(x.shape[1], window[0] * window[1])
    if rest:
        raise ShapeError(f"cannot fold {x.shape}: axis 1 is no multiple of the window {window}.")
    image = jax.ShapeDtypeStruct((1, channels, *_pair(output_size)), x.dtype)

    def columns(image: jax.Array) -> jax.Array:
        return _unfold(image, kernel_size, dilation, padding, stride)[0]

    transpose = jax.linear_transpose(columns, image)
    return jax.vmap(lambda sample: transpose(sample)[0][0])(x)


TABLE: Table = {
    "adaptive_average_pool": _adaptive_average_pool,
    "adaptive_max_pool": _adaptive_max_pool,
    "average_pool": _average_pool,
    "conv": conv,
    "conv_transpose": _conv_transpose,
    "depthwise_conv": depthwise_conv,
    "fold": _fold,
    "max_pool": _max_pool,
    "separable_conv": _separable_conv,
    "unfold": _unfold,
}
