"""Colors of images: gray, RGB, and hue, saturation and value."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from plait.errors import ArgumentTypeError, ShapeError
from plait.ops.arguments import Table
from plait.ops.windows import layout


def image_axes(images: jax.Array, data_format: str | None) -> tuple[int, int, int]:
    """Return the axes of height, width and channels.

    Raises:
        ShapeError: these are no images.
    """
    if images.ndim not in (3, 4):
        raise ShapeError(f"expects an image or a batch of images, received {images.shape}.")
    return (-3, -2, -1) if layout(data_format) == "channels_last" else (-2, -1, -3)


def _rgb_to_grayscale(images: jax.Array, data_format: str | None = None) -> jax.Array:
    """Return the brightness. Source: ITU-R BT.601."""
    *_, channels = image_axes(images, data_format)
    if images.shape[channels] == 1:
        return images
    if images.shape[channels] != 3:
        raise ShapeError(f"expects 1 or 3 channels, received {images.shape[channels]}.")
    weights = jnp.asarray([0.2989, 0.5870, 0.1140], jnp.result_type(images, float))
    gray = jnp.tensordot(images.astype(weights.dtype), weights, (channels, 0))
    return jnp.expand_dims(gray, channels).astype(images.dtype)


def _planes(images: jax.Array, channels: int) -> list[jax.Array]:
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ArgumentTypeError(f"expects floats, received {images.dtype.name}.")
    return [jnp.squeeze(plane, channels) for plane in jnp.split(images, 3, channels)]


def _rgb_to_hsv(images: jax.Array, data_format: str | None = None) -> jax.Array:
    """Return hue, saturation and value, all from 0 to 1. Source: Smith 1978."""
    *_, channels = image_axes(images, data_format)
    red, green, blue = (
        jnp.where(jnp.abs(plane) < jnp.finfo(plane.dtype).eps, 0, plane)
        for plane in _planes(images, channels)
    )
    value = jnp.maximum(jnp.maximum(red, green), blue)
    span = value - jnp.minimum(jnp.minimum(red, green), blue)
    saturation = jnp.where(value > 0, span / jnp.where(value > 0, value, 1), 0)
    sixth = 1 / (6 * jnp.where(span > 0, span, 1))
    hue = jnp.where(value == green, sixth * (blue - red) + 2 / 6, sixth * (red - green) + 4 / 6)
    hue = jnp.where(value == red, sixth * (green - blue), hue)
    hue = jnp.where(span > 0, hue, 0) + (hue < 0)
    return jnp.stack([hue, saturation, value], channels)


def _hsv_to_rgb(images: jax.Array, data_format: str | None = None) -> jax.Array:
    """Return red, green and blue. Source: Smith 1978."""
    *_, channels = image_axes(images, data_format)
    hue, saturation, value = _planes(images, channels)
    turn = jnp.mod(hue, 1) * 6
    parts = (jnp.abs(turn - 3) - 1, 2 - jnp.abs(turn - 2), 2 - jnp.abs(turn - 4))
    return jnp.stack(
        [value * (1 - saturation + saturation * jnp.clip(part, 0, 1)) for part in parts], channels
    )


TABLE: Table = {
    "hsv_to_rgb": _hsv_to_rgb,
    "rgb_to_grayscale": _rgb_to_grayscale,
    "rgb_to_hsv": _rgb_to_hsv,
}
