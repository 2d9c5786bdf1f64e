"""What differs between two graphs: layers and calls are matched by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plait.errors import PlaitError
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor


@dataclass(frozen=True, slots=True)
class Entry:
    """A layer that only one of two models has.

    Attributes:
        path: its name; in nested models the path to it.
        kind: its type.
        inputs: the names of what it takes, at its first call.
    """

    path: str
    kind: str
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        taken = f" <- {', '.join(self.inputs)}" if self.inputs else ""
        return f"{self.kind} '{self.path}'{taken}"


@dataclass(frozen=True, slots=True)
class Change:
    """A layer that both models have, of different types or configurations.

    Attributes:
        path: its name; in nested models the path to it.
        before: its type in the first model.
        after: its type in the second.
        arguments: argument -> (before, after), where they differ; None where there is none.
    """

    path: str
    before: str
    after: str
    arguments: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        changes = ", ".join(f"{k} {a!r} -> {b!r}" for k, (a, b) in self.arguments.items())
        if self.before != self.after:
            return f"'{self.path}' {self.before} -> {self.after}"
        return f"{self.before} '{self.path}': {changes}"


@dataclass(frozen=True, slots=True)
class Rewiring:
    """A call, or the inputs or outputs of a model, with other tensors than before.

    Attributes:
        path: the name of the call (``dense@1``: the second of a shared layer); ``outputs`` and
            ``inputs`` stand for the model's.
        before: the names of what it took.
        after: the names of what it takes now; empty where there is no such call.
    """

    path: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        before, after = (", ".join(names) or "nothing" for names in (self.before, self.after))
        return f"'{self.path}': {before} -> {after}"


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs between two models; false if nothing does, readable with `print`.

    Attributes:
        added: layers that only the second model has.
        removed: layers that only the first has.
        replaced: layers of one name and different types.
        rewired: calls that take other tensors.
        changed: layers with other arguments.
        parameters: numbers of parameters, before and after; None for layers not built yet.
        flops: floating-point operations for one sample, before and after; None where that is not
            known, and for equal models.
    """

    added: list[Entry] = field(default_factory=list)
    removed: list[Entry] = field(default_factory=list)
    replaced: list[Change] = field(default_factory=list)
    rewired: list[Rewiring] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    parameters: tuple[int | None, int | None] = (None, None)
    flops: tuple[int | None, int | None] = (None, None)

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.replaced, self.rewired, self.changed))

    def __str__(self) -> str:
        if not self:
            return "no differences"
        lines = [
            f"{kind:<10} {item}"
            for kind in ("added", "removed", "replaced", "rewired", "changed")
            for item in getattr(self, kind)
        ]
        lines += _amounts("parameters", self.parameters) + _amounts("FLOPs", self.flops)
        return "\n".join(lines)


def _amounts(what: str, amounts: tuple[int | None, int | None]) -> list[str]:
    before, after = amounts
    if before is None or after is None:
        return []
    if before == after:
        return [f"{what:<10} {before:,}, as before"]
    return [f"{what:<10} {before:,} -> {after:,} ({after - before:+,})"]


def compare(before: Graph, after: Graph) -> Diff:
    """Return what differs between two graphs, and between the graphs of models within them.

    Values of weights are not compared.
    """
    diff = Diff()
    pairs = [("", before, after)]
    while pairs:
        prefix, first, second = pairs.pop()
        inner = _compare_layers(diff, prefix, first, second)
        _compare_calls(diff, prefix, first, second)
        pairs += reversed(inner)
    return diff


def _compare_layers(
    diff: Diff, prefix: str, before: Graph, after: Graph
) -> list[tuple[str, Graph, Graph]]:
    """Note layers that differ; return the graphs within that are to be compared."""
    old = {layer.name: layer for layer in before.layers}
    new = {layer.name: layer for layer in after.layers}
    inner = []
    for entries, graph, others in ((diff.removed, before, new), (diff.added, after, old)):
        sources = _sources(graph)
        for layer in graph.layers:
            if layer.name not in others:
                entries.append(Entry(prefix + layer.name, _kind(layer), sources[layer.name]))
    for name in (name for name in old if name in new):
        one, other = old[name], new[name]
        path = prefix + name
        if one is other:
            continue
        if type(one) is not type(other) or _kind(one) != _kind(other):
            diff.replaced.append(Change(path, _kind(one), _kind(other)))
            continue
        if _graph(one) is not None and _graph(other) is not None:
            inner.append((f"{path}/", one.graph, other.graph))
        arguments = _differences(_config(one), _config(other))
        if arguments:
            diff.changed.append(Change(path, _kind(one), _kind(other), arguments))
    return inner


