"""Graphs as lists of calls, which copy and pickle without recursion from call to call."""

from __future__ import annotations

from typing import Any

from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor


class Source:
    """A tensor of a flat graph: an output of one of its calls."""

    __slots__ = ("call", "output")

    def __init__(self, call: int, output: int) -> None:
        self.call, self.output = call, output


def flatten(graph: Graph) -> tuple[list[Any], Any, Any]:
    """Return the calls of a graph and its inputs and outputs, as `restore` takes them.

    An input at which the graph was cut from another is a call of no layer.
    """
    sources: dict[SymbolicTensor, Source] = {}
    calls: list[Any] = []

    def refer(structure: Any) -> Any:
        return tree.map_structure(
            lambda leaf: sources[leaf] if isinstance(leaf, SymbolicTensor) else leaf, structure
        )

    known = set(graph.nodes)
    for tensor in graph.inputs:
        if tensor.node not in known:
            sources[tensor] = Source(len(calls), 0)
            calls.append((None, (), {}, _bare(tensor), None))
    for node in graph.nodes:
        args, kwargs = refer((node.args, node.kwargs))
        outputs = tree.map_structure(_bare, node.output_structure)
        for tensor in node.outputs:
            sources.setdefault(tensor, Source(len(calls), tensor.index))
        calls.append((node.layer, args, kwargs, outputs, node.location))
    return calls, refer(graph.input_structure), refer(graph.output_structure)


def _bare(tensor: SymbolicTensor | None) -> SymbolicTensor | None:
    if tensor is None:
        return None
    return SymbolicTensor(tensor.shape, tensor.dtype, tensor.name)


def restore(calls: list[Any], inputs: Any, outputs: Any) -> Graph:
    """Return the graph that `flatten` was given, as new calls of the layers."""
    made: list[list[SymbolicTensor]] = []

    def fill(structure: Any) -> Any:
        return tree.map_structure(
            lambda leaf: made[leaf.call][leaf.output] if isinstance(leaf, Source) else leaf,
            structure,
        )

    for layer, args, kwargs, specs, location in calls:
        if layer is None:
            made.append([specs])
        elif hasattr(layer, "output_tensor"):
            made.append([layer.output_tensor])
        else:
            args, kwargs = fill((args, kwargs))
            made.append(Node(layer, args, kwargs, specs, location).outputs)
    return Graph(fill(inputs), fill(outputs))
