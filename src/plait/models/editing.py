"""Change a model's graph: the transaction, its verbs, undo and redo."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from plait.core.layer import Layer
from plait.core.walk import variables_by_path, walk
from plait.errors import ArgumentTypeError, ConfigError, GraphError
from plait.graph.edit import Draft, Ref
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import Input

if TYPE_CHECKING:
    from plait.models.model import Model


class Edit:
    """A transaction on the graph of a model: all of it is applied, or nothing changes.

    Made by ``with model.edit() as edit:``. Verbs change a draft. On leaving the block, shapes
    downstream are inferred again, the graph is verified, and the model takes it; on an error the
    model is what it was. Verbs that add a layer return a reference to its output, which later verbs
    of the block take as a target.

    A target is the name of a layer (``"dense_1"``), the name of one call of a shared layer
    (``"dense@1"``), a path into nested models (``"encoder/conv_2"``), a layer, a symbolic tensor
    of the model, or what a verb returned.

    Cost: each verb is linear in the size of the graph; leaving the block calls only the layers
    whose inputs changed shape.

    Attributes:
        log: what was done, one line a verb.
    """

    def __init__(self, model: Model, rebuild: str | None = None) -> None:
        if rebuild not in (None, "downstream"):
            raise ConfigError(
                f"rebuild is None or 'downstream'; received {rebuild!r}.",
                fix="rebuild='downstream' makes layers whose weights no longer fit anew",
            )
        self.model, self.rebuild = model, rebuild
        self.log: list[str] = []
        self._drafts: dict[int, tuple[Model, Draft]] = {}
        self._replaced: list[tuple[Layer, Layer]] = []
        self._renamed: list[tuple[Layer, str]] = []
        self._draft(model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        if kind is None:
            self.commit()

    # -- finding ----------------------------------------------------------------------------

    def _draft(self, model: Model) -> Draft:
        if id(model) not in self._drafts:
            self._drafts[id(model)] = (model, Draft(model.graph, model.describe()))
        return self._drafts[id(model)][1]

    def _at(self, target: Any) -> tuple[Draft, Any]:
        """Return the draft that a target is in, and the target within it."""
        draft = self._draft(self.model)
        if not isinstance(target, str) or "/" not in target:
            return draft, target
        *outer, last = target.split("/")
        model = self.model
        for name in outer:
            inner = self._draft(model).call(name).layer
            if not getattr(inner, "has_graph", False):
                raise GraphError(
                    f"{inner.describe()} has no graph of its own, so '{target}' leads nowhere."
                )
            model = inner
        return self._draft(model), last

    def _note(self, verb: str, *parts: Any) -> None:
        shown = ", ".join(_shown(part) for part in parts if part is not None)
        self.log.append(f"{verb}({shown})")

    # -- verbs ------------------------------------------------------------------------------

    def insert_after(self, target: Any, layer: Layer) -> Ref:
        """Insert `layer` behind a layer: everything that used its output uses the new one's.

        Args:
            target: see the class.
            layer: takes the one tensor.

        Raises:
            GraphError: there is no such target.
        """
        draft, place = self._at(target)
        ref = draft.insert_after(place, self._new(layer, draft))
        self._note("insert_after", target, layer)
        return ref

    def insert_before(self, target: Any, layer: Layer) -> Ref:
        """Insert `layer` in front of a layer that takes one tensor.

        Raises:
            GraphError: there is no such target, or it takes several tensors.
        """
        draft, place = self._at(target)
        ref = draft.insert_before(place, self._new(layer, draft))
        self._note("insert_before", target, layer)
        return ref

    def insert_between(self, source: Any, target: Any, layer: Layer) -> Ref:
        """Insert `layer` on the one edge from `source` to `target`; other uses stay as they are.

        Raises:
            GraphError: `target` does not take `source`.
        """
        draft, place = self._at(target)
        inside, origin = self._at(source)
        if inside is not draft:
            raise GraphError(f"'{source}' and '{target}' are not in the same model.")
        ref = draft.insert_between(origin, place, self._new(layer, draft))
        self._note("insert_between", source, target, layer)
        return ref

    def replace(self, target: Any, layer: Layer) -> None:
        """Put `layer` in place of another, in all calls of it (``"dense@1"``: in that one).

        A new layer without a name of its own takes the old name. Weights of the same name and shape
        are kept; the others are new, and the log says which.

        Raises:
            GraphError: there is no such target, or it is an input.
        """
        draft, place = self._at(target)
        old = draft.call(place).layer
        self._new(layer, draft)
        draft.replace(place, layer)
        if not draft.calls_of(old) and not layer._named:
            layer._name = old.name
        self._replaced.append((old, layer))
        self._note("replace", target, layer)

    def remove(self, target: Any, keep: Any = None) -> None:
        """Take a layer out: what used its output uses its input.

        Args:
            target: see the class.
            keep: of a layer with several inputs, the one that takes its place.

        Raises:
            GraphError: it has several inputs and `keep` does not say which stays.
        """
        draft, place = self._at(target)
        draft.remove(place, keep)
        self._note("remove", target, keep)

    def rewire(self, target: Any, inputs: Any) -> None:
        """Give a layer other inputs.

        Args:
            target: see the class.
            inputs: a target, a list of them, or a dict for keyword tensors.

        Raises:
            GraphError: a wrong number of inputs, or an unknown target.
        """
        draft, place = self._at(target)
        draft.rewire(place, inputs)
        self._note("rewire", target, inputs)

    def replace_all_uses_with(self, old: Any, new: Any) -> None:
        """Let everything that uses `old`, outputs of the model included, use `new`.

        What `new` is computed from keeps using `old`, so no cycle can arise.

        Raises:
            GraphError: there is no such target, or both are the same.
        """
        draft, source = self._at(old)
        inside, place = self._at(new)
        if inside is not draft:
            raise GraphError(f"'{old}' and '{new}' are not in the same model.")
        draft.replace_uses(source, place)
        self._note("replace_all_uses_with", old, new)

    def add_input(self, name: str, shape: Any, dtype: Any = None) -> Ref:
        """Add an input; returns what `rewire` and the insertions take as a target.

        Args:
            name: its name, the key of dicts of data.
            shape: without the batch.
            dtype: default: the default float.
        """
        draft = self._draft(self.model)
        if name in draft.names():
            raise GraphError(
                f"{draft.who} has a layer '{name}' already.", fix="choose another name"
            )
        ref = draft.add_input(Input(shape, dtype=dtype, name=name))
        self._note("add_input", name, shape)
        return ref

    def remove_input(self, target: Any) -> None:
        """Take away an input that nothing uses any more.

        Raises:
            GraphError: it is used, or it is the only one.
        """
        self._draft(self.model).remove_input(target)
        self._note("remove_input", target)

    def add_output(self, name: str, at: Any) -> Ref:
        """Add an output of the model.

        Args:
            name: its name; unless outputs are a dict or the layer has this name, an `Identity`
                layer of this name is put in front of it.
            at: a target.
        """
        from plait.layers.reshaping import Identity

        draft, place = self._at(at)
        if draft is not self._draft(self.model):
            raise GraphError(f"'{at}' is inside a nested model.", fix=f"model.taps({at!r})")
        ref = draft.ref(place)
        if not isinstance(draft.outputs, Mapping) and ref.call.layer.name != name:
            ref = draft.add(self._new(Identity(name=name), draft), (ref,))
        draft.add_output(name, ref)
        self._note("add_output", name, at)
        return ref

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
        layer = draft.call(place).layer
        old = layer.name
        layer.name = name
        self._renamed.append((layer, old))
        self._note("rename", target, name)

    def replace_layers(self, pattern: str, function: Any) -> list[str]:
        """Replace every layer that a pattern matches; returns their names.

        Args:
            pattern: a glob of names, with the class if you like, also in nested models:
                ``"*:ReLU"``, ``"block*/relu:Activation"``, ``"encoder/**:Dropout"``.
            function: takes a layer and returns one, the same (no change), or None to remove it; or
                a layer, of which each place gets a copy.

        Raises:
            GraphError: nothing matches.
        """
        make = function
        if isinstance(function, Layer):
            make = lambda old: type(function).clone(function, name=old.name)  # noqa: E731
        elif not callable(function):
            raise ArgumentTypeError("replace_layers takes a layer or a function of a layer.")
        changed, matched = [], False
        for path, layer in list(walk(self.model)):
            if not path or not matches(pattern, path, layer):
                continue
            draft, place = self._at_layer(path)
            if draft is None:
                continue
            matched = True
            new = make(layer)
            if new is layer:
                continue
            if new is None:
                draft.remove(place)
            else:
                draft.replace(place, self._new(new, draft))
                if not new._named:
                    new._name = layer.name
                self._replaced.append((layer, new))
            changed.append(path)
        if not matched:
            known = {type(layer).__name__ for _, layer in walk(self.model)}
            raise GraphError(
                f"no layer of {self.model.describe()} matches {pattern!r}.",
                fix=f"patterns are 'name' or 'name:Class'; the classes are "
                f"{', '.join(sorted(known))}",
            )
        self._note("replace_layers", pattern, getattr(function, "__name__", function))
        return changed

    def _at_layer(self, path: str) -> tuple[Draft | None, Any]:
        """Return the draft and the name of a layer that a graph holds directly, else None."""
        try:
            draft, place = self._at(path)
            call = draft.call(place)
        except GraphError:
            return None, None
        return (None, None) if call.node is not None and call.node.is_input else (draft, place)

    def _new(self, layer: Any, draft: Draft) -> Layer:
        if not isinstance(layer, Layer):
            shown = f"the class {layer.__name__}" if isinstance(layer, type) else repr(layer)
            raise ArgumentTypeError(
                f"an edit takes a layer; received {shown}.",
                fix="layers.Lambda(function) wraps a function",
            )
        known = draft.names()
        if layer.name in known and known[layer.name].layer is not layer and not layer._named:
            count = 1
            while f"{layer.name}_{count}" in known:
                count += 1
            layer._name = f"{layer.name}_{count}"
        return layer

    # -- the end ----------------------------------------------------------------------------

    def commit(self) -> None:
        """Verify the drafts and let the models take their new graphs.

        Raises:
            GraphError: a cycle, a name that clashes, a Sequential that would branch.
            ShapeError: shapes that do not fit.
        """
        before = {id(model): model._snapshot() for model, _ in self._drafts.values()}
        built = {id(new) for _, new in self._replaced if new.built and new.variables}
        try:
            for model, draft in reversed(list(self._drafts.values())):
                changed = self._build(model, draft)
                if changed and model is not self.model:
                    self._call_again(model)
        except Exception:
            for model, _ in self._drafts.values():
                model._restore(before[id(model)])
            self._undo_names()
            raise
        for old, new in self._replaced:
            if id(new) not in built:
                self.log.append("  " + _keep_weights(old, new))
        names = [(layer, old, layer.name) for layer, old in self._renamed]
        self.model._remember(Step([*self.log], [
            (model, before[id(model)], model._snapshot()) for model, _ in self._drafts.values()
        ], names))  # fmt: skip

    def _build(self, model: Model, draft: Draft) -> bool:
        graph = draft.build(self.rebuild)
        shapes = [tensor.shape for tensor in model.outputs]
        model._adopt(graph)
        return shapes != [tensor.shape for tensor in graph.outputs]

    def _call_again(self, model: Model) -> None:
        """Let every call of a nested model whose shapes changed be made anew."""
        for _, draft in self._drafts.values():
            for call in draft.calls_of(model):
                call.node = None

    def _undo_names(self) -> None:
        for layer, old in reversed(self._renamed):
            layer._name = old


@dataclass(frozen=True)
class Step:
    """One entry of the history: what was done, and the models before and after."""

    log: list[str]
    models: list[tuple[Any, Any, Any]]
    names: list[tuple[Layer, str, str]]


class Editable:
    """The part of a model that changes its graph."""

    def _init_editing(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    def edit(self, rebuild: str | None = None) -> Edit:
        """Return a transaction on the graph: ``with model.edit() as edit: edit.insert_after(...)``.

        Args:
            rebuild: ``"downstream"``: layers whose weights no longer fit after a change of width
                are made anew; None: that is an error that names them.

        Example:
            >>> import plait
            >>> from plait import layers
            >>> x = plait.Input((8,))
            >>> model = plait.Model(x, layers.Dense(2)(layers.Dense(4, name="hidden")(x)))
            >>> with model.edit() as edit:
            ...     _ = edit.insert_after("hidden", layers.Dropout(0.5, name="drop"))
            >>> [layer.name for layer in model.layers][1:3]
            ['hidden', 'drop']
            >>> model.undo()
            "insert_after('hidden', Dropout 'drop')"
        """
        return Edit(self, rebuild)  # type: ignore[arg-type]

    def _once(self, verb: str, *args: Any, rebuild: str | None = None, **kwargs: Any) -> Any:
        with self.edit(rebuild) as edit:
            return getattr(edit, verb)(*args, **kwargs)

    def insert_after(self, target: Any, layer: Layer, rebuild: str | None = None) -> None:
        """Insert a layer behind another; see `Edit.insert_after`."""
        self._once("insert_after", target, layer, rebuild=rebuild)

    def insert_before(self, target: Any, layer: Layer, rebuild: str | None = None) -> None:
        """Insert a layer in front of another; see `Edit.insert_before`."""
        self._once("insert_before", target, layer, rebuild=rebuild)

    def insert_between(
        self, source: Any, target: Any, layer: Layer, rebuild: str | None = None
    ) -> None:
        """Insert a layer on one edge; see `Edit.insert_between`."""
        self._once("insert_between", source, target, layer, rebuild=rebuild)

    def replace(self, target: Any, layer: Layer, rebuild: str | None = None) -> None:
        """Put a layer in place of another; see `Edit.replace`."""
        self._once("replace", target, layer, rebuild=rebuild)

    def remove(self, target: Any, keep: Any = None, rebuild: str | None = None) -> None:
        """Take a layer out; see `Edit.remove`."""
        self._once("remove", target, keep=keep, rebuild=rebuild)

    def rewire(self, target: Any, inputs: Any, rebuild: str | None = None) -> None:
        """Give a layer other inputs; see `Edit.rewire`."""
        self._once("rewire", target, inputs, rebuild=rebuild)

    def replace_all_uses_with(self, old: Any, new: Any, rebuild: str | None = None) -> None:
        """Let everything that uses one output use another; see `Edit.replace_all_uses_with`."""
        self._once("replace_all_uses_with", old, new, rebuild=rebuild)

    def add_output(self, name: str, at: Any) -> None:
        """Add an output; see `Edit.add_output`."""
        self._once("add_output", name, at)

    def remove_output(self, target: Any) -> None:
        """Take an output away; see `Edit.remove_output`."""
        self._once("remove_output", target)

    def add_input(self, name: str, shape: Any, dtype: Any = None) -> None:
        """Add an input; see `Edit.add_input`."""
        self._once("add_input", name, shape, dtype)

    def remove_input(self, target: Any) -> None:
        """Take an input away; see `Edit.remove_input`."""
        self._once("remove_input", target)

    def rename(self, target: Any, name: str) -> None:
        """Give a layer another name; see `Edit.rename`."""
        self._once("rename", target, name)

    def replace_layers(
        self, pattern: str, function: Any, rebuild: str | None = None
    ) -> list[str]:
        """Replace every layer that a pattern matches; see `Edit.replace_layers`."""
        return self._once("replace_layers", pattern, function, rebuild=rebuild)

    # -- history ----------------------------------------------------------------------------

    @property
    def edits(self) -> list[str]:
        """What was done to the graph, in words, the oldest first."""
        return [line for step in self._done for line in step.log]

    def undo(self) -> str:
        """Take the last edit back and return what it was.

        Layers that come back have the weights they had when they left; layers that stay keep
        the weights they have now.

        Raises:
            GraphError: there is nothing to undo.
        """
        step = self._pop(self._done, "undo")
        self._go(step, back=True)
        self._undone.append(step)
        return "; ".join(line.strip() for line in step.log)

    def redo(self) -> str:
        """Make the edit again that `undo` took back, and return what it was.

        Raises:
            GraphError: there is nothing to redo.
        """
        step = self._pop(self._undone, "redo")
        self._go(step, back=False)
        self._done.append(step)
        return "; ".join(line.strip() for line in step.log)

    def _pop(self, steps: list[Step], what: str) -> Step:
        if not steps:
            raise GraphError(f"{self.describe()} has nothing to {what}.")  # type: ignore[attr-defined]
        return steps.pop()

    def _go(self, step: Step, back: bool) -> None:
        for layer, old, new in step.names:
            layer._name = old if back else new
        for model, before, after in step.models:
            model._restore(before if back else after)

    def _remember(self, step: Step) -> None:
        self._done.append(step)
        self._undone.clear()

    # -- freezing ---------------------------------------------------------------------------

    def freeze(self, pattern: str = "**") -> list[str]:
        """Stop training the layers that a pattern matches, at once; returns their paths.

        Args:
            pattern: a glob of paths, with the class if you like: ``"encoder/**"``,
                ``"*:BatchNormalization"``. Optimizer slots stay for `unfreeze`.

        Raises:
            GraphError: nothing matches.
        """
        return self._set_trainable(pattern, False)

    def unfreeze(self, pattern: str = "**") -> list[str]:
        """Train the layers that a pattern matches again; returns their paths.

        Raises:
            GraphError: nothing matches.
        """
        return self._set_trainable(pattern, True)

    def _set_trainable(self, pattern: str, trainable: bool) -> list[str]:
        found = [(p, layer) for p, layer in walk(self) if p and matches(pattern, p, layer)]  # type: ignore[arg-type]
        if not found:
            raise GraphError(
                f"no layer of {self.describe()} matches {pattern!r}.",  # type: ignore[attr-defined]
                fix="patterns are paths: 'encoder/**', 'dense_*', '*:BatchNormalization'",
            )
        for _, layer in found:
            layer.trainable = trainable
        return [path for path, _ in found]


def matches(pattern: str, path: str, layer: Layer) -> bool:
    """Return whether a path and its layer match ``path-glob`` or ``path-glob:ClassName``.

    ``*`` stays within one part of a path, ``**`` crosses parts.
    """
    glob, _, kind = pattern.partition(":")
    if kind and not fnmatch.fnmatchcase(type(layer).__name__, kind):
        return False
    return _match_parts((glob or "**").split("/"), path.split("/"))


def _match_parts(globs: list[str], parts: list[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_match_parts(globs[1:], parts[i:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], globs[0]) and _match_parts(
        globs[1:], parts[1:]
    )


def _keep_weights(old: Layer, new: Layer) -> str:
    """Copy the weights that two layers have in common; return a line that says which."""
    mine, others = variables_by_path(new), variables_by_path(old)
    kept, fresh = [], []
    for path, variable in mine.items():
        other = others.get(path)
        if other is not None and other.shape == variable.shape:
            variable.assign(np.asarray(other.concrete_value()))
            kept.append(path)
        else:
            fresh.append(f"{path} {variable.shape}")
    if not mine:
        return f"{new.name}: no weights"
    parts = [f"kept {', '.join(kept)}"] if kept else []
    parts += [f"new {', '.join(fresh)}"] if fresh else []
    return f"{new.name}: {'; '.join(parts)}"


def _shown(part: Any) -> str:
    if isinstance(part, Layer):
        return f"{type(part).__name__} '{part.name}'"
    if isinstance(part, Ref):
        return repr(part.call.layer.name)
    if isinstance(part, SymbolicTensor):
        return repr(part.name)
    if isinstance(part, list | tuple):
        return "[" + ", ".join(_shown(item) for item in part) + "]"
    return repr(part)


