"""Images, one ``(height, width, channels)`` or a batch of them; or with channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import ndimage

from plait.errors import ConfigError, ShapeError
from plait.ops.arguments import Table, array
from plait.ops.colors import image_axes
from plait.ops.elementwise import saturate_cast
from plait.ops.windows import conv, depthwise_conv, layout


def _resize(
    images: jax.Array,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> jax.Array:
    """Resize to `size`, (height, width); integers are rounded."""
    if fill_mode != "constant":
        raise ConfigError(f"has no fill_mode {fill_mode!r}.", fix="fill_mode='constant'")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ConfigError("takes crop_to_aspect_ratio or pad_to_aspect_ratio, not both.")
    axes = [axis % images.ndim for axis in image_axes(images, data_format)[:2]]
    height, width = (images.shape[axis] for axis in axes)
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        in_proportion = (int(width * size[0] / size[1]), int(height * size[1] / size[0]))
        for axis, have, fit in zip(axes, (height, width), in_proportion, strict=True):
            if crop_to_aspect_ratio and fit < have:
                start = (have - max(fit, 1)) // 2
                images = lax.slice_in_dim(images, start, start + max(fit, 1), axis=axis)
            elif pad_to_aspect_ratio and fit > have:
                pads = [(0, 0)] * images.ndim
                pads[axis] = ((fit - have) // 2,) * 2
                images = jnp.pad(images, pads, constant_values=fill_value)
    shape = list(images.shape)
    for axis, length in zip(axes, size, strict=True):
        shape[axis] = length
    resized = jax.image.resize(images, shape, interpolation, antialias)
    if jnp.issubdtype(images.dtype, jnp.integer):
        resized = saturate_cast(jnp.round(resized), images.dtype)
    return resized


def _crop_images(
    images: jax.Array,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> jax.Array:
    """Crop; two of what is cut before, after, and left over say the third."""
    sides = {
        "height": (top_cropping, target_height, bottom_cropping),
        "width": (left_cropping, target_width, right_cropping),
    }
    for axis, (side, parts) in zip(image_axes(images, data_format)[:2], sides.items(), strict=True):
        start, size, _ = _completed(side, parts, images.shape[axis])
        images = lax.slice_in_dim(images, start, start + size, axis=axis % images.ndim)
    return images


def _pad_images(
    images: jax.Array,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> jax.Array:
    """Pad with zeros; two of before, after and the target say the third."""
    sides = {
        "height": (top_padding, bottom_padding, target_height),
        "width": (left_padding, right_padding, target_width),
    }
    pads = [(0, 0)] * images.ndim
    for axis, (side, (*around, target)) in zip(
        image_axes(images, data_format)[:2], sides.items(), strict=True
    ):
        if target is None:
            target = images.shape[axis] + sum(pad for pad in around if pad is not None)
        before, after, _ = _completed(side, (*around, images.shape[axis]), target)
        pads[axis] = (before, after)
    return jnp.pad(images, pads)


def _completed(side: str, parts: Sequence[Any], total: Any) -> list[Any]:
    """Return `parts` with the one that is None such that they add up to `total`."""
    known = sum(part for part in parts if part is not None)
    missing = [part for part in parts if part is None]
    if len(missing) > 1 or (not missing and known != total):
        raise ConfigError(
            f"needs two of three numbers for the {side}: before, after, and the target.",
            fix="for instance target_height and target_width with top and left",
        )
    whole = [total - known if part is None else part for part in parts]
    if any(part < 0 for part in whole):
        raise ShapeError(f"cannot make {whole} of a {side} of {total}: none may be negative.")
    return whole


def _extract_patches(
    images: jax.Array,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Return the pixels of each patch as channels: ``(batch, rows, columns, pixels)``."""
    window = (size, size) if isinstance(size, int) else tuple(size)
    return _patches(images, window, strides, dilation_rate, padding, data_format)


