"""Poolings: native where `plait.kernels.table` says so, else a chain of strided slices by axis.

XLA's own `reduce_window` takes the gradient of a maximum by a scatter, which on CPU is 2 to 17
times slower than this (3x3 windows, both measured on two cores). Among equal elements the first of
a window gets the gradient, as there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from plait.kernels import native_pooling
from plait.kernels.native_pooling import Geometry
from plait.kernels.table import is_native
from plait.kernels.windows import Sizes, output_sizes, per_axis, same_padding

PerAxis = int | Sequence[int]
Combine = Callable[[jax.Array, jax.Array], jax.Array]

_LONGEST_CHAIN = 16


def max_pool(
    x: jax.Array,
    pool_size: PerAxis,
    strides: PerAxis | None = None,
    padding: str = "valid",
    data_format: str = "channels_last",
) -> jax.Array:
    """Return the maximum of every window.

    Args:
        x: ``(batch, *sizes, channels)``, or ``(batch, channels, *sizes)``.
        pool_size: the sizes of the window.
        strides: the steps between windows; default: `pool_size`.
        padding: "valid" or "same"; what is padded never is the maximum.
        data_format: where the channels are.

    Raises:
        ShapeError: the window is larger than the input and `padding` is "valid".
    """
    geometry = _geometry(x, pool_size, strides, padding, data_format)
    if _is_native("max pooling", x, geometry, data_format):
        return native_pooling.largest(x, geometry)
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    for axis, size, stride, pads in _plan(geometry, data_format):
        x = _along(_pad(x, axis, pads, lowest), axis, size, stride, _larger, lax.max, lowest)
    return x


def average_pool(
    x: jax.Array,
    pool_size: PerAxis,
    strides: PerAxis | None = None,
    padding: str = "valid",
    data_format: str = "channels_last",
) -> jax.Array:
    """Return the mean of every window, over those elements that are not padding.

    Args:
        x: floating; ``(batch, *sizes, channels)``, or ``(batch, channels, *sizes)``.
        pool_size: the sizes of the window.
        strides: the steps between windows; default: `pool_size`.
        padding: "valid" or "same".
        data_format: where the channels are.

    Raises:
        ShapeError: the window is larger than the input and `padding` is "valid".
    """
    geometry = _geometry(x, pool_size, strides, padding, data_format)
    if _is_native("average pooling", x, geometry, data_format):
        return native_pooling.mean(x, geometry)
    counts = np.ones((1,) * x.ndim)
    for axis, size, stride, pads in _plan(geometry, data_format):
        if any(pads):
            counts = counts * _counts(x.shape[axis], size, stride, pads, axis, x.ndim)
        else:
            counts = counts * size
        x = _along(_pad(x, axis, pads, 0), axis, size, stride, lax.add, lax.add, 0)
    return x / counts.astype(x.dtype)


def _geometry(
    x: jax.Array, pool_size: PerAxis, strides: PerAxis | None, padding: str, data_format: str
) -> Geometry:
    rank = x.ndim - 2
    size = per_axis(pool_size, rank)
    steps = size if strides is None else per_axis(strides, rank)
    first = 1 if data_format == "channels_last" else 2
    elements = x.shape[first : first + rank]
    windows = output_sizes(elements, size, steps, padding, what="pool")
    pads = same_padding(elements, size, steps) if padding == "same" else [(0, 0)] * rank
    before, after = zip(*pads, strict=True)
    return Geometry(elements, cast(Sizes, windows), size, steps, before, after)


def _is_native(operation: str, x: jax.Array, geometry: Geometry, data_format: str) -> bool:
    return (
        data_format == "channels_last"
        and is_native(operation, x)
        and native_pooling.pays(geometry, x.shape[-1])
    )


def _plan(geometry: Geometry, data_format: str) -> list[tuple[int, int, int, tuple[int, int]]]:
    """Return (axis, window, stride, padding), the last axis first.

    In that order the first of equal elements, row by row, is also the first along each axis.
    """
    first = 1 if data_format == "channels_last" else 2
    pads = zip(geometry.before, geometry.after, strict=True)
    axes = zip(itertools.count(first), geometry.size, geometry.strides, pads)
    return list(axes)[::-1]


def _along(
    x: jax.Array,
    axis: int,
    size: int,
    stride: int,
    combine: Combine,
    reducer: Combine,
    neutral: float,
) -> jax.Array:
    if size > _LONGEST_CHAIN:
        window, steps = [1] * x.ndim, [1] * x.ndim
        window[axis], steps[axis] = size, stride
        start = np.asarray(neutral, x.dtype)
        return lax.reduce_window(x, start, reducer, tuple(window), tuple(steps), "VALID")
    last = ((x.shape[axis] - size) // stride) * stride
    result = lax.slice_in_dim(x, 0, last + 1, stride, axis)
    for offset in range(1, size):
        result = combine(result, lax.slice_in_dim(x, offset, offset + last + 1, stride, axis))
    return result


def _larger(best: jax.Array, other: jax.Array) -> jax.Array:
    """Return the larger; the gradient of equal ones goes to `best`, and NaN wins."""
    return jnp.where((other > best) | (other != other), other, best)


def _pad(x: jax.Array, axis: int, pads: tuple[int, int], value: float) -> jax.Array:
    if not any(pads):
        return x
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (*pads, 0)
    return lax.pad(x, np.asarray(value, x.dtype), widths)


def _counts(
    length: int, size: int, stride: int, pads: tuple[int, int], axis: int, ndim: int
) -> np.ndarray:
    """Return how many elements of each window are not padding."""
    starts = np.arange(math.ceil(length / stride)) * stride - pads[0]
    counts = np.minimum(starts + size, length) - np.maximum(starts, 0)
    return counts.reshape([-1 if i == axis else 1 for i in range(ndim)])
