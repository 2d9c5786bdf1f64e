"""Poolings over all sizes: one number for each channel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.graph.tensor import Shape
from plait.layers.spatial_layer import SpatialLayer


class GlobalPooling(SpatialLayer):
    """Base of poolings over all sizes.

    Takes ``(batch, *sizes, channels)`` and returns ``(batch, channels)``.

    Args:
        data_format: "channels_last" or "channels_first"; default: "channels_last".
        keepdims: whether the axes stay, with size 1.
        **kwargs: those of `Layer`.
    """

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.keepdims = keepdims

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, channels)``, with `keepdims` also axes of size 1."""
        self._sizes(input_shape)
        kept = (1,) * self.rank if self.keepdims else ()
        return self._shape(input_shape[0], kept, input_shape[self._channel_axis])


class GlobalMaxPooling(GlobalPooling):
    """Base of the global poolings that take the maximum; see `GlobalPooling`."""

    keeps_integers = True

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the maximum of every channel."""
        return jnp.max(inputs, self._size_axes, keepdims=self.keepdims)


class GlobalAveragePooling(GlobalPooling):
    """Base of the global poolings that take the mean; see `GlobalPooling`."""

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the mean of every channel."""
        x = self._floating(inputs)
        return jnp.mean(x, self._size_axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(GlobalMaxPooling):
    """Take the maximum of each channel of sequences; see `GlobalPooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.GlobalMaxPooling1D()(plait.Input((None, 4))).shape
        (None, 4)
    """

    rank = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """Take the maximum of each channel of images; see `GlobalPooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.GlobalMaxPooling2D(keepdims=True)(plait.Input((28, 28, 16))).shape
        (None, 1, 1, 16)
    """

    rank = 2


class GlobalMaxPooling3D(GlobalMaxPooling):
    """Take the maximum of each channel of volumes; see `GlobalPooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.GlobalMaxPooling3D()(plait.Input((8, 8, 8, 2))).shape
        (None, 2)
    """

    rank = 3


class GlobalAveragePooling1D(GlobalAveragePooling):
    """Take the mean of each channel of sequences, over the steps that a mask leaves.

    See `GlobalPooling` for the arguments. The mask is ``(batch, steps)``, true for data; where it
    leaves no step, the mean is NaN, as in Keras.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.GlobalAveragePooling1D()(plait.Input((None, 4))).shape
        (None, 4)
    """

    rank = 1
    supports_masking = True

    def call(self, inputs: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return the mean of every channel over the steps in `mask`."""
        if mask is None:
            return super().call(inputs)
        (axis,) = self._size_axes
        counted = jnp.expand_dims(mask.astype(bool), self._channel_axis)
        x = jnp.where(counted, self._floating(inputs), 0)
        number = jnp.sum(counted, axis, keepdims=self.keepdims, dtype=x.dtype)
        return jnp.sum(x, axis, keepdims=self.keepdims) / number

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return None: the steps are gone."""
        return


class GlobalAveragePooling2D(GlobalAveragePooling):
    """Take the mean of each channel of images; see `GlobalPooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.GlobalAveragePooling2D()(plait.Input((28, 28, 16))).shape
        (None, 16)
    """

    rank = 2


class GlobalAveragePooling3D(GlobalAveragePooling):
    """Take the mean of each channel of volumes; see `GlobalPooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.GlobalAveragePooling3D()(plait.Input((8, 8, 8, 2))).shape
        (None, 2)
    """

    rank = 3


GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
