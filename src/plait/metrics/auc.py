"""The area under the ROC, precision-recall and precision-recall-gain curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.errors import ConfigError, ShapeError
from plait.losses.numeric import EPSILON, divide_no_nan, floating
from plait.metrics.confusion import Counts, count, parse_thresholds, spread_thresholds
from plait.metrics.constrained import precision, sensitivity
from plait.metrics.counts import ConfusionMetric

CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(ConfusionMetric):
    """Measure the area under a curve of two rates, by a Riemann sum over thresholds.

    Args:
        num_thresholds: how many thresholds, evenly spaced; more give a better approximation.
        curve: ``"ROC"`` (recall over false positive rate), ``"PR"`` (precision over recall) or
            ``"PRGAIN"`` (Flach and Kull, 2015).
        summation_method: heights of the sum: ``"interpolation"`` (the middle; for ``"PR"`` that
            of Davis and Goadrich, 2006), ``"minoring"`` (the lower side) or ``"majoring"``.
        name: default: ``"auc"``, numbered.
        dtype: see `Metric`.
        thresholds: the thresholds themselves, in [0, 1]; 0 and 1 are added.
        multi_label: average the areas of the labels (second dimension) instead of pooling them.
        num_labels: how many labels, if known before the first batch; only with `multi_label`.
        label_weights: one weight per label.
        from_logits: predictions are logits, not probabilities.

    Raises:
        ConfigError: an argument is out of range.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.AUC(num_thresholds=3)
        >>> metric.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
        >>> float(metric.result())
        0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        if thresholds is None and num_thresholds <= 1:
            raise ConfigError(
                f"AUC: num_thresholds is {num_thresholds}, but it takes at least 2.",
                fix="num_thresholds=200",
            )
        if num_labels and not multi_label:
            raise ConfigError(
                "AUC: num_labels says how many labels are counted apart, which only "
                "multi_label=True does.",
                fix="AUC(multi_label=True, num_labels=...)",
            )
        inner = (
            spread_thresholds(num_thresholds)[1:-1]
            if thresholds is None
            else sorted(parse_thresholds(thresholds, 0.5))
        )
        self.curve = _choice("curve", str(curve).upper(), CURVES)
        self.summation_method = _choice(
            "summation_method", str(summation_method).lower(), SUMMATIONS
        )
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = label_weights
        self.num_thresholds = len(inner) + 2
        super().__init__(Counts._fields, [-EPSILON, *inner, 1.0 + EPSILON], name, dtype)

    def add_counts(self, shape: Sequence[int]) -> None:
        """Make the variables, as soon as the number of labels is known."""
        if not self.multi_label:
            super().add_counts(shape)
        elif self.num_labels:
            super().add_counts((*shape, self.num_labels))

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        """Make the variables for as many labels as the predictions have.

        Raises:
            ShapeError: with `multi_label`, the predictions are not ``(n, labels)``.
        """
        if not self.multi_label or self._variables:
            return
        if len(y_pred_shape) != 2:
            raise ShapeError(
                f"AUC(multi_label=True) takes predictions (samples, labels), not "
                f"{tuple(y_pred_shape)}.",
                fix="AUC() pools all values, of any shape",
            )
        self.num_labels = y_pred_shape[1]
        self.add_counts((self.num_thresholds,))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch.

        Args:
            y_true: targets; everything but 0 is a yes.
            y_pred: scores in [0, 1] (or logits), shaped as `y_true`.
            sample_weight: one weight per sample or position.

        Raises:
            ShapeError: targets, scores and weights do not fit together.
        """
        y_pred = floating(y_pred)
        self.build(np.shape(y_true), y_pred.shape)
        counts = count(
            "AUC",
            y_true,
            jax.nn.sigmoid(y_pred) if self.from_logits else y_pred,
            self.thresholds,
            sample_weight,
            multi_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
        )
        self.add(counts)

    def result(self) -> jax.Array:
        """Return the area.

        Raises:
            NotBuiltError: with `multi_label`, there was no data yet.
        """
        self.need_data()
        counts = Counts(*(getattr(self, kind).value for kind in Counts._fields))
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = _interpolated_pr(counts)
        else:
            x, y = _points(self.curve, counts)
            areas = (x[:-1] - x[1:]) * _heights(self.summation_method, y)
        by_label = jnp.sum(areas, axis=0)
        if not self.multi_label or self.label_weights is None:
            return jnp.mean(by_label)
        weights = jnp.asarray(self.label_weights, self.dtype)
        return divide_no_nan(jnp.sum(by_label * weights), jnp.sum(weights))


def _choice(argument: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ConfigError(f"AUC: there is no {argument} {value!r}.", fix=f"one of {known}")
    return value


def _points(curve: str, counts: Counts) -> tuple[jax.Array, jax.Array]:
    if curve == "ROC":
        return _false_positive_rate(counts), sensitivity(counts)
    if curve == "PR":
        return sensitivity(counts), precision(counts)
    hits, missed, invented = (
        counts.true_positives,
        counts.false_negatives,
        counts.false_positives,
    )
    odds = divide_no_nan(hits + missed, counts.true_negatives + invented)
    recall_gain = jnp.where(hits == 0, 0.0, 1.0 - odds * divide_no_nan(missed, hits))
    precision_gain = jnp.where(hits == 0, 1.0, 1.0 - odds * divide_no_nan(invented, hits))
    return jnp.maximum(recall_gain, 0.0), precision_gain


def _false_positive_rate(counts: Counts) -> jax.Array:
    return divide_no_nan(counts.false_positives, counts.false_positives + counts.true_negatives)


def _heights(method: str, y: jax.Array) -> jax.Array:
    if method == "interpolation":
        return (y[:-1] + y[1:]) / 2.0
    return (jnp.minimum if method == "minoring" else jnp.maximum)(y[:-1], y[1:])


def _interpolated_pr(counts: Counts) -> jax.Array:
    """Return the areas between thresholds, hits being linear in positives (Davis, Goadrich)."""
    hits, positives = counts.true_positives, counts.true_positives + counts.false_positives
    new_hits = hits[:-1] - hits[1:]
    slope = divide_no_nan(new_hits, jnp.maximum(positives[:-1] - positives[1:], 0))
    intercept = hits[1:] - slope * positives[1:]
    ratio = jnp.where(
        (positives[:-1] > 0) & (positives[1:] > 0),
        divide_no_nan(positives[:-1], jnp.maximum(positives[1:], 0)),
        1.0,
    )
    targets = jnp.maximum(hits[1:] + counts.false_negatives[1:], 0)
    return divide_no_nan(slope * (new_hits + intercept * jnp.log(ratio)), targets)
