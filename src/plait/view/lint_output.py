"""Suspicions about what comes out of a model, and the loss that it is given to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plait import activations, layers, losses
from plait.errors import Location
from plait.graph import tree
from plait.graph.node import Node
from plait.graph.tensor import Shape, SymbolicTensor
from plait.training.objective import Objective
from plait.view.cost import graph_of
from plait.view.lint_graph import Suspicion, activation_of, is_linear

_MOVES = (layers.Flatten, layers.Reshape, layers.Permute, layers.Identity)
_DROPOUTS = (
    layers.Dropout,
    layers.AlphaDropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
)
_OF_CLASSES = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "categorical_focal_crossentropy",
)
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_EITHER = ("crossentropy", "ce")


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a model.

    Attributes:
        tensor: the symbolic tensor.
        users: how many calls take it too.
        loss: the name of the loss; None if it has none.
        from_logits: what the loss was told; None where it knows no logits.
        target: the shape of its targets, where data are given.
    """

    tensor: SymbolicTensor
    users: int
    loss: str | None
    from_logits: bool | None
    target: Shape | None

    @property
    def source(self) -> tuple[str, Node] | None:
        """The path and the call that computes it; layers that only move data are passed over."""
        prefix, tensor = "", self.tensor
        while tensor.node is not None and not tensor.node.is_input:
            node = tensor.node
            graph = graph_of(node.layer)
            if graph is not None:
                prefix += f"{node.layer.name}/"
                tensor = graph.outputs[tensor.index]
            elif isinstance(node.layer, _MOVES):
                tensor = node.inputs[0]
            else:
                return prefix + node.layer.name, node
        return None

    @property
    def activation(self) -> Any:
        """The function that it is the result of; `linear` for logits, None if not known."""
        if self.source is None:
            return None
        layer = self.source[1].layer
        if type(layer).__module__ == "plait.ops.operation":
            known = {f.__name__: f for f in (activations.softmax, activations.sigmoid)}
            return known.get(layer.function)
        found = activation_of(layer)
        return None if found is activations.linear and not is_linear(layer) else found

    @property
    def where(self) -> tuple[str, Location | None]:
        """The path and the line of what computes it."""
        assert self.source is not None
        return self.source[0], self.source[1].location

    def describe(self) -> str:
        """Return how messages name what computes it."""
        assert self.source is not None
        return self.source[1].describe()


def outputs_of(model: Any, loss: Any, targets: Any) -> list[Output]:
    """Return the outputs of a model with their losses.

    Args:
        model: a model with a graph.
        loss: what `compile` takes; None: what the model was compiled with.
        targets: what `fit` takes as `y`; None if not known.
    """
    objective = Objective(loss=model.objective.loss if loss is None else loss)
    names = model.output_names
    objective.check(names)
    given = objective.losses_by_position()
    truths = tree.flatten(targets) if targets is not None else []
    shapes = [tuple(truth.shape) if hasattr(truth, "shape") else None for truth in truths]
    if len(shapes) != len(names):
        shapes = [None] * len(names)
    taken = [tensor for node in model.graph.nodes for tensor in dict.fromkeys(node.inputs)]
    return [
        Output(tensor, sum(t is tensor for t in taken), *_read(chosen), shape)
        for tensor, chosen, shape in zip(model.graph.outputs, given, shapes, strict=True)
    ]


def _read(loss: Any) -> tuple[str | None, bool | None]:
    """Return the name of a loss and whether it takes logits; None where it knows none."""
    if loss is None:
        return None, None
    if isinstance(loss, str) and loss.lower() in _EITHER:
        return loss.lower(), False
    found = losses.get(loss)
    function = getattr(found, "fn", found)
    options = getattr(found, "_fn_kwargs", {})
    name = getattr(function, "__name__", type(found).__name__)
    if not getattr(function, "__module__", "").startswith("plait.losses"):
        return name, None
    knows = name in (*_OF_CLASSES, *_BINARY)
    return name, bool(options.get("from_logits", False)) if knows else None


def _name(function: Any) -> str:
    return str(function.__name__)


def activated_logits(output: Output) -> Iterator[Suspicion]:
    """A softmax or sigmoid in front of a loss that applies its own."""
    function = output.activation
    if output.from_logits and function in (activations.softmax, activations.sigmoid):
        yield Suspicion(
            output.where,
            f"{output.describe()} returns probabilities ({_name(function)}), but its loss "
            f"{output.loss} has from_logits=True and applies its own: gradients nearly vanish.",
            "from_logits=False, or activation=None in the layer",
        )


def bare_logits(output: Output) -> Iterator[Suspicion]:
    """Scores of any size in front of a loss that takes probabilities."""
    if output.from_logits is False and output.activation is activations.linear:
        wanted = {True: "sigmoid", False: "softmax"}[output.loss in _BINARY]
        classes = output.tensor.shape[-1] if output.tensor.shape else None
        if output.loss in _EITHER and classes == 1:
            wanted = "sigmoid"
        yield Suspicion(
            output.where,
            f"{output.describe()} returns scores of any size, but its loss {output.loss} takes "
            "probabilities (from_logits=False).",
            f"activation='{wanted}' in the layer, or from_logits=True in the loss",
        )


def sigmoid_of_classes(output: Output) -> Iterator[Suspicion]:
    """Independent probabilities in front of a loss that takes those of classes."""
    if output.loss not in _OF_CLASSES or output.activation is not activations.sigmoid:
        return
    one = bool(output.tensor.shape) and output.tensor.shape[-1] == 1
    yield Suspicion(
        output.where,
        f"{output.describe()} has a sigmoid, but its loss {output.loss} takes probabilities that "
        "sum to 1.",
        "loss='binary_crossentropy'"
        if one
        else "activation='softmax'; for several labels at once loss='binary_crossentropy'",
    )


def dropped_output(output: Output) -> Iterator[Suspicion]:
    """Dropout that nothing comes after."""
    node = output.tensor.node
    while node is not None and isinstance(
        node.layer, (*_MOVES, layers.Activation, layers.Softmax, layers.ReLU)
    ):
        node = node.inputs[0].node
    if node is None or not isinstance(node.layer, _DROPOUTS) or not node.layer.rate or output.users:
        return
    yield Suspicion(
        (node.layer.name, node.location),
        f"{node.describe()} has no layer after it: in training a share {node.layer.rate:g} of the "
        "outputs themselves is set to 0.",
        "put it before the last layer",
        None if output.loss is not None else "note",
    )


def class_per_pixel(output: Output) -> Iterator[Suspicion]:
    """A Dense layer that classifies every pixel, where one class an image may be meant."""
    source = output.source
    if source is None or output.loss not in (*_OF_CLASSES, *_EITHER):
        return
    path, node = source
    if isinstance(node.layer, layers.Activation | layers.Softmax) and node.inputs[0].node:
        node = node.inputs[0].node
        path = f"{path.rpartition('/')[0]}/{node.layer.name}".lstrip("/")
    if not isinstance(node.layer, layers.Dense) or node.inputs[0].ndim != 4:
        return
    shape, target = output.tensor.shape, output.target
    if len(shape) != 4 or (target is not None and len(target) >= 3):
        return
    yield Suspicion(
        (path, node.location),
        f"{node.describe()} is applied to {node.inputs[0].shape}: the model predicts one class "
        "per pixel.",
        "for one class per image put layers.GlobalAveragePooling2D() or layers.Flatten() before it",
        None if target is None else "warning",
    )
