"""Batch normalization, with batch renormalization as an option."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait import initializers
from plait.core.spec import InputSpec
from plait.core.variable import Variable
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.kernels import spread
from plait.layers.moments import average, moments, total
from plait.layers.normalizer import (
    AffineNormalizer,
    along,
    at_least_float32,
    axes_within,
    single_axis,
)

_EPSILON = 1e-7
"""Keras' `epsilon()`, which keeps a batch that is masked throughout from dividing by 0."""


class BatchNormalization(AffineNormalizer):
    """Normalize each channel over the batch, then scale and shift it.

    In training, ``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` with the mean and variance
    of this batch, which also move the averages: ``moving = moving * momentum + batch *
    (1 - momentum)``. Otherwise, and in a layer with ``trainable = False``, the moving averages
    take their place (Ioffe & Szegedy 2015; Keras 3). Computed in float32 at least.

    Args:
        axis: the axis of the channels.
        momentum: how much of the moving averages stays at each step.
        epsilon: added to the variance.
        center: whether to add `beta`.
        scale: whether to multiply by `gamma`.
        beta_initializer: how `beta` starts.
        gamma_initializer: how `gamma` starts.
        moving_mean_initializer: how the moving mean starts.
        moving_variance_initializer: how the moving variance starts.
        beta_regularizer: a penalty on `beta`.
        gamma_regularizer: a penalty on `gamma`.
        beta_constraint: applied to `beta` after each update.
        gamma_constraint: applied to `gamma` after each update.
        renorm: whether to correct training towards the moving averages (Ioffe 2017).
        renorm_clipping: limits of that correction, a dict with any of "rmin", "rmax", "dmax".
        renorm_momentum: the momentum of the averages that the correction uses.
        synchronized: accepted for Keras' sake; statistics are always those of the whole batch.

    Raises:
        ConfigError: `renorm_clipping` holds an unknown key or limits that cannot be met.
        ArgumentTypeError: `axis` is not a whole number.
        ShapeError: when built: the input has no such axis; when called: a mask that does not have
            the shape of the input without its last axis.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> layer = plait.layers.BatchNormalization(momentum=0.5, epsilon=0.0)
        >>> layer(np.array([[1.0], [3.0]]), training=True).tolist()
        [[-1.0], [1.0]]
        >>> layer.moving_mean.numpy().tolist()
        [1.0]
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Mapping[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = single_axis("BatchNormalization", axis)
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self._set_affine(
            center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint,
        )  # fmt: skip
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.renorm, self.renorm_momentum = renorm, float(renorm_momentum)
        self.renorm_clipping = dict(renorm_clipping or {})
        self.synchronized = synchronized
        _check_clipping(self.renorm_clipping)

    def build(self, input_shape: Shape) -> None:
        """Make `gamma` and `beta`, and the moving averages."""
        (axis,) = axes_within(self.axis, len(input_shape))
        shape = (input_shape[axis],)
        self._build_affine(shape)
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        self.moving_mean = self._average("moving_mean", shape, mean)
        self.moving_variance = self._average("moving_variance", shape, variance)
        if self.renorm:
            self.moving_stddev = self._average("moving_stddev", shape, self._initial_stddev)
            self.renorm_mean = self._average("renorm_mean", shape, mean)
            self.renorm_stddev = self._average("renorm_stddev", shape, self._initial_stddev)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: input_shape[axis]})

    def _average(self, name: str, shape: Any, initializer: Any) -> Variable:
        return self.add_weight(
            shape=shape, initializer=initializer, trainable=False, autocast=False, name=name
        )

    def _initial_stddev(self, shape: Shape, dtype: Any = None) -> Any:
        return np.sqrt(self.moving_variance_initializer(shape, dtype=dtype))  # type: ignore[misc]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize, and move the averages in training."""
        x = at_least_float32(inputs)
        axes = axes_within(self.axis, x.ndim)
        channels = functools.partial(along, x=x, axes=axes)
        gamma = 1.0 if self.gamma is None else channels(self.gamma.value)
        beta = 0.0 if self.beta is None else channels(self.beta.value)
        if training and self.trainable:
            others = [axis for axis in range(x.ndim) if axis not in axes]
            if mask is None:
                mean, variance = moments(x, functools.partial(average, axes=others))
            else:
                mean, variance = _masked_moments(x, others, mask)
            if self.renorm:
                stretch, offset = self._correction(mean, variance, channels)
                gamma, beta = stretch * gamma, offset * gamma + beta
            self.move(mean.reshape(-1), variance.reshape(-1))
        else:
            mean = channels(self.moving_mean.value)
            variance = channels(self.moving_variance.value)
        scale = jax.lax.rsqrt(variance + self.epsilon) * gamma
        shift = beta - mean * scale
        if training:
            scale, shift = spread(scale, x), spread(shift, x)
        return (x * scale + shift).astype(self.compute_dtype)

    def move(self, mean: jax.Array, variance: jax.Array) -> None:
        """Move the averages towards the mean and variance of a batch, (channels,) each."""
        _move(self.moving_mean, mean, self.momentum)
        if not self.renorm:
            _move(self.moving_variance, variance, self.momentum)
            return
        stddev = jnp.sqrt(variance + self.epsilon)
        _move(self.renorm_mean, mean, self.renorm_momentum)
        _move(self.renorm_stddev, stddev, self.renorm_momentum)
        _move(self.moving_stddev, stddev, self.momentum)
        moved = jnp.square(self.moving_stddev.value) - self.epsilon
        self.moving_variance.assign(jnp.maximum(moved, 0.0))

    def _correction(
        self, mean: jax.Array, variance: jax.Array, channels: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Return r and d of batch renormalization: normalized values become ``x * r + d``."""
        limits = self.renorm_clipping
        usual = jnp.maximum(channels(self.renorm_stddev.value), self.epsilon**0.5)
        stretch = jnp.sqrt(variance + self.epsilon) / usual
        offset = (mean - channels(self.renorm_mean.value)) / usual
        stretch = jnp.clip(stretch, limits.get("rmin"), limits.get("rmax"))
        if limits.get("dmax") is not None:
            offset = jnp.clip(offset, -limits["dmax"], limits["dmax"])
        return jax.lax.stop_gradient(stretch), jax.lax.stop_gradient(offset)


def _move(variable: Variable, batch: jax.Array, momentum: float) -> None:
    variable.assign(variable.value * momentum + batch * (1.0 - momentum))


def _masked_moments(x: jax.Array, axes: list[int], mask: Any) -> tuple[jax.Array, jax.Array]:
    """Return mean and variance over `axes` of the steps where `mask` is True."""
    if jnp.shape(mask) != x.shape[:-1]:
        raise ShapeError(
            f"takes a mask of shape {x.shape[:-1]}, its input without the last axis; "
            f"received {jnp.shape(mask)}.",
            fix="pass a mask with one entry for each step",
        )
    kept = jnp.broadcast_to(jnp.asarray(mask, bool)[..., None], x.shape)
    count = total(kept.astype(x.dtype), axes) + _EPSILON
    mean = total(jnp.where(kept, x, 0.0), axes) / count
    return mean, total(jnp.where(kept, jnp.square(x - mean), 0.0), axes) / count


def _check_clipping(limits: Mapping[str, float]) -> None:
    unknown = set(limits) - {"rmin", "rmax", "dmax"}
    smallest, largest, offset = limits.get("rmin"), limits.get("rmax"), limits.get("dmax")
    if unknown:
        raise ConfigError(
            f"BatchNormalization: renorm_clipping knows no {sorted(unknown)[0]!r}.",
            fix="any of rmin, rmax, dmax",
        )
    if smallest is not None and largest is not None and largest < smallest:
        raise ConfigError(
            f"BatchNormalization: renorm_clipping has rmax={largest} below rmin={smallest}.",
            fix=f"rmax of at least {smallest}",
        )
    if offset is not None and offset < 0:
        raise ConfigError(
            f"BatchNormalization: renorm_clipping has a negative dmax={offset}.",
            fix="a dmax of at least 0",
        )
