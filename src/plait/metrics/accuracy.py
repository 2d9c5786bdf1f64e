"""How often predictions are right."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.numeric import computing_dtype
from plait.losses.shapes import check_paired, paired, paired_classes, same_rank
from plait.metrics.reduction import MeanMetricWrapper


def accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """Return 1 where a prediction equals its target, else 0, value by value.

    Raises:
        ShapeError: the shapes differ by more than a last dimension of 1.
    """
    true, pred = same_rank(jnp.asarray(y_true), jnp.asarray(y_pred))
    check_paired("accuracy", true.shape, pred.shape)
    return (true == pred).astype(computing_dtype())


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> jax.Array:
    """Return 1 where ``y_pred > threshold`` agrees with a target of 0 or 1, value by value.

    Raises:
        ShapeError: the shapes differ by more than a last dimension of 1.
    """
    true, pred = paired("binary_accuracy", y_true, y_pred)
    return (true == (pred > threshold)).astype(true.dtype)


def categorical_accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """Return 1 where the largest score is at the largest target, along the last dimension.

    Args:
        y_true: one-hot targets, shaped as `y_pred`.
        y_pred: scores, ``(n, ..., classes)``.

    Raises:
        ShapeError: the shapes differ.
    """
    true, pred = paired("categorical_accuracy", y_true, y_pred)
    return (jnp.argmax(true, axis=-1) == jnp.argmax(pred, axis=-1)).astype(pred.dtype)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """Return 1 where the largest score is that of the class, along the last dimension.

    Args:
        y_true: class numbers, ``(n, ...)`` or ``(n, ..., 1)``.
        y_pred: scores, ``(n, ..., classes)``.

    Raises:
        ShapeError: there is not one class number for each row of scores.
    """
    true, pred = paired_classes("sparse_categorical_accuracy", y_true, y_pred)
    matches = (true == jnp.argmax(pred, axis=-1)).astype(pred.dtype)
    if matches.ndim > 1 and matches.shape[-1] == 1:
        matches = jnp.squeeze(matches, -1)
    return matches


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> jax.Array:
    """Return 1 where the class of a one-hot target has one of the `k` largest scores.

    Args:
        y_true: one-hot targets, shaped as `y_pred`.
        y_pred: scores, ``(n, ..., classes)``.
        k: how many scores count as right.

    Raises:
        ShapeError: the shapes differ.
    """
    true, pred = paired("top_k_categorical_accuracy", y_true, y_pred)
    return _in_top_k(jnp.argmax(true, axis=-1), pred, k)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> jax.Array:
    """Return 1 where a class is among the `k` largest scores.

    Args:
        y_true: class numbers, ``(n, ...)`` or ``(n, ..., 1)``.
        y_pred: scores, ``(n, ..., classes)``.
        k: how many scores count as right.
        from_sorted_ids: `y_pred` are class numbers, best first, instead of scores.

    Raises:
        ShapeError: there is not one class number for each row.
    """
    true, pred = paired_classes("sparse_top_k_categorical_accuracy", y_true, y_pred)
    if from_sorted_ids:
        return jnp.any(true[..., None] == pred[..., :k], axis=-1).astype(pred.dtype)
    return _in_top_k(true.astype("int32"), pred, k)


def _in_top_k(classes: jax.Array, scores: jax.Array, k: int) -> jax.Array:
    own = jnp.take_along_axis(scores, classes[..., None], axis=-1)
    own = jnp.where(jnp.isnan(own), -jnp.inf, own)
    return (jnp.sum(scores > own, axis=-1) < k).astype(scores.dtype)


class Accuracy(MeanMetricWrapper):
    """Average how often predictions equal targets.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.Accuracy()
        >>> metric.update_state([1, 2, 3, 4], [0, 2, 3, 4])
        >>> float(metric.result())
        0.75
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """Average how often ``y_pred > threshold`` agrees with targets of 0 and 1.

    Args:
        name: the name.
        dtype: see `Metric`.
        threshold: above it a prediction means 1.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.BinaryAccuracy()
        >>> metric.update_state([1, 1, 0, 0], [0.9, 0.4, 0.3, 0.2])
        >>> float(metric.result())
        0.75
    """

    def __init__(
        self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """Average how often the largest score is that of a one-hot target.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.CategoricalAccuracy()
        >>> metric.update_state([[0, 1], [1, 0]], [[0.1, 0.9], [0.4, 0.6]])
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """Average how often the largest score is that of the class.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.SparseCategoricalAccuracy()
        >>> metric.update_state([1, 0], [[0.1, 0.9], [0.4, 0.6]])
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """Average how often the class of a one-hot target has one of the `k` largest scores.

    Args:
        k: how many scores count as right.
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.TopKCategoricalAccuracy(k=2)
        >>> metric.update_state([[0, 1, 0], [0, 0, 1]], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
        >>> float(metric.result())
        0.5
    """

    def __init__(
        self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """Average how often a class is among the `k` largest scores.

    Args:
        k: how many scores count as right.
        name: the name.
        dtype: see `Metric`.
        from_sorted_ids: predictions are class numbers, best first, instead of scores.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.SparseTopKCategoricalAccuracy(k=2)
        >>> metric.update_state([1, 2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
        >>> float(metric.result())
        0.5
    """

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(
            sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids
        )