def _compare_calls(diff: Diff, prefix: str, before: Graph, after: Graph) -> None:
    old, new = _sources(before), _sources(after)
    old_calls, new_calls = _calls(before), _calls(after)
    known = {layer.name for layer in before.layers} & {layer.name for layer in after.layers}
    for name in dict.fromkeys((*old, *new)):
        if name.partition("@")[0] not in known:
            continue
        if old.get(name, ()) != new.get(name, ()):
            diff.rewired.append(Rewiring(prefix + name, old.get(name, ()), new.get(name, ())))
        elif name in old and name in new:
            one, other = old_calls[name], new_calls[name]
            arguments = _differences(_constants(one), _constants(other))
            if arguments:
                kinds = (_kind(one.layer), _kind(other.layer))
                diff.changed.append(Change(prefix + name, *kinds, arguments))
    for what in ("inputs", "outputs"):
        ends = [tuple(_ends(graph, f"{what[:-1]}_structure")) for graph in (before, after)]
        if ends[0] != ends[1]:
            diff.rewired.append(Rewiring(prefix + what, *ends))


def _calls(graph: Graph) -> dict[str, Node]:
    return {name: node for node, name in graph.names.items()}


def _sources(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return name of a call -> names of what it takes."""
    names = graph.names
    return {
        name: tuple(_source(tensor, names) for tensor in node.inputs)
        for node, name in names.items()
    }


def _source(tensor: SymbolicTensor, names: Mapping[Node, str]) -> str:
    node = tensor.node
    if node is None or node not in names:
        return tensor.name
    return names[node] + (f"[{tensor.index}]" if len(node.outputs) > 1 else "")


def _ends(graph: Graph, attribute: str) -> list[str]:
    names, structure = graph.names, getattr(graph, attribute)
    found = []
    for path, tensor in tree.leaves_with_path(structure):
        key = f"{'/'.join(path)}: " if isinstance(structure, Mapping) else ""
        found.append(key + _source(tensor, names))
    return found


def _kind(layer: Any) -> str:
    return getattr(layer, "display_name", None) or type(layer).__name__


def _graph(layer: Any) -> Graph | None:
    return layer.graph if getattr(layer, "has_graph", False) else None


def _config(layer: Any) -> dict[str, Any]:
    """Return the arguments of a layer: of an input its shape, of a model what its graph leaves."""
    if hasattr(layer, "output_tensor"):
        tensor = layer.output_tensor
        return {"shape": tensor.shape, "dtype": tensor.dtype, "optional": layer.optional}
    if _graph(layer) is not None:
        return {"trainable": layer.trainable}
    try:
        config = layer.get_config()
    except PlaitError:
        config = dict(layer._captured)
    config.pop("name", None)
    return dict(_flattened("", config))


def _flattened(prefix: str, config: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """Return nested configurations as ``layer.units``: what is inside, without its wrapping."""
    found: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, Mapping) and "class_name" in value and "config" in value:
            inner = value["config"]
            if (
                isinstance(inner, Mapping)
                and len(inner) == 1
                and value["class_name"] == "DTypePolicy"
            ):
                found.append((f"{prefix}{key}", inner.get("name")))
            elif isinstance(inner, Mapping):
                found.append((f"{prefix}{key}", value["class_name"]))
                found += _flattened(f"{prefix}{key}.", inner)
            else:
                found.append((f"{prefix}{key}", inner))
        elif isinstance(value, Mapping) and "class_name" in value and "items" in value:
            found.append((f"{prefix}{key}", tuple(value["items"])))
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _constants(node: Node) -> dict[str, Any]:
    """Return the arguments of a call with its tensors left out."""

    def constant(leaf: Any) -> Any:
        return "tensor" if isinstance(leaf, SymbolicTensor) else leaf

    found = {f"argument {index}": arg for index, arg in enumerate(node.args)}
    return tree.map_structure(constant, {**found, **node.kwargs})


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (before.get(name), after.get(name))
        for name in dict.fromkeys((*before, *after))
        if not _equal(before.get(name), after.get(name))
    }


def _equal(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return one.shape == other.shape and bool((one == other).all())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if hasattr(one, "shape") or hasattr(other, "shape"):
        return False
    return bool(one == other)
