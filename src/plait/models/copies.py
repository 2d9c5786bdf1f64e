"""Models made like another: with the same layers, copies of them, or others that fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plait.core.layer import Layer
from plait.core.walk import variables_by_path
from plait.errors import ConfigError, GraphError
from plait.graph import tree
from plait.graph.edit import Draft
from plait.graph.graph import Graph
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import Input

if TYPE_CHECKING:
    from plait.models.model import Model


def rebuilt(graph: Graph, make: Callable[[Layer], Layer]) -> Graph:
    """Return a graph of the same form with other layers: ``make(layer)`` in place of each."""
    draft = Draft(graph, "the copy")
    layers: dict[Layer, Layer] = {}
    for call in draft.calls():
        if call.tensors is not None:
            call.tensors = [_like(call.tensors[0])]
        else:
            if call.layer not in layers:
                layers[call.layer] = make(call.layer)
            call.layer, call.node = layers[call.layer], None
    return draft.build()


def _like(tensor: SymbolicTensor, shape: Any = None) -> SymbolicTensor:
    """Return an input like another, of another shape if one is given."""
    return Input(
        batch_shape=tensor.shape if shape is None else shape,
        dtype=tensor.dtype,
        name=tensor.name,
        optional=tensor.node is not None and getattr(tensor.node.layer, "optional", False),
    )


def remade(layer: Layer, arguments: Any) -> Layer:
    """Return a layer like `layer` that fits other arguments, its weights new where they must."""
    return _resized(layer, arguments) if getattr(layer, "has_graph", False) else layer.clone()


def _resized(model: Any, arguments: Any) -> Layer:
    """Return a model like `model` for inputs of other shapes; layers that still fit are shared."""
    draft = Draft(model.graph, model.describe())
    given = [leaf for leaf in tree.flatten(arguments) if isinstance(leaf, SymbolicTensor)]
    for ref, tensor in zip(tree.flatten(draft.inputs), given, strict=True):
        ref.call.tensors = [_like(ref.call.tensors[0], tensor.shape)]
    return of_kind(model, draft.build("downstream", remade))


def of_kind(model: Any, graph: Graph) -> Model:
    """Return a graph as a `Sequential` if `model` is one, else as a `Model`, of its name."""
    from plait.models.model import Model
    from plait.models.sequential import Sequential

    if not isinstance(model, Sequential):
        return Model(graph.input_structure, graph.output_structure, name=model.name)
    result = Sequential(name=model.name)
    result._set_graph(graph)
    return result


def copy(model: Model, weights: str) -> Model:
    """See `Parts.copy`."""
    if weights not in ("shared", "copied", "fresh"):
        raise ConfigError(
            f"copy: weights is 'shared', 'copied' or 'fresh'; received {weights!r}.",
            fix="model.copy(weights='copied')",
        )
    made: dict[Layer, Layer] = {}

    def make(layer: Layer) -> Layer:
        if layer not in made:
            nested = getattr(layer, "has_graph", False)
            made[layer] = whole(layer) if nested else layer.clone()
        return made[layer]

    def whole(outer: Any) -> Model:
        result = of_kind(outer, rebuilt(outer.graph, make))
        result._trainable = outer._trainable
        return result

    if not model.has_graph:
        result = _copy_of_unbuilt(model, make if weights != "shared" else lambda layer: layer)
    elif weights == "shared":
        result = of_kind(model, model.graph)
    else:
        result = whole(model)
    if weights == "copied":
        for old, new in made.items():
            theirs = variables_by_path(old)
            for path, variable in variables_by_path(new).items():
                variable.copy_from(theirs[path])
    return result


def _copy_of_unbuilt(model: Model, make: Callable[[Layer], Layer]) -> Model:
    from plait.models.sequential import Sequential

    if not isinstance(model, Sequential):
        raise GraphError(
            f"{model.describe()} has no graph to copy.", fix="make another object of the class"
        )
    return Sequential([make(layer) for layer in model.layers], name=model.name)
