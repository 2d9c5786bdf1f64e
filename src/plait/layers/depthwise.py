"""Depthwise convolutions, and those followed by a mixing of channels."""

from __future__ import annotations

from typing import Any

import jax

from plait import constraints, initializers, kernels, regularizers
from plait.graph.tensor import Shape
from plait.layers.arguments import whole_number
from plait.layers.convolution import BaseConv, PerAxis


class DepthwiseConv(BaseConv):
    """Base of `DepthwiseConv1D` and `DepthwiseConv2D`: every channel has its own filters.

    Takes ``(batch, *sizes, channels)`` and returns ``(batch, *new_sizes, channels *
    depth_multiplier)``; its kernel is ``(*kernel_size, channels, depth_multiplier)``.

    Args:
        kernel_size: the size of the window: one number, or one for each axis.
        strides: the steps between windows.
        padding: "valid" or "same".
        depth_multiplier: the number of filters of each channel.
        data_format: "channels_last" or "channels_first"; default: "channels_last".
        dilation_rate: the steps between the elements of a window.
        activation: a name or function; default: none.
        use_bias: whether to add a bias.
        depthwise_initializer: makes the kernel.
        bias_initializer: makes the bias.
        depthwise_regularizer: adds to the loss.
        bias_regularizer: adds to the loss.
        activity_regularizer: a function of the output, added to the loss.
        depthwise_constraint: applied to the kernel after every update.
        bias_constraint: applied to the bias after every update.
        **kwargs: those of `Layer`.

    Raises:
        ConfigError: a number is below 1, or the padding is unknown.
        ShapeError: when called: the kernel is larger than an input that is not padded, or the
            channels are unknown.
    """

    strides_with_dilation = True

    def __init__(
        self,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: PerAxis = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.depth_multiplier = whole_number(
            type(self).__name__, "depth_multiplier", depth_multiplier
        )
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for the channels of `input_shape`."""
        channels = self._known_channels(input_shape)
        self.compute_output_shape(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.kernel = self._add_kernel("kernel", shape, "depthwise")
        self._add_bias(channels * self.depth_multiplier)

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return ``activation(depthwise_conv(inputs, kernel) + bias)``."""
        return self._finish(
            kernels.depthwise_conv(
                inputs,
                self.kernel.value,
                self.strides,
                self.padding,
                self.dilation_rate,
                self.data_format,
            )
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, *new_sizes, channels * depth_multiplier)``."""
        channels = input_shape[self._channel_axis]
        return self._conv_shape(input_shape, channels and channels * self.depth_multiplier)


class DepthwiseConv1D(DepthwiseConv):
    """Convolve each channel of sequences by itself; see `DepthwiseConv` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.DepthwiseConv1D(3, depth_multiplier=2)(plait.Input((10, 4))).shape
        (None, 8, 8)
    """

    rank = 1


class DepthwiseConv2D(DepthwiseConv):
    """Convolve each channel of images by itself; see `DepthwiseConv` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.DepthwiseConv2D(3, padding="same")(plait.Input((28, 28, 16))).shape
        (None, 28, 28, 16)
    """

    rank = 2


class SeparableConv(BaseConv):
    """Base of `SeparableConv1D` and `SeparableConv2D`: a depthwise convolution, then a mixing.

    Takes ``(batch, *sizes, channels)`` and returns ``(batch, *new_sizes, filters)``. Its kernels
    are ``depthwise_kernel``, ``(*kernel_size, channels, depth_multiplier)``, and
    ``pointwise_kernel``, ``(1, ..., channels * depth_multiplier, filters)``.

    Args:
        filters: the number of output channels.
        kernel_size: the size of the window: one number, or one for each axis.
        strides: the steps between windows.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; default: "channels_last".
        dilation_rate: the steps between the elements of a window.
        depth_multiplier: the number of depthwise filters of each channel.
        activation: a name or function; default: none.
        use_bias: whether to add a bias.
        depthwise_initializer: makes the depthwise kernel.
        pointwise_initializer: makes the pointwise kernel.
        bias_initializer: makes the bias.
        depthwise_regularizer: adds to the loss.
        pointwise_regularizer: adds to the loss.
        bias_regularizer: adds to the loss.
        activity_regularizer: a function of the output, added to the loss.
        depthwise_constraint: applied to the depthwise kernel after every update.
        pointwise_constraint: applied to the pointwise kernel after every update.
        bias_constraint: applied to the bias after every update.
        **kwargs: those of `Layer`.

    Raises:
        ConfigError: a number is below 1, or the padding is unknown.
        ShapeError: when called: the kernel is larger than an input that is not padded, or the
            channels are unknown.
    """

    strides_with_dilation = True

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: PerAxis = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.filters = whole_number(type(self).__name__, "filters", filters)
        self.depth_multiplier = whole_number(
            type(self).__name__, "depth_multiplier", depth_multiplier
        )
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make both kernels and the bias for the channels of `input_shape`."""
        channels = self._known_channels(input_shape)
        self.compute_output_shape(input_shape)
        depthwise = (*self.kernel_size, channels, self.depth_multiplier)
        pointwise = (*(1,) * self.rank, channels * self.depth_multiplier, self.filters)
        self.depthwise_kernel = self._add_kernel("depthwise_kernel", depthwise, "depthwise")
        self.pointwise_kernel = self._add_kernel("pointwise_kernel", pointwise, "pointwise")
        self._add_bias(self.filters)

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return ``activation(conv(depthwise_conv(inputs)) + bias)``."""
        each = kernels.depthwise_conv(
            inputs,
            self.depthwise_kernel.value,
            self.strides,
            self.padding,
            self.dilation_rate,
            self.data_format,
        )
        mixed = kernels.conv(each, self.pointwise_kernel.value, data_format=self.data_format)
        return self._finish(mixed)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, *new_sizes, filters)``; sizes that are not known stay None."""
        return self._conv_shape(input_shape, self.filters)


class SeparableConv1D(SeparableConv):
    """Convolve sequences channel by channel, then mix; see `SeparableConv` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.SeparableConv1D(8, 3)(plait.Input((10, 4))).shape
        (None, 8, 8)
    """

    rank = 1


class SeparableConv2D(SeparableConv):
    """Convolve images channel by channel, then mix; see `SeparableConv` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.SeparableConv2D(32, 3, padding="same")(plait.Input((28, 28, 16))).shape
        (None, 28, 28, 32)
    """

    rank = 2


SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
