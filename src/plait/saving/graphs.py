"""Graphs of layer calls as the configurations of Keras 3's functional models, and back."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from plait.core import registry
from plait.core.layer import Layer
from plait.core.naming import free_name
from plait.core.spec import TensorSpec
from plait.errors import ConfigError, FileError
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import InputLayer
from plait.ops import Op
from plait.saving import operations
from plait.saving.exchange import as_shapes
from plait.saving.placeholder import Placeholder

History = tuple[str, int, int]


# -- writing --------------------------------------------------------------------------------


def to_config(graph: Graph) -> dict[str, Any]:
    """Return what Keras writes of a graph: ``layers``, ``input_layers``, ``output_layers``."""
    return _Writer(graph).config()


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.calls: dict[Any, list[Node]] = {}
        self.histories: dict[SymbolicTensor, History] = {}
        self.cut: list[SymbolicTensor] = []
        names = {layer.name for layer in graph.layers}
        known = set(graph.nodes)
        for tensor in graph.inputs:
            if tensor.node not in known:
                name = free_name(tensor.name, names)
                names.add(name)
                self.cut.append(tensor)
                self.histories[tensor] = (name, 0, 0)
        for node in graph.nodes:
            calls = self.calls.setdefault(node.layer, [])
            for tensor in node.outputs:
                self.histories.setdefault(tensor, (node.layer.name, len(calls), tensor.index))
            calls.append(node)

    def config(self) -> dict[str, Any]:
        layers = [self._cut_input(tensor) for tensor in self.cut]
        for layer, nodes in self.calls.items():
            if isinstance(layer, Op):
                layers.append(self._operation(layer, nodes))
            else:
                calls = [] if isinstance(layer, InputLayer) else nodes
                inbound = [self._call(node.args, node.kwargs) for node in calls]
                layers.append(_named(registry.serialize(layer), layer.name, inbound))
        return {
            "layers": layers,
            "input_layers": tree.map_structure(self._end, self.graph.input_structure),
            "output_layers": tree.map_structure(self._end, self.graph.output_structure),
        }

    def _cut_input(self, tensor: SymbolicTensor) -> dict[str, Any]:
        name = self.histories[tensor][0]
        layer = InputLayer(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        return _named(registry.serialize(layer), name, [])

    def _operation(self, op: Op, nodes: list[Node]) -> dict[str, Any]:
        inbound, written = [], []
        for node in nodes:
            data, args, kwargs = operations.to_keras(op, node.args, node.kwargs)
            written.append(data)
            inbound.append(self._call(args, kwargs))
        if any(data != written[0] for data in written):
            raise ConfigError(
                f"{op.describe()} is called with different settings, which a file cannot hold.",
                fix="call the function of plait.ops each time",
            )
        return _named(written[0], op.name, inbound)

    def _call(self, args: Any, kwargs: Any) -> dict[str, Any]:
        given = tree.map_structure(self._argument, (args, kwargs))
        return {"args": registry.serialize(given[0]), "kwargs": registry.serialize(given[1])}

    def _argument(self, leaf: Any) -> Any:
        if not isinstance(leaf, SymbolicTensor):
            return leaf
        config = {
            "shape": list(leaf.shape),
            "dtype": leaf.dtype,
            "keras_history": list(self.histories[leaf]),
        }
        return {"class_name": "__keras_tensor__", "config": config}

    def _end(self, tensor: SymbolicTensor) -> list[Any]:
        name, call, index = self.histories[tensor]
        layer = tensor.node.layer if tensor.node is not None else None
        first = 1 if is_functional(layer) and tensor not in self.cut else 0
        return [name, call + first, index]


def _named(data: dict[str, Any], name: str, inbound: list[Any]) -> dict[str, Any]:
    data |= {"name": name, "inbound_nodes": inbound}  # in place: others refer to it
    return data


def is_functional(layer: Any) -> bool:
    """Return whether Keras counts the calls of a layer from 1 in lists of outputs."""
    return bool(getattr(layer, "has_graph", False)) and not hasattr(layer, "_stack")


# -- reading --------------------------------------------------------------------------------


def from_config(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """Make the layers of a functional configuration, call them, and return inputs and outputs.

    Raises:
        FileError: calls that depend on each other in a circle, or on layers that are not there.
        ConfigError: a class or function that is neither plait's nor registered.
    """
    return _Reader(config["layers"]).ends(config["input_layers"], config["output_layers"])


class _Reader:
    def __init__(self, layers: list[Any]) -> None:
        self.layers: dict[str, Layer] = {}
        self.data: dict[str, Any] = {}
        self.written = layers
        self.outputs: dict[tuple[str, int], list[SymbolicTensor]] = {}
        waiting: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
        needs: dict[tuple[str, int], int] = {}
        calls: dict[tuple[str, int], Any] = {}
        ready: deque[tuple[str, int]] = deque()
        for data in layers:
            name = data.get("name") or data["config"]["name"]
            self.data[name] = data
            self.layers[name] = layer = self._layer(data)
            if isinstance(layer, InputLayer):
                self.outputs[name, 0] = [layer.output]
                continue
            for index, call in enumerate(data["inbound_nodes"]):
                calls[name, index] = call = _modern(call, layer)
                sources = {tuple(t["keras_history"][:2]) for t in _tensors(call)}
                if index:
                    sources.add((name, index - 1))
                needs[name, index] = len(sources)
                for source in sources:
                    waiting[source].append((name, index))
        ready.extend(source for source in self.outputs)
        while ready:
            done = ready.popleft()
            for key in waiting.pop(done, ()):
                needs[key] -= 1
                if not needs[key]:
                    self._call(key, calls[key])
                    ready.append(key)
        left = [name for (name, _), count in needs.items() if count]
        if left:
            raise FileError(
                f"the calls of layers {', '.join(map(repr, left[:5]))} depend on each other in a "
                "circle, or on layers that are not there."
            )

    def _layer(self, data: Any) -> Layer:
        if operations.is_operation(data):
            return operations.from_keras(data)
        layer = registry.deserialize(data, "layers")
        if not isinstance(layer, Layer):
            raise FileError(f"{data.get('name')!r} is no layer.")
        if isinstance(layer, Placeholder):
            layer.outputs_by_call = self._outputs_of(layer.name)
        return layer

    def _outputs_of(self, layer: str) -> list[dict[int, TensorSpec]]:
        """Return what those who use the outputs of a layer say of them, for each of its calls."""
        found: dict[int, dict[int, TensorSpec]] = defaultdict(dict)
        for data in self.written:
            for config in _tensors(data["inbound_nodes"]):
                name, call, index = config["keras_history"][:3]
                if name == layer and "shape" in config:
                    shape = as_shapes(config["shape"])
                    found[call][index] = TensorSpec(shape, str(config["dtype"]))
        return [found[call] for call in range(max(found, default=-1) + 1)]

    def _call(self, key: tuple[str, int], call: Any) -> None:
        args, kwargs = tree.map_structure(
            self._argument, (_deserialized(call["args"]), _deserialized(call["kwargs"]))
        )
        data = self.data[key[0]]
        if operations.is_operation(data):
            args, kwargs = operations.arguments(data, args, kwargs)
        else:
            kwargs = {name: v for name, v in kwargs.items() if not _is_context(name, v)}
        made = self.layers[key[0]](*args, **kwargs)
        self.outputs[key] = [t for t in tree.flatten(made) if isinstance(t, SymbolicTensor)]

    def _argument(self, leaf: Any) -> Any:
        return self._tensor(leaf.history) if isinstance(leaf, _Place) else leaf

    def _tensor(self, history: Any) -> SymbolicTensor:
        name, call, index = history
        try:
            return self.outputs[name, call][index]
        except (KeyError, IndexError):
            raise FileError(f"the file names output {history} of a layer, which is none.") from None

    def ends(self, inputs: Any, outputs: Any) -> tuple[Any, Any]:
        return self._end(inputs), self._end(outputs)

    def _end(self, structure: Any) -> Any:
        if isinstance(structure, Mapping):
            return {key: self._end(item) for key, item in structure.items()}
        if len(structure) == 3 and isinstance(structure[0], str):
            name, call, index = structure
            return self._tensor((name, call - is_functional(self.layers.get(name)), index))
        return [self._end(item) for item in structure]


class _Place:
    """Where a symbolic tensor goes among the arguments of a call."""

    def __init__(self, history: Any) -> None:
        self.history = history


def _deserialized(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return _Place(value["config"]["keras_history"])
        if "class_name" in value:
            return registry.deserialize(value)
        return {key: _deserialized(item) for key, item in value.items()}
    return [_deserialized(item) for item in value] if isinstance(value, list | tuple) else value


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what is written of each symbolic tensor in nested arguments."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"]
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _is_context(name: str, value: Any) -> bool:
    """Return whether Keras noted an argument that it passes by itself."""
    return (name == "training" and not value) or (name.endswith("mask") and value is None)


def _modern(call: Any, layer: Layer) -> Mapping[str, Any]:
    """Return a call in today's form; in that of Keras 2 it is a list of tensors."""
    if isinstance(call, Mapping):
        return call
    places = [
        {"class_name": "__keras_tensor__", "config": {"keras_history": entry[:3]}} for entry in call
    ]
    kwargs = call[0][3] if len(call[0]) > 3 else {}
    return {"args": [places if len(places) > 1 else places[0]], "kwargs": kwargs}
