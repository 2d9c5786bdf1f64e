"""Transposed convolutions, which make sizes grow."""

from __future__ import annotations

from typing import Any

import jax

from plait import constraints, initializers, kernels, regularizers
from plait.errors import ConfigError
from plait.graph.tensor import Shape
from plait.layers.arguments import whole_number
from plait.layers.convolution import BaseConv, PerAxis


class ConvTranspose(BaseConv):
    """Base of `Conv1DTranspose`, `Conv2DTranspose` and `Conv3DTranspose`.

    Computes the gradient of a convolution by its input, plus a bias. Takes ``(batch, *sizes,
    channels)`` and returns ``(batch, *new_sizes, filters)``; its kernel is ``(*kernel_size,
    filters, channels)``. With size n, strides s, dilated kernel size k and output padding p, the
    new size is, as in Keras 3, with "valid" ``(n - 1) s + max(k, s)``, or ``(n - 1) s + k + p``
    when p is given; with "same" ``n s``, or ``(n - 1) s + k % 2 + p``.

    Args:
        filters: the number of output channels.
        kernel_size: the size of the window: one number, or one for each axis.
        strides: the factors by which sizes grow.
        padding: "valid" or "same".
        output_padding: see above; less than `strides`; default: no such choice.
        data_format: "channels_last" or "channels_first"; default: "channels_last".
        dilation_rate: the steps between the elements of a window.
        activation: a name or function; default: none.
        use_bias: whether to add a bias, one number for each filter.
        kernel_initializer: makes the kernel.
        bias_initializer: makes the bias.
        kernel_regularizer: adds to the loss.
        bias_regularizer: adds to the loss.
        activity_regularizer: a function of the output, added to the loss.
        kernel_constraint: applied to the kernel after every update.
        bias_constraint: applied to the bias after every update.
        **kwargs: those of `Layer`.

    Raises:
        ConfigError: a number is below 1, the padding is unknown, strides and dilation are both
            above 1, or `output_padding` is not less than `strides`.
        ShapeError: when called: the channels are unknown, or nothing is left of the output.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: str = "valid",
        output_padding: PerAxis | None = None,
        data_format: str | None = None,
        dilation_rate: PerAxis = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
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
        self.output_padding = (
            None
            if output_padding is None
            else self._per_axis(output_padding, "output_padding", minimum=0)
        )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        added = self.output_padding or (0,) * self.rank
        if any(extra >= stride for extra, stride in zip(added, self.strides, strict=True)):
            raise ConfigError(
                f"{type(self).__name__}: output_padding={added} must be less than "
                f"strides={self.strides}.",
                fix="leave output_padding=None",
            )

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for the channels of `input_shape`."""
        channels = self._known_channels(input_shape)
        self.compute_output_shape(input_shape)
        self.kernel = self._add_kernel("kernel", (*self.kernel_size, self.filters, channels))
        self._add_bias(self.filters)

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return ``activation(conv_transpose(inputs, kernel) + bias)``."""
        return self._finish(
            kernels.conv_transpose(
                inputs,
                self.kernel.value,
                self.strides,
                self.padding,
                self.output_padding,
                self.dilation_rate,
                self.data_format,
            )
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, *new_sizes, filters)``; sizes that are not known stay None."""
        sizes = kernels.transposed_sizes(
            self._sizes(input_shape),
            self.kernel_size,
            self.strides,
            self.padding,
            self.output_padding,
            self.dilation_rate,
        )
        return self._shape(input_shape[0], sizes, self.filters)


class Conv1DTranspose(ConvTranspose):
    """Make sequences longer; see `ConvTranspose` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.Conv1DTranspose(8, 3, strides=2)(plait.Input((10, 4))).shape
        (None, 21, 8)
    """

    rank = 1


class Conv2DTranspose(ConvTranspose):
    """Make images larger; see `ConvTranspose` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.Conv2DTranspose(8, 3, strides=2, padding="same")(plait.Input((7, 7, 16))).shape
        (None, 14, 14, 8)
    """

    rank = 2


class Conv3DTranspose(ConvTranspose):
    """Make volumes larger; see `ConvTranspose` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.Conv3DTranspose(2, 2, strides=2)(plait.Input((4, 4, 4, 8))).shape
        (None, 8, 8, 8, 2)
    """

    rank = 3


Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
