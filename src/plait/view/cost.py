"""What calls of layers cost: floating-point operations, and memory of what they return.

A call is traced on shapes with a batch of one, as at inference, and the operations of the trace
are counted; nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from plait import kernels
from plait.core.calling import run_call
from plait.core.layer import Layer
from plait.core.registry import Configurable, captured
from plait.core.scope import Scope
from plait.errors import NotBuiltError
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor
from plait.view.flops import count_flops

Struct = jax.ShapeDtypeStruct


@dataclass(frozen=True, slots=True)
class Cost:
    """What one sample costs.

    Attributes:
        flops: floating-point operations (see `plait.view.flops`).
        bytes: the size of what is returned, by each layer within a nested model too.
        exact: False if a size was not known and taken as 1, if a loop of unknown length was
            counted once, or if an operation could not be counted.
    """

    flops: int = 0
    bytes: int = 0
    exact: bool = True

    def __add__(self, other: Cost) -> Cost:
        exact = self.exact and other.exact
        return Cost(self.flops + other.flops, self.bytes + other.bytes, exact)

    def _divided(self, by: int) -> Cost:
        return Cost(round(self.flops / by), round(self.bytes / by), self.exact)


def layer_cost(layer: Layer, *inputs: Any, **kwargs: Any) -> Cost | None:
    """Return what a call of a layer costs per sample; None as in `graph_costs`.

    Args:
        layer: a layer that is built.
        *inputs: what it is called with; instead of arrays anything with a shape and a dtype. The
            first axis is the batch: None counts as 1, a fixed size is divided by.
        **kwargs: further arguments of the call.

    Raises:
        NotBuiltError: the layer is not built.

    Example:
        >>> import plait
        >>> x = plait.Input((128,))
        >>> dense = plait.layers.Dense(10)
        >>> y = dense(x)
        >>> layer_cost(dense, x)
        Cost(flops=2570, bytes=40, exact=True)
    """
    if not layer.built:
        raise NotBuiltError(
            f"{layer.describe()} has no variables yet, so its cost is not known.",
            fix="call it on data, or build it: layer.build(input_shape)",
        )
    tensors = _tensors((inputs, kwargs))
    args, kwargs = tree.map_structure(_struct, (inputs, kwargs))
    cost, _ = _Counter().call(layer, args, kwargs, all(map(_is_known, tensors)))
    return cost and cost._divided(_batch(tensors[0]) if tensors else 1)


def graph_costs(graph: Graph) -> dict[Node, Cost | None]:
    """Return what every call costs per sample, in a graph and in the graphs of models within.

    Sizes are worked out from those of the inputs, which themselves cost nothing. None stands for
    a layer that does not work with the 1 that a size not known is taken as.
    """
    counter = _Counter()
    counter.graph(graph, [(_struct(tensor), _is_known(tensor)) for tensor in graph.inputs])
    batch = _batch(graph.inputs[0])
    return {node: cost and cost._divided(batch) for node, cost in counter.costs.items()}


def graph_of(layer: Any) -> Graph | None:
    """Return the graph of a model; None for other layers and models that have none."""
    return layer.graph if getattr(layer, "has_graph", False) else None


def total_cost(costs: Iterable[Cost | None]) -> Cost | None:
    """Return the sum of costs; None if one of them is not known."""
    total = Cost()
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


class _Counter:
    """Counts calls, and equal calls of equal layers once."""

    def __init__(self) -> None:
        self.costs: dict[Node, Cost | None] = {}
        self._counted: dict[Any, tuple[Cost, list[Struct]]] = {}
        self._rng = jax.random.key(0)

    def graph(
        self, graph: Graph, inputs: list[tuple[Struct, bool]]
    ) -> tuple[Cost | None, list[Struct]]:
        """Count the calls of a graph for inputs of these sizes, each with whether it is known."""
        sizes = dict(zip(graph.inputs, inputs, strict=True))

        def fill(leaf: Any) -> Any:
            return sizes[leaf][0] if isinstance(leaf, SymbolicTensor) else _struct(leaf)

        costs: list[Cost | None] = []
        for node in graph.nodes:
            if node.is_input:
                self.costs[node] = Cost()
                continue
            known = all(sizes[tensor][1] for tensor in node.inputs)
            args, kwargs = tree.map_structure(fill, (node.args, node.kwargs))
            cost: Cost | None
            try:
                cost, outputs = self.call(node.layer, args, kwargs, known)
            except Exception:
                # A summary is no place for the errors of a layer at sizes it is not made for.
                cost, known, outputs = None, False, [_struct(t) for t in node.outputs]
            for tensor, struct in zip(node.outputs, outputs, strict=True):
                sizes[tensor] = struct, known
            costs.append(cost)
            self.costs.setdefault(node, cost)
        return total_cost(costs), [sizes[tensor][0] for tensor in graph.outputs]

    def call(
        self, layer: Layer, args: Any, kwargs: Any, known: bool
    ) -> tuple[Cost | None, list[Struct]]:
        """Count one call, and return the sizes of its outputs."""
        graph = graph_of(layer)
        if graph is not None:
            given = _tensors((args, kwargs))
            by_name = any(isinstance(arg, Mapping) for arg in args)
            if by_name or len(given) != len(graph.inputs):
                return self.graph(graph, [(_struct(t), _is_known(t)) for t in graph.inputs])
            return self.graph(graph, [(struct, known) for struct in given])
        key = _key(layer), _key((args, kwargs))
        if key not in self._counted:
            self._counted[key] = self._trace(layer, args, kwargs)
        cost, outputs = self._counted[key]
        return Cost(cost.flops, cost.bytes, cost.exact and known), outputs

    def _trace(self, layer: Layer, args: Any, kwargs: Any) -> tuple[Cost, list[Struct]]:
        def pure(tensors: list[Any]) -> Any:
            remaining = iter(tensors)
            call_args, call_kwargs = tree.map_structure(
                lambda leaf: next(remaining) if isinstance(leaf, Struct) else leaf, (args, kwargs)
            )
            with Scope(rng=self._rng, abstract=True):
                return run_call(layer, call_args, call_kwargs)

        with kernels.using("xla"):  # whose operations are the ones that are counted
            jaxpr, shapes = jax.make_jaxpr(pure, return_shape=True)(_tensors((args, kwargs)))
        outputs = [leaf for leaf in tree.flatten(shapes) if leaf is not None]
        flops, exact = count_flops(jaxpr)
        size = sum(math.prod(out.shape) * out.dtype.itemsize for out in outputs)
        return Cost(flops, size, exact), outputs


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _tensors(structure: Any) -> list[Any]:
    return [leaf for leaf in tree.flatten(structure) if _is_tensor(leaf)]


def _struct(value: Any) -> Any:
    """Return the shape and dtype of a tensor, with 1 where a size is not known."""
    if not _is_tensor(value):
        return value
    shape = tuple(1 if size is None else size for size in value.shape)
    return Struct(shape, jax.dtypes.canonicalize_dtype(jnp.dtype(value.dtype)))


def _is_known(tensor: Any) -> bool:
    return None not in tensor.shape[1:]


def _batch(tensor: Any) -> int:
    return (tensor.shape[0] or 1) if tensor.shape else 1


def _key(value: Any) -> Any:
    """Return what is equal for layers and arguments that cost the same.

    plait's own layers are told by their configuration; other objects by identity, for what else
    they hold is not known.
    """
    if isinstance(value, Struct):
        return value.shape, value.dtype
    if isinstance(value, Mapping):
        return tuple((name, _key(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    if isinstance(value, Configurable) and type(value).__module__.startswith("plait."):
        config = {name: _key(item) for name, item in captured(value).items() if name != "name"}
        if isinstance(value, Layer):
            config["shapes"] = tuple(variable.shape for variable in value.variables)
            config["policy"] = value.dtype_policy.name
        return type(value), tuple(config.items())
    if value is None or isinstance(value, bool | int | float | str):
        return type(value), value
    return id(value)
