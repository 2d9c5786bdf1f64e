"""A draft: a graph that verbs change by moving references; `build` turns it into a new graph.

The old graph is never changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from plait.errors import ConfigError, GraphError, ShapeError, did_you_mean
from plait.graph import tree
from plait.graph.building import Building, Remake
from plait.graph.calls import Call, Calls, Ref, refs_in
from plait.graph.graph import Graph
from plait.graph.tensor import SymbolicTensor


class Draft(Calls):
    """A graph that verbs can change.

    Every verb checks first and changes then, so one that raises has changed nothing.

    Args:
        graph: where it starts from.
        who: how errors name the model.

    Attributes:
        origins: for each output, its position in the graph; None for a new one.
        rebuilt: pairs of layers that no longer fitted and those made in their place by `build`.
    """

    def __init__(self, graph: Graph, who: str) -> None:
        super().__init__(graph, who)
        self.rebuilt: list[tuple[Any, Any]] = []
        self.origins: list[int | None] = list(range(len(graph.outputs)))

    # -- verbs ------------------------------------------------------------------------------

    def add(self, layer: Any, *refs: Ref) -> Ref:
        """Add a call of a layer on references and return its output."""
        self._check_name(layer)
        call = self._enter(Call(layer))
        self.set_arguments(call, refs, {})
        return call.output(0)

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
        self.give(call, [new if used == ref else used for used in call.inputs])
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
        taken = [ref for user in self.users(call) for ref in user.inputs]
        taken += tree.flatten(self.outputs)
        if any(ref.call is call and ref.index for ref in taken):
            raise GraphError(
                f"{call.describe()} returns {call.size} tensors; one input cannot take "
                "their place.",
                fix="rewire what uses them first",
            )
        kept = refs[0] if keep is None else self._taken(call, keep)
        self.redirect(call.output(0), kept)
        self.give(call, [])
        self._leave(call)
        return kept

    def rewire(self, target: Any, inputs: Any) -> None:
        """Give a call other inputs: a tensor, a list of them, or a dict of keyword tensors."""
        call = self.call(target)
        if call.tensors is not None:
            raise GraphError(f"{call.describe()} is an input; it takes nothing.")
        args, kwargs = call.arguments(call.inputs)
        if isinstance(inputs, Mapping):
            self.set_arguments(call, *self._with_keywords(call, args, kwargs, inputs))
            return
        listed = isinstance(inputs, list | tuple)
        refs = [self.ref(item) for item in (inputs if listed else [inputs])]
        if (args and isinstance(args[0], list | tuple)) or (listed and call.layer.merges):
            self.set_arguments(call, (refs, *args[1:]), kwargs)
            return
        whole = (args, kwargs)
        if len(refs) != len(call.inputs) and len(refs) == len(refs_in(args)):
            whole = (args, {})
        places = refs_in(whole)
        if len(refs) != len(places):
            raise GraphError(
                f"{call.describe()} takes {len(places)} tensors; received {len(refs)}.",
                fix=f"rewire('{self.name(call.layer)}', inputs=[...])",
            )
        remaining = iter(refs)
        args, changed = tree.map_structure(
            lambda leaf: next(remaining) if isinstance(leaf, Ref) else leaf, whole
        )
        self.set_arguments(call, args, {**kwargs, **changed})

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
        if source == target:
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
        ref = Call(tensor.node.layer, tensor.node, [tensor]).output(0)
        self.inputs = _added(self.inputs, tensor.name, ref, f"{self.who} has an input")
        self._enter(ref.call)
        self.tensors[tensor] = ref
        return ref

    def remove_input(self, target: Any) -> None:
        """Take an input away that no output needs any more."""
        ref = self.ref(target)
        position = _position(self.inputs, ref, self._name(ref), "input", self.who)
        needed = set(self.ordered())
        users = [call.describe() for call in self.users(ref.call) if call in needed]
        if ref in tree.flatten(self.outputs):
            users.append("an output")
        if users:
            raise GraphError(
                f"input '{self._name(ref)}' is used by {', '.join(users)}.",
                fix="remove or rewire them first",
            )
        for call in self.users(ref.call):
            self.give(call, [])
            self._leave(call)
        self.inputs = _without(self.inputs, position)
        self._leave(ref.call)

    def add_output(self, name: str, at: Any) -> None:
        """Add an output to the model, under a name if the outputs are a dict."""
        self.outputs = _added(self.outputs, name, self.ref(at), f"{self.who} has an output")
        self.origins.append(None)

    def position_of_output(self, ref: Ref) -> int:
        """Return which output a reference is, after making it one if it is none."""
        if ref not in tree.flatten(self.outputs):
            name, taken = self._name(ref), self.outputs
            numbered = (f"{name}_{number}" for number in itertools.count(1))
            names = itertools.chain([name], numbered)
            key = next(n for n in names if not isinstance(taken, Mapping) or n not in taken)
            self.add_output(key, ref)
        return tree.flatten(self.outputs).index(ref)

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
        for call in self.ordered():
            building.evaluate(call)
        building.finish()
        self.rebuilt = building.rebuilt
        inputs, outputs = (
            tree.map_structure(building.value, structure)
            for structure in (self.inputs, self.outputs)
        )
        return Graph(inputs, outputs)


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


def _added(structure: Any, name: str, ref: Ref, there: str) -> Any:
    if isinstance(structure, Mapping):
        if name in structure:
            raise ConfigError(f"{there} '{name}' already.", fix="choose another name")
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
