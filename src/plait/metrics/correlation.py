"""How strongly targets and predictions go together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.numeric import EPSILON
from plait.losses.shapes import paired
from plait.metrics.reduction import MeanMetricWrapper


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> jax.Array:
    """Return the covariance over the product of the standard deviations, along `axis`."""
    true, pred = paired("pearson_correlation", y_true, y_pred)
    return jnp.mean(_standard(true, axis) * _standard(pred, axis), axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> jax.Array:
    """Return Lin's coefficient along `axis`: correlation that also asks for equal size and place.

    ``2 * covariance / (var(y_true) + var(y_pred) + (mean(y_true) - mean(y_pred))**2)`` (Lin, 1989).
    """
    true, pred = paired("concordance_correlation", y_true, y_pred)
    true_mean, pred_mean = (jnp.mean(y, axis=axis, keepdims=True) for y in (true, pred))
    covariance = jnp.mean((true - true_mean) * (pred - pred_mean), axis=axis)
    spread = jnp.var(true, axis=axis) + jnp.var(pred, axis=axis)
    offset = jnp.squeeze(true_mean - pred_mean, axis)
    return 2.0 * covariance / (spread + jnp.square(offset) + EPSILON)


def _standard(y: jax.Array, axis: int) -> jax.Array:
    centred = y - jnp.mean(y, axis=axis, keepdims=True)
    return centred / jnp.std(centred, axis=axis, keepdims=True)


class PearsonCorrelation(MeanMetricWrapper):
    """Average Pearson's correlation of targets and predictions.

    Args:
        name: the name.
        dtype: see `Metric`.
        axis: along which they are correlated.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.PearsonCorrelation()
        >>> metric.update_state([[0.0, 1.0, 2.0]], [[0.0, 2.0, 4.0]])
        >>> round(float(metric.result()), 4)
        1.0
    """

    def __init__(
        self, name: str = "pearson_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """Average Lin's concordance correlation of targets and predictions.

    Args:
        name: the name.
        dtype: see `Metric`.
        axis: along which they are correlated.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.ConcordanceCorrelation()
        >>> metric.update_state([[0.0, 1.0, 2.0]], [[0.0, 2.0, 4.0]])
        >>> round(float(metric.result()), 4)
        0.6154
    """

    def __init__(
        self, name: str = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
