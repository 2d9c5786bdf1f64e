"""What a model is made of, as its source needs to know it before the first line is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from plait.core.layer import Layer
from plait.core.registry import captured
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor
from plait.models.model import Model
from plait.models.sequential import Sequential


class Inventory:
    """What is in a model and in the models within it, before anything is written.

    Attributes:
        styles: model -> "chain", "graph" or "constructor".
        nodes: model -> the calls its graph is made of, in the order they were made.
        uses: tensor -> how many calls and models take it.
        occurrences: layer -> how many times it is written.
        inner: layers that are arguments of other layers.
        by_attribute: those of them that are found by the attribute that holds them, not by name.
        uncertain: beginnings of names that layers number on their own account.
        reserved: names that variables of inputs and outputs have.
    """

    def __init__(self, model: Model) -> None:
        self.styles: dict[int, str] = {}
        self.nodes: dict[int, list[Node]] = {}
        self.uses: Counter[SymbolicTensor] = Counter()
        self.occurrences: Counter[int] = Counter()
        self.inner: set[int] = set()
        self.by_attribute: set[int] = set()
        self.reserved: set[str] = set()
        self._counted: set[Node] = set()
        self._known: dict[int, Layer] = {}
        stack: list[Layer] = [model]
        while stack:
            layer = stack.pop()
            if id(layer) not in self._known:
                self._known[id(layer)] = layer
                within = self._within(layer, top=layer is model)
                self.occurrences.update(map(id, within))
                stack += within
        self.uncertain = self._numbered_elsewhere()

    def _within(self, layer: Layer, top: bool) -> list[Layer]:
        if not isinstance(layer, Model) or _builds_itself(layer):
            self.styles[id(layer)] = "constructor"
            found = layers_among(captured(layer))
            self.inner.update(map(id, found))
            kept = {id(child) for _, child in layer._children()}
            self.by_attribute |= {id(x) for x in found if id(x) in kept and not x._named}
            return found
        if _is_chain(layer, top):
            self.styles[id(layer)] = "chain"
            return [item for item in layer.layers if not is_input_layer(item)]
        self.styles[id(layer)] = "graph"
        nodes = self.nodes[id(layer)] = _nodes_behind(layer.graph)
        self.uses.update({*layer.graph.inputs, *layer.graph.outputs})
        fresh = [node for node in nodes if node not in self._counted]
        self._counted.update(fresh)
        for node in fresh:
            self.uses.update(set(node.inputs))
            if node.is_input:
                self.reserved.add(node.layer.name)
        self.reserved.update(tensor.name for tensor in layer.graph.outputs)
        return [node.layer for node in fresh if not node.is_input]

    def steps(self, model: Model, nodes: list[Node]) -> list[Node | Model]:
        """Return calls, and the models within that they call, in the order they were made."""
        steps: list[tuple[int, Node | Model]] = [(node.serial, node) for node in nodes]
        own = set(nodes)
        first_call: dict[int, Node] = {}
        for node in nodes:
            if isinstance(node.layer, Model):
                first_call.setdefault(id(node.layer), node)
        for call_of in first_call.values():
            inner = call_of.layer
            made = [n.serial for n in inner.graph.nodes if n not in own] if inner.has_graph else []
            steps.append((min([*made, call_of.serial]), inner))
        return [step for _, step in sorted(steps, key=lambda s: (s[0], isinstance(s[1], Node)))]

    def _numbered_elsewhere(self) -> set[str]:
        found: set[str] = set()
        for layer in self._known.values():
            if isinstance(layer, Model) and self.styles[id(layer)] != "constructor":
                continue
            for _, child in layer._children():
                if isinstance(child, Layer) and id(child) not in self._known and not child._named:
                    found.add(type(child)._auto_name_prefix())
        return found


def is_operation(layer: Layer) -> bool:
    """Return whether a layer is a function of `plait.ops`."""
    return type(layer).__module__ == "plait.ops.operation"


def layers_among(values: Mapping[str, Any]) -> list[Layer]:
    """Return the layers among arguments, nested ones too."""
    return [leaf for leaf in tree.flatten(dict(values)) if isinstance(leaf, Layer)]


def is_input_layer(layer: Any) -> bool:
    """Return whether a layer is behind an `Input`."""
    return hasattr(layer, "output_tensor")


def _builds_itself(model: Model) -> bool:
    """Return whether a model is of a class whose constructor makes its layers."""
    init = type(model).__init__
    if init in (Model.__init__, Sequential.__init__):
        return not (model.has_graph or isinstance(model, Sequential))
    return not model.has_graph or "inputs" not in captured(model)


def _is_chain(model: Model, top: bool) -> bool:
    """Return whether a model is written as a `Sequential`."""
    if not model.has_graph:
        return True
    graph = model.graph
    if not (isinstance(model, Sequential) or (top and type(model) is Model)) or not graph.is_chain:
        return False
    whole = (graph.input_structure, graph.output_structure)
    source = graph.inputs[0].node
    calls = [node for node in graph.nodes if not node.is_input]
    return (
        all(isinstance(structure, SymbolicTensor) for structure in whole)
        and source is not None
        and source.is_input
        and len(graph.layers) == len(calls) + 1
        and (bool(calls) or isinstance(model, Sequential))
        and all(
            node.args == (node.inputs[0],) and not node.kwargs and not node.layer.merges
            if len(node.args) == 1 and isinstance(node.args[0], SymbolicTensor)
            else False
            for node in calls
        )
        and not (top and any(is_operation(node.layer) for node in calls))
    )


def _nodes_behind(graph: Graph) -> list[Node]:
    """Return every call behind a graph, those in front of its inputs too, oldest first."""
    found: set[Node] = set()
    stack = [tensor.node for tensor in (*graph.outputs, *graph.inputs)]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack.extend(node.parents())
    return sorted(found, key=lambda node: node.serial)
