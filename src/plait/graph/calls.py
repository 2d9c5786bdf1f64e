"""The calls of a graph with references instead of tensors, so that edits only move references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from plait.errors import ArgumentTypeError, GraphError, did_you_mean
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node, describe_layer
from plait.graph.tensor import SymbolicTensor

_TARGET = re.compile(r"(?P<name>[^@]+?)(@(?P<call>\d+))?(\[(?P<output>\d+)\])?")


class Ref:
    """One output of a call in a draft; what verbs return and take as a target."""

    __slots__ = ("call", "index")

    def __init__(self, call: Call, index: int) -> None:
        self.call, self.index = call, index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self.call is other.call and self.index == other.index

    def __hash__(self) -> int:
        return hash((id(self.call), self.index))

    def __repr__(self) -> str:
        return f"<Ref to output {self.index} of {self.call.describe()}>"


class Call:
    """A call of a layer in a draft.

    Args:
        layer: what is called; None for an input that is a tensor from inside another graph.
        node: the call of the graph that it is so far, None for a new one.
        tensors: what an input of the model stands for.

    Attributes:
        inputs: what fills, in order, the places that symbolic tensors and references have in the
            positional and keyword arguments `args` and `kwargs`.
        size: how many outputs it is known to have.
    """

    __slots__ = ("args", "inputs", "kwargs", "layer", "location", "node", "size", "tensors")

    def __init__(
        self, layer: Any, node: Node | None = None, tensors: list[SymbolicTensor] | None = None
    ) -> None:
        self.layer, self.node, self.tensors = layer, node, tensors
        self.args, self.kwargs = ((), {}) if node is None else (node.args, node.kwargs)
        self.location = None if node is None else node.location
        self.size = 1 if node is None else len(node.outputs)
        self.inputs: tuple[Ref, ...] = ()

    def output(self, index: int) -> Ref:
        """Return one of its outputs."""
        return Ref(self, index)

    def arguments(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """Return positional and keyword arguments with `values` in their places."""
        if len(self.args) == 1 and not self.kwargs and isinstance(self.args[0], _PLACE):
            return (values[0],), self.kwargs
        remaining = iter(values)
        return tree.map_structure(
            lambda leaf: next(remaining) if isinstance(leaf, _PLACE) else leaf,
            (self.args, self.kwargs),
        )

    def describe(self) -> str:
        """Return how errors name it."""
        return describe_layer(self.layer, self.location) if self.layer is not None else "an input"


_PLACE = (SymbolicTensor, Ref)


class Calls:
    """The calls of a graph: found by name, joined by references, put in order.

    Names are given to layers only here; `renamed` says which. Nothing points back at what holds
    it, so that thousands of calls are gone as soon as nobody needs them.

    Args:
        graph: where it starts from.
        who: how errors name the model.

    Attributes:
        inputs: a reference for each input, nested as in the graph.
        outputs: the same for outputs.
        tensors: the tensors of the graph and their references.
        renamed: layers that get another name.
    """

    def __init__(self, graph: Graph, who: str) -> None:
        self.graph, self.who = graph, who
        self.renamed: dict[Any, str] = {}
        self._calls: dict[Any, list[Call]] = {}
        self._layers: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}  # by name, the first number that may be free
        self._users: dict[Call, dict[Call, None]] = {}
        self._knows_users = False
        refs: dict[SymbolicTensor, Ref] = {}
        for tensor in graph.inputs:
            if tensor.node is None or not tensor.node.is_input:
                refs[tensor] = self._enter(Call(None, tensors=[tensor])).output(0)
        for node in graph.nodes:
            call = self._enter(Call(node.layer, node, node.outputs if node.is_input else None))
            call.inputs = tuple([refs[tensor] for tensor in node.inputs])
            for tensor in node.outputs:
                refs.setdefault(tensor, call.output(tensor.index))
        self.tensors = refs
        self.inputs = tree.map_structure(refs.__getitem__, graph.input_structure)
        self.outputs = tree.map_structure(refs.__getitem__, graph.output_structure)

    # -- names ------------------------------------------------------------------------------

    def name(self, layer: Any) -> str:
        """Return the name that a layer has in this draft."""
        return self.renamed.get(layer, layer.name)

    def _name(self, ref: Ref) -> str:
        return self.name(ref.call.layer) if ref.call.layer is not None else ref.call.tensors[0].name  # type: ignore[index]

    def rename(self, target: Any, name: str) -> None:
        """Give a layer another name.

        Raises:
            GraphError: another layer has it.
        """
        layer = self.call(target).layer
        other = self._layers.get(name, layer)
        if other is not layer:
            raise GraphError(
                f"{describe_layer(layer)} cannot be renamed to '{name}': a layer of the same "
                "model has that name.",
                details=[("taken by", describe_layer(other, other.location))],
                fix=f"choose another name, for instance '{self._free(name)}'",
            )
        del self._layers[self.name(layer)]
        self._layers[name] = layer
        self.renamed[layer] = name

    def _free(self, name: str) -> str:
        count = self._numbers.get(name, 1)
        while f"{name}_{count}" in self._layers:
            count += 1
        self._numbers[name] = count
        return f"{name}_{count}"

    def _check_name(self, layer: Any) -> None:
        other = self._layers.get(layer.name, layer)
        if other is not layer and layer.is_named and layer not in self._calls:
            raise GraphError(
                f"{self.who} has a layer '{layer.name}' already.",
                details=[("taken by", describe_layer(other, other.location))],
                fix=f"give the new one another name: name='{self._free(layer.name)}'",
            )

    def _enter(self, call: Call, name: str | None = None) -> Call:
        layer = call.layer
        if layer is not None and layer not in self._calls:
            name = name or layer.name
            if name in self._layers:
                name = self._free(name)
            if name != layer.name:
                self.renamed[layer] = name
            self._layers[name] = layer
        self._calls.setdefault(layer, []).append(call)
        return call

    def _leave(self, call: Call) -> None:
        layer = call.layer
        self._calls[layer].remove(call)
        if not self._calls[layer]:
            del self._calls[layer]
            if layer is not None:
                del self._layers[self.name(layer)]
                self.renamed.pop(layer, None)

    # -- finding ----------------------------------------------------------------------------

    def __contains__(self, target: object) -> bool:
        """Whether a layer, a symbolic tensor or a reference is in this draft."""
        if isinstance(target, Ref):
            return target.call in self._calls.get(target.call.layer, ())
        if isinstance(target, SymbolicTensor):
            return target in self.tensors and self.tensors[target] in self
        return target in self._calls

    def ref(self, target: Any) -> Ref:
        """Return the one output that a target means.

        Raises:
            GraphError: nothing has that name, or it has several outputs.
        """
        call, index = self._find(target)
        if index is None:
            if call.size > 1:
                name = self.name(call.layer)
                raise GraphError(
                    f"{call.describe()} returns {call.size} tensors.",
                    fix=f"name one of them: '{name}[0]'",
                )
            index = 0
        elif isinstance(target, str) and call.node is not None and index >= call.size:
            raise GraphError(
                f"{call.describe()} returns {call.size} tensors; there is no [{index}]."
            )
        return call.output(index)

    def call(self, target: Any) -> Call:
        """Return the one call that a target means: a name, ``name@1``, a layer, or a tensor.

        Raises:
            GraphError: there is none.
        """
        return self._find(target)[0]

    def _find(self, target: Any) -> tuple[Call, int | None]:
        if isinstance(target, Ref):
            if target not in self:
                raise GraphError(
                    f"what this verb takes is not in {self.who}: it was removed, or belongs to "
                    "another model.",
                    fix="name the layer",
                )
            return target.call, target.index
        if isinstance(target, SymbolicTensor):
            return self._find_tensor(target)
        if isinstance(target, str):
            return self._find_name(target)
        if target in self._calls:
            return self._calls[target][0], None
        raise (GraphError if hasattr(target, "name") else ArgumentTypeError)(
            f"a target is a name, a layer or a symbolic tensor of {self.who}; received {target!r}.",
            fix="for instance 'dense_1', or 'dense@1' for the second call of a shared layer",
        )

    def _find_tensor(self, tensor: SymbolicTensor) -> tuple[Call, int]:
        if tensor in self:
            ref = self.tensors[tensor]
            return ref.call, ref.index
        # A tensor from before an edit still means its layer, if that is called once.
        calls = self._calls.get(tensor.node and tensor.node.layer, ())
        if len(calls) != 1:
            raise GraphError(
                f"{tensor.describe()} is not in {self.who}.",
                fix="take a tensor from model.graph, or name the layer",
            )
        return calls[0], tensor.index

    def _find_name(self, target: str) -> tuple[Call, int | None]:
        if target in self._layers:
            return self._calls[self._layers[target]][0], None
        parts = _TARGET.fullmatch(target)
        layer = self._layers.get(parts["name"]) if parts else None
        if parts is None or layer is None:
            raise GraphError(
                f"{self.who} has no layer '{target}'.{did_you_mean(target, self._layers)}",
                fix=f"its layers are {', '.join(self._layers)}" if len(self._layers) < 20 else None,
            )
        calls, number = self._calls[layer], int(parts["call"] or 0)
        if number >= len(calls):
            raise GraphError(
                f"{self.who} calls {describe_layer(layer)} {_times(len(calls))}; there is no "
                f"'{parts['name']}@{number}'.",
                fix=f"count from 0: '{parts['name']}' is the first call, '{parts['name']}@1' the "
                "second",
            )
        return calls[number], int(parts["output"]) if parts["output"] else None

    def layers(self) -> list[tuple[str, Any]]:
        """Return (name, layer) of every layer, inputs left out."""
        return [
            (name, layer)
            for name, layer in self._layers.items()
            if self._calls[layer][0].tensors is None
        ]

    def calls_of(self, layer: Any) -> list[Call]:
        """Return every call of a layer."""
        return list(self._calls.get(layer, ()))

    def calls(self) -> list[Call]:
        """Return every call, also of layers that no output needs any more."""
        return [call for calls in self._calls.values() for call in calls]

    # -- joining ----------------------------------------------------------------------------

    def give(self, call: Call, inputs: Iterable[Ref]) -> None:
        """Let other references fill the places of a call."""
        if self._knows_users:
            for ref in call.inputs:
                self._users[ref.call].pop(call, None)
        call.inputs = tuple(inputs)
        if self._knows_users:
            for ref in call.inputs:
                self._users.setdefault(ref.call, {})[call] = None

    def set_arguments(self, call: Call, args: Any, kwargs: Any) -> None:
        """Call the layer with other arguments, which hold references."""
        call.args, call.kwargs, call.node = args, kwargs, None
        self.give(call, refs_in((args, kwargs)))

    def users(self, call: Call) -> list[Call]:
        """Return the calls that take an output of a call."""
        if not self._knows_users:
            for user in self.calls():
                for ref in user.inputs:
                    self._users.setdefault(ref.call, {})[user] = None
            self._knows_users = True
        return list(self._users.get(call, ()))

    def redirect(self, old: Ref, new: Ref, keep: Iterable[Call] = ()) -> None:
        """Let every use of `old` use `new`, outputs included, but in the calls of `keep`."""
        kept = set(keep)
        for call in self.users(old.call):
            if call not in kept:
                self.give(call, [new if ref == old else ref for ref in call.inputs])
        self.outputs = tree.map_structure(lambda ref: new if ref == old else ref, self.outputs)

    def ordered(self) -> list[Call]:
        """Return the calls that the outputs need, what they use first.

        Raises:
            GraphError: the calls form a cycle.
        """
        order: list[Call] = [ref.call for ref in tree.flatten(self.inputs)]
        done = set(order)
        active: set[Call] = set()
        for output in tree.flatten(self.outputs):
            stack: list[Call] = [output.call]
            while stack:
                call = stack[-1]
                if call in done:
                    stack.pop()
                    continue
                waiting = [ref.call for ref in call.inputs if ref.call not in done]
                if not waiting:
                    done.add(call)
                    order.append(call)
                    stack.pop()
                    continue
                active.add(call)
                for parent in waiting:
                    if parent in active:
                        raise GraphError(
                            f"the edit would make a cycle through {parent.describe()}.",
                            fix="a layer cannot use what depends on its own output",
                        )
                stack += reversed(waiting)
        return order


def refs_in(structure: Any) -> list[Ref]:
    """Return the references in nested arguments."""
    return [leaf for leaf in tree.flatten(structure) if isinstance(leaf, Ref)]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
