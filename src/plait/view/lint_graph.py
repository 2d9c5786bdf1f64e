"""Suspicions about the graph of a model that need no loss."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from plait import activations, layers
from plait.core.walk import walk
from plait.errors import Location
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor
from plait.view.cost import graph_of

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_PROJECTIONS = (layers.Dense, *_CONVOLUTIONS)
_BIASED = (
    *_PROJECTIONS,
    *(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
    *(layers.SeparableConv1D, layers.SeparableConv2D),
    *(layers.DepthwiseConv1D, layers.DepthwiseConv2D),
)
_STILL_LINEAR = (layers.Flatten, layers.Identity, layers.Dropout)
_STEPS = """
argmax argmin argsort bincount ceil digitize floor heaviside multi_hot nonzero one_hot round
searchsorted sign stop_gradient trunc
"""
_BLOCKING = frozenset(_STEPS.split())


class Suspicion(NamedTuple):
    """What a rule found: the path and line of a layer, what is wrong, and what to do."""

    where: tuple[str, Location | None]
    message: str
    fix: str
    severity: str | None = None


class Scope:
    """A graph within a model, with what rules ask of it.

    Attributes:
        prefix: the path of the model within, with "/" behind it.
        calls: layer -> how many times it is called.
        users: tensor -> the calls that take it.
    """

    def __init__(self, prefix: str, graph: Graph) -> None:
        self.prefix, self.graph = prefix, graph
        self.calls = Counter(id(node.layer) for node in graph.nodes)
        self.users: dict[SymbolicTensor, list[Node]] = {}
        for node in graph.nodes:
            for tensor in dict.fromkeys(node.inputs):
                self.users.setdefault(tensor, []).append(node)
        self._outputs = set(graph.outputs)

    def where(self, node: Node) -> tuple[str, Location | None]:
        """Return the path and the line of a call."""
        return self.prefix + node.layer.name, node.location

    def only_user(self, node: Node) -> Node | None:
        """Return the call that takes the one output of a call, if it and nothing else does."""
        if len(node.outputs) != 1 or node.outputs[0] in self._outputs:
            return None
        users = self.users.get(node.outputs[0], [])
        return users[0] if len(users) == 1 else None

    def is_shared(self, node: Node) -> bool:
        """Return whether the layer of a call is called elsewhere too."""
        return self.calls[id(node.layer)] > 1


def scopes(model: Any) -> Iterator[Scope]:
    """Yield the graph of a model and those of the models within, each once."""
    stack = [("", model.graph)]
    seen: set[int] = set()
    while stack:
        prefix, graph = stack.pop()
        yield Scope(prefix, graph)
        for layer in reversed(graph.layers):
            inner = graph_of(layer)
            if inner is not None and id(layer) not in seen:
                seen.add(id(layer))
                stack.append((f"{prefix}{layer.name}/", inner))


def activation_of(layer: Any) -> Any:
    """Return the activation that ends a layer's computation; None if that is not known."""
    if isinstance(layer, layers.Softmax):
        return activations.softmax
    if isinstance(layer, (layers.Activation, *_BIASED, layers.EinsumDense)):
        return activations.get(layer.activation)
    return None


def is_linear(layer: Any) -> bool:
    """Return whether a layer is a product with a kernel and no more."""
    return isinstance(layer, _PROJECTIONS) and activation_of(layer) is activations.linear


def unused_input(scope: Scope) -> Iterator[Suspicion]:
    """Inputs that reach no output."""
    outputs = set(scope.graph.outputs)
    for tensor in scope.graph.inputs:
        if tensor in scope.users or tensor in outputs or tensor.node is None:
            continue
        yield Suspicion(
            scope.where(tensor.node),
            f"{tensor.describe()} reaches no output: what is passed for it has no effect.",
            f"use it, or take '{tensor.name}' out of the model's inputs",
        )


def float64_input(scope: Scope) -> Iterator[Suspicion]:
    """Inputs that are declared as float64."""
    for node in scope.graph.nodes:
        if node.is_input and node.outputs[0].dtype == "float64":
            yield Suspicion(
                scope.where(node),
                f"{node.describe()} is float64; JAX computes in float32 unless told otherwise.",
                "leave dtype out: plait.Input(shape=...)",
            )


def normalized_softmax(scope: Scope) -> Iterator[Suspicion]:
    """Batch normalization of probabilities."""
    for node in scope.graph.nodes:
        if not isinstance(node.layer, layers.BatchNormalization):
            continue
        source = node.inputs[0].node
        if source is not None and activation_of(source.layer) is activations.softmax:
            yield Suspicion(
                scope.where(node),
                f"{node.describe()} normalizes the probabilities of {source.describe()}: what "
                "comes out are no probabilities.",
                "put BatchNormalization before the softmax",
            )


