"""Nodes: one call of one layer."""

from __future__ import annotations

import itertools
from typing import Any

from plait.errors import Location
from plait.graph import tree
from plait.graph.tensor import Shape, SymbolicTensor
from plait.graph.weak import Members

_serial = itertools.count()
_calls = Members()


def calls_of(layer: Any) -> list[Node]:
    """Return the calls of a layer in graphs and symbolic tensors that are alive, oldest first."""
    calls = [node for node in _calls.of(layer) if node.live]
    return sorted(calls, key=lambda node: node.serial)


def call_layer(layer: Any, args: Any, kwargs: Any) -> Node:
    """Call a layer on symbolic tensors and return the call, which is not live yet."""
    made: SymbolicTensor = tree.flatten(layer(*args, **kwargs))[0]
    assert made.node is not None
    made.node.live = False
    return made.node


class Node:
    """One call of one layer: what went in, what came out, on which line.

    Points backwards only: through its `inputs` to the nodes that made them.

    Args:
        layer: the layer that was called.
        args: positional arguments of the call; nested, with symbolic tensors and constants.
        kwargs: keyword arguments of the call.
        outputs: shape and dtype of every output, nested as the layer returns them.
        location: the line of the user's call.

    Attributes:
        live: False while only a draft has it, or once an edit took it out of its model.
    """

    __slots__ = (
        "__weakref__",
        "args",
        "inputs",
        "kwargs",
        "layer",
        "live",
        "location",
        "nested",
        "output_structure",
        "outputs",
        "serial",
    )

    def __init__(
        self,
        layer: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        outputs: Any,
        location: Location | None = None,
    ) -> None:
        self.serial = next(_serial)
        self.layer = layer
        self.location = location
        self.live = True
        self.nested = layer.graph if getattr(layer, "has_graph", False) else None
        self.inputs: list[SymbolicTensor]
        if is_plain(args, kwargs):
            self.args, self.kwargs, self.inputs = args, kwargs, [args[0]]
        else:
            # Copies: the caller may go on to change a list of tensors.
            self.args, self.kwargs = tree.map_structure(lambda leaf: leaf, (args, kwargs))
            leaves = tree.flatten((args, kwargs))
            self.inputs = [leaf for leaf in leaves if isinstance(leaf, SymbolicTensor)]
        self.outputs: list[SymbolicTensor] = []
        self.output_structure = tree.map_structure(self._output, outputs)
        _calls.add(layer, self)

    def _output(self, spec: Any) -> SymbolicTensor | None:
        if spec is None:
            return None
        index = len(self.outputs)
        tensor = SymbolicTensor(spec.shape, spec.dtype, node=self, index=index)
        self.outputs.append(tensor)
        return tensor

    @property
    def is_input(self) -> bool:
        """Whether this is an input of a model: a call without tensors."""
        return not self.inputs

    @property
    def is_plain(self) -> bool:
        """Whether it is ``layer(x)``: nothing but one tensor is passed."""
        return is_plain(self.args, self.kwargs)

    @property
    def is_current(self) -> bool:
        """Whether the layer, if it is a model, has the graph that it had at this call."""
        return self.nested is None or self.layer.graph is self.nested

    def parents(self) -> list[Node]:
        """Return the nodes that made the inputs, each once, in order."""
        return list(dict.fromkeys(t.node for t in self.inputs if t.node is not None))

    def with_inputs(self, replace: dict[SymbolicTensor, SymbolicTensor]) -> Node:
        """Return the same call on other tensors of the same shapes."""
        args, kwargs = tree.map_structure(
            lambda leaf: replace.get(leaf, leaf) if isinstance(leaf, SymbolicTensor) else leaf,
            (self.args, self.kwargs),
        )
        return Node(self.layer, args, kwargs, self.output_structure, self.location)

    @property
    def output_shapes(self) -> list[Shape]:
        """The shapes of the outputs."""
        return [tensor.shape for tensor in self.outputs]

    def describe(self) -> str:
        """Return how errors name it: ``Dense 'logits' (train.py:12)``."""
        return describe_layer(self.layer, self.location)

    def __repr__(self) -> str:
        shapes = ", ".join(str(shape) for shape in self.output_shapes)
        return f"<Node {self.describe()} -> {shapes}>"


def is_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether arguments are one tensor and nothing else."""
    return len(args) == 1 and not kwargs and isinstance(args[0], SymbolicTensor)


def describe_layer(layer: Any, location: Location | None = None) -> str:
    """Return how errors name a layer: its class, its name, and a line if one is known."""
    kind = getattr(layer, "display_name", None) or type(layer).__name__
    where = f" ({location})" if location else ""
    return f"{kind} '{layer.name}'{where}"
