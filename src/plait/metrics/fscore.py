"""F scores: precision and recall in one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from plait.core.variable import Variable
from plait.errors import ConfigError
from plait.losses.numeric import EPSILON, floating
from plait.losses.shapes import check_paired, check_rows
from plait.metrics.metric import Metric


class FBetaScore(Metric):
    """Measure ``(1 + beta**2) * precision * recall / (beta**2 * precision + recall)``.

    Args:
        average: None gives one score per class; ``"micro"`` counts all classes together,
            ``"macro"`` takes the mean of the classes, ``"weighted"`` weighs them by their targets.
        beta: how much more recall counts than precision.
        threshold: a score above it is a yes; None: the largest of a row is.
        name: the name.
        dtype: see `Metric`.

    Raises:
        ConfigError: an argument is out of range.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.FBetaScore(beta=2.0, threshold=0.5, average="micro")
        >>> metric.update_state([[1, 1], [1, 0]], [[0.2, 0.6], [0.8, 0.6]])
        >>> round(float(metric.result()), 4)
        0.6667
    """

    true_positives: Variable
    false_positives: Variable
    false_negatives: Variable
    targets: Variable

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ConfigError(
                f"{type(self).__name__}: there is no average {average!r}.",
                fix="one of None, 'micro', 'macro', 'weighted'",
            )
        if beta <= 0:
            raise ConfigError(
                f"{type(self).__name__}: beta is {beta}, but it is more than 0.", fix="beta=1.0"
            )
        if threshold is not None and not 0 < threshold <= 1:
            raise ConfigError(
                f"{type(self).__name__}: threshold is {threshold}, but lies in (0, 1].",
                fix="threshold=0.5",
            )
        self.average, self.beta, self.threshold = average, beta, threshold

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        """Make the variables for as many classes as the predictions have.

        Raises:
            ShapeError: targets and predictions are not both ``(n, classes)``.
        """
        if self._variables:
            return
        classes = check_rows(type(self).__name__, y_true_shape, y_pred_shape)
        shape = () if self.average == "micro" else (classes,)
        for kind in ("true_positives", "false_positives", "false_negatives", "targets"):
            setattr(self, kind, self.add_sum(kind, shape))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch.

        Args:
            y_true: targets of 0 and 1, ``(n, classes)``.
            y_pred: scores, ``(n, classes)``.
            sample_weight: one weight per sample.

        Raises:
            ShapeError: targets and predictions are not both ``(n, classes)``.
        """
        scores = floating(y_pred)
        true = jnp.asarray(y_true, scores.dtype)
        self.build(true.shape, scores.shape)
        check_paired(type(self).__name__, true.shape, scores.shape)
        if self.threshold is None:
            largest = jnp.max(scores, axis=-1, keepdims=True)
            yes = (scores >= largest) & (jnp.abs(scores) > 1e-9)
        else:
            yes = scores > self.threshold
        pred = yes.astype(scores.dtype)
        weights = jnp.asarray(1.0 if sample_weight is None else sample_weight, scores.dtype)
        weights = weights.reshape(-1, 1)

        for variable, hits in (
            (self.true_positives, pred * true),
            (self.false_positives, pred * (1 - true)),
            (self.false_negatives, (1 - pred) * true),
            (self.targets, true),
        ):
            axis = None if self.average == "micro" else 0
            self.accumulate(variable, jnp.sum(hits * weights, axis=axis))

    def result(self) -> jax.Array:
        """Return the score: a scalar, or one per class without `average`.

        Raises:
            NotBuiltError: there was no data yet.
        """
        self.need_data()
        hits = self.true_positives.value
        precision = hits / (hits + self.false_positives.value + EPSILON)
        recall = hits / (hits + self.false_negatives.value + EPSILON)
        square = self.beta**2
        scores = (1 + square) * (precision * recall / (square * precision + recall + EPSILON))
        if self.average == "weighted":
            targets = self.targets.value
            return jnp.sum(scores * targets / (jnp.sum(targets) + EPSILON))
        return scores if self.average is None else jnp.mean(scores)


class F1Score(FBetaScore):
    """Measure the harmonic mean of precision and recall.

    Args:
        average: see `FBetaScore`.
        threshold: a score above it is a yes; None: the largest of a row is.
        name: the name.
        dtype: see `Metric`.

    Raises:
        ConfigError: an argument is out of range.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.F1Score(threshold=0.5)
        >>> metric.update_state([[1, 1], [1, 0]], [[0.2, 0.6], [0.8, 0.6]])
        >>> [round(float(score), 4) for score in metric.result()]
        [0.6667, 0.6667]
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
