"""`Edit`: a transaction on a graph.

A draft holds the calls of a graph with references instead of tensors, so verbs only move
references. `build` turns the draft into a new graph: calls whose inputs are what they were are
the old nodes, calls whose inputs have the same shapes are copied, and the rest are made anew by
calling their layers, which infers shapes. The old graph is never changed.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from plait.errors import ArgumentTypeError, ConfigError, GraphError, ShapeError, did_you_mean
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node, describe_layer
from plait.graph.tensor import SymbolicTensor


class Call:
    """A call of a layer in a draft; its arguments hold `Ref`s where a node holds tensors."""

    __slots__ = ("args", "kwargs", "layer", "node")

    def __init__(
        self, layer: Any, args: Any = (), kwargs: Any = None, node: Node | None = None
    ) -> None:
        self.layer, self.args, self.kwargs, self.node = layer, args, kwargs or {}, node

    def refs(self) -> list[Ref]:
        """Return the references among the arguments, in order."""
        return [leaf for leaf in tree.flatten((self.args, self.kwargs)) if isinstance(leaf, Ref)]

    def redirect(self, function: Callable[[Ref], Ref]) -> None:
        """Replace each reference among the arguments."""
        self.args, self.kwargs = tree.map_structure(
            lambda leaf: function(leaf) if isinstance(leaf, Ref) else leaf,
            (self.args, self.kwargs),
        )


class Ref:
    """One output of a call in a draft; what verbs return and take as a target."""

    __slots__ = ("call", "index")

    def __init__(self, call: Call, index: int = 0) -> None:
        self.call, self.index = call, index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and (other.call, other.index) == (self.call, self.index)

    def __hash__(self) -> int:
        return hash((id(self.call), self.index))


class Draft:
    """A graph that verbs can change.

    Args:
        graph: where it starts from.
        who: how errors name the model.
    """

    def __init__(self, graph: Graph, who: str) -> None:
        self.graph, self.who = graph, who
        self._refs: dict[SymbolicTensor, Ref] = {}
        self.calls: list[Call] = []
        for tensor in graph.inputs:
            if tensor.node is None or not tensor.node.is_input:
                call = Call(None, node=tensor.node)
                self._refs[tensor] = Ref(call, tensor.index)
                self.calls.append(call)
        for node in graph.nodes:
            args, kwargs = tree.map_structure(self._ref, (node.args, node.kwargs))
            call = Call(node.layer, args, kwargs, node)
            self.calls.append(call)
            for tensor in node.outputs:
                self._refs.setdefault(tensor, Ref(call, tensor.index))
        self.inputs = tree.map_structure(self._ref, graph.input_structure)
        self.outputs = tree.map_structure(self._ref, graph.output_structure)
        self._fresh: dict[int, Any] = {}

    def _ref(self, leaf: Any) -> Any:
        return self._refs[leaf] if isinstance(leaf, SymbolicTensor) else leaf

    # -- finding ----------------------------------------------------------------------------

    def names(self) -> dict[str, Call]:
        """Return name -> call; further calls of a layer are ``name@1``, ``name@2``, ..."""
        names: dict[str, Call] = {}
        counts: dict[int, int] = {}
        for call in self.calls:
            if call.layer is None:
                continue
            count = counts[id(call.layer)] = counts.get(id(call.layer), -1) + 1
            names[call.layer.name + (f"@{count}" if count else "")] = call
        return names

    def ref(self, target: Any) -> Ref:
        """Return the one output that a target means.

        Raises:
            GraphError: nothing has that name, or it has several outputs.
        """
        if isinstance(target, Ref):
            return target
        if isinstance(target, SymbolicTensor):
            if target not in self._refs:
                raise GraphError(
                    f"{target.describe()} is not in {self.who}.",
                    fix="take a tensor from model.graph, or name the layer",
                )
            return self._refs[target]
        return Ref(self.call(target))

    def call(self, target: Any) -> Call:
        """Return the one call that a target means: a name, ``name@1``, a layer, or a tensor.

        Raises:
            GraphError: there is none.
        """
        if isinstance(target, Ref):
            return target.call
        if isinstance(target, SymbolicTensor):
            return self.ref(target).call
        names = self.names()
        if isinstance(target, str):
            if target in names:
                return names[target]
            raise GraphError(
                f"{self.who} has no layer '{target}'.{did_you_mean(target, names)}",
                fix=f"its layers are {', '.join(names)}" if len(names) < 20 else None,
            )
        for call in self.calls:
            if call.layer is target:
                return call
        raise ArgumentTypeError(
            f"a target is a name, a layer or a symbolic tensor of {self.who}; received {target!r}.",
            fix="for instance 'dense_1', or 'dense@1' for the second call of a shared layer",
        )

    def calls_of(self, layer: Any) -> list[Call]:
        """Return every call of a layer."""
        return [call for call in self.calls if call.layer is layer]

    def matching(self, pattern: str) -> list[Any]:
        """Return the layers that ``name-glob`` or ``name-glob:ClassName`` means, each once."""
        glob, _, kind = pattern.partition(":")
        found = {}
        for call in self.calls:
            layer = call.layer
            if layer is None or (call.node is not None and call.node.is_input):
                continue
            if fnmatch.fnmatchcase(layer.name, glob or "*") and (
                not kind or fnmatch.fnmatchcase(type(layer).__name__, kind)
            ):
                found[id(layer)] = layer
        return list(found.values())

    # -- verbs ------------------------------------------------------------------------------

    def add(self, layer: Any, args: Any, kwargs: Any = None) -> Ref:
        """Add a call and return its output."""
        call = Call(layer, args, kwargs)
        self.calls.append(call)
        return Ref(call)

    def redirect(self, old: Ref, new: Ref, keep: Iterable[Call] = ()) -> int:
        """Let every use of `old` use `new`, but in the calls of `keep`; return how many changed."""
        kept = set(map(id, keep))
        changed = 0

        def turn(ref: Ref) -> Ref:
            nonlocal changed
            if ref == old:
                changed += 1
                return new
            return ref

        for call in self.calls:
            if id(call) not in kept:
                call.redirect(turn)
        self.outputs = tree.map_structure(turn, self.outputs)
        return changed

    def insert_after(self, target: Any, layer: Any) -> Ref:
        """Put `layer` behind an output: everything that used it uses the layer's output."""
        ref = self.ref(target)
        new = self.add(layer, (ref,))
        self.redirect(ref, new, keep=[new.call])
        return new

    def insert_before(self, target: Any, layer: Any) -> Ref:
        """Put `layer` in front of a call that takes one tensor."""
        call = self.call(target)
        refs = list(dict.fromkeys(call.refs()))
        if len(refs) != 1:
            raise GraphError(
                f"{describe_layer(call.layer)} takes {len(refs)} tensors, so it is not clear in "
                "front of which the layer belongs.",
                fix=f"insert_between(a, '{call.layer.name}', layer)",
            )
        new = self.add(layer, (refs[0],))
        call.redirect(lambda ref: new)
        return new

    def insert_between(self, source: Any, target: Any, layer: Any) -> Ref:
        """Put `layer` on the one edge from `source` to `target`; other uses stay."""
        ref, call = self.ref(source), self.call(target)
        if ref not in call.refs():
            taken = ", ".join(f"'{r.call.layer.name}'" for r in call.refs() if r.call.layer)
            raise GraphError(
                f"{describe_layer(call.layer)} does not take '{_name(ref)}'.",
                fix=f"it takes {taken}" if taken else None,
            )
        new = self.add(layer, (ref,))
        call.redirect(lambda used: new if used == ref else used)
        return new

    def replace(self, target: Any, layer: Any) -> list[Call]:
        """Put `layer` in place of a layer in all its calls, or of one call (``name@1``)."""
        call = self.call(target)
        one = isinstance(target, str) and "@" in target
        calls = [call] if one else self.calls_of(call.layer)
        if call.node is not None and call.node.is_input:
            raise GraphError(
                f"{describe_layer(call.layer)} is an input of the model; it cannot be replaced.",
                fix="add_input and remove_input change the inputs",
            )
        for each in calls:
            each.layer, each.node = layer, None
        return calls

    def remove(self, target: Any, keep: Any = None) -> Ref:
        """Take a call out: what used its output uses its input, or the one named by `keep`."""
        call = self.call(target)
        refs = list(dict.fromkeys(call.refs()))
        if not refs:
            raise GraphError(
                f"{describe_layer(call.layer)} is an input of the model.",
                fix=f"remove_input('{call.layer.name}')",
            )
        if keep is not None:
            kept = self.ref(keep)
            if kept not in refs:
                raise GraphError(
                    f"{describe_layer(call.layer)} does not take '{_name(kept)}', so it cannot be "
                    "kept in its place.",
                    fix=f"keep one of {', '.join(repr(_name(ref)) for ref in refs)}",
                )
        elif len(refs) > 1:
            raise GraphError(
                f"{describe_layer(call.layer)} takes {len(refs)} tensors; say which takes its "
                "place.",
                fix=f"remove('{call.layer.name}', keep='{_name(refs[0])}')",
            )
        else:
            kept = refs[0]
        if call.node is not None and len(call.node.outputs) > 1:
            raise GraphError(
                f"{describe_layer(call.layer)} returns {len(call.node.outputs)} tensors; one "
                "input cannot take their place.",
                fix="rewire what uses them first",
            )
        self.redirect(Ref(call), kept, keep=[call])
        self.calls.remove(call)
        return kept

    def rewire(self, target: Any, inputs: Any) -> None:
        """Give a call other inputs: a tensor, a list of them, or a dict of keyword tensors."""
        call = self.call(target)
        if call.node is not None and call.node.is_input:
            raise GraphError(f"{describe_layer(call.layer)} is an input; it takes nothing.")
        if isinstance(inputs, Mapping):
            unknown = [name for name in inputs if name not in call.kwargs]
            if unknown:
                raise GraphError(
                    f"{describe_layer(call.layer)} was not called with {unknown[0]}=.",
                    fix="pass a list of tensors",
                )
            call.kwargs = {**call.kwargs, **{k: self.ref(v) for k, v in inputs.items()}}
            return
        listed = isinstance(inputs, list | tuple)
        refs = [self.ref(item) for item in (inputs if listed else [inputs])]
        merges = bool(call.args) and isinstance(call.args[0], list | tuple)
        if merges or (listed and call.layer.merges):
            call.args = (refs, *call.args[1:])
            return
        places = [leaf for leaf in tree.flatten(call.args) if isinstance(leaf, Ref)]
        if len(refs) != len(places):
            raise GraphError(
                f"{describe_layer(call.layer)} takes {len(places)} tensors; received {len(refs)}.",
                fix=f"rewire('{call.layer.name}', inputs=[...])",
            )
        remaining = iter(refs)
        call.args = tree.map_structure(
            lambda leaf: next(remaining) if isinstance(leaf, Ref) else leaf, call.args
        )

    def replace_uses(self, old: Any, new: Any) -> None:
        """Let everything that uses `old` use `new`, the model's outputs included."""
        source, target = self.ref(old), self.ref(new)
        if source == target:
            raise GraphError(f"'{_name(source)}' cannot take its own place.")
        self.redirect(source, target, keep=self._feeding(target))

    def _feeding(self, ref: Ref) -> list[Call]:
        """Return the calls that an output comes from, its own included."""
        found: dict[int, Call] = {}
        stack = [ref.call]
        while stack:
            call = stack.pop()
            if id(call) not in found:
                found[id(call)] = call
                stack += [used.call for used in call.refs()]
        return list(found.values())

    def add_input(self, tensor: SymbolicTensor) -> Ref:
        """Add an input to the model."""
        assert tensor.node is not None
        call = Call(tensor.node.layer, node=tensor.node)
        self.calls.append(call)
        ref = Ref(call)
        self.inputs = _added(self.inputs, tensor.name, ref)
        self._refs[tensor] = ref
        return ref

    def remove_input(self, target: Any) -> None:
        """Take an input away that nothing uses any more."""
        ref = self.ref(target)
        self.inputs = _without(self.inputs, ref, "input", self.who)
        users = [call for call in self.calls if ref in call.refs()]
        if users or ref in tree.flatten(self.outputs):
            used = ", ".join(describe_layer(call.layer) for call in users) or "the outputs"
            raise GraphError(
                f"input '{_name(ref)}' is used by {used}.",
                fix="remove or rewire them first",
            )
        self.calls.remove(ref.call)

    def add_output(self, name: str, at: Any) -> Ref:
        """Add an output to the model, under a name if the outputs are a dict."""
        ref = self.ref(at)
        self.outputs = _added(self.outputs, name, ref)
        return ref

    def remove_output(self, target: Any) -> None:
        """Take an output away; layers that led only there leave the graph."""
        if isinstance(self.outputs, Mapping) and target in self.outputs:
            if len(self.outputs) == 1:
                raise GraphError(f"{self.who} has one output; it cannot be removed.")
            self.outputs = {k: ref for k, ref in self.outputs.items() if k != target}
            return
        self.outputs = _without(self.outputs, self.ref(target), "output", self.who)

    # -- building ---------------------------------------------------------------------------

    def build(self, rebuild: str | None = None) -> Graph:
        """Return the graph of this draft.

        Args:
            rebuild: ``"downstream"``: layers whose weights no longer fit are made anew; None: they
                are an error.

        Raises:
            GraphError: a cycle, an output that is not connected, two layers of one name.
            ShapeError: shapes that do not fit; every layer that no longer fits is named.
        """
        values: dict[Ref, SymbolicTensor] = {}
        misfits: list[tuple[Any, ShapeError]] = []
        for call in self._ordered():
            for index, tensor in enumerate(self._evaluate(call, values, misfits)):
                values[Ref(call, index)] = tensor
        if misfits and rebuild != "downstream":
            raise ShapeError(
                f"{self.who}: {len(misfits)} of its layers no longer fit.",
                details=[(_first_line(error),) for _, error in misfits],
                fix="rebuild='downstream' makes exactly these anew, with new weights",
            )
        inputs = tree.map_structure(lambda ref: values[ref], self.inputs)
        outputs = tree.map_structure(lambda ref: values[ref], self.outputs)
        return Graph(inputs, outputs)

    def _evaluate(
        self,
        call: Call,
        values: dict[Ref, SymbolicTensor],
        misfits: list[tuple[Any, ShapeError]],
    ) -> Sequence[SymbolicTensor]:
        node = call.node
        if call.layer is None or (node is not None and node.is_input):
            assert node is not None
            return node.outputs
        layer = self._fresh.get(id(call.layer), call.layer)
        args, kwargs = tree.map_structure(
            lambda leaf: values[leaf] if isinstance(leaf, Ref) else leaf, (call.args, call.kwargs)
        )
        if node is not None and layer is node.layer:
            given = [leaf for leaf in tree.flatten((args, kwargs)) if _is_tensor(leaf)]
            if _same(given, node.inputs):
                return node.outputs
            alike = len(given) == len(node.inputs) and all(
                (a.shape, a.dtype) == (b.shape, b.dtype)
                for a, b in zip(given, node.inputs, strict=True)
            )
            if alike:
                return Node(layer, args, kwargs, node.output_structure, node.location).outputs
        try:
            result = layer(*args, **kwargs)
        except ShapeError as error:
            if not layer.built or not layer.variables:
                raise
            misfits.append((layer, error))
            self._fresh[id(call.layer)] = fresh = layer.clone()
            result = fresh(*args, **kwargs)
        made: SymbolicTensor = tree.flatten(result)[0]
        assert made.node is not None
        return made.node.outputs

    def _ordered(self) -> list[Call]:
        """Return the calls that the outputs need, what they use first.

        Raises:
            GraphError: the calls form a cycle.
        """
        order: list[Call] = [ref.call for ref in tree.flatten(self.inputs)]
        done = set(map(id, order))
        active: set[int] = set()
        for output in tree.flatten(self.outputs):
            stack: list[tuple[Call, bool]] = [(output.call, False)]
            while stack:
                call, expanded = stack.pop()
                if expanded:
                    active.discard(id(call))
                    if id(call) not in done:
                        done.add(id(call))
                        order.append(call)
                    continue
                if id(call) in done:
                    continue
                if id(call) in active:
                    raise GraphError(
                        f"the edit would make a cycle through {describe_layer(call.layer)}.",
                        fix="a layer cannot use what depends on its own output",
                    )
                active.add(id(call))
                stack.append((call, True))
                stack.extend((ref.call, False) for ref in reversed(call.refs()))
        return order


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, SymbolicTensor)


def _same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


def _name(ref: Ref) -> str:
    return ref.call.layer.name if ref.call.layer is not None else "input"


def _first_line(error: ShapeError) -> str:
    return re.sub(r"\s+", " ", str(error).splitlines()[0])


def _added(structure: Any, name: str, ref: Ref) -> Any:
    if isinstance(structure, Mapping):
        if name in structure:
            raise ConfigError(f"there is a '{name}' already.", fix="choose another name")
        return {**structure, name: ref}
    items = list(structure) if isinstance(structure, list | tuple) else [structure]
    return [*items, ref]


def _without(structure: Any, ref: Ref, what: str, who: str) -> Any:
    flat = tree.flatten(structure)
    if ref not in flat:
        raise GraphError(f"'{_name(ref)}' is no {what} of {who}.")
    if len(flat) == 1:
        raise GraphError(f"{who} has one {what}; it cannot be removed.")
    if isinstance(structure, Mapping):
        return {key: item for key, item in structure.items() if item != ref}
    rest = [item for item in structure if item != ref]
    return rest[0] if len(rest) == 1 else type(structure)(rest)
