"""Losses of numbers: squared, absolute, relative and logarithmic errors, and angles."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.loss import LossFunction
from plait.losses.numeric import EPSILON, unit_length
from plait.losses.shapes import paired


def mean_squared_error(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the mean of ``(y_true - y_pred)**2`` over the last dimension."""
    y_true, y_pred = paired("mean_squared_error", y_true, y_pred)
    return jnp.mean(jnp.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the mean of ``|y_true - y_pred|`` over the last dimension."""
    y_true, y_pred = paired("mean_absolute_error", y_true, y_pred)
    return jnp.mean(jnp.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> jax.Array:
    """Return ``100 * mean(|y_true - y_pred| / max(|y_true|, 1e-7))`` over the last dimension."""
    y_true, y_pred = paired("mean_absolute_percentage_error", y_true, y_pred)
    relative = jnp.abs((y_true - y_pred) / jnp.maximum(jnp.abs(y_true), EPSILON))
    return 100.0 * jnp.mean(relative, axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the mean of ``(log(y_true + 1) - log(y_pred + 1))**2`` over the last dimension.

    Values below 1e-7 count as 1e-7.
    """
    y_true, y_pred = paired("mean_squared_logarithmic_error", y_true, y_pred)
    true, pred = (jnp.log(jnp.maximum(y, EPSILON) + 1.0) for y in (y_true, y_pred))
    return jnp.mean(jnp.square(pred - true), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> jax.Array:
    """Return minus the cosine of the angle between two vectors along `axis`; 0 for a zero vector.

    -1 is the same direction, 1 the opposite one, so that smaller is better.
    """
    y_true, y_pred = paired("cosine_similarity", y_true, y_pred)
    return -jnp.sum(unit_length(y_true, axis) * unit_length(y_pred, axis), axis=axis)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> jax.Array:
    """Return the mean of Huber's loss: squared for errors up to `delta`, linear beyond.

    ``e**2 / 2`` where ``|e| <= delta``, else ``delta * |e| - delta**2 / 2`` (Huber, 1964).
    """
    y_true, y_pred = paired("huber", y_true, y_pred)
    error = jnp.abs(y_pred - y_true)
    linear = delta * error - 0.5 * delta**2
    return jnp.mean(jnp.where(error <= delta, 0.5 * jnp.square(error), linear), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the mean of ``log(cosh(y_pred - y_true))``, computed without overflow."""
    y_true, y_pred = paired("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return jnp.mean(error + jax.nn.softplus(-2.0 * error) - jnp.log(2.0), axis=-1)


class MeanSquaredError(LossFunction):
    """Compare by the mean of squared differences.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]))
        2.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunction):
    """Compare by the mean of absolute differences.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.MeanAbsoluteError()([[0.0, 1.0]], [[1.0, 3.0]]))
        1.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunction):
    """Compare by the mean error in percent of the target.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 5.0]]))
        37.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunction):
    """Compare by the mean squared difference of ``log(1 + y)``.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.MeanSquaredLogarithmicError()([[0.0, 1.0]], [[1.0, 1.0]])), 4)
        0.2402
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class CosineSimilarity(LossFunction):
    """Compare directions: minus the cosine of the angle, so that smaller is better.

    Args:
        axis: along which the vectors lie.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.CosineSimilarity()([[0.0, 1.0]], [[0.0, 3.0]]))
        -1.0
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Huber(LossFunction):
    """Compare by Huber's loss: squared for small errors, linear for large ones.

    Args:
        delta: the error at which the loss turns linear.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.Huber(delta=1.0)([[0.0, 0.0]], [[1.0, 3.0]]))
        1.5
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(LossFunction):
    """Compare by ``log(cosh(error))``: like a square near 0, like ``|error|`` far away.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.LogCosh()([[0.0]], [[1.0]])), 4)
        0.4338
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(log_cosh, reduction, name, dtype)
