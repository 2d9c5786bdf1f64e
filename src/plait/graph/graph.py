"""Graphs: immutable values made of nodes, from inputs to outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from plait.errors import ArgumentTypeError, GraphError, ShapeError, did_you_mean
from plait.graph import tree
from plait.graph.node import Node, call_layer
from plait.graph.tensor import SymbolicTensor


class Graph:
    """The calls of layers that lead from some symbolic tensors to others.

    Args:
        inputs: a symbolic tensor, or lists, tuples and dicts of them.
        outputs: the same.

    Attributes:
        nodes: every call, in an order in which it can run. It is Keras' order of layers, so
            lists of weights line up with Keras.
        layers: every layer, each once, in the order of their first calls.
        nested: the calls of models that have graphs themselves.

    Raises:
        GraphError: an output depends on an input that is not given, or two layers share a name.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.input_structure, self.output_structure = inputs, outputs
        self.inputs = _tensors(inputs, "inputs")
        _check_unique(self.inputs)
        self.outputs = _tensors(outputs, "outputs")
        self.nodes: tuple[Node, ...] = tuple(_ordered(self.inputs, self.outputs))
        self.layers: tuple[Any, ...] = tuple(_ordered_layers(self.nodes))
        self.nested = tuple(node for node in self.nodes if node.nested is not None)
        self._check_names()

    @property
    def names(self) -> dict[Node, str]:
        """Node -> its name: the layer's, with ``@1``, ``@2`` for further calls of the layer."""
        names: dict[Node, str] = {}
        calls: dict[int, int] = {}
        for node in self.nodes:
            call = calls[id(node.layer)] = calls.get(id(node.layer), -1) + 1
            names[node] = node.layer.name + (f"@{call}" if call else "")
        return names

    def _check_names(self) -> None:
        seen: dict[str, Node] = {}
        for node in self.nodes:
            other = seen.setdefault(node.layer.name, node)
            if other.layer is not node.layer:
                raise GraphError(
                    f"two layers of one model are named '{node.layer.name}'.",
                    details=[("first ", other.describe()), ("second", node.describe())],
                    fix=f"give one of them another name: name='{node.layer.name}_2'",
                )

    @property
    def is_current(self) -> bool:
        """Whether no model within was given another graph since it was called."""
        return all(node.is_current for node in self.nested)

    def verify(self) -> bool:
        """Check everything a graph must be: ordered, connected, with unique names and true shapes.

        Every layer is asked again what it returns for its inputs, which checks that its weights
        still fit; nothing is computed.

        Returns:
            True.

        Raises:
            GraphError: a call before its inputs, a missing input, two layers of one name.
            ShapeError: a layer returns something else than the graph says.
        """
        self._check_names()
        _check_connected(self.inputs, self.outputs, list(self.nodes))
        known = set(self.inputs)
        for node in self.nodes:
            for tensor in node.inputs:
                if tensor not in known:
                    raise GraphError(f"{node.describe()} comes before its input '{tensor.name}'.")
            known.update(node.outputs)
            if node.is_input:
                continue
            again = call_layer(node.layer, node.args, node.kwargs)
            given = [(tensor.shape, tensor.dtype) for tensor in again.outputs]
            if given != [(tensor.shape, tensor.dtype) for tensor in node.outputs]:
                raise ShapeError(
                    f"{node.describe()} is {_listed_shapes(node)} in the graph, but returns "
                    f"{', '.join(str(shape) for shape, _ in given)}."
                )
        for tensor in self.outputs:
            if tensor not in known:
                raise GraphError(f"output '{tensor.name}' is made by no call of the graph.")
        return True

    @property
    def is_chain(self) -> bool:
        """Whether it is one strand: each layer called once, on the one output before it."""
        return not self.branches()

    def node(self, target: Any) -> Node:
        """Return a node by its name (``"dense@1"``), its tensor, or itself.

        Raises:
            GraphError: it is not in this graph.
        """
        if isinstance(target, SymbolicTensor):
            target = target.node
        if isinstance(target, Node):
            if target not in self.nodes:
                raise GraphError(f"{target.describe()} is not in this graph.")
            return target
        names = {name: node for node, name in self.names.items()}
        if target not in names:
            raise GraphError(
                f"the graph has no layer {target!r}.{did_you_mean(str(target), names)}",
                fix=f"its nodes are {', '.join(names)}" if len(names) < 20 else None,
            )
        return names[target]

    def predecessors(self, target: Any) -> list[Node]:
        """Return the nodes whose outputs a node takes."""
        known = set(self.nodes)
        return [parent for parent in self.node(target).parents() if parent in known]

    def successors(self, target: Any) -> list[Node]:
        """Return the nodes that take an output of a node."""
        node = self.node(target)
        return [other for other in self.nodes if node in other.parents()]

    def ancestors(self, target: Any) -> list[Node]:
        """Return every node that a node depends on, in the order they run."""
        found = {self.node(target)}
        for node in reversed(self.nodes):
            if node in found:
                found.update(node.parents())
        found.discard(self.node(target))
        return [node for node in self.nodes if node in found]

    def descendants(self, target: Any) -> list[Node]:
        """Return every node that depends on a node, in the order they run."""
        found = {self.node(target)}
        for node in self.nodes:
            if any(parent in found for parent in node.parents()):
                found.add(node)
        found.discard(self.node(target))
        return [node for node in self.nodes if node in found]

    def paths(self, source: Any, target: Any) -> Iterator[list[str]]:
        """Yield every path from one node to another, as lists of names; there may be many."""
        start, end = self.node(source), self.node(target)
        useful = {end, *self.ancestors(end)}
        names = self.names
        following: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for parent in node.parents():
                if parent in following and node in useful:
                    following[parent].append(node)
        stack = [(start, [names[start]])]
        while stack:
            node, path = stack.pop()
            if node is end:
                yield path
                continue
            stack += [(after, [*path, names[after]]) for after in reversed(following[node])]

    def branches(self) -> list[str]:
        """Return why the graph is no chain, one line a reason, in its order; empty if it is one."""
        names = self.names
        reasons = []
        if len(self.inputs) > 1:
            reasons.append(f"{len(self.inputs)} inputs: {_listed(self.inputs)}")
        if len(self.outputs) > 1:
            reasons.append(f"{len(self.outputs)} outputs: {_listed(self.outputs)}")
        users: dict[SymbolicTensor, list[str]] = {tensor: [] for tensor in self.inputs}
        calls: dict[int, list[str]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                users.setdefault(tensor, []).append(names[node])
            calls.setdefault(id(node.layer), []).append(names[node])
        for node in self.nodes:
            name = names[node]
            if len(node.inputs) > 1:
                reasons.append(f"{name} takes {len(node.inputs)} tensors: {_listed(node.inputs)}")
            elif node.inputs and not node.is_plain:
                reasons.append(f"{name} is called with more than its input")
            if len(node.outputs) > 1:
                reasons.append(f"{name} returns {len(node.outputs)} tensors")
            if calls[id(node.layer)][1:] and calls[id(node.layer)][0] == name:
                reasons.append(f"{name} is called {len(calls[id(node.layer)])} times")
            reasons += _shared(users, node.outputs)
        given = [tensor for tensor in self.inputs if tensor.node not in names]
        return [*reasons, *_shared(users, given)]

    def __reduce__(self) -> Any:
        from plait.graph.flat import flatten, restore

        return restore, flatten(self)

    def __repr__(self) -> str:
        count = len(self.layers)
        ends = f"{_listed(self.inputs)} -> {_listed(self.outputs)}"
        return f"<Graph of {count} layer{'s' * (count != 1)}: {ends}>"

    def __str__(self) -> str:
        """Return stable text: one line a node."""
        lines = []
        names = self.names
        for node in self.nodes:
            sources = ", ".join(_source(tensor, names) for tensor in node.inputs)
            shapes = _listed_shapes(node)
            kind = getattr(node.layer, "display_name", None) or type(node.layer).__name__
            lines.append(f"{names[node]}: {kind}({sources}) -> {shapes}")
        outputs = ", ".join(_source(tensor, names) for tensor in self.outputs)
        return "\n".join([*lines, f"outputs: {outputs}"])


def _listed_shapes(node: Node) -> str:
    return ", ".join(map(str, node.output_shapes))


def _shared(users: dict[SymbolicTensor, list[str]], tensors: Iterable[SymbolicTensor]) -> list[str]:
    return [
        f"{tensor.name} is used by {', '.join(users[tensor])}"
        for tensor in tensors
        if len(users.get(tensor, ())) > 1
    ]


def _listed(tensors: Iterable[SymbolicTensor]) -> str:
    return ", ".join(tensor.name for tensor in tensors)


def _source(tensor: SymbolicTensor, names: dict[Node, str]) -> str:
    if tensor.node is None or tensor.node not in names:
        return tensor.name
    many = len(tensor.node.outputs) > 1
    return names[tensor.node] + (f"[{tensor.index}]" if many else "")


def _tensors(structure: Any, what: str) -> list[SymbolicTensor]:
    tensors = tree.flatten(structure)
    for tensor in tensors:
        if not isinstance(tensor, SymbolicTensor):
            shown = type(tensor).__name__ if tensor is not None else "None"
            raise ArgumentTypeError(
                f"the {what} of a model are symbolic tensors; received {shown}.",
                fix="inputs come from plait.Input(shape=...), outputs from calling layers on them",
            )
    if not tensors:
        raise GraphError(f"a model needs {what}; received none.")
    return tensors


def _check_unique(inputs: list[SymbolicTensor]) -> None:
    seen: set[SymbolicTensor] = set()
    for tensor in inputs:
        if tensor in seen:
            raise GraphError(
                f"the model has input '{tensor.name}' twice.", fix="name each input once"
            )
        seen.add(tensor)


def _walk(inputs: Iterable[SymbolicTensor], outputs: list[SymbolicTensor]) -> list[Node]:
    """Return the nodes behind `outputs`, parents first, in depth-first order."""
    given = set(inputs)
    order: list[Node] = []
    done: set[Node] = set()
    for output in outputs:
        stack: list[tuple[SymbolicTensor, bool]] = [(output, False)]
        while stack:
            tensor, expanded = stack.pop()
            node = tensor.node
            if node is None or node in done:
                continue
            if expanded:
                done.add(node)
                order.append(node)
                continue
            if tensor in given and not node.is_input:
                continue
            stack.append((tensor, True))
            stack.extend((parent, False) for parent in reversed(node.inputs))
    return order


def _ordered(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor]) -> list[Node]:
    """Return the nodes by falling distance from the outputs, as Keras orders them."""
    order = _walk(inputs, outputs)
    _check_connected(inputs, outputs, order)
    position = {node: index for index, node in enumerate(order)}
    depth = dict.fromkeys(order, 0)
    layer_depth: dict[int, int] = {}
    for node in reversed(order):
        own = depth[node] = max(depth[node], layer_depth.get(id(node.layer), 0))
        layer_depth[id(node.layer)] = own
        for parent in node.parents():
            if parent in depth:
                depth[parent] = max(depth[parent], own + 1)
    for tensor in inputs:
        if tensor.node is not None and tensor.node.is_input and tensor.node not in position:
            position[tensor.node], depth[tensor.node] = -1, 0
    return sorted(position, key=lambda node: (-depth[node], position[node]))


