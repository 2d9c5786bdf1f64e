"""`Edit`: a transaction on the graph of a model."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from plait.core.layer import Layer
from plait.core.naming import check_name
from plait.core.walk import variables_by_path, walk
from plait.errors import ArgumentTypeError, ConfigError, GraphError
from plait.graph import tree
from plait.graph.calls import Ref
from plait.graph.edit import Draft
from plait.graph.naming import check_rename
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import Input
from plait.models.history import Step
from plait.models.parts import remade

if TYPE_CHECKING:
    from plait.models.model import Model

Place = tuple[Draft, Any]


class Edit:
    """A transaction on the graph of a model: all of it is applied, or nothing changes.

    Made by ``with model.edit() as edit:``. Verbs change a draft. On leaving the block, shapes
    downstream are inferred again, the graph is verified, and the model takes it; on an error the
    model is what it was. Verbs that add a layer return a reference to its output, which later verbs
    of the block take as a target.

    A target is the name of a layer (``"dense_1"``), the name of one call of a shared layer
    (``"dense@1"``), one output of several (``"lstm[1]"``), a path into nested models
    (``"encoder/conv_2"``), a layer, a symbolic tensor of the model, or what a verb returned. Where
    a verb is about one layer, a glob (``"block*/relu"``, ``"**:Dropout"``) means every layer
    that it matches; each place then gets a copy of what is inserted.

    Cost: a verb touches what it changes; leaving the block is linear in the size of the graph, and
    calls only the layers whose inputs changed shape.

    Args:
        model: the model.
        rebuild: ``"downstream"``: layers whose weights no longer fit after a change of width are
            made anew; None: that is an error that names them.

    Raises:
        NotBuiltError: the model has no graph.
    """

    def __init__(self, model: Model, rebuild: str | None = None) -> None:
        if rebuild not in (None, "downstream"):
            raise ConfigError(
                f"rebuild is None or 'downstream'; received {rebuild!r}.",
                fix="rebuild='downstream' makes layers whose weights no longer fit anew",
            )
        self.model, self.rebuild = model, rebuild
        self._verbs: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._drafts: dict[int, tuple[Model, Draft]] = {}
        self._replaced: list[tuple[Layer, Layer]] = []
        self._removed: set[Layer] = set()
        self._unbuilt: dict[Layer, dict[str, Any]] = {}
        self._draft(model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        if kind is None:
            self.commit()

    @property
    def log(self) -> list[str]:
        """What was done, one line a verb."""
        return [
            f"{verb}({', '.join([*map(_shown, parts), *_shown_named(named)])})"
            for verb, parts, named in self._verbs
        ]

    # -- finding ----------------------------------------------------------------------------

    def _draft(self, model: Model) -> Draft:
        if id(model) not in self._drafts:
            self._drafts[id(model)] = (model, Draft(model.graph, model.describe()))
        return self._drafts[id(model)][1]

    def _at(self, target: Any) -> Place:
        """Return the draft that a target is in, and the target within it."""
        draft = self._draft(self.model)
        if isinstance(target, str) and "/" in target:
            return self._inside(target)
        if isinstance(target, str) or target in draft:
            return draft, target
        for model in [inner for _, inner in walk(self.model) if _has_graph(inner)]:
            if target in self._draft(model):  # type: ignore[arg-type]
                return self._draft(model), target  # type: ignore[arg-type]
        return draft, target

    def _inside(self, path: str) -> Place:
        *outer, last = path.split("/")
        model = self.model
        for name in outer:
            inner = self._draft(model).call(name).layer
            if not _has_graph(inner):
                raise GraphError(
                    f"{inner.describe()} has no graph of its own, so '{path}' leads nowhere."
                )
            model = inner
        return self._draft(model), last

    def _same(self, draft: Draft, target: Any) -> Any:
        """Return a further target of a verb, which must be in the same model as the first."""
        inside, place = self._at(target)
        if inside is not draft:
            raise GraphError(
                f"{_shown(target)} is not in {draft.who}, where the edit is.",
                fix="one verb joins what is in one model; model.taps makes inner outputs its own",
            )
        return place

    def _calls(self, target: Any) -> list[Place]:
        """Return the calls that a target means: all that a glob matches, else the one."""
        if not is_glob(target):
            return [self._at(target)]
        return [
            (draft, f"{draft.name(layer)}@{number}")
            for _, layer, draft in self._matching(target)
            for number in range(len(draft.calls_of(layer)))
        ]

    def _matching(self, pattern: str) -> list[tuple[str, Layer, Draft]]:
        """Return (path, layer, draft) of every layer called by a graph that a pattern matches.

        Raises:
            GraphError: there is none.
        """
        found = list(self._called_layers(pattern))
        if not found:
            known = sorted({type(layer).__name__ for _, layer in walk(self.model)})
            raise GraphError(
                f"no layer of {self.model.describe()} matches {pattern!r}.",
                fix="patterns are 'name' or 'name:Class'; '**' also looks into nested models; the "
                f"classes are {', '.join(known)}",
            )
        return found

    def _called_layers(self, pattern: str) -> Iterator[tuple[str, Layer, Draft]]:
        stack: list[tuple[str, Any]] = [("", self.model)]
        seen: set[Layer] = {self.model}
        while stack:
            prefix, model = stack.pop()
            draft = self._draft(model)
            within = []
            for name, layer in draft.layers():
                path = prefix + name
                if layer in seen:
                    continue
                seen.add(layer)
                if matches(pattern, path, layer):
                    yield path, layer, draft
                if _has_graph(layer):
                    within.append((f"{path}/", layer))
            stack += reversed(within)

    def _copies(self, layer: Layer, count: int) -> list[Layer]:
        """Return the layer for one place; for several places, a copy for each."""
        if count == 1:
            return [self._new(layer)]
        copies = [layer.clone() for _ in range(count)]
        for copy in copies:
            copy._named = False
        return [self._new(copy) for copy in copies]

    def _new(self, layer: Any) -> Layer:
        if not isinstance(layer, Layer):
            shown = f"the class {layer.__name__}" if isinstance(layer, type) else repr(layer)
            raise ArgumentTypeError(
                f"an edit takes a layer; received {shown}.",
                fix="layers.Lambda(function) wraps a function",
            )
        for _, part in walk(layer):
            if not part.built and part not in self._unbuilt:
                self._unbuilt[part] = {**vars(part), "_variables": dict(part._variables)}
        return layer

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
            inputs: a target, a list of them, or a dict for arguments of `call` by name.

        Raises:
            GraphError: a wrong number of inputs, or an unknown target.
        """
        draft, place = self._at(target)
        draft.rewire(place, tree.map_structure(lambda item: self._same(draft, item), inputs))
        self._note("rewire", target, inputs)

    def replace_all_uses_with(self, old: Any, new: Any) -> None:
        """Let everything that uses `old`, outputs of the model included, use `new`.

        What `new` is computed from keeps using `old`, so no cycle can arise.

        Raises:
            GraphError: there is no such target, or both are the same.
        """
        draft, place = self._at(old)
        draft.replace_uses(place, self._same(draft, new))
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
            at: a target.

        Raises:
            GraphError: there is no such target, or it is inside a nested model.
        """
        from plait.layers.reshaping import Identity

        draft = self._draft(self.model)
        ref = draft.ref(self._same(draft, at))
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

    def _note(self, verb: str, *parts: Any, **named: Any) -> None:
        self._verbs.append((verb, parts, named))

    # -- the end ----------------------------------------------------------------------------

    def commit(self) -> None:
        """Verify the drafts and let the models take their new graphs.

        Raises:
            GraphError: a cycle, a name that clashes, a Sequential that would branch.
            ShapeError: shapes that do not fit.
        """
        if not self._verbs:
            return
        # A model comes before those that hold it, so that these see what it returns now.
        drafts = [*self._drafts.values()]
        if len(drafts) > 1:
            drafts.sort(key=lambda item: sum(1 for _ in walk(item[0])))
        models = [model for model, _ in drafts]
        names = [(layer, layer.name, new) for _, d in drafts for layer, new in d.renamed.items()]
        before = {model: model._snapshot() for model in models}
        asked = {model: model._asked_names() for model in models}
        adopted: list[Model] = []
        try:
            for layer, _, name in names:
                layer._name = name
            for model, draft in drafts:
                graph = draft.build(self.rebuild, remade)
                adopted.append(model)
                model._adopt(graph, asked[model], draft.origins)
            for layer, _, name in names:
                check_rename(layer, name, but=models)
        except BaseException:
            for layer, name, _ in names:
                layer._name = name
            for model in adopted:
                model._restore(before[model], asked[model])
            for part, attributes in self._unbuilt.items():
                vars(part).clear()
                vars(part).update(attributes)
            raise
        log = [*self.log, *self._consequences(drafts, before)]
        after = [(model, before[model], model._snapshot()) for model in models]
        self.model._edits.remember(Step(log, after, names))

    def _consequences(
        self, drafts: list[tuple[Model, Draft]], before: dict[Model, Any]
    ) -> Iterator[str]:
        """Move weights to the layers that replace others; yield what a log should say."""
        rebuilt = [pair for _, draft in drafts for pair in draft.rebuilt]
        for old, new in [*self._replaced, *rebuilt]:
            if new in self._unbuilt or (old, new) in rebuilt:
                moved = _keep_weights(old, new)
                if moved:
                    yield f"  {new.name}: {moved}"
        gone = self._removed.union(old for old, _ in [*self._replaced, *rebuilt])
        for model, draft in drafts:
            stay = gone.union(model.graph.layers)
            left = [n.layer for n in draft.graph.nodes if not n.is_input and n.layer not in stay]
            if left:
                yield f"  no longer used: {', '.join(dict.fromkeys(x.name for x in left))}"


def is_glob(target: Any) -> bool:
    """Return whether a target is a pattern and not one name."""
    return isinstance(target, str) and bool(set(target) & set("*?:"))


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
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], globs[0])
        and _match_parts(globs[1:], parts[1:])
    )


def _has_graph(layer: Any) -> bool:
    return getattr(layer, "has_graph", False)


def _keep_weights(old: Layer, new: Layer) -> str:
    """Copy the weights that two layers have in common; return which, and which are new."""
    others = variables_by_path(old)
    kept, fresh = [], []
    for path, variable in variables_by_path(new).items():
        other = others.get(path)
        if other is not None and other.shape == variable.shape:
            if other is not variable:
                variable.copy_from(other)
            kept.append(path)
        else:
            fresh.append(f"{path} {variable.shape}")
    parts = [f"kept {', '.join(kept)}"] if kept else []
    parts += [f"new {', '.join(fresh)}"] if fresh else []
    return "; ".join(parts)


def _shown_named(named: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_shown(part)}" for name, part in named.items()]


def _shown(part: Any) -> str:
    if isinstance(part, Layer):
        return f"{type(part).__name__} '{part.name}'"
    if isinstance(part, Ref):
        return repr(part.call.layer.name)
    if isinstance(part, SymbolicTensor):
        return repr(part.name)
    if isinstance(part, list | tuple):
        return "[" + ", ".join(_shown(item) for item in part) + "]"
    if isinstance(part, Mapping):
        return "{" + ", ".join(f"{key!r}: {_shown(item)}" for key, item in part.items()) + "}"
    return getattr(part, "__name__", None) or repr(part)
