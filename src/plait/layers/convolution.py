"""Convolutions over one, two and three axes, and what their relatives share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax

from plait import activations, constraints, initializers, kernels, regularizers
from plait.core.variable import Variable
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.layers.arguments import whole_number
from plait.layers.spatial_layer import SpatialLayer

PerAxis = int | Sequence[int]


class BaseConv(SpatialLayer):
    """Base of layers that move a kernel over their input, then add a bias and activate.

    Raises:
        ConfigError: a size, stride or dilation below 1, an unknown padding, or strides together
            with dilation where Keras refuses them.
    """

    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    strides_with_dilation: ClassVar[bool] = False
    bias: Variable | None

    def __init__(
        self,
        kernel_size: PerAxis,
        strides: PerAxis,
        padding: str,
        data_format: str | None,
        dilation_rate: PerAxis,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.kernel_size = self._per_axis(kernel_size, "kernel_size")
        self.strides = self._per_axis(strides, "strides")
        self.padding = self._padding(padding, self.paddings)
        self.dilation_rate = self._per_axis(dilation_rate, "dilation_rate")
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        strided, dilated = max(self.strides) > 1, max(self.dilation_rate) > 1
        if strided and dilated and not self.strides_with_dilation:
            raise ConfigError(
                f"{type(self).__name__}: strides={self.strides} and dilation_rate="
                f"{self.dilation_rate} cannot both be above 1.",
                fix="strides=1, and a pooling layer after it",
            )

    def _add_kernel(self, name: str, shape: Sequence[int], role: str = "kernel") -> Variable:
        """Add a kernel with the initializer, regularizer and constraint that `role` names."""
        return self.add_weight(
            shape,
            name=name,
            initializer=getattr(self, f"{role}_initializer"),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def _add_bias(self, size: int) -> None:
        self.bias = None
        if self.use_bias:
            self.bias = self._add_kernel("bias", (size,), "bias")

    def _finish(self, outputs: jax.Array) -> jax.Array:
        if self.bias is not None:
            outputs = outputs + self.bias.value.reshape(self._shape(1, (1,) * self.rank, -1))
        return self.activation(outputs)

    def _conv_shape(self, input_shape: Sequence[int | None], channels: int | None) -> Shape:
        sizes = kernels.output_sizes(
            self._sizes(input_shape),
            self.kernel_size,
            self.strides,
            self.padding,
            self.dilation_rate,
        )
        return self._shape(input_shape[0], sizes, channels)


class Conv(BaseConv):
    """Base of `Conv1D`, `Conv2D` and `Conv3D`: ``activation(conv(x, kernel) + bias)``.

    Takes ``(batch, *sizes, channels)`` and returns ``(batch, *new_sizes, filters)``; its kernel is
    ``(*kernel_size, channels / groups, filters)``. Sizes and numerics are those of Keras 3.

    Args:
        filters: the number of output channels.
        kernel_size: the size of the window: one number, or one for each axis.
        strides: the steps between windows.
        padding: "valid" (none), "same" (sizes are divided by the strides, rounded up), and in
            `Conv1D` "causal" (before the first step only, so that no output sees a later input;
            van den Oord et al. 2016, https://arxiv.org/abs/1609.03499).
        data_format: "channels_last" or "channels_first"; default: "channels_last".
        dilation_rate: the steps between the elements of a window.
        groups: the number of groups of channels that are convolved separately.
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
        ConfigError: `filters` is not positive or no multiple of `groups`, a size is below 1, the
            padding is unknown, or strides and dilation are both above 1.
        ShapeError: when called: the kernel is larger than an input that is not padded, or the
            channels are unknown or no multiple of `groups`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: PerAxis = 1,
        groups: int = 1,
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
        self.groups = whole_number(type(self).__name__, "groups", groups)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        if self.filters % self.groups:
            raise ConfigError(
                f"{type(self).__name__}: filters={filters} cannot be divided into {groups} groups.",
                fix=f"filters={-(-self.filters // self.groups) * self.groups}",
            )

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for the channels of `input_shape`."""
        channels = self._known_channels(input_shape)
        if channels % self.groups:
            raise ShapeError(
                f"cannot divide {channels} channels into {self.groups} groups.",
                fix="groups=1, or a number of groups that divides channels and filters",
            )
        self.compute_output_shape(input_shape)
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self._add_kernel("kernel", shape)
        self._add_bias(self.filters)

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return ``activation(conv(inputs, kernel) + bias)``."""
        return self._finish(
            kernels.conv(
                inputs,
                self.kernel.value,
                self.strides,
                self.padding,
                self.dilation_rate,
                self.groups,
                self.data_format,
            )
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, *new_sizes, filters)``; sizes that are not known stay None."""
        return self._conv_shape(input_shape, self.filters)


class Conv1D(Conv):
    """Convolve sequences ``(batch, steps, channels)``; see `Conv` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.Conv1D(8, 3, padding="causal", dilation_rate=2)(plait.Input((None, 4))).shape
        (None, None, 8)
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(Conv):
    """Convolve images ``(batch, height, width, channels)``; see `Conv` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.Conv2D(16, 3, strides=2, padding="same")(plait.Input((28, 28, 1))).shape
        (None, 14, 14, 16)
    """

    rank = 2


class Conv3D(Conv):
    """Convolve volumes ``(batch, depth, height, width, channels)``; see `Conv` for the arguments.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.Conv3D(4, (1, 3, 3))(plait.Input((8, 16, 16, 2))).shape
        (None, 8, 14, 14, 4)
    """

    rank = 3


Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
