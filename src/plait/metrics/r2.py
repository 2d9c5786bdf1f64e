"""The coefficient of determination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from plait.core.variable import Variable
from plait.errors import ConfigError
from plait.losses.numeric import floating
from plait.losses.shapes import check_paired, check_rows, same_rank
from plait.metrics.metric import Metric


class R2Score(Metric):
    """Measure ``1 - residual / total``: the part of the variance that predictions explain.

    Args:
        class_aggregation: ``"uniform_average"`` of the outputs, ``"variance_weighted_average"``, or
            None for one score per output.
        num_regressors: number of predictors, for the adjusted score; 0 is the plain one. With as
            many predictors as values, the plain score is returned.
        name: the name.
        dtype: see `Metric`.

    Raises:
        ConfigError: an argument is out of range.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.R2Score()
        >>> metric.update_state([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
        >>> round(float(metric.result()), 4)
        0.5714
    """

    squared_sum: Variable
    sum: Variable
    residual: Variable
    count: Variable
    num_samples: Variable

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ConfigError(
                f"R2Score: there is no class_aggregation {class_aggregation!r}.",
                fix="one of None, 'uniform_average', 'variance_weighted_average'",
            )
        if num_regressors < 0:
            raise ConfigError(
                f"R2Score: num_regressors is {num_regressors}, but it is 0 or more.",
                fix="num_regressors=0",
            )
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        """Make the variables for as many outputs as the predictions have.

        Raises:
            ShapeError: targets and predictions are not both ``(n, outputs)``.
        """
        if self._variables:
            return
        outputs = check_rows("R2Score", y_true_shape, y_pred_shape)
        for kind in ("squared_sum", "sum", "residual", "count"):
            setattr(self, kind, self.add_sum(kind, (outputs,)))
        self.num_samples = self.add_sum("num_samples")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch.

        Args:
            y_true: targets, ``(n, outputs)``.
            y_pred: predictions, ``(n, outputs)``.
            sample_weight: one weight per sample, or per value.

        Raises:
            ShapeError: targets and predictions are not both ``(n, outputs)``.
        """
        pred = floating(y_pred)
        true = jnp.asarray(y_true, pred.dtype)
        true, pred = same_rank(true, pred)
        self.build(true.shape, pred.shape)
        check_paired("R2Score", true.shape, pred.shape)
        weights = jnp.asarray(1.0 if sample_weight is None else sample_weight, pred.dtype)
        if weights.ndim == 1:
            weights = weights[:, None]
        weights = jnp.broadcast_to(weights, true.shape)
        self.accumulate(self.sum, jnp.sum(true * weights, axis=0))
        self.accumulate(self.squared_sum, jnp.sum(true**2 * weights, axis=0))
        self.accumulate(self.residual, jnp.sum((true - pred) ** 2 * weights, axis=0))
        self.accumulate(self.count, jnp.sum(weights, axis=0))
        self.accumulate(self.num_samples, true.size)

    def result(self) -> jax.Array:
        """Return the score: a scalar, or one per output without `class_aggregation`.

        Raises:
            NotBuiltError: there was no data yet.
        """
        self.need_data()
        total = self.squared_sum.value - self.sum.value * (self.sum.value / self.count.value)
        scores = 1.0 - self.residual.value / total
        scores = jnp.where(jnp.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = jnp.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = jnp.sum(total * scores) / jnp.sum(total)
        if not self.num_regressors:
            return scores
        values = self.num_samples.value
        free = values - self.num_regressors - 1.0
        adjusted = 1.0 - (1.0 - scores) * (values - 1.0) / jnp.where(free > 0, free, 1.0)
        return jnp.where(free > 0, adjusted, scores)
