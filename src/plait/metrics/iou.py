"""Intersection over union of predicted and true classes, for segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.errors import ConfigError, ShapeError
from plait.losses.numeric import EPSILON, computing_dtype
from plait.metrics.metric import Metric


class IoU(Metric):
    """Average ``tp / (tp + fp + fn)`` of some classes; classes never seen are left out.

    Unlike Keras', weights are not rounded to whole numbers.

    Args:
        num_classes: how many classes there are.
        target_class_ids: the classes to average.
        name: default: the class in snake case, numbered.
        dtype: see `Metric`; integer types stand for the default.
        ignore_class: a class number in the targets whose positions do not count.
        sparse_y_true: targets are class numbers, not one-hot.
        sparse_y_pred: predictions are class numbers, not scores.
        axis: where the classes of one-hot targets and scores are.

    Raises:
        ConfigError: a target class is none of the classes.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.IoU(num_classes=2, target_class_ids=[0])
        >>> metric.update_state([0, 0, 1, 1], [0, 1, 0, 1])
        >>> round(float(metric.result()), 4)
        0.3333
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(None if "int" in str(dtype) else dtype, name)
        if max(target_class_ids) >= num_classes:
            raise ConfigError(
                f"{type(self).__name__}: target class {max(target_class_ids)} is none of the "
                f"{num_classes} classes.",
                fix=f"target_class_ids between 0 and {num_classes - 1}",
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis
        self.total_cm = self.add_sum("total_confusion_matrix", (num_classes, num_classes))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch.

        Args:
            y_true: class numbers of any shape, or one-hot. Numbers that are none of the classes
                do not count.
            y_pred: class numbers, or scores.
            sample_weight: one weight per position, or a scalar.

        Raises:
            ShapeError: there is not one prediction for each target.
        """
        true = _classes(y_true, self.sparse_y_true, self.axis)
        pred = _classes(y_pred, self.sparse_y_pred, self.axis)
        if true.shape != pred.shape:
            raise ShapeError(
                f"{type(self).__name__} compares classes position by position, but there are "
                f"{true.size} targets and {pred.size} predictions.",
                details=[("y_true", np.shape(y_true)), ("y_pred", np.shape(y_pred))],
                fix="sparse_y_pred=False if predictions are scores; sparse_y_true=False if targets "
                "are one-hot",
            )
        classes = self.num_classes
        valid = (true >= 0) & (true < classes) & (pred >= 0) & (pred < classes)
        if self.ignore_class is not None:
            valid &= true != self.ignore_class
        weights = jnp.asarray(1.0 if sample_weight is None else sample_weight, self.dtype)
        weights = jnp.where(valid, weights.reshape(-1), 0)
        cells = jnp.where(valid, true * classes + pred, 0)
        matrix = jax.ops.segment_sum(weights, cells, classes * classes)
        self.accumulate(self.total_cm, matrix.reshape(classes, classes))

    def result(self) -> jax.Array:
        """Return the average; 0 before the first of these classes."""
        matrix = self.total_cm.value
        shared = jnp.diagonal(matrix)
        union = jnp.sum(matrix, axis=0) + jnp.sum(matrix, axis=1) - shared
        chosen = jnp.asarray(self.target_class_ids)
        shared, union = shared[chosen], union[chosen]
        seen = union > 1e-9
        ratios = jnp.where(seen, shared / (union + EPSILON), 0.0)
        return jnp.sum(ratios) / (jnp.sum(seen) + EPSILON)


class MeanIoU(IoU):
    """Average the intersection over union of all classes.

    Args:
        num_classes: how many classes there are.
        name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis: see `IoU`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.MeanIoU(num_classes=2)
        >>> metric.update_state([0, 0, 1, 1], [0, 1, 0, 1])
        >>> round(float(metric.result()), 4)
        0.3333
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )


class OneHotIoU(IoU):
    """Average the intersection over union of some classes, for one-hot targets and scores.

    Args:
        num_classes: how many classes there are.
        target_class_ids: the classes to average.
        name, dtype, ignore_class, sparse_y_pred, axis: see `IoU`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.OneHotIoU(num_classes=2, target_class_ids=[1])
        >>> metric.update_state([[1, 0], [0, 1]], [[0.4, 0.6], [0.1, 0.9]])
        >>> round(float(metric.result()), 4)
        0.5
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )


class OneHotMeanIoU(MeanIoU):
    """Average the intersection over union of all classes, for one-hot targets and scores.

    Args:
        num_classes: how many classes there are.
        name, dtype, ignore_class, sparse_y_pred, axis: see `IoU`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.OneHotMeanIoU(num_classes=2)
        >>> metric.update_state([[1, 0], [0, 1]], [[0.4, 0.6], [0.1, 0.9]])
        >>> round(float(metric.result()), 4)
        0.25
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)


class BinaryIoU(IoU):
    """Average the intersection over union of yes and no.

    Args:
        target_class_ids: 0 for no, 1 for yes, or both.
        threshold: a score at or above it is a yes.
        name, dtype: see `IoU`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.BinaryIoU(threshold=0.3)
        >>> metric.update_state([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7])
        >>> round(float(metric.result()), 4)
        0.3333
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch of targets of 0 and 1, and scores of the same shape."""
        yes = jnp.asarray(y_pred, computing_dtype()) >= self.threshold
        super().update_state(y_true, yes, sample_weight)


def _classes(values: Any, sparse: bool, axis: int) -> jax.Array:
    array = jnp.asarray(values)
    return (array if sparse else jnp.argmax(array, axis=axis)).astype("int32").reshape(-1)
