"""`Edit`: the verbs that change the graph of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.core.layer import Layer
from plait.core.naming import check_name
from plait.errors import ArgumentTypeError
from plait.graph import tree
from plait.graph.calls import Ref
from plait.graph.edit import Draft
from plait.layers.input import Input
from plait.models.targets import is_glob
from plait.models.transaction import Transaction


class Edit(Transaction):
    """A transaction on the graph of a model: all of it is applied, or nothing changes.

    Made by ``with model.edit() as edit:``. Verbs change a draft. On leaving the block, shapes
    downstream are inferred again, the graph is verified, and the model takes it; on an error the
    model is what it was. Verbs that add a layer return a reference to its output, which later verbs
    of the block take as a target.

    A target is the name of a layer (``"dense_1"``), the name of one call of a shared layer
    (``"dense@1"``), one output of several (``"lstm[1]"``), a path into nested models
    (``"encoder/conv_2"``), a layer, a symbolic tensor of the model, what a verb returned, or a
    glob of paths (``"block*/relu"``, ``"**:Dropout"``). `insert_after`, `insert_before`, `replace`
    and `remove` do it to every layer that a glob matches, each place with a copy of what is
    inserted; elsewhere it has to match one.

    Cost: a verb touches what it changes; leaving the block is linear in the size of the graph, and
    calls only the layers whose inputs changed shape.

    Args:
        model: the model.
        rebuild: ``"downstream"``: layers whose weights no longer fit after a change of width are
            made anew; None: that is an error that names them.

    Raises:
        NotBuiltError: the model has no graph.
    """

    # -- verbs ------------------------------------------------------------------------------

    def insert_after(self, target: Any, layer: Layer) -> Ref:
        """Insert `layer` behind a layer: everything that used its output uses the new one's.

        Args:
            target: see the class.
            layer: takes the one tensor.

        Returns:
            The new output; of several, the last.

        Raises:
            GraphError: there is no such target.
        """
        places = self._calls(target)
        for (draft, place), each in zip(places, self._copies(layer, len(places)), strict=True):
            ref = draft.insert_after(place, each)
        self._note("insert_after", target, layer)
        return ref

    def insert_before(self, target: Any, layer: Layer) -> Ref:
        """Insert `layer` in front of a layer that takes one tensor.

        Returns:
            The new output; of several, the last.

        Raises:
            GraphError: there is no such target, or it takes several tensors.
        """
        places = self._calls(target)
        for (draft, place), each in zip(places, self._copies(layer, len(places)), strict=True):
            ref = draft.insert_before(place, each)
        self._note("insert_before", target, layer)
        return ref

    def insert_between(self, source: Any, target: Any, layer: Layer) -> Ref:
        """Insert `layer` on the one edge from `source` to `target`; other uses stay as they are.

        Raises:
            GraphError: `target` does not take `source`.
        """
        draft, place = self._at(target)
        ref = draft.insert_between(self._same(draft, source), place, self._new(layer))
        self._note("insert_between", source, target, layer)
        return ref

    def replace(self, target: Any, layer: Layer) -> None:
        """Put `layer` in place of another, in all calls of it (``"dense@1"``: in that one).

        A new layer without a name of its own takes the old name. Weights of the same name and shape
        are kept; the others are new, and the log says which.

        Raises:
            GraphError: there is no such target, or it is an input.
        """
        if is_glob(target):
            self.replace_layers(target, self._new(layer))
            return
        draft, place = self._at(target)
        old = draft.call(place).layer
        draft.replace(place, self._new(layer))
        self._replaced.append((old, layer))
        self._note("replace", target, layer)

    def remove(self, target: Any, keep: Any = None) -> None:
        """Take a layer out of all its calls (``"dense@1"``: that one).

        What used its output uses its input.

        Args:
            target: see the class.
            keep: of a layer with several inputs, the one that takes its place.

        Raises:
            GraphError: it has several inputs and `keep` does not say which stays.
        """
        if is_glob(target):
            places = [(draft, layer) for _, layer, draft in self._matching(target)]
        else:
            places = [self._at(target)]
        for draft, place in places:
            self._remove(draft, place, None if keep is None else self._same(draft, keep))
        self._note("remove", target, **({} if keep is None else {"keep": keep}))

    def _remove(self, draft: Draft, place: Any, keep: Any = None) -> None:
        layer = draft.call(place).layer
        whole = isinstance(place, Layer) or (isinstance(place, str) and "@" not in place)
        for call in draft.calls_of(layer) if whole else [draft.call(place)]:
            draft.remove(call.output(0), keep)
        self._removed.add(layer)

    def rewire(self, target: Any, inputs: Any) -> None:
        """Give a layer other inputs.

        Args:
            target: see the class.
            inputs: a target, a list of them, or a dict for arguments of `call` by name; an output
                within a nested model becomes another output of that model.

        Raises:
            GraphError: a wrong number of inputs, or an unknown target.
        """
        draft, place = self._at(target)
        draft.rewire(place, tree.map_structure(lambda item: self._exposed(draft, item), inputs))
        self._note("rewire", target, inputs)

    def replace_all_uses_with(self, old: Any, new: Any) -> None:
        """Let everything that uses `old`, outputs of the model included, use `new`.

        What `new` is computed from keeps using `old`, so no cycle can arise.

        Raises:
            GraphError: there is no such target, or both are the same.
        """
        draft, place = self._at(old)
        draft.replace_uses(place, self._exposed(draft, new))
        self._note("replace_all_uses_with", old, new)

    def add_input(self, name: str, shape: Any, dtype: Any = None) -> Ref:
        """Add an input; returns what `rewire` and the insertions take as a target.

        Args:
            name: its name, the key of dicts of data.
            shape: without the batch.
            dtype: default: the default float.

        Raises:
            GraphError: a layer has that name.
        """
        ref = self._draft(self.model).add_input(Input(shape, dtype=dtype, name=name))
        self._note("add_input", name, shape)
        return ref

    def remove_input(self, target: Any) -> None:
        """Take away an input that no output needs any more.

        Raises:
            GraphError: it is used, or it is the only one.
        """
        self._draft(self.model).remove_input(target)
        self._note("remove_input", target)

    def add_output(self, name: str, at: Any) -> None:
        """Add an output of the model; it has no loss and no metrics until `compile`.

        Args:
            name: its name; unless outputs are a dict or the layer has this name, an `Identity`
                layer of this name is put in front of it.
            at: a target; an output within a nested model becomes another output of that model.

        Raises:
            GraphError: there is no such target, or it is within a nested `Sequential`.
        """
        from plait.layers.reshaping import Identity

        draft = self._draft(self.model)
        ref = draft.ref(self._exposed(draft, at))
        if not isinstance(draft.outputs, Mapping) and draft.name(ref.call.layer) != name:
            ref = draft.add(self._new(Identity(name=name)), ref)
        draft.add_output(name, ref)
        self._note("add_output", name, at=at)

    def remove_output(self, target: Any) -> None:
        """Take an output away, by its name or by the layer that makes it.

        Raises:
            GraphError: it is no output, or the only one.
        """
        self._draft(self.model).remove_output(target)
        self._note("remove_output", target)

    def rename(self, target: Any, name: str) -> None:
        """Give a layer another name.

        Raises:
            GraphError: a layer of the same model has that name.
        """
        draft, place = self._at(target)
        draft.rename(place, check_name(name))
        self._note("rename", target, name)

    def replace_layers(self, pattern: str, function: Any) -> list[str]:
        """Replace every layer that a pattern matches; returns the paths of those that change.

        Args:
            pattern: a glob of names, with the class if you like, also in nested models:
                ``"*:ReLU"``, ``"block*/relu:Activation"``, ``"encoder/**:Dropout"``.
            function: takes a layer and returns one, the same (no change), or None to remove it; or
                a layer, of which each place gets a copy.

        Raises:
            GraphError: nothing matches.
        """
        if not isinstance(function, Layer) and not callable(function):
            raise ArgumentTypeError("replace_layers takes a layer or a function of a layer.")
        changed = []
        for path, layer, draft in self._matching(pattern):
            new = (
                function.clone(name=draft.name(layer))
                if isinstance(function, Layer)
                else function(layer)
            )
            if new is layer:
                continue
            if new is None:
                self._remove(draft, layer)
            else:
                draft.replace(layer, self._new(new))
                self._replaced.append((layer, new))
            changed.append(path)
        self._note("replace_layers", pattern, function)
        return changed
