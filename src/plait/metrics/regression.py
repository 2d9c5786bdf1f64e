"""Averages of the regression losses."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses import regression
from plait.losses.shapes import paired
from plait.metrics.reduction import Mean, MeanMetricWrapper


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> jax.Array:
    """Return the cosine of the angle between vectors; 1 is one direction (the loss: -1)."""
    return -regression.cosine_similarity(y_true, y_pred, axis)


class MeanSquaredError(MeanMetricWrapper):
    """Average squared differences.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.MeanSquaredError()
        >>> metric.update_state([[0.0, 1.0]], [[1.0, 3.0]])
        >>> round(float(metric.result()), 4)
        2.5
    """

    def __init__(self, name: str = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(regression.mean_squared_error, name, dtype)


class RootMeanSquaredError(Mean):
    """Measure the square root of the mean squared difference of all values.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.RootMeanSquaredError()
        >>> metric.update_state([[0.0, 1.0]], [[2.0, 3.0]])
        >>> float(metric.result())
        2.0
    """

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take in a batch of targets and predictions of one shape.

        Raises:
            ShapeError: the shapes differ by more than a last dimension of 1.
        """
        y_true, y_pred = paired(type(self).__name__, y_true, y_pred)
        super().update_state(jnp.square(y_pred - y_true), sample_weight)

    def result(self) -> jax.Array:
        """Return the root of the mean."""
        return jnp.sqrt(super().result())


class MeanAbsoluteError(MeanMetricWrapper):
    """Average absolute differences.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.MeanAbsoluteError()
        >>> metric.update_state([[0.0, 1.0]], [[1.0, 3.0]])
        >>> round(float(metric.result()), 4)
        1.5
    """

    def __init__(self, name: str = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(regression.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """Average errors in percent of the target.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.MeanAbsolutePercentageError()
        >>> metric.update_state([[2.0, 4.0]], [[1.0, 5.0]])
        >>> round(float(metric.result()), 4)
        37.5
    """

    def __init__(self, name: str = "mean_absolute_percentage_error", dtype: Any = None) -> None:
        super().__init__(regression.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """Average squared differences of ``log(1 + y)``.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.MeanSquaredLogarithmicError()
        >>> metric.update_state([[0.0, 1.0]], [[1.0, 1.0]])
        >>> round(float(metric.result()), 4)
        0.2402
    """

    def __init__(self, name: str = "mean_squared_logarithmic_error", dtype: Any = None) -> None:
        super().__init__(regression.mean_squared_logarithmic_error, name, dtype)


class CosineSimilarity(MeanMetricWrapper):
    """Average the cosine of the angle between targets and predictions; 1 is best.

    Args:
        name: the name.
        dtype: see `Metric`.
        axis: along which the vectors lie.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.CosineSimilarity()
        >>> metric.update_state([[0.0, 1.0]], [[0.0, 3.0]])
        >>> round(float(metric.result()), 4)
        1.0
    """

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class LogCoshError(MeanMetricWrapper):
    """Average ``log(cosh(error))``.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.LogCoshError()
        >>> metric.update_state([[0.0]], [[1.0]])
        >>> round(float(metric.result()), 4)
        0.4338
    """

    def __init__(self, name: str = "logcosh", dtype: Any = None) -> None:
        super().__init__(regression.log_cosh, name, dtype)
