"""Metrics that hold one rate at a value and measure the best of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait.errors import ConfigError
from plait.losses.numeric import divide_no_nan
from plait.metrics.confusion import Counts, spread_thresholds
from plait.metrics.counts import ConfusionMetric

Rate = Callable[[Counts], jax.Array]


def sensitivity(counts: Counts) -> jax.Array:
    """Return the part of the yes that was found (also called recall)."""
    return divide_no_nan(counts.true_positives, counts.true_positives + counts.false_negatives)


def specificity(counts: Counts) -> jax.Array:
    """Return the part of the no that was found."""
    return divide_no_nan(counts.true_negatives, counts.true_negatives + counts.false_positives)


def precision(counts: Counts) -> jax.Array:
    """Return the part of the predicted yes that is right."""
    return divide_no_nan(counts.true_positives, counts.true_positives + counts.false_positives)


recall = sensitivity


class ConstrainedMetric(ConfusionMetric):
    """Measure the largest value of one rate where another reaches a given value."""

    _constrained: ClassVar[Rate]
    _measured: ClassVar[Rate]

    def __init__(
        self,
        argument: str,
        value: float,
        num_thresholds: int,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        if not 0 <= value <= 1:
            raise ConfigError(
                f"{type(self).__name__}: {argument} is {value}, but it is a share in [0, 1].",
                fix=f"{argument}=0.5",
            )
        if num_thresholds <= 0:
            raise ConfigError(
                f"{type(self).__name__}: num_thresholds is {num_thresholds}, but it takes at "
                "least 1.",
                fix="num_thresholds=200",
            )
        self._value = value
        thresholds = spread_thresholds(num_thresholds)
        super().__init__(Counts._fields, thresholds, name, dtype, class_id=class_id)

    def result(self) -> jax.Array:
        """Return the largest value of the measured rate; 0 where no threshold will do."""
        counts = Counts(*(getattr(self, kind).value for kind in Counts._fields))
        reached = type(self)._constrained(counts) >= self._value
        return jnp.max(jnp.where(reached, type(self)._measured(counts), 0), initial=0)


class SensitivityAtSpecificity(ConstrainedMetric):
    """Measure the best sensitivity among the thresholds that reach a given specificity.

    Args:
        specificity: the specificity to reach, in [0, 1].
        num_thresholds: how many thresholds are tried, evenly spaced; one is 0.5.
        class_id: look at this class only.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: `specificity` lies outside [0, 1], or there are no thresholds.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.SensitivityAtSpecificity(0.5)
        >>> metric.update_state([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8])
        >>> round(float(metric.result()), 4)
        0.5
    """

    _constrained, _measured = specificity, sensitivity

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.specificity = specificity
        super().__init__("specificity", specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(ConstrainedMetric):
    """Measure the best specificity among the thresholds that reach a given sensitivity.

    Args:
        sensitivity: the sensitivity to reach, in [0, 1].
        num_thresholds: how many thresholds are tried, evenly spaced; one is 0.5.
        class_id: look at this class only.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: `sensitivity` lies outside [0, 1], or there are no thresholds.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.SpecificityAtSensitivity(0.5)
        >>> metric.update_state([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8])
        >>> round(float(metric.result()), 4)
        0.6667
    """

    _constrained, _measured = sensitivity, specificity

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.sensitivity = sensitivity
        super().__init__("sensitivity", sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(ConstrainedMetric):
    """Measure the best precision among the thresholds that reach a given recall.

    Args:
        recall: the recall to reach, in [0, 1].
        num_thresholds: how many thresholds are tried, evenly spaced; one is 0.5.
        class_id: look at this class only.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: `recall` lies outside [0, 1], or there are no thresholds.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.PrecisionAtRecall(0.5)
        >>> metric.update_state([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8])
        >>> round(float(metric.result()), 4)
        0.5
    """

    _constrained, _measured = recall, precision

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.recall = recall
        super().__init__("recall", recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(ConstrainedMetric):
    """Measure the best recall among the thresholds that reach a given precision.

    Args:
        precision: the precision to reach, in [0, 1].
        num_thresholds: how many thresholds are tried, evenly spaced; one is 0.5.
        class_id: look at this class only.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: `precision` lies outside [0, 1], or there are no thresholds.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.RecallAtPrecision(0.5)
        >>> metric.update_state([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8])
        >>> round(float(metric.result()), 4)
        1.0
    """

    _constrained, _measured = precision, recall

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.precision = precision
        super().__init__("precision", precision, num_thresholds, class_id, name, dtype)
