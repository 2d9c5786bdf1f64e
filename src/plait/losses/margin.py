"""Losses of margins: hinge losses for targets of -1 and 1, or one-hot."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.loss import LossFunction
from plait.losses.shapes import paired


def hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the mean of ``max(1 - y_true * y_pred, 0)`` over the last dimension.

    Targets are -1 and 1; if all of them are 0 or 1, 0 is read as -1.
    """
    y_true, y_pred = paired("hinge", y_true, y_pred)
    return jnp.mean(_margin(y_true, y_pred), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the mean of ``max(1 - y_true * y_pred, 0)**2``; targets as for `hinge`."""
    y_true, y_pred = paired("squared_hinge", y_true, y_pred)
    return jnp.mean(jnp.square(_margin(y_true, y_pred)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """Return ``max(neg - pos + 1, 0)`` for one-hot targets.

    ``pos = sum(y_true * y_pred)`` and ``neg = max((1 - y_true) * y_pred)``, over the last
    dimension.
    """
    y_true, y_pred = paired("categorical_hinge", y_true, y_pred)
    positive = jnp.sum(y_true * y_pred, axis=-1)
    negative = jnp.max((1.0 - y_true) * y_pred, axis=-1)
    return jnp.maximum(negative - positive + 1.0, 0.0)


def _margin(y_true: jax.Array, y_pred: jax.Array) -> jax.Array:
    binary = jnp.all((y_true == 0) | (y_true == 1))
    signs = jnp.where(binary, 2.0 * y_true - 1.0, y_true)
    return jnp.maximum(1.0 - signs * y_pred, 0.0)


class Hinge(LossFunction):
    """Ask of a prediction the sign of its target and a size of at least 1.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.Hinge()([[-1.0, 1.0]], [[-2.0, 0.5]]))
        0.25
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunction):
    """Compare by the square of what is missing to a margin of 1.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.SquaredHinge()([[-1.0, 1.0]], [[-2.0, 0.5]]))
        0.125
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunction):
    """Ask that the right class leads every other one by at least 1.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.0]]))
        0.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(categorical_hinge, reduction, name, dtype)
