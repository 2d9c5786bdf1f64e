"""Losses of overlapping areas, for segmentation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.loss import LossFunction
from plait.losses.numeric import EPSILON
from plait.losses.shapes import paired

Axes = int | tuple[int, ...] | list[int] | None


def dice(y_true: Any, y_pred: Any, axis: Axes = None) -> jax.Array:
    """Return ``1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))`` over `axis`.

    Args:
        y_true: targets in [0, 1].
        y_pred: predictions in [0, 1].
        axis: over which areas are measured; None: over everything, the batch included.
    """
    y_true, y_pred = paired("dice", y_true, y_pred)
    axis = _axes(axis)
    shared = jnp.sum(y_true * y_pred, axis=axis)
    areas = jnp.sum(y_true, axis=axis) + jnp.sum(y_pred, axis=axis)
    return 1.0 - 2.0 * shared / (areas + EPSILON)


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Axes = None
) -> jax.Array:
    """Return ``1 - tp / (tp + alpha * missed + beta * invented)`` (Salehi et al., 2017).

    As in Keras, `alpha` weighs what is in `y_true` and not in `y_pred`.

    Args:
        y_true: targets in [0, 1].
        y_pred: predictions in [0, 1].
        alpha: weight of what was missed.
        beta: weight of what was invented.
        axis: over which areas are measured; None: over everything, the batch included.
    """
    y_true, y_pred = paired("tversky", y_true, y_pred)
    axis = _axes(axis)
    shared = jnp.sum(y_true * y_pred, axis=axis)
    missed = jnp.sum((1.0 - y_pred) * y_true, axis=axis)
    invented = jnp.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - shared / (shared + alpha * missed + beta * invented + EPSILON)


def _axes(axis: Axes) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, list) else axis


class Dice(LossFunction):
    """Compare two areas by how much of both they share.

    Args:
        axis: over which areas are measured; None: over everything, the batch included.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.Dice()([[0.0, 1.0]], [[1.0, 1.0]])), 4)
        0.3333
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice",
        axis: Axes = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunction):
    """Compare two areas, weighing what was missed and what was invented.

    Args:
        alpha: weight of what was missed.
        beta: weight of what was invented.
        axis: over which areas are measured; None: over everything, the batch included.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.Tversky(beta=1.0)([[0.0, 1.0]], [[1.0, 1.0]])), 4)
        0.5
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "tversky",
        axis: Axes = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
