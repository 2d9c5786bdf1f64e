"""Losses of distributions: divergence and Poisson likelihood."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.loss import LossFunction
from plait.losses.numeric import EPSILON
from plait.losses.shapes import paired


def kl_divergence(y_true: Any, y_pred: Any) -> jax.Array:
    """Return ``sum(y_true * log(y_true / y_pred))`` over the last dimension.

    Both are kept within [1e-7, 1].
    """
    y_true, y_pred = paired("kl_divergence", y_true, y_pred)
    true, pred = (jnp.clip(y, EPSILON, 1.0) for y in (y_true, y_pred))
    return jnp.sum(true * jnp.log(true / pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the mean of ``y_pred - y_true * log(y_pred + 1e-7)`` over the last dimension."""
    y_true, y_pred = paired("poisson", y_true, y_pred)
    return jnp.mean(y_pred - y_true * jnp.log(y_pred + EPSILON), axis=-1)


class KLDivergence(LossFunction):
    """Compare two distributions by the Kullback-Leibler divergence.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.KLDivergence()([[0.5, 0.5]], [[0.9, 0.1]])), 4)
        0.5108
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(LossFunction):
    """Compare counts with a predicted rate by the Poisson likelihood.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.Poisson()([[1.0, 2.0]], [[1.0, 2.0]])), 4)
        0.8069
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(poisson, reduction, name, dtype)
