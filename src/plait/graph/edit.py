"""A draft: the calls of a graph with references instead of tensors, so verbs only move references.

`build` turns it into a new graph. The old graph is never changed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from plait.errors import ArgumentTypeError, ConfigError, GraphError, ShapeError, did_you_mean
from plait.graph import tree
from plait.graph.building import Building, Call, Ref, Remake
from plait.graph.graph import Graph
from plait.graph.node import describe_layer
from plait.graph.tensor import SymbolicTensor

_TARGET = re.compile(r"(?P<name>[^@]+?)(@(?P<call>\d+))?(\[(?P<output>\d+)\])?")


class Draft:
    """A graph that verbs can change.

    Every verb checks first and changes then, so one that raises has changed nothing. Names are
    given to layers only in the draft; `renamed` says which.

    Args:
        graph: where it starts from.
        who: how errors name the model.

    Attributes:
        inputs: a reference for each input, nested as in the graph.
        outputs: the same for outputs.
        origins: for each output, its position in the graph; None for a new one.
        tensors: the tensors of the graph and their references.
        renamed: layers that get another name.
        rebuilt: pairs of layers that no longer fitted and those made in their place by `build`.
    """

    def __init__(self, graph: Graph, who: str) -> None:
        self.graph, self.who = graph, who
        self.renamed: dict[Any, str] = {}
        self.rebuilt: list[tuple[Any, Any]] = []
        self._calls: dict[Any, list[Call]] = {}
        self._layers: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}  # by name, the first number that may be free
        refs: dict[SymbolicTensor, Ref] = {}
        for tensor in graph.inputs:
            if tensor.node is None or not tensor.node.is_input:
                refs[tensor] = self._enter(Call(None, tensors=[tensor])).output(0)
        for node in graph.nodes:
            given = node.outputs if node.is_input else None
            call = self._enter(Call(node.layer, (node.args, node.kwargs), node, given))
            call.take([refs[tensor] for tensor in node.inputs])
            for tensor in node.outputs:
                refs.setdefault(tensor, call.output(tensor.index))
        self.tensors = refs
        self.inputs = tree.map_structure(refs.__getitem__, graph.input_structure)
        self.outputs = tree.map_structure(refs.__getitem__, graph.output_structure)
        self.origins: list[int | None] = list(range(len(graph.outputs)))

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
            if len(call.outputs) > 1:
                name = self.name(call.layer)
                raise GraphError(
                    f"{call.describe()} returns {len(call.outputs)} tensors.",
                    fix=f"name one of them: '{name}[0]'",
                )
            index = 0
        elif call.node is not None and index >= len(call.node.outputs):
            raise GraphError(
                f"{call.describe()} returns {len(call.node.outputs)} tensors; there is no "
                f"[{index}]."
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

    # -- verbs ------------------------------------------------------------------------------

    def add(self, layer: Any, *refs: Ref) -> Ref:
        """Add a call of a layer on references and return its output."""
        self._check_name(layer)
        call = self._enter(Call(layer))
        call.set_arguments(refs, {})
        return call.output(0)

    def redirect(self, old: Ref, new: Ref, keep: Iterable[Call] = ()) -> None:
        """Let every use of `old` use `new`, outputs included, but in the calls of `keep`."""
        kept = set(keep)
        for call in [call for call in old.users if call not in kept]:
            call.take([new if ref is old else ref for ref in call.inputs])
        self.outputs = tree.map_structure(lambda ref: new if ref is old else ref, self.outputs)

    def insert_after(self, target: Any, layer: Any) -> Ref:
        """Put `layer` behind an output: everything that used it uses the layer's output."""
        ref = self.ref(target)
        new = self.add(layer, ref)
        self.redirect(ref, new, keep=[new.call])
        return new

    def insert_before(self, target: Any, layer: Any) -> Ref:
        """Put `layer` in front of a call that takes one tensor."""
        call = self.call(target)
        refs = list(dict.fromkeys(call.inputs))
        if not refs:
            raise GraphError(
                f"{call.describe()} is an input; nothing comes before it.",
                fix=f"insert_after('{self._name(call.output(0))}', layer)",
            )
        if len(refs) != 1:
            raise GraphError(
                f"{call.describe()} takes {len(refs)} tensors, so it is not clear in front of "
                "which the layer belongs.",
                fix=f"insert_between('{self._name(refs[0])}', '{self.name(call.layer)}', layer)",
            )
        return self._insert_on(refs[0], call, layer)

    def insert_between(self, source: Any, target: Any, layer: Any) -> Ref:
        """Put `layer` on the one edge from `source` to `target`; other uses stay."""
        call = self.call(target)
        return self._insert_on(self._taken(call, source), call, layer)

    def _insert_on(self, ref: Ref, call: Call, layer: Any) -> Ref:
        new = self.add(layer, ref)
        call.take([new if used is ref else used for used in call.inputs])
        return new

    def _taken(self, call: Call, source: Any) -> Ref:
        """Return the input of a call that `source` means."""
        found, index = self._find(source)
        refs = [ref for ref in call.inputs if ref.call is found and index in (None, ref.index)]
        if not refs:
            taken = ", ".join(repr(self._name(ref)) for ref in dict.fromkeys(call.inputs))
            raise GraphError(
                f"{call.describe()} does not take '{self._name(found.output(0))}'.",
                fix=f"it takes {taken}" if taken else "it is an input, which takes nothing",
            )
        return refs[0]

    def replace(self, target: Any, layer: Any) -> list[Call]:
        """Put `layer` in place of a layer in all its calls, or of one call (``name@1``).

        A layer without a name of its own takes the old name if nothing else has it then.
        """
        call = self.call(target)
        old, name = call.layer, self.name(call.layer) if call.layer is not None else ""
        if call.tensors is not None:
            raise GraphError(
                f"{call.describe()} is an input of the model; it cannot be replaced.",
                fix="add_input and remove_input change the inputs",
            )
        if layer.name != name:
            self._check_name(layer)
        one = isinstance(target, str) and "@" in target
        calls = [call] if one else self.calls_of(old)
        for each in calls:
            self._leave(each)
        for each in calls:
            each.layer, each.node, each.location = layer, None, None
            self._enter(each, None if layer.is_named or old in self._calls else name)
        return calls

    def remove(self, target: Any, keep: Any = None) -> Ref:
        """Take a call out: what used its output uses its input, or the one named by `keep`."""
        call = self.call(target)
        refs = list(dict.fromkeys(call.inputs))
        if not refs:
            name = self._name(call.output(0))
            raise GraphError(
                f"{call.describe()} is an input of the model.", fix=f"remove_input('{name}')"
            )
        if keep is None and len(refs) > 1:
            raise GraphError(
                f"{call.describe()} takes {len(refs)} tensors; say which takes its place.",
                fix=f"remove('{self.name(call.layer)}', keep='{self._name(refs[0])}')",
            )
        used = [ref for ref in call.outputs if ref.users or ref in tree.flatten(self.outputs)]
        if any(ref.index for ref in used):
            raise GraphError(
                f"{call.describe()} returns {len(call.outputs)} tensors; one input cannot take "
                "their place.",
                fix="rewire what uses them first",
            )
        kept = refs[0] if keep is None else self._taken(call, keep)
        self.redirect(call.output(0), kept)
        call.take([])
        self._leave(call)
        return kept

    def rewire(self, target: Any, inputs: Any) -> None:
        """Give a call other inputs: a tensor, a list of them, or a dict of keyword tensors."""
        call = self.call(target)
        if call.tensors is not None:
            raise GraphError(f"{call.describe()} is an input; it takes nothing.")
        args, kwargs = call.arguments(call.inputs)
        if isinstance(inputs, Mapping):
            call.set_arguments(*self._with_keywords(call, args, kwargs, inputs))
            return
        listed = isinstance(inputs, list | tuple)
        refs = [self.ref(item) for item in (inputs if listed else [inputs])]
        if (args and isinstance(args[0], list | tuple)) or (listed and call.layer.merges):
            call.set_arguments((refs, *args[1:]), kwargs)
            return
        whole = (args, kwargs)
        if len(refs) != len(call.inputs) and len(refs) == len(_refs(args)):
            whole = (args, {})
        places = _refs(whole)
        if len(refs) != len(places):
            raise GraphError(
                f"{call.describe()} takes {len(places)} tensors; received {len(refs)}.",
                fix=f"rewire('{self.name(call.layer)}', inputs=[...])",
            )
        remaining = iter(refs)
        args, changed = tree.map_structure(
            lambda leaf: next(remaining) if isinstance(leaf, Ref) else leaf, whole
        )
        call.set_arguments(args, {**kwargs, **changed})

    def _with_keywords(
        self, call: Call, args: Any, kwargs: Any, given: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        parameters = list(type(call.layer)._call_parameters)
        args, kwargs = list(args), dict(kwargs)
        for name, target in given.items():
            if name not in parameters:
                raise GraphError(
                    f"{call.describe()} takes no {name}=.{did_you_mean(name, parameters)}",
                    fix=f"it is called as {call.layer.name}({', '.join(parameters)})",
                )
            ref = None if target is None else self.ref(target)
            if parameters.index(name) < len(args):
                args[parameters.index(name)] = ref
            else:
                kwargs[name] = ref
        return tuple(args), kwargs

    def replace_uses(self, old: Any, new: Any) -> None:
        """Let everything that uses `old` use `new`, the model's outputs included.

        What `new` is computed from keeps `old`.
        """
        source, target = self.ref(old), self.ref(new)
        if source is target:
            raise GraphError(f"'{self._name(source)}' cannot take its own place.")
        feeding, stack = {target.call}, [target.call]
        while stack:
            parents = {ref.call for ref in stack.pop().inputs} - feeding
            feeding |= parents
            stack += parents
        self.redirect(source, target, keep=feeding)

    def add_input(self, tensor: SymbolicTensor) -> Ref:
        """Add an input to the model."""
        assert tensor.node is not None
        self._check_name(tensor.node.layer)
        ref = Call(tensor.node.layer, node=tensor.node, tensors=[tensor]).output(0)
        self.inputs = _added(self.inputs, tensor.name, ref)
        self._enter(ref.call)
        self.tensors[tensor] = ref
        return ref

    def remove_input(self, target: Any) -> None:
        """Take an input away that no output needs any more."""
        ref = self.ref(target)
        position = _position(self.inputs, ref, self._name(ref), "input", self.who)
        needed = set(self._ordered())
        users = [call.describe() for call in ref.users if call in needed]
        if ref in tree.flatten(self.outputs):
            users.append("an output")
        if users:
            raise GraphError(
                f"input '{self._name(ref)}' is used by {', '.join(users)}.",
                fix="remove or rewire them first",
            )
        for call in list(ref.users):
            call.take([])
            self._leave(call)
        self.inputs = _without(self.inputs, position)
        self._leave(ref.call)

    def add_output(self, name: str, at: Any) -> None:
        """Add an output to the model, under a name if the outputs are a dict."""
        self.outputs = _added(self.outputs, name, self.ref(at))
        self.origins.append(None)

    def remove_output(self, target: Any) -> None:
        """Take an output away; layers that led only there leave the graph."""
        keys = ["/".join(path) for path, _ in tree.leaves_with_path(self.outputs)]
        if isinstance(self.outputs, Mapping) and target in keys:
            ref = tree.flatten(self.outputs)[keys.index(target)]
        else:
            ref = self.ref(target)
        position = _position(self.outputs, ref, self._name(ref), "output", self.who)
        self.outputs = _without(self.outputs, position)
        del self.origins[position]

    # -- building ---------------------------------------------------------------------------

    def build(self, rebuild: str | None = None, remake: Remake | None = None) -> Graph:
        """Return the graph of this draft; layers have their new names by then.

        Args:
            rebuild: ``"downstream"``: layers whose weights no longer fit are made anew; None: they
                are an error.
            remake: makes one anew, given the layer and its arguments; default: nothing does, and
                the first that does not fit is the error.

        Raises:
            GraphError: a cycle, an output that is not connected, two layers of one name.
            ShapeError: shapes that do not fit; every layer that no longer fits is named.
        """
        building = Building(self.who, rebuild == "downstream", remake)
        for call in self._ordered():
            building.evaluate(call)
        building.finish()
        self.rebuilt = building.rebuilt
        inputs, outputs = (
            tree.map_structure(building.value, structure)
            for structure in (self.inputs, self.outputs)
        )
        return Graph(inputs, outputs)

    def _ordered(self) -> list[Call]:
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


def refreshed(graph: Graph, who: str) -> Graph:
    """Return a graph whose calls of models that were edited since are made anew.

    Raises:
        ShapeError: a layer no longer fits.
    """
    try:
        return Draft(graph, who).build()
    except ShapeError as error:
        wrapped = ShapeError(
            f"a model within {who} was edited so that it no longer fits: {error.what}",
            details=error.details,
            fix="undo that edit, and make it through this model: model.replace('inner/layer', ..., "
            "rebuild='downstream')",
        )
        wrapped.located = True
        raise wrapped from error


def _refs(structure: Any) -> list[Ref]:
    return [leaf for leaf in tree.flatten(structure) if isinstance(leaf, Ref)]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _added(structure: Any, name: str, ref: Ref) -> Any:
    if isinstance(structure, Mapping):
        if name in structure:
            raise ConfigError(f"there is a '{name}' already.", fix="choose another name")
        return {**structure, name: ref}
    return [*(structure if isinstance(structure, list | tuple) else [structure]), ref]


def _position(structure: Any, ref: Ref, name: str, what: str, who: str) -> int:
    flat = tree.flatten(structure)
    if ref not in flat:
        raise GraphError(f"'{name}' is no {what} of {who}.")
    if len(flat) == 1:
        raise GraphError(f"{who} has one {what}; it cannot be removed.")
    return flat.index(ref)


def _without(structure: Any, position: int) -> Any:
    leaves = tree.flatten(structure)

    def keep(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: keep(value) for key, value in item.items() if value != position}
        if isinstance(item, list | tuple):
            return [keep(value) for value in item if value != position]
        return leaves[item]

    rest = keep(tree.pack(structure, itertools.count()))
    return rest[0] if isinstance(rest, list) and len(rest) == 1 else rest
