"""Small helpers with Keras' names."""

from __future__ import annotations

from typing import Any

import numpy as np

from plait.core.naming import clear_session
from plait.core.random import set_random_seed
from plait.core.registry import (
    custom_object_scope,
    register_serializable as register_keras_serializable,
)
from plait.errors import DataError
from plait.training.data import PyDataset
from plait.training.data import unpack as unpack_x_y_sample_weight

Sequence = PyDataset


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Return class numbers as one-hot rows.

    Args:
        x: whole numbers from 0; a last axis of size 1 is dropped.
        num_classes: default: the largest number plus one.

    Raises:
        DataError: a number is negative or too large.

    Example:
        >>> to_categorical([0, 2], num_classes=3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = np.asarray(x).astype("int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max()) + 1
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"class number {wrong} is not one of {num_classes} classes, from 0.")
    return np.eye(num_classes, dtype="float32")[labels]


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """Return `x` divided by its norm of an order along an axis; zero rows stay zero."""
    array = np.atleast_1d(np.asarray(x))
    norm = np.atleast_1d(np.linalg.norm(array, order, axis))
    norm[norm == 0] = 1
    return array / np.expand_dims(norm, axis)


__all__ = [
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "normalize",
    "register_keras_serializable",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
