"""Parts of models, which share their weights: inner outputs, halves, what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plait.core.naming import free_name
from plait.core.walk import walk
from plait.errors import ConfigError, GraphError
from plait.graph import tree
from plait.graph.calls import Call, Ref
from plait.graph.edit import Draft
from plait.graph.graph import Graph
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import Input
from plait.models.copies import copy
from plait.models.targets import as_path, has_graph, is_glob, matches, no_match, only

if TYPE_CHECKING:
    from plait.models.model import Model


def taps(model: Model, targets: tuple[Any, ...]) -> Model:
    """See `Parts.taps`."""
    from plait.models.model import Model

    targets = tuple(tree.flatten(targets))
    if not targets:
        raise ConfigError("taps needs at least one target.", fix="model.taps('dense_1')")
    draft = Draft(model.graph, model.describe())
    draft.outputs = _tapped(draft, [place for each in targets for place in _places(model, each)])
    graph = draft.build()
    return Model(graph.input_structure, graph.output_structure, name=f"{model.name}_taps")


def _places(model: Model, target: Any) -> list[Any]:
    """Return a target as a name, a path or a tensor; a pattern as those of what it matches."""
    if not is_glob(target):
        return [as_path(model, target)]
    within = [path for path, layer in walk(model) if path and matches(target, path, layer)]
    if not within:
        raise no_match(model, target)
    return within


def _place(model: Model, target: Any) -> Any:
    """Return a target as a name, a path or a tensor; a pattern if it matches one layer."""
    places = _places(model, target)
    return only(model, target, places) if is_glob(target) else places[0]


def _tapped(draft: Draft, targets: Sequence[Any]) -> dict[str, Ref]:
    """Return target -> its output; models within are put in that return what is asked of them."""
    found: dict[str, Any] = {}
    inner: dict[Any, list[tuple[str, Call, str]]] = {}
    for target in targets:
        if _is_path(target):
            first, rest = target.split("/", 1)
            call = draft.call(first)
            inner.setdefault(call.layer, []).append((target, call, rest))
            found[target] = None
        else:
            ref = draft.ref(target)
            found[target if isinstance(target, str) else draft.name(ref.call.layer)] = ref
    for nested, wanted in inner.items():
        paths = list(dict.fromkeys(path for _, _, path in wanted))
        tapped = _with_taps(nested, paths)
        for call in draft.calls_of(nested):
            call.layer, call.node = tapped, None
        for target, call, path in wanted:
            found[target] = call.output(len(nested.outputs) + paths.index(path))
    return found


def _with_taps(nested: Any, paths: list[str]) -> Model:
    from plait.models.model import Model

    if not has_graph(nested):
        raise GraphError(f"{nested.describe()} has no graph of its own to tap.")
    draft = Draft(nested.graph, nested.describe())
    outputs = tree.flatten(draft.outputs)
    draft.outputs = [*outputs, *_tapped(draft, paths).values()]
    graph = draft.build()
    result = Model(graph.input_structure, graph.output_structure, name=nested.name)
    result._trainable = nested._trainable
    return result


def cut(model: Model, target: Any, whole: bool = True) -> tuple[Model, Model]:
    """See `Parts.cut`; the first output of the head is the target, or of the layer if `whole`."""
    from plait.models.model import Model

    graph, tensor = _placed(model, target, whole)
    node = tensor.node
    below = set(graph.descendants(node))
    used = {} if whole else {tensor: None}
    used |= dict.fromkeys(t for user in graph.nodes if user in below for t in user.inputs)
    used |= dict.fromkeys(graph.outputs)
    crossing = [tensor for tensor in used if tensor.node not in below]
    crossing.sort(key=lambda tensor: tensor.node is not node)
    head = Model(graph.input_structure, _one_or_all(crossing), name=f"{model.name}_head")
    return head, replay(graph, crossing, graph.output_structure, f"{model.name}_tail")


def submodel(model: Model, from_: Any, to: Any) -> Model:
    """See `Parts.submodel`."""
    paths = [_place(model, item) for item in tree.flatten((from_, to))]
    within = {path.partition("/")[0] if _is_path(path) else None for path in paths}
    if len(within) == 1 and None not in within:
        nested = Draft(model.graph, model.describe()).call(within.pop()).layer
        from_, to = tree.pack((from_, to), [path.partition("/")[2] for path in paths])
        return submodel(nested, from_, to)
    graph, (start, end) = _placed(model, (from_, to), whole=False)
    return replay(graph, tree.flatten(start), end, None)


def _is_path(target: Any) -> bool:
    return isinstance(target, str) and "/" in target


def _placed(model: Model, targets: Any, whole: bool) -> tuple[Graph, Any]:
    """Return the graph of a model, cut behind targets within models in it, and their tensors."""
    draft = Draft(model.graph, model.describe())
    refs = tree.map_structure(lambda item: _opened(draft, _place(model, item), whole), targets)
    draft.outputs = (draft.outputs, refs)
    graph = draft.build()
    outputs, tensors = graph.output_structure
    return Graph(graph.input_structure, outputs), tensors


def _opened(draft: Draft, target: Any, whole: bool) -> Ref:
    """Return what a target means; a model that it is within is put in as two, cut behind it."""
    if not _is_path(target):
        return draft.call(target).output(0) if whole else draft.ref(target)
    first, rest = target.split("/", 1)
    call = draft.call(first)
    nested = call.layer
    if not has_graph(nested):
        raise GraphError(f"{call.describe()} has no graph of its own to cut.")
    head, tail = cut(nested, rest, whole)
    between = [call.output(index) for index in range(len(head.outputs))]
    behind = draft.add(tail, _one_or_all(between)).call
    behind.size = len(nested.outputs)
    for index in range(behind.size):
        draft.redirect(call.output(index), behind.output(index), keep=[behind])
    call.layer, call.node, call.size = head, None, len(between)
    return between[0]


def replay(graph: Graph, start: Sequence[SymbolicTensor], outputs: Any, name: str | None) -> Model:
    """Return a model that computes some tensors of a graph from others, which become its inputs.

    Raises:
        GraphError: an output depends on an input of the graph that is not given.
    """
    from plait.models.model import Model

    wanted, needed = set(tree.flatten(outputs)), set()
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs).difference(start):
            needed.add(node)
            wanted.update(node.inputs)
    taken = {node.layer.name for node in needed}
    values: dict[SymbolicTensor, SymbolicTensor] = {}
    for tensor in start:
        label = free_name(tensor.name, taken)
        taken.add(label)
        values[tensor] = Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=label)
    inputs = list(values.values())
    for node in graph.nodes:
        if node in needed and not node.is_input:
            made = node.with_inputs(values).outputs
            values = {**dict(zip(node.outputs, made, strict=True)), **values}
    filled = tree.map_structure(lambda tensor: values.get(tensor, tensor), outputs)
    return Model(_one_or_all(inputs), filled, name=name)


def _one_or_all(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


class Parts:
    """The part of a model that makes other models of it."""

    def taps(self, *targets: Any) -> Model:
        """Return a model with the same inputs and weights that gives inner outputs, by name.

        Args:
            *targets: names of layers, of calls (``"emb@1"``), paths into nested models
                (``"block2/relu"``), patterns (``"block*/relu"``), layers, symbolic tensors.

        Returns:
            A model whose output is a dict: target -> tensor.

        Raises:
            GraphError: there is no such target.

        Example:
            >>> import plait
            >>> from plait import layers
            >>> model = plait.Sequential(
            ...     [plait.Input((4,)), layers.Dense(3, name="a"), layers.Dense(2)])
            >>> model.taps("a").output_shape
            {'a': (None, 3)}
        """
        return taps(self, targets)  # type: ignore[arg-type]

    def cut(self, target: Any) -> tuple[Model, Model]:
        """Cut the model behind a layer into two that compose to it and share its weights.

        What skips over the cut becomes a further output of the head and a named input of the tail:
        ``tail(head(x))`` equals ``model(x)``. A model around the target is cut too: its halves,
        ``encoder_head`` and ``encoder_tail``, are nested in the two.

        Args:
            target: a name, a path into nested models (``"encoder/conv_2"``), a layer, or a
                symbolic tensor.

        Raises:
            GraphError: there is no such target.
        """
        return cut(self, target)  # type: ignore[arg-type]

    def submodel(self, from_: Any, to: Any) -> Model:
        """Return the part of the model from one output to another, sharing its weights.

        Args:
            from_: the output that becomes the input; a list for several. A path leads into a
                nested model, of which what is behind it is then part.
            to: the output; a list for several.

        Raises:
            GraphError: `to` depends on something else than `from_`.
        """
        return submodel(self, from_, to)  # type: ignore[arg-type]

    def copy(self, weights: str = "copied") -> Model:
        """Return another model of the same form and name, not compiled.

        Args:
            weights: ``"shared"``: the same layers; ``"copied"``: new layers with the values that
                the weights have now; ``"fresh"``: new layers with new values.

        Raises:
            GraphError: this is a subclass without a graph.
        """
        return copy(self, weights)  # type: ignore[arg-type]

    def to_model(self) -> Model:
        """Return a `Model` that shares the layers; of a `Sequential`, one that may branch."""
        from plait.models.model import Model

        return Model(self.input, self.output, name=self.name)  # type: ignore[attr-defined]

    def to_sequential(self) -> Model:
        """Return a `Sequential` that shares the layers.

        Raises:
            GraphError: the graph branches; the message says where first.
        """
        from plait.models.sequential import Sequential

        graph: Graph = self.graph  # type: ignore[attr-defined]
        if not graph.is_chain:
            raise GraphError(
                f"{self.describe()} is no chain: {graph.branches()[0]}."  # type: ignore[attr-defined]
            )
        result = Sequential(name=self.name)  # type: ignore[attr-defined]
        result._set_graph(graph)
        return result
