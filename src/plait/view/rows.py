"""What a summary says of a model: a row for every call of a layer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plait.core.layer import Layer
from plait.errors import ConfigError, did_you_mean
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.view.cost import Cost, graph_of


@dataclass(frozen=True, slots=True)
class Row:
    """A call of a layer; the first call of each stands for the layer.

    Attributes:
        name: the name of the call.
        kind: the layer's type; None for further calls.
        shape: the shapes of the outputs, "?" where a model has no graph.
        params: the number of elements in the layer's variables; None while it has none yet.
        sources: where the inputs come from.
        trainable: whether the layer is trained; None if it has no variables.
        cost: what the call costs per sample; None where that is not known.
        depth: how many models it is nested in.
    """

    name: str
    kind: str | None
    shape: str
    params: int | None
    sources: str
    trainable: bool | None
    cost: Cost | None
    depth: int


def rows_of(
    model: Any,
    costs: Mapping[Node, Cost | None],
    expand_nested: bool = False,
    layer_range: Sequence[str] | None = None,
    depth: int = 0,
) -> Iterator[Row]:
    """Yield the rows of a model.

    Args:
        model: a model, also one without a graph.
        costs: node -> what it costs.
        expand_nested: whether the layers of models within follow them.
        layer_range: the first and the last layer shown, as patterns of their names.
        depth: how many models this one is nested in.

    Raises:
        ConfigError: `layer_range` is no pair of patterns, or one matches no layer.
    """
    graph = graph_of(model)
    calls: dict[Layer, list[Node]] = {}
    for layer in graph.layers if graph is not None else model.layers:
        calls[layer] = []
    for node in graph.nodes if graph is not None else ():
        calls[node.layer].append(node)
    for layer in _within(list(calls), layer_range):
        shown: list[Node | None] = [*calls[layer]] or [None]
        for index, call in enumerate(shown):
            yield _row(layer, call, graph, costs, depth, first=index == 0)
        if expand_nested and is_model(layer):
            yield from rows_of(layer, costs, expand_nested, depth=depth + 1)


def is_model(layer: Any) -> bool:
    """Return whether a layer is a model: whether it may have a graph."""
    return hasattr(layer, "has_graph")


def _row(
    layer: Layer,
    node: Node | None,
    graph: Graph | None,
    costs: Mapping[Node, Cost | None],
    depth: int,
    first: bool,
) -> Row:
    sizes = [variable.size for variable in layer.variables]
    kind = getattr(layer, "display_name", None) or type(layer).__name__
    shape, name, sources = "?", layer.name, ""
    if graph is not None and node is not None:
        shape = ", ".join(map(str, node.output_shapes))
        name = graph.names[node]
        sources = ", ".join(_source(tensor, graph) for tensor in node.inputs)
    return Row(
        name=name,
        kind=kind if first else None,
        shape=shape,
        params=sum(sizes) if layer.built else None,
        sources=sources,
        trainable=layer.trainable if sizes else None,
        cost=None if node is None else costs.get(node),
        depth=depth,
    )


def _source(tensor: Any, graph: Graph) -> str:
    if tensor.node not in graph.names:
        return str(tensor.name)
    index = f"[{tensor.index}]" if len(tensor.node.outputs) > 1 else ""
    return graph.names[tensor.node] + index


def _within(layers: list[Layer], layer_range: Sequence[str] | None) -> list[Layer]:
    """Return the layers from the first that matches one pattern to the last that does the other."""
    if layer_range is None:
        return layers
    if len(layer_range) != 2 or not all(isinstance(name, str) for name in layer_range):
        raise ConfigError(
            f"layer_range is the names of two layers, or patterns of them; "
            f"received {layer_range!r}.",
            fix=f"layer_range=({layers[0].name!r}, {layers[-1].name!r})" if layers else None,
        )
    bounds = []
    for pattern in layer_range:
        found = [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        if not found:
            hint = did_you_mean(pattern, [layer.name for layer in layers])
            raise ConfigError(f"layer_range: no layer is named {pattern!r}.{hint}")
        bounds.append(found)
    first, last = bounds
    if first[0] > last[-1]:
        first, last = last, first
    return layers[first[0] : last[-1] + 1]
