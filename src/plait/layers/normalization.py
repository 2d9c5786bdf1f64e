"""Normalization within each example: layers that keep no statistics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from plait.core.spec import InputSpec
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.kernels import layer_norm, spread
from plait.layers.moments import average, moments
from plait.layers.normalizer import (
    AffineNormalizer,
    Normalizer,
    along,
    at_least_float32,
    axes_within,
    axis_argument,
    single_axis,
)


class LayerNormalization(AffineNormalizer):
    """Give each example a mean of 0 and a variance of 1 over some axes, then scale and shift.

    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` (Ba et al. 2016), computed in float32
    at least. `gamma` and `beta` have the shape of the normalized axes.

    Args:
        axis: the axis or axes to normalize over.
        epsilon: added to the variance.
        center: whether to add `beta`.
        scale: whether to multiply by `gamma`.
        beta_initializer: how `beta` starts.
        gamma_initializer: how `gamma` starts.
        beta_regularizer: a penalty on `beta`.
        gamma_regularizer: a penalty on `gamma`.
        beta_constraint: applied to `beta` after each update.
        gamma_constraint: applied to `gamma` after each update.

    Raises:
        ArgumentTypeError: `axis` is not a whole number or a list of them.
        ShapeError: when built: the input has no such axis.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> layer = plait.layers.LayerNormalization(epsilon=0.0)
        >>> layer(np.array([[1.0, 3.0], [10.0, 30.0]])).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("rms_scaling", False):
            raise ConfigError(
                "LayerNormalization has no rms_scaling.", fix="layers.RMSNormalization()"
            )
        super().__init__(**kwargs)
        self.autocast = False
        self.axis = axis_argument("LayerNormalization", axis)
        self.epsilon = epsilon
        self._set_affine(
            center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint,
        )  # fmt: skip

    def build(self, input_shape: Shape) -> None:
        """Make `gamma` and `beta`."""
        axes = axes_within(self.axis, len(input_shape))
        self._build_affine(tuple(input_shape[axis] for axis in axes))
        self.input_spec = InputSpec(
            ndim=len(input_shape), axes={axis: input_shape[axis] for axis in axes}
        )

    def call(self, inputs: Any) -> Any:
        """Normalize each example."""
        x = at_least_float32(inputs)
        axes = axes_within(self.axis, x.ndim)
        if tuple(axes) == (x.ndim - 1,):
            scale, shift = (None if v is None else v.value for v in (self.gamma, self.beta))
            outputs = layer_norm(x, scale, shift, self.epsilon)
            if outputs is not None:
                return outputs.astype(self.compute_dtype)
        mean, variance = moments(x, functools.partial(average, axes=axes))
        inverse = jax.lax.rsqrt(variance + self.epsilon)
        return self._affine(x * inverse - mean * inverse, axes).astype(self.compute_dtype)


class GroupNormalization(AffineNormalizer):
    """Normalize groups of channels of each example, then scale and shift every channel.

    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` with mean and variance over all other
    axes and the channels of one group (Wu & He 2018), computed in float32 at least.

    Args:
        groups: the number of groups, which divides the channels; -1: one for each channel
            (instance normalization).
        axis: the axis of the channels.
        epsilon: added to the variance.
        center: whether to add `beta`.
        scale: whether to multiply by `gamma`.
        beta_initializer: how `beta` starts.
        gamma_initializer: how `gamma` starts.
        beta_regularizer: a penalty on `beta`.
        gamma_regularizer: a penalty on `gamma`.
        beta_constraint: applied to `beta` after each update.
        gamma_constraint: applied to `gamma` after each update.

    Raises:
        ConfigError: `groups` is neither positive nor -1.
        ArgumentTypeError: `axis` is not a whole number.
        ShapeError: when built: no such axis, the batch, or `groups` does not divide the channels.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> layer = plait.layers.GroupNormalization(groups=2, epsilon=0.0)
        >>> layer(np.array([[1.0, 3.0, 10.0, 30.0]])).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ConfigError(
                f"GroupNormalization: groups must be a positive number or -1, received {groups!r}.",
                fix="groups=8",
            )
        super().__init__(**kwargs)
        self.autocast = False
        self.groups = groups
        self.axis = single_axis("GroupNormalization", axis)
        self.epsilon = epsilon
        self._set_affine(
            center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint,
        )  # fmt: skip

    def build(self, input_shape: Shape) -> None:
        """Make `gamma` and `beta`, one entry a channel."""
        (axis,) = axes_within(self.axis, len(input_shape))
        channels = input_shape[axis]
        if axis == 0:
            raise ShapeError("takes axis 0 for its channels, but that is the batch.", fix="axis=-1")
        if channels is not None and channels % self.groups:
            possible = [g for g in range(1, channels + 1) if channels % g == 0]
            raise ShapeError(
                f"cannot split {channels} channels into {self.groups} groups.",
                fix=f"groups={max((g for g in possible if g <= self.groups), default=1)}",
            )
        self._build_affine((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: channels})

    def call(self, inputs: Any) -> Any:
        """Normalize each group of each example."""
        x = at_least_float32(inputs)
        (axis,) = axes_within(self.axis, x.ndim)
        mean, variance = moments(x, functools.partial(self._group_average, axis=axis))
        inverse = jax.lax.rsqrt(variance + self.epsilon)
        scale = inverse if self.gamma is None else inverse * along(self.gamma.value, x, [axis])
        shift = -mean * scale
        if self.beta is not None:
            shift = shift + along(self.beta.value, x, [axis])
        return (x * spread(scale, x) + spread(shift, x)).astype(self.compute_dtype)

    def _group_average(self, x: jax.Array, axis: int) -> jax.Array:
        """Average each channel, then the channels of each group: `x` is never reshaped."""
        channels = average(x, [other for other in range(1, x.ndim) if other != axis])
        if self.groups == -1:
            return channels
        size = x.shape[axis] // self.groups
        grouped = channels.reshape(x.shape[0], self.groups, size)
        pooled = jnp.broadcast_to(jnp.mean(grouped, axis=2, keepdims=True), grouped.shape)
        return pooled.reshape(channels.shape)


