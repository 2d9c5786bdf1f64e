"""Normalization of features by the mean and variance of the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.errors import ArgumentTypeError, ConfigError, DataError, NotBuiltError, ShapeError
from plait.graph import tree
from plait.graph.tensor import Shape

_EPSILON = 1e-7


class Normalization(Layer):
    """Shift and scale each feature to mean 0 and variance 1.

    The mean and the variance are given, or measured by `adapt`; before that they are 0 and 1.
    Computes ``(inputs - mean) / max(sqrt(variance), 1e-7)``. Source: Keras 3,
    ``keras.layers.Normalization``.

    Args:
        axis: the axis or axes that have a mean and a variance of their own; None for one of each
            for all data.
        mean: the mean; with `variance`, instead of `adapt`.
        variance: the variance.
        invert: whether to do the reverse: ``mean + inputs * max(sqrt(variance), 1e-7)``.

    Raises:
        ConfigError: `mean` without `variance`, or their shapes differ or have too many axes.
        ShapeError: the size of a kept axis is not known, or differs from the mean's.

    Example:
        >>> import numpy as np, plait
        >>> normalize = plait.layers.Normalization()
        >>> normalize.adapt(np.array([[1.0, 10.0], [3.0, 30.0]]))
        >>> normalize(np.array([[3.0, 10.0]])).tolist()
        [[1.0, -1.0]]
    """

    input_spec = InputSpec()
    supports_masking = True

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis: tuple[int, ...] = (
            () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        )
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self._kept: tuple[int, ...] = ()
        self._sizes: tuple[int, ...] = ()
        self._shape: Shape = ()
        if (mean is None) != (variance is None):
            raise ConfigError(
                "Normalization: mean and variance go together; received one of them.",
                fix="Normalization(mean=m, variance=v), or neither and adapt(data)",
            )
        if np.shape(mean) != np.shape(variance) or np.ndim(mean) > len(self.axis):
            raise ConfigError(
                f"Normalization: mean {np.shape(mean)} and variance {np.shape(variance)} must "
                f"have one shape, of at most the {len(self.axis)} axes in axis={self.axis}."
            )

    def build(self, input_shape: Shape) -> None:
        """Make the variables ``mean``, ``variance`` and ``count``, unless a mean was given."""
        rank = len(input_shape)
        for axis in self.axis:
            if not -rank <= axis < rank:
                raise ShapeError(
                    f"has axis={self.axis}, but its input has {rank} axes: {input_shape}.",
                    fix="Normalization(axis=-1)",
                )
            if input_shape[axis] is None:
                raise ShapeError(
                    f"has no known size on axis {axis}: {input_shape}.",
                    fix="give that size in Input(shape=...), or leave the axis out of axis=",
                )
        self._kept = tuple(sorted(axis % rank for axis in self.axis))
        self._sizes = tuple(input_shape[axis] for axis in self._kept)  # type: ignore[misc]
        self._shape = tuple(
            size if axis in self._kept else 1 for axis, size in enumerate(input_shape)
        )
        if self.input_mean is not None:
            _fit(self.input_mean, self._sizes)
            return
        self.adapt_mean = self.add_weight(self._sizes, "zeros", trainable=False, name="mean")
        self.adapt_variance = self.add_weight(self._sizes, "ones", trainable=False, name="variance")
        self.count = self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")

    @property
    def mean(self) -> Any:
        """The mean, in the shape that broadcasts to the input.

        Raises:
            NotBuiltError: the layer has seen no shape yet.
        """
        return self._statistic("mean", self.input_mean)

    @property
    def variance(self) -> Any:
        """The variance, in the shape that broadcasts to the input.

        Raises:
            NotBuiltError: the layer has seen no shape yet.
        """
        return self._statistic("variance", self.input_variance)

    def _statistic(self, name: str, given: Any) -> Any:
        if not self._shape:
            raise NotBuiltError(
                f"{self.describe()} has no {name} yet.", fix="adapt it to data, or call it"
            )
        if given is not None:
            return jnp.asarray(_fit(given, self._sizes)).reshape(self._shape)
        return getattr(self, f"adapt_{name}").value.reshape(self._shape)

    def adapt(self, data: Any) -> None:
        """Measure the mean and the variance.

        Args:
            data: an array, or an iterable of batches: arrays, or tuples that begin with one.

        Raises:
            DataError: there is no data, or a batch of another shape than the first.
            ConfigError: the mean was given to the constructor.
        """
        if self.input_mean is not None:
            raise ConfigError(
                f"{self.describe()} was given its mean and variance; it cannot adapt.",
                fix="Normalization() without mean and variance",
            )
        seen, mean, variance = 0, 0.0, 1.0
        for batch in _batches(data):
            if not self.built:
                self.build(batch.shape)
            self._check_batch(batch)
            reduced = tuple(axis for axis in range(batch.ndim) if axis not in self._kept)
            count = math.prod(batch.shape[axis] for axis in reduced)
            seen, mean, variance = _pooled(
                (seen, mean, variance),
                (
                    count,
                    batch.mean(reduced, dtype=np.float64),
                    batch.var(reduced, dtype=np.float64),
                ),
            )
        if not seen:
            raise DataError(
                f"{self.describe()} was given no data to adapt to.",
                fix="pass an array, or an iterable with at least one batch",
            )
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    def _check_batch(self, batch: np.ndarray) -> None:
        fits = not self._kept or self._kept[-1] < batch.ndim
        if not fits or tuple(batch.shape[axis] for axis in self._kept) != self._sizes:
            raise DataError(
                f"{self.describe()} was built for {self._sizes} on axes {self._kept}; a batch of "
                f"its data is {batch.shape}.",
                fix="give every batch the shape of the model's input",
            )

    def call(self, inputs: Any) -> Any:
        """Return the normalized inputs."""
        inputs = jnp.asarray(inputs, self.compute_dtype)
        mean = jnp.asarray(self.mean, self.compute_dtype)
        variance = jnp.asarray(self.variance, self.compute_dtype)
        deviation = jnp.maximum(jnp.sqrt(variance), _EPSILON)
        return mean + inputs * deviation if self.invert else (inputs - mean) / deviation

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        return input_shape


def _fit(value: Any, sizes: tuple[int, ...]) -> np.ndarray:
    """Broadcast a given mean to the sizes of the kept axes."""
    try:
        return np.broadcast_to(np.asarray(value, np.float32), sizes)
    except ValueError as error:
        raise ShapeError(
            f"was given a mean of shape {np.shape(value)}, which does not fit {sizes}, the sizes "
            "of its axes.",
            fix="give one number, or one for each feature",
        ) from error


_Moments = tuple[int, Any, Any]


def _pooled(first: _Moments, second: _Moments) -> _Moments:
    """Return count, mean and variance of two sets of data together (Chan et al. 1983)."""
    count = first[0] + second[0]
    if not count:
        return first
    share = second[0] / count
    apart = second[1] - first[1]
    mean = first[1] + apart * share
    variance = first[2] * (1 - share) + second[2] * share + apart**2 * share * (1 - share)
    return count, mean, variance


def _batches(data: Any) -> Iterator[np.ndarray]:
    """Yield the inputs of each batch; an array is one batch."""
    if hasattr(data, "__array__") or (isinstance(data, list | tuple) and _is_numbers(data)):
        yield np.asarray(data)
        return
    if not isinstance(data, Iterable):
        raise ArgumentTypeError(
            f"adapt takes an array or an iterable of batches, not {type(data).__name__}."
        )
    for batch in data:
        yield np.asarray(batch[0] if isinstance(batch, tuple) else batch)


def _is_numbers(items: Sequence[Any]) -> bool:
    """Return whether a list is an array written out, and not a list of batches."""
    return bool(items) and all(np.isscalar(leaf) for leaf in tree.flatten(items))
