"""Crossentropies of class numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.errors import ConfigError
from plait.losses.loss import LossFunction
from plait.losses.masks import attach_mask
from plait.losses.numeric import log_probability
from plait.losses.shapes import paired_classes


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> jax.Array:
    """Return ``-log(p[class])``.

    A class number that is none of the classes costs 0, as in Keras.

    Args:
        y_true: class numbers, ``(n, ...)`` or ``(n, ..., 1)``.
        y_pred: probabilities or logits, ``(n, ..., classes)``.
        from_logits: `y_pred` are logits.
        ignore_class: a class number whose positions cost 0, and, inside a `Loss`, do not count in
            the mean.
        axis: where the classes are.

    Raises:
        ShapeError: there is not one class number for each row of scores.
    """
    y_true, y_pred = paired_classes("sparse_categorical_crossentropy", y_true, y_pred, axis)
    log_p = log_probability(y_pred, from_logits, axis)
    chosen = jax.nn.one_hot(y_true.astype("int32"), y_pred.shape[axis], axis=axis, dtype=jnp.bool_)
    if ignore_class is None:
        return -jnp.sum(jnp.where(chosen, log_p, 0.0), axis=axis)
    counted = y_true != ignore_class
    chosen &= jnp.expand_dims(counted, axis)
    losses = -jnp.sum(jnp.where(chosen, log_p, 0.0), axis=axis)
    attach_mask(losses, counted)
    return losses


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> jax.Array:
    """Return ``(1 - p[class]**q) / q``, which forgives wrong labels (Zhang and Sabuncu, 2018).

    Args:
        y_true: class numbers, ``(n, ...)`` or ``(n, ..., 1)``.
        y_pred: probabilities, ``(n, ..., classes)``.
        q: towards 0 it is the crossentropy, at 1 the absolute error.
    """
    y_true, y_pred = paired_classes("categorical_generalized_cross_entropy", y_true, y_pred)
    chosen = jax.nn.one_hot(y_true.astype("int32"), y_pred.shape[-1], dtype=y_pred.dtype)
    return (1.0 - jnp.sum(y_pred * chosen, axis=-1) ** q) / q


class SparseCategoricalCrossentropy(LossFunction):
    """Compare class numbers with class probabilities.

    Args:
        from_logits: predictions are logits, not probabilities.
        ignore_class: a class number that does not count.
        axis: where the classes are.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> round(float(loss([1], [[1.0, 2.0]])), 4)
        0.3133
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )


class CategoricalGeneralizedCrossEntropy(LossFunction):
    """Compare class numbers with probabilities, forgiving wrong labels.

    Args:
        q: in (0, 1); the nearer to 1, the more forgiving.
        reduction, name, dtype: see `Loss`.

    Raises:
        ConfigError: `q` is not in (0, 1).

    Example:
        >>> from plait import losses
        >>> loss = losses.CategoricalGeneralizedCrossEntropy(q=0.5)
        >>> round(float(loss([1], [[0.75, 0.25]])), 4)
        1.0
    """

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ConfigError(f"q is {q}, but lies between 0 and 1.", fix="q=0.5")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