class RMSNormalization(Normalizer):
    """Divide each example by the root of its mean square over some axes, then scale.

    ``x / sqrt(mean(x**2) + epsilon) * scale`` (Zhang & Sennrich 2019), computed in float32 at
    least.

    Args:
        axis: the axis or axes to normalize over.
        epsilon: added to the mean square.

    Raises:
        ArgumentTypeError: `axis` is not a whole number or a list of them.
        ShapeError: when built: the input has no such axis.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.layers.RMSNormalization(epsilon=0.0)(np.array([[7.0, 1.0]])).round(1).tolist()
        [[1.399999976158142, 0.20000000298023224]]
    """

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis_argument("RMSNormalization", axis)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        """Make `scale`."""
        axes = axes_within(self.axis, len(input_shape))
        shape: Any = tuple(input_shape[axis] for axis in axes)
        self.scale = self.add_weight(shape=shape, initializer="ones", name="scale")
        self.input_spec = InputSpec(
            ndim=len(input_shape), axes={axis: input_shape[axis] for axis in axes}
        )

    def call(self, inputs: Any) -> Any:
        """Normalize each example."""
        x = at_least_float32(inputs)
        axes = axes_within(self.axis, x.ndim)
        inverse = jax.lax.rsqrt(average(jnp.square(x), axes) + self.epsilon)
        return (x * inverse * spread(along(self.scale.value, x, axes), x)).astype(inputs.dtype)


class UnitNormalization(Normalizer):
    """Give each example a length of 1 over some axes: ``x / max(|x|, 1e-12)`` (Keras 3).

    Args:
        axis: the axis or axes that the length is taken over.

    Raises:
        ArgumentTypeError: `axis` is not a whole number or a list of them.
        ShapeError: the input has no such axis.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.layers.UnitNormalization()(np.array([[3.0, 4.0]])).round(1).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis_argument("UnitNormalization", axis)

    def call(self, inputs: Any) -> Any:
        """Divide each example by its length."""
        x = at_least_float32(inputs)
        axes = axes_within(self.axis, x.ndim)
        squares = jnp.sum(jnp.square(x), axis=axes, keepdims=True)
        # A maximum inside the root, unlike one outside, keeps the gradient at 0 finite.
        return (x * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))).astype(inputs.dtype)
