"""Small helpers with Keras' names."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np

from plait.core.naming import clear_session
from plait.core.random import set_random_seed
from plait.core.registry import (
    custom_object_scope,
)
from plait.core.registry import (
    register_serializable as register_keras_serializable,
)
from plait.errors import DataError
from plait.preprocessing.sequence import pad_sequences
from plait.training.data import PyDataset
from plait.training.data import unpack as unpack_x_y_sample_weight
from plait.view.dot import RankDir
from plait.view.plot import plot

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


def plot_model(
    model: Any,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: RankDir = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "spline",
) -> pathlib.Path:
    """Draw a model to an image, and return its path; `Model.plot` shows more.

    Keras' wires are made of right angles, on which Graphviz writes no shapes: ``splines="ortho"``.

    Args:
        model: a model with a graph.
        to_file: an ``.svg``, ``.png`` or ``.dot``; an ``.html`` page shows everything anyway.
        show_shapes: whether wires show the shapes of tensors.
        show_dtype: whether wires show their dtypes.
        show_layer_names: whether boxes show the names of layers.
        rankdir: "TB" from top to bottom, "LR" from left to right; "BT" and "RL" backwards.
        expand_nested: whether models within are drawn as clusters of their layers.
        dpi: how many dots an inch of an image has.
        show_layer_activations: whether boxes show the activations built into layers.
        show_trainable: whether boxes show which layers are trained.
        splines: how wires are drawn: "spline", "ortho", "polyline", "line".

    Raises:
        NotBuiltError: the model has no graph.
        ConfigError: the ending of the file is none of these.
        EngineError: there is no Graphviz, or it failed.
    """
    if pathlib.Path(to_file).suffix.lower() == ".html":
        return plot(model, to_file)
    return plot(
        model,
        to_file,
        shapes=show_shapes,
        dtypes=show_dtype,
        names=show_layer_names,
        params=False,
        activations=show_layer_activations,
        trainable=show_trainable,
        nested=expand_nested,
        rankdir=rankdir,
        splines=splines,
        dpi=dpi,
    )


__all__ = [
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "normalize",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
