"""Initializers that draw: by NumPy, on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator

from plait.core import dtypes, random
from plait.errors import ConfigError, ShapeError
from plait.initializers.base import Initializer, numpy_dtype, working_dtype

Shape = tuple[int, ...]
Seed = int | random.SeedGenerator | None

_STDDEV_OF_TRUNCATED = 0.87962566103423978
"""The standard deviation of a standard normal cut at two standard deviations."""


class RandomInitializer(Initializer):
    """Base of initializers that draw: checks seed and dtype, hands `_draw` a generator."""

    def __init__(self, seed: Seed = None) -> None:
        if seed is not None and not isinstance(seed, int | np.integer | random.SeedGenerator):
            raise ConfigError(
                f"the seed of {type(self).__name__} is an int, a SeedGenerator or None, "
                f"not {type(seed).__name__}.",
                fix="seed=0",
            )
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """Return an array of draws; raise ConfigError for a dtype that is not a float."""
        result = numpy_dtype(dtype)
        if not dtypes.is_float(result):
            raise ConfigError(
                f"{type(self).__name__} draws floats; it was asked for {result.name}.",
                fix="use a float dtype",
            )
        values = self._draw(random.generator(self.seed), tuple(shape), working_dtype(result))
        return np.asarray(values).astype(result, copy=False)

    def _draw(self, rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must define _draw(rng, shape, dtype)")


class RandomNormal(RandomInitializer):
    """Draw from the normal distribution.

    Args:
        mean: the mean.
        stddev: the standard deviation.
        seed: see `Initializer`.

    Example:
        >>> import plait
        >>> plait.initializers.RandomNormal(stddev=0.01, seed=0)((3, 4)).shape
        (3, 4)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def _draw(self, rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
        return _normal(rng, shape, dtype) * dtype.type(self.stddev) + dtype.type(self.mean)


class TruncatedNormal(RandomInitializer):
    """Draw from the normal distribution, drawing again what is beyond two standard deviations.

    Args:
        mean: the mean.
        stddev: the standard deviation before the cut; after it, 0.88 times as much.
        seed: see `Initializer`.

    Example:
        >>> import plait
        >>> bool(abs(plait.initializers.TruncatedNormal(stddev=1.0)((1000,))).max() <= 2.0)
        True
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def _draw(self, rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
        return _truncated(rng, shape, dtype) * dtype.type(self.stddev) + dtype.type(self.mean)


class RandomUniform(RandomInitializer):
    """Draw uniformly from [minval, maxval).

    Args:
        minval: the lower bound.
        maxval: the upper bound.
        seed: see `Initializer`.

    Example:
        >>> import plait
        >>> values = plait.initializers.RandomUniform(0.0, 1.0)((1000,))
        >>> bool(values.min() >= 0.0 and values.max() <= 1.0)
        True
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Seed = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def _draw(self, rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
        return _uniform(rng, shape, dtype, self.minval, self.maxval)


class VarianceScaling(RandomInitializer):
    """Draw with mean 0 and variance ``scale / n``, ``n`` the number of units in or out.

    A kernel ``(*window, in, out)`` has fan-in ``in * prod(window)`` and fan-out
    ``out * prod(window)``; a vector has both equal to its size.

    Args:
        scale: a positive number.
        mode: which ``n``: "fan_in", "fan_out" or "fan_avg", their mean.
        distribution: "truncated_normal" (also "normal"), cut at two standard deviations and
            widened to keep the variance; "untruncated_normal"; or "uniform", between
            ``±sqrt(3 * scale / n)``.
        seed: see `Initializer`.
        input_axes: with `output_axes`: the axes whose sizes multiply to the fan-in.
        output_axes: with `input_axes`: the axes whose sizes multiply to the fan-out.

    Raises:
        ConfigError: a `scale` that is not positive; an unknown `mode` or `distribution`.

    Example:
        >>> import plait
        >>> init = plait.initializers.VarianceScaling(3.0, "fan_in", "uniform")
        >>> bool(abs(init((9, 100))).max() <= 1.0)
        True
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        if scale <= 0:
            raise ConfigError(f"VarianceScaling needs a positive scale, not {scale}.")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ConfigError(
                f"VarianceScaling knows no mode {mode!r}.", fix="one of fan_in, fan_out, fan_avg"
            )
        distribution = distribution.lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ConfigError(
                f"VarianceScaling knows no distribution {distribution!r}.",
                fix="one of truncated_normal, untruncated_normal, uniform",
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def _draw(self, rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * stddev
            return _uniform(rng, shape, dtype, -limit, limit)
        if self.distribution == "untruncated_normal":
            return _normal(rng, shape, dtype) * dtype.type(stddev)
        return _truncated(rng, shape, dtype) * dtype.type(stddev / _STDDEV_OF_TRUNCATED)


class _NamedScaling(VarianceScaling):
    _scaling: ClassVar[tuple[float, str, str]]

    def __init__(
        self,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._scaling, seed, input_axes, output_axes)


class GlorotUniform(_NamedScaling):
    """Draw uniformly between ``±sqrt(6 / (fan_in + fan_out))`` (Glorot & Bengio 2010).

    Args:
        seed: see `Initializer`.
        input_axes: see `VarianceScaling`.
        output_axes: see `VarianceScaling`.

    Example:
        >>> import plait
        >>> bool(abs(plait.initializers.GlorotUniform()((2, 4))).max() <= 1.0)
        True
    """

    _scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Draw from a cut normal of variance ``2 / (fan_in + fan_out)`` (Glorot & Bengio 2010).

    Args:
        seed: see `Initializer`.
        input_axes: see `VarianceScaling`.
        output_axes: see `VarianceScaling`.

    Example:
        >>> import plait
        >>> plait.initializers.GlorotNormal(seed=0)((3, 3, 8, 16)).shape
        (3, 3, 8, 16)
    """

    _scaling = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_NamedScaling):
    """Draw uniformly between ``±sqrt(6 / fan_in)`` (He et al. 2015).

    Args:
        seed: see `Initializer`.
        input_axes: see `VarianceScaling`.
        output_axes: see `VarianceScaling`.

    Example:
        >>> import plait
        >>> bool(abs(plait.initializers.HeUniform()((6, 4))).max() <= 1.0)
        True
    """

    _scaling = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Draw from a cut normal of variance ``2 / fan_in`` (He et al. 2015).

    Args:
        seed: see `Initializer`.
        input_axes: see `VarianceScaling`.
        output_axes: see `VarianceScaling`.

    Example:
        >>> import plait
        >>> plait.initializers.HeNormal(seed=0)((3, 3, 8, 16)).shape
        (3, 3, 8, 16)
    """

    _scaling = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Draw uniformly between ``±sqrt(3 / fan_in)`` (LeCun et al. 1998).

    Args:
        seed: see `Initializer`.
        input_axes: see `VarianceScaling`.
        output_axes: see `VarianceScaling`.

    Example:
        >>> import plait
        >>> bool(abs(plait.initializers.LecunUniform()((3, 4))).max() <= 1.0)
        True
    """

    _scaling = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Draw from a cut normal of variance ``1 / fan_in`` (LeCun et al. 1998).

    Args:
        seed: see `Initializer`.
        input_axes: see `VarianceScaling`.
        output_axes: see `VarianceScaling`.

    Example:
        >>> import plait
        >>> plait.initializers.LecunNormal(seed=0)((3, 4)).shape
        (3, 4)
    """

    _scaling = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """Draw an orthogonal matrix, uniformly (Saxe et al. 2014; Mezzadri 2007).

    All axes but the last count as rows. The shorter of rows and columns are orthonormal, times
    `gain`.

    Args:
        gain: the factor.
        seed: see `Initializer`.

    Raises:
        ShapeError: when called with a shape of rank 0 or 1.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> q = plait.initializers.Orthogonal()((5, 3))
        >>> bool(np.allclose(q.T @ q, np.eye(3), atol=1e-5))
        True
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def _draw(self, rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
        if len(shape) < 2:
            raise ShapeError(
                f"Orthogonal needs a shape of rank 2 or more; it was asked for {shape}.",
                fix="use another initializer for vectors",
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(_normal(rng, (max(rows, columns), min(rows, columns)), dtype))
        # QR fixes the signs of its columns; with those of R's diagonal the draw is uniform.
        q = q * (self.gain * np.where(np.diagonal(r) < 0, -1.0, 1.0))
        return (q.T if rows < columns else q).reshape(shape)


def fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """Return the fan-in and fan-out of a kernel (see `VarianceScaling`)."""
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def _normal(rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape, dtype))


def _uniform(rng: Generator, shape: Shape, dtype: np.dtype, low: float, high: float) -> np.ndarray:
    return np.asarray(rng.random(shape, dtype)) * dtype.type(high - low) + dtype.type(low)


def _truncated(rng: Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
    values = _normal(rng, (math.prod(shape),), dtype)
    beyond = np.flatnonzero(np.abs(values) > 2)
    while beyond.size:
        values[beyond] = rng.standard_normal(beyond.size, dtype)
        beyond = beyond[np.abs(values[beyond]) > 2]
    return values.reshape(shape)
