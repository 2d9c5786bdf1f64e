"""Checks of data against a model, made before a step runs on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from plait import losses
from plait.core import calling
from plait.core.infer import infer
from plait.core.spec import TensorSpec
from plait.errors import DataError, ShapeError
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.tensor import Shape, SymbolicTensor
from plait.layers.embedding import Embedding
from plait.losses.shapes import check_paired
from plait.training.blocks import Block
from plait.training.data import Batch, Position, Source

if TYPE_CHECKING:
    from plait.models.model import Model

_FAMILIES = ("crossentropy", "margin", "overlap", "probabilistic", "regression", "sparse")


class CheckedSource:
    """Batches that fit a model, or an error that names the input or output.

    Shapes are looked at in the first batch. Labels, and numbers that `Embedding` looks up, are
    looked at all together, before that batch is given, if the data are in memory, else batch by
    batch.

    Args:
        source: where the batches come from.
        model: the model that they are for.
        class_weight: as `fit` takes it; its classes are compared with those of the outputs.

    Attributes are those of `Source`.
    """

    def __init__(self, source: Source, model: Model, class_weight: Any = None) -> None:
        self._source, self._model, self._class_weight = source, model, class_weight
        self.num_batches = source.num_batches
        self.inputs, self.targets = source.inputs, source.targets
        self.batch_size, self.rows = source.batch_size, source.rows
        self.whole_batches = source.whole_batches
        self._specs: list[Any] = []
        self._shapes: list[Shape] | None = None

    def restart(self) -> None:
        """Let the next epoch begin with the first batch, if that can be had again."""
        self._source.restart()

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch.

        Raises:
            DataError: a wrong number, name or label.
            ShapeError: a shape that does not fit.
        """
        for batch in self._source.epoch():
            if self._model.computes:
                self._check(batch)
            yield batch

    def blocks(self, length: Callable[[], int], early: bool) -> Iterator[Block]:
        """Yield the batches of the next epoch in blocks, as `Source.blocks`.

        Raises:
            DataError: a wrong number, name or label.
            ShapeError: a shape that does not fit.
        """
        for block in self._source.blocks(length, early):
            if block.batches == 1 and self._model.computes:
                self._check(tree.map_structure(_first, block.data))
            yield block

    def samples(self, length: int) -> list[Block]:
        """Return a block of each kind that `blocks` yields, without their values."""
        return self._source.samples(length)

    def peek(self) -> Batch:
        """Return a batch to look at, without taking it.

        Raises:
            DataError: a wrong number, name or label.
            ShapeError: a shape that does not fit.
        """
        batch = self._source.peek()
        if self._model.computes:
            self._check(batch)
        return batch

    def position(self, done: int | None = None) -> Position:
        """Return where the data stand after `done` batches of this epoch; None: it is over."""
        return self._source.position(done)

    def resume(self, position: Position, done: int) -> None:
        """Let the next epoch go on where another run stood after `done` of its batches."""
        self._source.resume(position, done)

    def describe(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on with these data, in words."""
        return self._source.describe()

    def _check(self, batch: Batch) -> None:
        x, y, _ = batch
        objective, whole = self._model.objective, self.targets is not None
        if self._shapes is not None and whole:
            return
        shapes = [tuple(leaf.shape[1:]) for leaf in tree.flatten(x) if leaf is not None]
        if shapes != self._shapes:
            specs = self._output_specs(x)
            objective.know_outputs(specs, self._model.known_output_names)
            self._specs, self._shapes = objective.predictions(specs), shapes
        if self._model.has_graph:
            self._check_lookups(self.inputs if whole else x)
        if y is None or not self._model.compiled:
            return
        targets = objective.match_targets(self.targets if whole else y)
        for name, loss, spec, target in zip(
            objective.names, objective.losses_by_position(), self._specs, targets, strict=True
        ):
            if target is not None and loss is not None and spec is not None:
                self._check_output(name, loss, spec, target)

    def _output_specs(self, x: Any) -> Any:
        model = self._model
        calling.ensure_built(model, (x,), {})
        if model.has_graph:
            one_sample = [tensor.shape[1:] for tensor in model.inputs]
            x = tree.map_structure(lambda leaf: _any_batch(leaf, one_sample), x)
        return infer(model, (x,), {})

    def _check_output(self, name: str, given: Any, spec: TensorSpec, target: Any) -> None:
        true: Shape = (None, *target.shape[1:])
        pred: Shape = (None, *spec.shape[1:])
        loss = losses.for_output(given, true, pred)
        function = getattr(loss, "fn", None)
        room, _, family = getattr(function, "__module__", "").rpartition(".")
        if room != "plait.losses" or family not in _FAMILIES:
            return
        if "crossentropy" in function.__name__:  # type: ignore[union-attr]
            self._check_class_weight(name, 2 if pred[-1] == 1 else pred[-1])
        if family == "sparse":
            options = loss._fn_kwargs  # type: ignore[union-attr]
            axis = options.get("axis", -1)
            self._check_one_number(name, tuple(target.shape), pred, axis)
            self._check_labels(name, target, pred[axis], options.get("ignore_class"))
            return
        try:
            check_paired(function.__name__, _same_rank(true, pred), pred)  # type: ignore[arg-type,union-attr]
        except ShapeError as error:
            raise error.at(f"output '{name}':") from None
        low, high = _extremes(name, target)
        if function.__name__ == "binary_crossentropy" and (low < 0 or high > 1):  # type: ignore[union-attr]
            raise DataError(
                f"output '{name}': binary_crossentropy takes targets from 0 to 1; received "
                f"{low:g} to {high:g}.",
                fix="for -1 and 1 use loss='hinge'; for class numbers use Dense(classes, "
                "activation='softmax') with loss='sparse_categorical_crossentropy'",
            )

    def _check_lookups(self, x: Any) -> None:
        model = self._model
        tables = _tables(model.graph)
        if not tables:
            return
        names = model.input_names
        flat = [x.get(name) for name in names] if isinstance(x, Mapping) else tree.flatten(x)
        for index, array in enumerate(flat):
            if index not in tables or type(array) is not np.ndarray or array.size == 0:
                continue
            layer, low, high = tables[index], array.min(), array.max()
            if low >= 0 and high < layer.input_dim:
                continue
            fix = "begin with 0: a negative number is no row"
            if low >= 0:
                fix = f"make it larger, Embedding({int(high) + 1}, ...), or correct the numbers"
            raise DataError(
                f"input '{names[index]}' is looked up in {layer.describe()}, which has "
                f"rows 0 to {layer.input_dim - 1}, but it holds {low if low < 0 else high:g}.",
                fix=fix,
            )

    def _check_class_weight(self, name: str, classes: int | None) -> None:
        given = self._class_weight
        if isinstance(given, Mapping) and any(isinstance(key, str) for key in given):
            given = given.get(name)
        if classes is None or not isinstance(given, Mapping):
            return
        wrong = [label for label in given if not 0 <= label < classes]
        if wrong:
            raise DataError(
                f"output '{name}' has {classes} classes (0 to {classes - 1}), but class_weight "
                f"names class {wrong[0]}.",
                fix="leave it out of class_weight",
            )

    def _check_labels(
        self, name: str, target: Any, classes: int | None, ignored: int | None
    ) -> None:
        if classes is None:
            return
        array = np.asarray(target)
        if ignored is not None:
            array = array[array != ignored]
        low, high = _extremes(name, array)
        if low >= 0 and high < classes:
            return
        wrong = low if low < 0 else high
        fix = "correct the labels"
        if low == 1 and high == classes:
            fix = "count classes from 0: y - 1"
        elif high >= classes and np.isfinite(high):
            fix = f"make the last layer wider (Dense({int(high) + 1})), or correct the labels"
        raise DataError(
            f"output '{name}' has {classes} classes (0 to {classes - 1}), but a target is "
            f"class number {wrong:g}.",
            fix=fix,
        )

    def _check_one_number(self, name: str, given: Shape, pred: Shape, axis: int) -> None:
        positions = list(pred)
        positions.pop(axis)
        true = (None, *given[1:])
        if true in (tuple(positions), (*positions, 1)):
            return
        if len(pred) > 2 and true in ((None,), (None, 1)):
            self._raise_per_position(name, pred, given)
        raise ShapeError(
            f"output '{name}' is {pred}, so it takes class numbers {tuple(positions)}; its targets "
            f"are {true}.",
            fix="one-hot targets go with loss='categorical_crossentropy'"
            if true == pred
            else "give one class number for each row of scores",
        )

    def _raise_per_position(self, name: str, pred: Shape, true: Shape) -> None:
        model = self._model
        what = "pixel" if len(pred) == 4 else "step" if len(pred) == 3 else "position"
        last = ""
        if model.has_graph:
            tensor = model.outputs[model.output_names.index(name)]
            if tensor.node is not None:
                last = f" before {tensor.node.describe()}"
        pooling = {3: "GlobalAveragePooling1D", 5: "GlobalAveragePooling3D"}.get(
            len(pred), "GlobalAveragePooling2D"
        )
        raise ShapeError(
            f"output '{name}' is {pred} but its targets are {true} class numbers: the model "
            f"predicts one class per {what}.",
            fix=f"put layers.{pooling}() or layers.Flatten(){last}",
        )


def _tables(graph: Graph) -> dict[int, Embedding]:
    """Return the embedding that each input of a graph is looked up in, by the input's position."""
    found = {}
    positions = {tensor: index for index, tensor in enumerate(graph.inputs)}
    for node in graph.nodes:
        within: dict[int, Embedding] = {}
        if isinstance(node.layer, Embedding):
            within = {0: node.layer}
        elif getattr(node.layer, "has_graph", False):
            within = _tables(node.layer.graph)
        for index, layer in within.items():
            if node.inputs[index] in positions:
                found[positions[node.inputs[index]]] = layer
    return found


def _first(leaf: Any) -> Any:
    return None if leaf is None else leaf[0]


def _any_batch(leaf: Any, one_sample: list[Shape]) -> Any:
    """Return an input of unknown batch size; one that lacks the batch axis stays as it is."""
    if leaf is None or tuple(leaf.shape) in one_sample:
        return leaf
    return SymbolicTensor((None, *leaf.shape[1:]), np.dtype(leaf.dtype).name)


def _same_rank(true: Shape, pred: Shape) -> Shape:
    """Return the shape of targets after Keras' rule for a last axis of 1."""
    if len(true) == len(pred) - 1 and pred[-1] == 1:
        return (*true, 1)
    if len(true) == len(pred) + 1 and true[-1] == 1:
        return true[:-1]
    return true


def _extremes(name: str, target: Any) -> tuple[float, float]:
    array = np.asarray(target)
    if array.size == 0:
        return 0.0, 0.0
    low, high = float(array.min()), float(array.max())
    if np.isnan(low):
        sample = int(np.argwhere(np.isnan(array))[0][0])
        raise DataError(
            f"output '{name}': its targets hold NaN (sample {sample}).",
            fix="drop or fill these samples; their loss would be NaN, and then every weight",
        )
    return low, high
