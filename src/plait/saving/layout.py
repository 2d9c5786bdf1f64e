"""Where Keras 3 keeps the weights of each layer in an HDF5 file.

A layer's variables lie in ``PATH/vars`` as ``0``, ``1``, ...; the path goes through the attributes
that hold a layer, and through lists by class (``layers/dense_1``). Names of layers are not part of
it, since automatic names change: they are an attribute of the group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from plait.core.layer import Layer
from plait.core.naming import snake_case
from plait.core.variable import Variable
from plait.graph import tree
from plait.graph.graph import Graph
from plait.ops import Op
from plait.saving.placeholder import Placeholder


class Group(NamedTuple):
    """The variables of one layer, and where they are.

    Attributes:
        path: of the group in the file, "" for the model itself.
        names: the names of the layers on the way, the layer's own last.
        layer: the layer.
        variables: its own variables, in Keras' order.
        places: where each of them is in the file.
        automatic: whether a name on the way was given by no person.
    """

    path: str
    names: tuple[str, ...]
    layer: Layer
    variables: list[Variable]
    places: list[str]
    automatic: bool


def groups(model: Layer) -> list[Group]:
    """Return the group of a layer and of every layer within it, each layer once."""
    found: list[Group] = []
    seen: set[int] = set()
    stack: list[tuple[str, tuple[str, ...], Layer, bool]] = [("", (), model, False)]
    while stack:
        path, above, layer, automatic = stack.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        names = (*above, layer.name) if path else ()
        automatic = automatic or (bool(path) and has_automatic_name(layer))
        variables = own_variables(layer)
        places = [f"{path}/vars/{index}".lstrip("/") for index in range(len(variables))]
        if isinstance(layer, Placeholder):
            places = layer.places
        found.append(Group(path, names, layer, variables, places, automatic))
        children = [
            (f"{path}/{place}" if path else place, names, child, automatic)
            for place, child in _children(layer)
        ]
        stack.extend(reversed(children))
    return found


def has_automatic_name(layer: Layer) -> bool:
    """Return whether a layer's name is that of its class, maybe with a number."""
    name = re.escape(layer._auto_name_prefix())
    return re.fullmatch(rf"{name}(_\d+)?", layer.name) is not None


def own_variables(layer: Layer) -> list[Variable]:
    """Return the variables that are a layer's own, in Keras' order: trainable ones first."""
    found = {id(v): v for v in layer._variables.values()}
    for value in vars(layer).values():
        for leaf in tree.flatten(value) if isinstance(value, list | tuple | dict) else (value,):
            if isinstance(leaf, Variable):
                found.setdefault(id(leaf), leaf)
    return sorted(found.values(), key=lambda variable: not variable.trainable)


def _children(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield (place, layer) of what a layer holds, in the order in which Keras looks."""
    layers = getattr(layer, "layers", None) if hasattr(layer, "has_graph") else None
    if layers is not None and _is_standard(layer):
        yield from _contained("layers", _in_order_of_keras(layer))
        layers = None
    attributes: dict[str, Any] = {
        name: value for name, value in vars(layer).items() if name not in _INTERNAL
    }
    if layers is not None:
        attributes["layers"] = layers
    for name in sorted(attributes, key=lambda name: f"~{name}" if name[0] == "_" else name):
        value = attributes[name]
        if isinstance(value, Layer):
            yield name, value
        elif isinstance(value, list | tuple | dict):
            yield from _contained(name, value)


_INTERNAL = {"_variables", "_captured", "_losses", "_compiled", "_graph", "_stack", "_tensors"}
_INTERNAL |= {"_input", "_engine", "_edits", "optimizer", "objective", "history"}


def _in_order_of_keras(model: Any) -> list[Layer]:
    """Return the layers of a model; Keras goes through dicts of outputs by their sorted keys."""
    if hasattr(model, "_stack"):
        return list(model.layers)
    graph = model.graph
    structures = graph.input_structure, graph.output_structure
    inputs, outputs = (_sorted(structure) for structure in structures)
    order = [*map(id, tree.flatten(inputs)), *map(id, tree.flatten(outputs))]
    if order != [*map(id, graph.inputs), *map(id, graph.outputs)]:
        graph = Graph(inputs, outputs)
    return list(graph.layers)


def _sorted(structure: Any) -> Any:
    if isinstance(structure, dict):
        return {key: _sorted(structure[key]) for key in sorted(structure)}
    if isinstance(structure, list | tuple):
        return [_sorted(item) for item in structure]
    return structure


def _is_standard(layer: Any) -> bool:
    """Return whether a model is a graph or a `Sequential`, for Keras looks at its list first."""
    return layer.has_graph or hasattr(layer, "_stack")


def _contained(place: str, container: Any) -> Iterator[tuple[str, Layer]]:
    """Yield the layers in nested lists, tuples and dicts, named by class and counted."""
    stack: list[tuple[str, Any]] = [(place, container)]
    seen: set[int] = set()
    while stack:
        path, value = stack.pop()
        if isinstance(value, Layer):
            yield path, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        used: dict[str, int] = {}
        inner: list[tuple[str, Any]] = []
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, Op):
                continue
            if isinstance(item, Layer):
                name = snake_case(_class_name(item))
            elif isinstance(item, list | tuple | dict):
                name = "container"
            else:
                continue
            used[name] = used.get(name, -1) + 1
            inner.append((f"{path}/{name}_{used[name]}" if used[name] else f"{path}/{name}", item))
        stack.extend(reversed(inner))


def _class_name(layer: Layer) -> str:
    """Return the name of the class that Keras has for a layer."""
    if getattr(layer, "has_graph", False) and type(layer).__name__ == "Model":
        return "Functional"
    return layer.missing if isinstance(layer, Placeholder) else type(layer).__name__
