"""What is drawn of a model: a box for every layer, with its calls, and wires between calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from plait.core.layer import Layer
from plait.core.registry import captured
from plait.core.walk import trainable_flags
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor
from plait.view.cost import Cost, graph_costs, graph_of, total_cost
from plait.view.palette import family_of

Mark = Literal["", "added", "removed", "replaced", "rewired", "changed"]
MARKS: tuple[Mark, ...] = get_args(Mark)[1:]

_LONGEST = 160


@dataclass(slots=True)
class Call:
    """One call of a layer.

    Attributes:
        name: the layer's name, with ``@1``, ``@2`` for further calls.
        arguments: what it is called with.
        shapes: the shapes of the outputs.
        location: the line of the call.
        flops: floating-point operations per sample; None where not known.
    """

    name: str
    arguments: str
    shapes: list[str]
    location: str
    flops: int | None


@dataclass(slots=True)
class Setting:
    """An argument that a layer was made with."""

    name: str
    value: str
    default: bool


@dataclass(slots=True)
class Weight:
    """A variable of a layer."""

    name: str
    shape: str
    dtype: str
    size: int
    trainable: bool


@dataclass(slots=True)
class Box:
    """A layer.

    Attributes:
        path: the names of the models it is in and its own, joined by ``/``.
        name: its name.
        kind: its class.
        family: the role of its colour.
        activation: the activation built into it; "" without one.
        params: the number of elements in its variables; None while it is not built.
        trainable: whether it is trained; None if it has no variables.
        location: the line that made it.
        calls: its calls, in order.
        settings: the arguments it was made with; none for a model with a graph.
        weights: its variables; none for a model with a graph.
        inside: the picture of a nested model.
        mark: what a comparison of two models says of it.
        change: what it says changed, in words.
    """

    path: str
    name: str
    kind: str
    family: str
    activation: str = ""
    params: int | None = None
    trainable: bool | None = None
    location: str = ""
    calls: list[Call] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    inside: Picture | None = None
    mark: Mark = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """An output of a call of a box: numbers of the box, of its call and of the output."""

    box: int
    call: int
    output: int


@dataclass(slots=True)
class Wire:
    """A tensor on its way from the call that makes it to a call that takes it."""

    source: Port
    box: int
    call: int
    shape: str
    dtype: str
    argument: int
    mark: Mark = ""


@dataclass(slots=True)
class Picture:
    """A model.

    Attributes:
        name: its name.
        kind: its class.
        boxes: its layers, in the order of their first calls.
        wires: the tensors between them.
        inputs: the ports where tensors come in.
        outputs: the ports whose tensors are returned.
        output_shapes: their shapes.
        params: the number of elements in the variables.
        trained: how many of them are trained.
        flops: floating-point operations per sample; None where not known.
        legend: of a comparison of two models: mark -> what it stands for.
    """

    name: str
    kind: str
    boxes: list[Box]
    wires: list[Wire]
    inputs: list[Port]
    outputs: list[Port]
    output_shapes: list[str]
    params: int
    trained: int
    flops: int | None
    legend: list[tuple[Mark, str]] = field(default_factory=list)

    @property
    def compares(self) -> bool:
        """Whether it is of two models."""
        return not self.outputs

    def __len__(self) -> int:
        """Return the number of boxes, those within boxes too."""
        return sum(1 + len(box.inside or ()) for box in self.boxes)


def picture_of(model: Any, prefix: str = "") -> Picture:
    """Return what is drawn of a model.

    Args:
        model: a model with a graph.
        prefix: what paths begin with.

    Raises:
        NotBuiltError: the model has no graph.
    """
    return _picture(model, graph_costs(model.graph), prefix)


def _picture(model: Any, costs: Mapping[Node, Cost | None], prefix: str) -> Picture:
    graph: Graph = model.graph
    names = graph.names
    boxes: list[Box] = []
    numbers: dict[Layer, int] = {}
    calls: dict[Node, tuple[int, int]] = {}
    ports: dict[SymbolicTensor, Port] = {}
    for tensor in graph.inputs:
        if tensor.node not in names:
            ports[tensor] = Port(len(boxes), 0, 0)
            boxes.append(_cut_input(tensor, prefix))
    for node in graph.nodes:
        if node.layer not in numbers:
            numbers[node.layer] = len(boxes)
            boxes.append(_box(node.layer, costs, prefix))
        number = numbers[node.layer]
        call = len(boxes[number].calls)
        calls[node] = number, call
        boxes[number].calls.append(_call(node, names, costs))
        for tensor in node.outputs:
            ports.setdefault(tensor, Port(number, call, tensor.index))
    flags = trainable_flags(model)
    total = total_cost(costs.get(node) for node in graph.nodes)
    return Picture(
        name=model.name,
        kind=type(model).__name__,
        boxes=boxes,
        wires=[
            Wire(ports[tensor], *calls[node], str(tensor.shape), tensor.dtype, argument)
            for node in graph.nodes
            for argument, tensor in enumerate(node.inputs)
        ],
        inputs=[ports[tensor] for tensor in graph.inputs],
        outputs=[ports[tensor] for tensor in graph.outputs],
        output_shapes=[str(tensor.shape) for tensor in graph.outputs],
        params=sum(variable.size for variable, _ in flags),
        trained=sum(variable.size for variable, trained in flags if trained),
        flops=None if total is None else total.flops,
    )


def _cut_input(tensor: SymbolicTensor, prefix: str) -> Box:
    call = Call(tensor.name, "", [str(tensor.shape)], "", 0)
    return Box(prefix + tensor.name, tensor.name, "Input", "input", params=0, calls=[call])


def _box(layer: Layer, costs: Mapping[Node, Cost | None], prefix: str) -> Box:
    sizes = [variable.size for variable in layer.variables]
    box = Box(
        path=prefix + layer.name,
        name=layer.name,
        kind=getattr(layer, "display_name", None) or type(layer).__name__,
        family=family_of(layer),
        activation=_activation(layer),
        params=sum(sizes) if layer.built else None,
        trainable=layer.trainable if sizes else None,
        location=str(layer.location or ""),
    )
    if graph_of(layer) is not None:
        box.inside = _picture(layer, costs, prefix=f"{box.path}/")
    else:
        box.settings = list(_settings(layer))
        box.weights = list(_weights(layer))
    return box


def _call(node: Node, names: Mapping[Node, str], costs: Mapping[Node, Cost | None]) -> Call:
    cost = costs.get(node)
    arguments = [_text(value) for value in node.args]
    arguments += [f"{key}={_text(value)}" for key, value in node.kwargs.items()]
    shapes = [str(shape) for shape in node.output_shapes]
    flops = None if cost is None else cost.flops
    return Call(names[node], ", ".join(arguments), shapes, str(node.location or ""), flops)


def _activation(layer: Layer) -> str:
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "" if function is None else type(function).__name__)
    return "" if name == "linear" else name


def _settings(layer: Layer) -> Iterator[Setting]:
    cls: Callable[..., Any] = type(layer)
    defaults = _defaults(cls)
    for name, value in captured(layer).items():
        if name != "name":
            text = _text(value)
            yield Setting(name, text, default=_text(defaults.get(name, _defaults)) == text)


@functools.cache
def _defaults(cls: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _weights(layer: Layer) -> Iterator[Weight]:
    for variable, trained in trainable_flags(layer):
        yield Weight(
            variable.path.removeprefix(f"{layer.name}/"),
            str(variable.shape),
            variable.dtype,
            variable.size,
            trained,
        )


def _text(value: Any) -> str:
    """Return a value on one line, as in source where that is short."""
    if isinstance(value, SymbolicTensor):
        return value.name
    if isinstance(value, list):
        text = f"[{', '.join(map(_text, value))}]"
    elif isinstance(value, tuple):
        text = f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        text = f"{type(value).__name__} {tuple(value.shape)} {value.dtype}"
    elif hasattr(value, "get_config") and not isinstance(value, type):
        text = type(value).__name__
    elif callable(value):
        text = getattr(value, "__name__", type(value).__name__)
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
