"""Checks of data against a model, made before a step runs: the first look at every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from plait.core import calling
from plait.core.infer import infer
from plait.errors import DataError, ShapeError
from plait.graph import tree
from plait.training.data import Source

if TYPE_CHECKING:
    from plait.models.model import Model

_SPARSE = "sparse_categorical_crossentropy"
_BINARY = "binary_crossentropy"


class Checker:
    """Checks the batches of one epoch.

    Shapes are looked at once; labels once for all if the targets are in memory, else in each batch.

    Args:
        model: the model that the batches are for.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._seen = False
        self._specs: list[Any] = []
        self._whole = False

    def __call__(self, batch: Any, source: Source) -> None:
        """Check one batch.

        Raises:
            DataError: a wrong number, name or label.
            ShapeError: a shape that does not fit.
        """
        x, y, _ = batch
        objective = self.model.objective
        if (self._seen and self._whole) or not self.model.computes:
            return
        targets = y
        if not self._seen:
            calling.ensure_built(self.model, (x,), {})
            specs = infer(self.model, (x,), {})
            self._specs = tree.flatten(specs)
            objective.know_outputs(specs, self.model.known_output_names)
            self._whole = source.targets is not None
            targets = source.targets if self._whole else y
            self._seen = True
        if y is None:
            return
        losses = objective.losses_by_position()
        for name, loss, spec, target in zip(
            objective.names, losses, self._specs, objective.match(targets, "targets"), strict=True
        ):
            if target is None or loss is None or spec is None:
                continue
            self._check_output(name, loss, spec, target)

    def _check_output(self, name: str, loss: Any, spec: Any, target: Any) -> None:
        kind = _kind(loss, spec.shape, target)
        shape = tuple(target.shape)
        if kind == _SPARSE:
            labels_rank = len(shape) - (len(shape) == len(spec.shape) and shape[-1] == 1)
            if labels_rank == 1 and len(spec.shape) > 2:
                self._raise_per_position(name, spec.shape, shape)
            self._check_labels(name, loss, spec.shape[-1], target)
        elif kind == _BINARY:
            low, high = _extremes(target)
            if low < 0 or high > 1:
                raise DataError(
                    f"output '{name}': binary_crossentropy takes targets from 0 to 1; received "
                    f"{low:g} to {high:g}.",
                    fix="for -1 and 1 use loss='hinge'; for class numbers use Dense(classes, "
                    "activation='softmax') with loss='sparse_categorical_crossentropy'",
                )

    def _check_labels(self, name: str, loss: Any, classes: int | None, target: Any) -> None:
        if classes is None:
            return
        ignored = getattr(loss, "ignore_class", None)
        array = np.asarray(target)
        if ignored is not None:
            array = array[array != ignored]
        low, high = _extremes(array)
        if np.isnan(low) or low < 0 or high >= classes:
            wrong = low if low < 0 or np.isnan(low) else high
            one_based = low == 1 and high == classes
            raise DataError(
                f"output '{name}' has {classes} classes (0 to {classes - 1}), but a target is "
                f"class number {wrong:g}.",
                fix="count classes from 0: y - 1"
                if one_based
                else f"make the last layer wider (Dense({int(high) + 1})), or correct the labels"
                if high >= classes and np.isfinite(high)
                else "correct the labels",
            )

    def _raise_per_position(self, name: str, output: Any, target: Any) -> None:
        model, output = self.model, (None, *output[1:])
        what = "pixel" if len(output) == 4 else "step" if len(output) == 3 else "position"
        last = ""
        if model.has_graph:
            tensor = model.outputs[objective_index(model, name)]
            if tensor.node is not None:
                last = f" before {tensor.node.describe()}"
        pooling = {3: "GlobalAveragePooling1D", 5: "GlobalAveragePooling3D"}.get(
            len(output), "GlobalAveragePooling2D"
        )
        raise ShapeError(
            f"output '{name}' is {output} but its targets are {target} class numbers: the model "
            f"predicts one class per {what}.",
            fix=f"put layers.{pooling}() or layers.Flatten(){last}",
        )


def objective_index(model: Model, name: str) -> int:
    """Return the position of an output by name."""
    return model.output_names.index(name)


def _kind(loss: Any, output: Any, target: Any) -> str:
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    name = name or getattr(loss, "__name__", "")
    text = str(name).replace("_", "").lower()
    if isinstance(loss, str) and text in ("crossentropy", "ce"):
        if output[-1] == 1:
            return _BINARY
        return _SPARSE if len(target.shape) < len(output) else ""
    cls = type(loss).__name__
    if text == "sparsecategoricalcrossentropy" or cls == "SparseCategoricalCrossentropy":
        return _SPARSE
    if text in ("binarycrossentropy", "bce") or cls == "BinaryCrossentropy":
        return _BINARY
    return ""


def _extremes(target: Any) -> tuple[float, float]:
    array = np.asarray(target)
    if array.size == 0:
        return 0.0, 0.0
    return float(array.min()), float(array.max())
