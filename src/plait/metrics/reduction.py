"""Sums and means of values, and the metric that averages a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from plait.core.registry import find_function
from plait.errors import ShapeError
from plait.losses.masks import keeping_masks, mask_of
from plait.losses.numeric import divide_no_nan
from plait.losses.reduce import masked_weights
from plait.losses.shapes import broadcasts_to, same_rank
from plait.metrics.metric import Metric

Reduce = Callable[..., jax.Array]


def samplewise(
    values: Any, sample_weight: Any, reduce: Reduce, dtype: Any
) -> tuple[jax.Array, jax.Array | None]:
    """Return one weighted value per sample, and one weight per sample.

    Args:
        values: ``(n, ...)``.
        sample_weight: shaped as the first dimensions of `values`, or broadcastable to that; None
            for no weights.
        reduce: `jnp.sum` or `jnp.mean`, for the dimensions after the first.
        dtype: to compute in.

    Raises:
        ShapeError: the weights do not fit the values.
    """
    values = jnp.asarray(values, dtype)
    weights = None if sample_weight is None else jnp.asarray(sample_weight, dtype)
    if weights is not None:
        given = values.shape
        values, weights = same_rank(values, weights)
        rank = weights.ndim
        if values.ndim > rank:
            values = reduce(values, axis=tuple(range(rank, values.ndim)))
        if not broadcasts_to(weights.shape, values.shape):
            raise ShapeError(
                f"weights of shape {weights.shape} do not fit values of shape {given}.",
                details=[("values", given), ("sample_weight (or mask)", weights.shape)],
                fix=f"one weight per sample: sample_weight of shape {given[:1]}",
            )
        weights = jnp.broadcast_to(weights, values.shape)
        values = values * weights
        if rank > 1:
            weights = reduce(weights, axis=tuple(range(1, rank)))
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weights


class Sum(Metric):
    """Sum up values, weighted if weights are given.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.Sum()
        >>> metric.update_state([1.0, 3.0, 5.0], sample_weight=[1.0, 1.0, 0.0])
        >>> float(metric.result())
        4.0
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_sum("total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add a batch of values, ``(n, ...)`` or a scalar."""
        values, _ = samplewise(values, sample_weight, jnp.sum, self.dtype)
        self.accumulate(self.total, jnp.sum(values))

    def result(self) -> jax.Array:
        """Return the sum."""
        return self.total.value


class Mean(Metric):
    """Average values, weighted if weights are given.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.Mean()
        >>> metric.update_state([1.0, 3.0])
        >>> metric.update_state([8.0])
        >>> float(metric.result())
        4.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_sum("total")
        self.count = self.add_sum("count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in a batch of values, ``(n, ...)`` or a scalar.

        Values of more dimensions are averaged per sample first.
        """
        values, weights = samplewise(values, sample_weight, jnp.mean, self.dtype)
        self.accumulate(self.total, jnp.sum(values))
        samples = values.shape[0] if values.ndim else 1
        self.accumulate(self.count, samples if weights is None else jnp.sum(weights))

    def result(self) -> jax.Array:
        """Return the mean; 0 before the first value."""
        return divide_no_nan(self.total.value, self.count.value)


class MeanMetricWrapper(Mean):
    """Average what a function returns.

    Within a scope, the mask of the predictions multiplies the weights. Positions that the function
    itself leaves out (`ignore_class`) count as 0 without weights, and do not count with them, as in
    Keras.

    Args:
        fn: ``fn(y_true, y_pred, **kwargs)``, returning one value per sample or position; or the
            name of one of plait's loss or metric functions.
        name: default: that of the function.
        dtype: see `Metric`.
        kwargs: handed to `fn`.

    Example:
        >>> from plait import losses, metrics
        >>> metric = metrics.MeanMetricWrapper(losses.huber, delta=2.0)
        >>> metric.update_state([[0.0]], [[4.0]])
        >>> float(metric.result())
        6.0
    """

    def __init__(
        self,
        fn: Callable[..., Any] | str,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        self.fn = find_function(fn) if isinstance(fn, str) else fn
        super().__init__(name or getattr(self.fn, "__name__", None), dtype)
        self._fn_kwargs = kwargs

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take in a batch.

        Args:
            y_true: targets.
            y_pred: predictions.
            sample_weight: one weight per sample or per value of the function.

        Raises:
            ShapeError: targets, predictions or weights do not fit together.
        """
        weights = masked_weights(sample_weight, mask_of(y_pred), self.dtype)
        with keeping_masks():
            values = self.fn(y_true, y_pred, **self._fn_kwargs)
            mask = mask_of(values)
        if weights is not None and mask is not None:
            weights = masked_weights(weights, mask, self.dtype)
        super().update_state(values, weights)
