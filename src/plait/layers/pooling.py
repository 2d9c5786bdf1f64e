"""Poolings over windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from plait import kernels
from plait.graph.tensor import Shape
from plait.layers.spatial_layer import SpatialLayer

PerAxis = int | Sequence[int]


class Pooling(SpatialLayer):
    """Base of poolings over windows.

    Takes ``(batch, *sizes, channels)`` and returns ``(batch, *new_sizes, channels)``.

    Args:
        pool_size: the size of the window: one number, or one for each axis.
        strides: the steps between windows; default: `pool_size`.
        padding: "valid", or "same" (sizes are divided by the strides, rounded up).
        data_format: "channels_last" or "channels_first"; default: "channels_last".
        name: default: the class in snake case, numbered.
        **kwargs: those of `Layer`.

    Raises:
        ConfigError: a number is below 1, or the padding is unknown.
        ShapeError: when called: the window is larger than an input that is not padded.
    """

    def __init__(
        self,
        pool_size: PerAxis,
        strides: PerAxis | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, name=name, **kwargs)
        self.pool_size = self._per_axis(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else self._per_axis(strides, "strides")
        self.padding = self._padding(padding, ("valid", "same"))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, *new_sizes, channels)``; sizes that are not known stay None."""
        sizes = kernels.output_sizes(
            self._sizes(input_shape), self.pool_size, self.strides, self.padding, what="pool"
        )
        return self._shape(input_shape[0], sizes, input_shape[self._channel_axis])


class MaxPooling(Pooling):
    """Base of `MaxPooling1D`, `MaxPooling2D`, `MaxPooling3D`; see `Pooling` for the arguments."""

    keeps_integers = True

    def __init__(
        self,
        pool_size: PerAxis = 2,
        strides: PerAxis | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the maximum of every window."""
        return kernels.max_pool(
            inputs, self.pool_size, self.strides, self.padding, self.data_format
        )


class AveragePooling(Pooling):
    """Base of `AveragePooling1D`, `AveragePooling2D`, `AveragePooling3D`.

    With "same" the mean is over those elements that are not padding, as in Keras. See `Pooling`
    for the arguments.
    """

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the mean of every window."""
        return kernels.average_pool(
            self._floating(inputs),
            self.pool_size,
            self.strides,
            self.padding,
            self.data_format,
        )


class MaxPooling1D(MaxPooling):
    """Take the maximum of windows of sequences; see `Pooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.MaxPooling1D(2)(plait.Input((10, 4))).shape
        (None, 5, 4)
    """

    rank = 1


class MaxPooling2D(MaxPooling):
    """Take the maximum of windows of images; see `Pooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.MaxPooling2D()(plait.Input((28, 28, 16))).shape
        (None, 14, 14, 16)
    """

    rank = 2


class MaxPooling3D(MaxPooling):
    """Take the maximum of windows of volumes; see `Pooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.MaxPooling3D((1, 2, 2))(plait.Input((8, 8, 8, 2))).shape
        (None, 8, 4, 4, 2)
    """

    rank = 3


class AveragePooling1D(AveragePooling):
    """Take the mean of windows of sequences; see `Pooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.AveragePooling1D(3, padding="same")(plait.Input((10, 4))).shape
        (None, 4, 4)
    """

    rank = 1


class AveragePooling2D(AveragePooling):
    """Take the mean of windows of images; see `Pooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.AveragePooling2D(2)(plait.Input((28, 28, 16))).shape
        (None, 14, 14, 16)
    """

    rank = 2


class AveragePooling3D(AveragePooling):
    """Take the mean of windows of volumes; see `Pooling` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.AveragePooling3D(2)(plait.Input((8, 8, 8, 2))).shape
        (None, 4, 4, 4, 2)
    """

    rank = 3


MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
