"""A transaction on the graphs of a model and of the models within: drafts, and what they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from plait.core.garbage import uncollected
from plait.core.layer import Layer
from plait.core.walk import variables_by_path, walk
from plait.errors import ArgumentTypeError, ConfigError, GraphError
from plait.graph import tree
from plait.graph.calls import Call, Ref
from plait.graph.edit import Draft
from plait.graph.naming import check_rename
from plait.graph.tensor import SymbolicTensor
from plait.models.copies import remade
from plait.models.history import Step
from plait.models.targets import as_path, has_graph, is_glob, is_list, matches, no_match, only

if TYPE_CHECKING:
    from plait.models.model import Model

Place = tuple[Draft, Any]


class Transaction:
    """A draft of the graph of a model, and of those within it, that are applied together.

    Args:
        model: the model.
        rebuild: what becomes of layers whose weights no longer fit; see `Edit`.

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
        self._exposures: list[str] = []
        self._over = False
        self._draft(model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        if kind is None:
            with uncollected():
                self.commit()
        self._over = True

    @property
    def log(self) -> list[str]:
        """What was done, one line a verb."""
        return [
            f"{verb}({', '.join([*map(_shown, parts), *_shown_named(named)])})"
            for verb, parts, named in self._verbs
        ]

    # -- finding ----------------------------------------------------------------------------

    def _draft(self, model: Model) -> Draft:
        if self._over:
            raise GraphError(
                f"this edit of {self.model.describe()} is over.",
                fix="begin another: with model.edit() as edit: ...",
            )
        if id(model) not in self._drafts:
            self._drafts[id(model)] = (model, Draft(model.graph, model.describe()))
        return self._drafts[id(model)][1]

    def _at(self, target: Any) -> Place:
        """Return the draft that a target is in, and the target within it."""
        draft = self._draft(self.model)
        target = self._named(target)
        if isinstance(target, str) and "/" in target:
            return self._way(target)[1][-1], target.rpartition("/")[2]
        if isinstance(target, str) or target in draft:
            return draft, target
        for model in [inner for _, inner in walk(self.model) if has_graph(inner)]:
            if target in self._draft(model):  # type: ignore[arg-type]
                return self._draft(model), target  # type: ignore[arg-type]
        return draft, target

    def _named(self, target: Any) -> Any:
        """Return a pattern as the path of the one layer that it matches; others as they are."""
        if not is_glob(target):
            return target
        return only(self.model, target, [path for path, *_ in self._called_layers(target)])

    def _way(self, path: str) -> tuple[list[Call], list[Draft]]:
        """Return the calls that a path leads through and the drafts around and behind them."""
        calls: list[Call] = []
        drafts = [self._draft(self.model)]
        for name in path.split("/")[:-1]:
            calls.append(drafts[-1].call(name))
            inner = calls[-1].layer
            if not has_graph(inner):
                raise GraphError(
                    f"{inner.describe()} has no graph of its own, so '{path}' leads nowhere."
                )
            drafts.append(self._draft(inner))
        return calls, drafts

    def _same(self, draft: Draft, target: Any) -> Any:
        """Return a further target of a verb, which must be in the same model as the first."""
        inside, place = self._at(target)
        if inside is not draft:
            raise GraphError(
                f"{_shown(target)} is not in {draft.who}, where the edit is.",
                fix="one verb joins what is in one model",
            )
        return place

    def _exposed(self, draft: Draft, target: Any) -> Any:
        """Return a further target of a verb that may be in a model within the one of the first.

        An output in there becomes another output of the models that it is in.
        """
        path = as_path(self.model, self._named(target))
        if not isinstance(path, str) or "/" not in path:
            return self._same(draft, target)
        calls, drafts = self._way(path)
        if draft not in drafts:
            return self._same(draft, target)
        ref = drafts[-1].ref(path.rpartition("/")[2])
        steps = list(zip(calls, drafts[1:], strict=True))[drafts.index(draft) :]
        for index, call in enumerate(calls[drafts.index(draft) :], drafts.index(draft)):
            if is_list(call.layer):
                where = "/".join(each.layer.name for each in calls[: index + 1])
                raise GraphError(
                    f"{call.layer.describe()} returns one tensor; what is within it cannot be "
                    "another.",
                    fix=f"let it branch first: model.replace('{where}', "
                    f"model.get_layer('{where}').to_model())",
                )
        for call, inner in reversed(steps):
            if ref not in tree.flatten(inner.outputs):
                names = call.layer.name, inner.name(ref.call.layer)
                self._exposures.append("  {} now also returns {}".format(*names))
            ref = call.output(inner.position_of_output(ref))
        return ref

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
            raise no_match(self.model, pattern)
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
                if has_graph(layer):
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
            raise _no_layer(layer)
        for _, part in walk(layer):
            if not part.built and part not in self._unbuilt:
                self._unbuilt[part] = {**vars(part), "_variables": dict(part._variables)}
        return layer

    def _note(self, verb: str, *parts: Any, **named: Any) -> None:
        self._verbs.append((verb, parts, named))

    # -- the end ----------------------------------------------------------------------------

    def commit(self) -> None:
        """Verify the drafts and let the models take their new graphs.

        Raises:
            GraphError: a cycle, a name that clashes, a Sequential that would branch.
            ShapeError: shapes that do not fit.
        """
        self._over = True
        if not self._verbs:
            return
        for model, draft in self._drafts.values():
            if model.graph is not draft.graph:
                raise GraphError(
                    f"{model.describe()} was edited otherwise since this edit began.",
                    fix="within the block use the verbs of the edit: edit.insert_after(...)",
                )
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
        yield from self._exposures
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


def _no_layer(given: Any) -> ArgumentTypeError:
    shown, fix = repr(given), "layers.Lambda(function) wraps a function"
    if isinstance(given, type):
        shown, fix = f"the class {given.__name__}", f"make an object of it: {given.__name__}(...)"
    elif isinstance(given, SymbolicTensor):
        shown, fix = f"the tensor '{given.name}'", "pass the layer itself, without calling it"
    elif isinstance(given, str):
        fix = "the target comes first, then a layer: insert_after('dense', layers.ReLU())"
    elif callable(given):
        shown = f"the function {getattr(given, '__name__', shown)}"
    return ArgumentTypeError(f"an edit takes a layer; received {shown}.", fix=fix)


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
    if isinstance(part, list):
        return f"[{', '.join(map(_shown, part))}]"
    if isinstance(part, tuple):
        return f"({', '.join(map(_shown, part))}{',' * (len(part) == 1)})"
    if isinstance(part, Mapping):
        return "{" + ", ".join(f"{key!r}: {_shown(item)}" for key, item in part.items()) + "}"
    return getattr(part, "__name__", None) or repr(part)
