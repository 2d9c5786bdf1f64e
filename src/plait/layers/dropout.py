"""Dropout: in training, entries or whole channels are left out at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import random
from plait.core.layer import Layer
from plait.core.random import SeedGenerator
from plait.core.spec import InputSpec
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.layers import arguments

Seed = int | SeedGenerator | None

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def check_rate(who: str, value: Any, name: str = "rate") -> float:
    """Return a probability.

    Raises:
        ConfigError: it is no number from 0 to 1.
    """
    if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise ConfigError(
            f"{who}: {name} must be between 0 and 1, received {value!r}.", fix=f"{name}=0.5"
        )
    return float(value)


class Noise(Layer):
    """A layer that changes its input in training and hands it on otherwise."""

    input_spec = InputSpec()
    supports_masking = True

    seed: Seed

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input, with noise in training."""
        return self._noisy(inputs) if training and self._is_active() else inputs

    def _is_active(self) -> bool:
        raise NotImplementedError

    def _noisy(self, inputs: jax.Array) -> jax.Array:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        return input_shape


class Dropping(Noise):
    """Noise that is there at a rate above 0."""

    rate: float

    def _is_active(self) -> bool:
        return self.rate > 0


class Dropout(Dropping):
    """Set entries to 0 with probability `rate` in training, and scale the others by 1/(1 - rate).

    The expected value of each entry stays (Srivastava et al. 2014).

    Args:
        rate: the probability, from 0 to 1.
        noise_shape: the shape of the draws, which broadcast over the input: ``(None, 1, None)``
            drops the same features at all steps. None stands for the size of the input.
        seed: makes the draws those of this seed.

    Raises:
        ConfigError: `rate` is not from 0 to 1, or `noise_shape` is not made of positive sizes.
        ShapeError: when called: `noise_shape` does not broadcast to the input.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> layer = plait.layers.Dropout(0.5)
        >>> layer(np.ones((1, 3))).tolist()
        [[1.0, 1.0, 1.0]]
        >>> sorted(set(layer(np.ones(100), training=True).tolist()))
        [0.0, 2.0]
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: Seed = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate(type(self).__name__, rate)
        self.noise_shape = _noise_shape(type(self).__name__, noise_shape)
        self.seed = seed

    def _noisy(self, inputs: jax.Array) -> jax.Array:
        shape = _shape_of_draws(inputs, self.noise_shape)
        return random.dropout(inputs, self.rate, shape, self.seed)


def _noise_shape(who: str, value: Any) -> tuple[int | None, ...] | None:
    if value is None:
        return None
    sizes = value if isinstance(value, list | tuple) else [value]
    whole = all(s is None or (isinstance(s, int) and s > 0) for s in sizes)
    if not isinstance(value, list | tuple) or not whole:
        raise ConfigError(
            f"{who}: noise_shape is a tuple of positive sizes and None, received {value!r}.",
            fix="noise_shape=(None, 1, None)",
        )
    return tuple(value)


def _shape_of_draws(
    inputs: jax.Array, noise_shape: tuple[int | None, ...] | None
) -> tuple[int, ...]:
    """Return the noise shape with the sizes of the input put in.

    Raises:
        ShapeError: it does not broadcast to the input.
    """
    if noise_shape is None:
        return inputs.shape
    fits = len(noise_shape) == inputs.ndim and all(
        noise in (None, 1, size) for noise, size in zip(noise_shape, inputs.shape, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"cannot drop with noise_shape={noise_shape}: it does not broadcast to its input.",
            fix=f"noise_shape={(None, *[1] * (inputs.ndim - 1))}",
        )
    return tuple(
        size if noise is None else noise
        for noise, size in zip(noise_shape, inputs.shape, strict=True)
    )


class _SpatialDropout(Dropping):
    """Drop whole feature maps (Tompson et al. 2015)."""

    data_format = "channels_last"

    def __init__(self, rate: float, seed: Seed, name: str | None, dtype: Any, rank: int) -> None:
        super().__init__(name=name, dtype=dtype)
        self.rate = check_rate(type(self).__name__, rate)
        self.seed = seed
        self.input_spec = InputSpec(ndim=rank)

    def _noisy(self, inputs: jax.Array) -> jax.Array:
        channels = 1 if self.data_format == "channels_first" else inputs.ndim - 1
        shape = [size if axis in (0, channels) else 1 for axis, size in enumerate(inputs.shape)]
        return random.dropout(inputs, self.rate, shape, self.seed)


class SpatialDropout1D(_SpatialDropout):
    """Drop whole channels of sequences, ``(batch, steps, channels)`` (Tompson et al. 2015).

    Args:
        rate: the probability, from 0 to 1.
        seed: makes the draws those of this seed.
        name: default: the class in snake case, numbered.
        dtype: a dtype or policy; default: the global policy.

    Raises:
        ConfigError: `rate` is not from 0 to 1.
        ShapeError: when called: the input does not have 3 axes.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> x = plait.layers.SpatialDropout1D(0.5)(np.ones((1, 4, 8)), training=True)
        >>> bool((x == x[:, :1]).all())
        True
    """

    call_advice: ClassVar[str | None] = "layers.Dropout takes inputs of any rank"

    def __init__(
        self, rate: float, seed: Seed = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, seed, name, dtype, rank=3)


class SpatialDropout2D(_SpatialDropout):
    """Drop whole feature maps of images (Tompson et al. 2015).

    Args:
        rate: the probability, from 0 to 1.
        data_format: "channels_last" for ``(batch, rows, columns, channels)``, the default, or
            "channels_first" for ``(batch, channels, rows, columns)``.
        seed: makes the draws those of this seed.
        name: default: the class in snake case, numbered.
        dtype: a dtype or policy; default: the global policy.

    Raises:
        ConfigError: `rate` is not from 0 to 1, or `data_format` is neither.
        ShapeError: when called: the input does not have 4 axes.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> x = plait.layers.SpatialDropout2D(0.5)(np.ones((1, 4, 4, 8)), training=True)
        >>> bool((x == x[:, :1, :1]).all())
        True
    """

    call_advice: ClassVar[str | None] = "layers.Dropout takes inputs of any rank"

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: Seed = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(rate, seed, name, dtype, rank=4)
        self.data_format = arguments.data_format("SpatialDropout2D", data_format)


class SpatialDropout3D(_SpatialDropout):
    """Drop whole feature maps of volumes (Tompson et al. 2015).

    Args:
        rate: the probability, from 0 to 1.
        data_format: "channels_last" for ``(batch, d1, d2, d3, channels)``, the default, or
            "channels_first" for ``(batch, channels, d1, d2, d3)``.
        seed: makes the draws those of this seed.
        name: default: the class in snake case, numbered.
        dtype: a dtype or policy; default: the global policy.

    Raises:
        ConfigError: `rate` is not from 0 to 1, or `data_format` is neither.
        ShapeError: when called: the input does not have 5 axes.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> x = plait.layers.SpatialDropout3D(0.5)(np.ones((1, 2, 2, 2, 8)), training=True)
        >>> bool((x == x[:, :1, :1, :1]).all())
        True
    """

    call_advice: ClassVar[str | None] = "layers.Dropout takes inputs of any rank"

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: Seed = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(rate, seed, name, dtype, rank=5)
        self.data_format = arguments.data_format("SpatialDropout3D", data_format)


class AlphaDropout(Dropping):
    """Set entries to SELU's lowest value with probability `rate` in training, and rescale.

    Inputs of mean 0 and variance 1 keep both (Klambauer et al. 2017): ``a * x + b`` with
    ``a = ((1 - rate) * (1 + rate * low**2)) ** -0.5`` and ``b = -a * rate * low``.

    Args:
        rate: the probability, from 0 to below 1.
        noise_shape: the shape of the draws, which broadcast over the input; None stands for the
            size of the input.
        seed: makes the draws those of this seed.

    Raises:
        ConfigError: `rate` is not from 0 to below 1, or `noise_shape` is not made of positive
            sizes.
        ShapeError: when called: `noise_shape` does not broadcast to the input.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.layers.AlphaDropout(0.5)(np.ones((1, 3))).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: Seed = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate("AlphaDropout", rate)
        if self.rate == 1:
            raise ConfigError(
                "AlphaDropout: rate must be below 1; no scale restores the variance when every "
                "entry is dropped.",
                fix="rate=0.5",
            )
        self.noise_shape = _noise_shape("AlphaDropout", noise_shape)
        self.seed = seed

    def _noisy(self, inputs: jax.Array) -> jax.Array:
        low = -_SELU_ALPHA * _SELU_SCALE
        shape = _shape_of_draws(inputs, self.noise_shape)
        kept = random.bernoulli(shape, 1.0 - self.rate, self.seed)
        scale = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5
        return jnp.where(kept, inputs, low) * scale - scale * low * self.rate