def _ordered_layers(nodes: tuple[Node, ...]) -> list[Any]:
    layers: dict[int, Any] = {}
    for node in nodes:
        layers.setdefault(id(node.layer), node.layer)
    return list(layers.values())


def _check_connected(
    inputs: list[SymbolicTensor], outputs: list[SymbolicTensor], order: list[Node]
) -> None:
    given = set(inputs)
    for node in order:
        if not node.is_input or any(tensor in given for tensor in node.outputs):
            continue
        missing = node.outputs[0]
        output, path = _path_to_output(missing, outputs, order)
        names = ", ".join(repr(tensor.name) for tensor in inputs)
        wanted = ", ".join([*(tensor.name for tensor in inputs), missing.name])
        where = f" ({node.location})" if node.location else ""
        raise GraphError(
            f"output '{output.name}' depends on input '{missing.name}'{where}, which is not in "
            f"Model(inputs=[{names}]).",
            details=[(" -> ".join(path),)],
            fix=f"Model([{wanted}], {output.name})",
        )


def _path_to_output(
    missing: SymbolicTensor, outputs: list[SymbolicTensor], order: list[Node]
) -> tuple[SymbolicTensor, list[str]]:
    toward: dict[Node, Node] = {}
    reached = {missing.node}
    for node in order:
        for parent in node.parents():
            if parent in reached and node not in reached:
                reached.add(node)
                toward[node] = parent
    output = next(tensor for tensor in outputs if tensor.node in reached)
    path, current = [output.name], output.node
    while current is not None and current in toward:
        current = toward[current]
        path.append(current.layer.name)
    return output, path[::-1]