def _extract_patches_3d(
    volumes: jax.Array,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Return the voxels of each patch as channels."""
    window = (size,) * 3 if isinstance(size, int) else tuple(size)
    return _patches(volumes, window, strides, dilation_rate, padding, data_format)


def _patches(
    x: jax.Array, window: tuple[int, ...], strides: Any, dilation: Any, padding: str, form: Any
) -> jax.Array:
    rank = len(window)
    channels = x.shape[-1 if layout(form) == "channels_last" else -rank - 1]
    pixels = int(np.prod(window)) * channels
    kernel = jnp.eye(pixels, dtype=x.dtype).reshape(*window, channels, pixels)
    batch = x if x.ndim == rank + 2 else x[None]
    patches = conv(batch, kernel, strides or window, padding, form, dilation)
    return patches if x.ndim == rank + 2 else patches[0]


def _filtered(images: jax.Array, kernel: Any, channels: int, padding: str = "same") -> jax.Array:
    """Return every channel of one image or many filtered with one kernel."""
    batch = jnp.moveaxis(images if images.ndim == 4 else images[None], channels, -1)
    kernels = jnp.asarray(kernel, images.dtype)[:, :, None, None]
    kernels = jnp.tile(kernels, (1, 1, batch.shape[-1], 1))
    result = jnp.moveaxis(depthwise_conv(batch, kernels, padding=padding), -1, channels)
    return result if images.ndim == 4 else result[0]


def _bell(size: int, sigma: float) -> jax.Array:
    x = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2
    bell = jnp.exp(-jnp.square(x / sigma) / 2)
    return bell / jnp.sum(bell)


def _gaussian_blur(
    images: jax.Array,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> jax.Array:
    """Blur; `kernel_size` and `sigma` are (along the width, along the height), as in Keras."""
    along_width, along_height = map(_bell, kernel_size, sigma)
    kernel = jnp.outer(along_height, along_width)
    return _filtered(images, kernel, image_axes(images, data_format)[2])


def _sobel_edges(images: jax.Array, data_format: str | None = None) -> jax.Array:
    """Return the derivatives (down, right) on a new last axis. Source: Sobel & Feldman 1968."""
    *_, channels = image_axes(images, data_format)
    right = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    return jnp.stack([_filtered(images, kernel, channels) for kernel in (right.T, right)], -1)


def _ssim(
    image1: jax.Array,
    image2: jax.Array,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> jax.Array:
    """Return the structural similarity of each pair of images. Source: Wang 2004."""
    *_, channels = image_axes(image1, data_format)
    dtype = image1.dtype
    first, second = (image.astype(jnp.result_type(image, float)) for image in (image1, image2))
    bell = _bell(filter_size, filter_sigma)

    def local(images: jax.Array) -> jax.Array:
        return _filtered(images, jnp.outer(bell, bell), channels, "valid")

    mean1, mean2 = local(first), local(second)
    variances = local(first * first) - mean1 * mean1 + local(second * second) - mean2 * mean2
    covariance = local(first * second) - mean1 * mean2
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    likeness = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    likeness = likeness / ((mean1 * mean1 + mean2 * mean2 + c1) * (variances + c2))
    return jnp.mean(likeness, axis=(-3, -2, -1)).astype(dtype)


def _map_coordinates(
    inputs: jax.Array,
    coordinates: jax.Array,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> jax.Array:
    """Return the values at `coordinates` (one row for each axis), interpolated."""
    if coordinates.ndim < 2 or coordinates.shape[0] != inputs.ndim:
        raise ShapeError(
            f"expects coordinates of ({inputs.ndim}, ...), received {coordinates.shape}."
        )
    return ndimage.map_coordinates(inputs, list(coordinates), order, fill_mode, fill_value)


def _scale_and_translate(
    images: jax.Array,
    output_shape: Sequence[int],
    scale: Any,
    translation: Any,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> jax.Array:
    return jax.image.scale_and_translate(
        images, tuple(output_shape), spatial_dims, array(scale), translation, method, antialias
    )


TABLE: Table = {
    "crop_images": _crop_images,
    "extract_patches": _extract_patches,
    "extract_patches_3d": _extract_patches_3d,
    "gaussian_blur": _gaussian_blur,
    "map_coordinates": _map_coordinates,
    "pad_images": _pad_images,
    "resize": _resize,
    "scale_and_translate": _scale_and_translate,
    "sobel_edges": _sobel_edges,
    "ssim": _ssim,
}
