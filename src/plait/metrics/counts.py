"""Metrics of yes/no predictions at thresholds: counts, precision and recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from plait.core.variable import Variable
from plait.losses.numeric import divide_no_nan
from plait.metrics.confusion import NEVER, count, parse_thresholds
from plait.metrics.metric import Metric


class ConfusionMetric(Metric):
    """Keep some of the four counts at thresholds; base of the metrics made from them.

    Args:
        kept: which of `Counts` to keep, each a variable and attribute of that name.
        thresholds: a score above one means yes.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.
        top_k: only the `k` largest scores of each row can be a yes.
        class_id: look at this class only.
    """

    true_positives: Variable
    false_positives: Variable
    true_negatives: Variable
    false_negatives: Variable

    def __init__(
        self,
        kept: Sequence[str],
        thresholds: Sequence[float],
        name: str | None = None,
        dtype: Any = None,
        *,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        super().__init__(dtype, name)
        self.thresholds = list(thresholds)
        self.top_k, self.class_id = top_k, class_id
        self._kept = kept
        self.add_counts((len(self.thresholds),))

    def add_counts(self, shape: Sequence[int]) -> None:
        """Make the variables of the counts."""
        for kind in self._kept:
            setattr(self, kind, self.add_sum(kind, shape))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch.

        Args:
            y_true: targets; everything but 0 is a yes.
            y_pred: scores in [0, 1], shaped as `y_true`.
            sample_weight: one weight per sample or position.

        Raises:
            ShapeError: targets, scores and weights do not fit together.
        """
        self.add(
            count(
                type(self).__name__,
                y_true,
                y_pred,
                self.thresholds,
                sample_weight,
                top_k=self.top_k,
                class_id=self.class_id,
            )
        )

    def add(self, counts: Any) -> None:
        """Add to the counts that are kept."""
        for kind in self._kept:
            self.accumulate(getattr(self, kind), getattr(counts, kind))

    def one_or_all(self, values: jax.Array) -> jax.Array:
        """Return the single value where there is a single threshold."""
        return values[0] if len(self.thresholds) == 1 else values


class TruePositives(ConfusionMetric):
    """Count how often a yes was predicted and right.

    Args:
        thresholds: a number or list of them in [0, 1]; a score above one means yes. Default: 0.5.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: a threshold lies outside [0, 1].

    Example:
        >>> from plait import metrics
        >>> metric = metrics.TruePositives()
        >>> metric.update_state([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
        >>> float(metric.result())
        2.0
    """

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(("true_positives",), parse_thresholds(thresholds, 0.5), name, dtype)

    def result(self) -> jax.Array:
        """Return the count for each threshold, a scalar for one."""
        return self.one_or_all(self.true_positives.value)


class FalsePositives(ConfusionMetric):
    """Count how often a yes was predicted and wrong.

    Args:
        thresholds: a number or list of them in [0, 1]; a score above one means yes. Default: 0.5.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: a threshold lies outside [0, 1].

    Example:
        >>> from plait import metrics
        >>> metric = metrics.FalsePositives()
        >>> metric.update_state([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
        >>> float(metric.result())
        1.0
    """

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(("false_positives",), parse_thresholds(thresholds, 0.5), name, dtype)

    def result(self) -> jax.Array:
        """Return the count for each threshold, a scalar for one."""
        return self.one_or_all(self.false_positives.value)


class TrueNegatives(ConfusionMetric):
    """Count how often a no was predicted and right.

    Args:
        thresholds: a number or list of them in [0, 1]; a score above one means yes. Default: 0.5.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: a threshold lies outside [0, 1].

    Example:
        >>> from plait import metrics
        >>> metric = metrics.TrueNegatives()
        >>> metric.update_state([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
        >>> float(metric.result())
        0.0
    """

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(("true_negatives",), parse_thresholds(thresholds, 0.5), name, dtype)

    def result(self) -> jax.Array:
        """Return the count for each threshold, a scalar for one."""
        return self.one_or_all(self.true_negatives.value)


class FalseNegatives(ConfusionMetric):
    """Count how often a no was predicted and wrong.

    Args:
        thresholds: a number or list of them in [0, 1]; a score above one means yes. Default: 0.5.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: a threshold lies outside [0, 1].

    Example:
        >>> from plait import metrics
        >>> metric = metrics.FalseNegatives()
        >>> metric.update_state([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
        >>> float(metric.result())
        1.0
    """

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(("false_negatives",), parse_thresholds(thresholds, 0.5), name, dtype)

    def result(self) -> jax.Array:
        """Return the count for each threshold, a scalar for one."""
        return self.one_or_all(self.false_negatives.value)


class Precision(ConfusionMetric):
    """Measure which part of the predicted yes is right: ``tp / (tp + fp)``.

    Args:
        thresholds: a number or list of them in [0, 1]; a score above one means yes. Default: 0.5,
            and with `top_k` every one of the `k` largest scores is a yes.
        top_k: only the `k` largest scores of each row can be a yes.
        class_id: look at this class only.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: a threshold lies outside [0, 1].

    Example:
        >>> from plait import metrics
        >>> metric = metrics.Precision()
        >>> metric.update_state([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
        >>> round(float(metric.result()), 4)
        0.6667
    """

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        parsed = parse_thresholds(thresholds, 0.5 if top_k is None else NEVER)
        super().__init__(
            ("true_positives", "false_positives"),
            parsed,
            name,
            dtype,
            top_k=top_k,
            class_id=class_id,
        )

    def result(self) -> jax.Array:
        """Return the precision for each threshold, a scalar for one; 0 without any."""
        hits = self.true_positives.value
        return self.one_or_all(divide_no_nan(hits, hits + self.false_positives.value))


class Recall(ConfusionMetric):
    """Measure which part of the yes was found: ``tp / (tp + fn)``.

    Args:
        thresholds: a number or list of them in [0, 1]; a score above one means yes. Default: 0.5,
            and with `top_k` every one of the `k` largest scores is a yes.
        top_k: only the `k` largest scores of each row can be a yes.
        class_id: look at this class only.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`.

    Raises:
        ConfigError: a threshold lies outside [0, 1].

    Example:
        >>> from plait import metrics
        >>> metric = metrics.Recall()
        >>> metric.update_state([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
        >>> round(float(metric.result()), 4)
        0.6667
    """

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        parsed = parse_thresholds(thresholds, 0.5 if top_k is None else NEVER)
        super().__init__(
            ("true_positives", "false_negatives"),
            parsed,
            name,
            dtype,
            top_k=top_k,
            class_id=class_id,
        )

    def result(self) -> jax.Array:
        """Return the recall for each threshold, a scalar for one; 0 without any."""
        hits = self.true_positives.value
        return self.one_or_all(divide_no_nan(hits, hits + self.false_negatives.value))