def bias_before_normalization(scope: Scope) -> Iterator[Suspicion]:
    """Biases that batch normalization takes away again."""
    for node in scope.graph.nodes:
        user = scope.only_user(node)
        layer = node.layer
        if (
            user is not None
            and isinstance(user.layer, layers.BatchNormalization)
            and isinstance(layer, _BIASED)
            and layer.use_bias
            and activation_of(layer) is activations.linear
            and user.layer.center
            and not scope.is_shared(node)
        ):
            yield Suspicion(
                scope.where(node),
                f"{node.describe()} has a bias that {user.describe()} subtracts again.",
                f"{type(layer).__name__}(..., use_bias=False)",
            )


def linear_in_a_row(scope: Scope) -> Iterator[Suspicion]:
    """Products with two kernels in a row, which one kernel could do.

    A narrow layer between wider ones limits the rank, and kernels over different axes of an image
    are a factorization; both are left alone.
    """
    for node in scope.graph.nodes:
        if not _is_plain_product(scope, node):
            continue
        user = scope.only_user(node)
        while user is not None and isinstance(user.layer, _STILL_LINEAR):
            user = scope.only_user(user)
        if user is None or not _is_product(user.layer) or scope.is_shared(user):
            continue
        if _is_factorization(node, user):
            continue
        yield Suspicion(
            scope.where(node),
            f"{node.describe()} and {user.describe()} have nothing nonlinear between them: "
            "together they can do no more than one of them.",
            f"{type(node.layer).__name__}(..., activation='relu'), or leave one of them out",
        )


def _is_product(layer: Any) -> bool:
    return isinstance(layer, _PROJECTIONS) and layer.kernel_constraint is None


def _is_plain_product(scope: Scope, node: Node) -> bool:
    layer = node.layer
    return (
        is_linear(layer)
        and _is_product(layer)
        and layer.activity_regularizer is None
        and not scope.is_shared(node)
    )


def _is_factorization(first: Node, second: Node) -> bool:
    one, other = first.layer, second.layer
    within = first.outputs[0].shape[-1]
    narrow = all(
        within is not None and size is not None and within < size
        for size in (first.inputs[0].shape[-1], second.outputs[0].shape[-1])
    )
    if narrow:
        return True
    if isinstance(one, layers.Dense):
        return not isinstance(other, layers.Dense)
    if isinstance(other, layers.Dense):
        return False
    return one.kernel_size != other.kernel_size or one.groups != 1 or other.groups != 1


# -- gradients ------------------------------------------------------------------------------


def without_gradient(scope: Scope, has_loss: bool) -> Iterator[Suspicion]:
    """Layers that training cannot change, as all that they do passes through a step function.

    Layers that are not plait's may add losses of their own, so what leads to them is left alone.
    A model without a loss whose outputs all are class numbers is made for inference.
    """
    reached = {tensor for tensor in scope.graph.outputs if _is_float(tensor)}
    if not has_loss and all(_is_stopped(tensor) for tensor in scope.graph.outputs):
        return
    learning: set[int] = set()
    for node in reversed(scope.graph.nodes):
        adds_loss = any(_may_add_loss(layer) for _, layer in walk(node.layer))
        if not adds_loss and not any(tensor in reached for tensor in node.outputs):
            continue
        if _blocks(node):
            continue
        learning.add(id(node.layer))
        reached.update(tensor for tensor in node.inputs if _is_float(tensor) or adds_loss)
    for node in scope.graph.nodes:
        layer = node.layer
        if id(layer) in learning or not layer.trainable_variables:
            continue
        learning.add(id(layer))
        stop = _first_stop(scope, node)
        behind = f": it leads only to {stop.describe()}" if stop is not None else ""
        yield Suspicion(
            scope.where(node),
            f"{node.describe()} gets no gradient{behind}, so training does not change it.",
            f"let it reach the loss another way, or freeze it: "
            f"model.get_layer('{layer.name}').trainable = False",
        )


def _may_add_loss(layer: Any) -> bool:
    ours = type(layer).__module__.startswith("plait.")
    return not ours or layer.activity_regularizer is not None


def _is_float(tensor: SymbolicTensor) -> bool:
    return "float" in tensor.dtype or "complex" in tensor.dtype


def _blocks(node: Node) -> bool:
    return getattr(node.layer, "function", None) in _BLOCKING if _is_op(node) else False


def _is_op(node: Node) -> bool:
    return type(node.layer).__module__ == "plait.ops.operation"


def _is_stopped(tensor: SymbolicTensor) -> bool:
    return not _is_float(tensor) or (tensor.node is not None and _blocks(tensor.node))


def _first_stop(scope: Scope, node: Node) -> Node | None:
    """Return the nearest call behind a call through which no gradient passes."""
    queue, seen = deque([node]), {node}
    while queue:
        current = queue.popleft()
        if current is not node and (_blocks(current) or not any(map(_is_float, current.outputs))):
            return current
        for tensor in current.outputs:
            for user in scope.users.get(tensor, []):
                if user not in seen:
                    seen.add(user)
                    queue.append(user)
    return None
