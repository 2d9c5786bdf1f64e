"""Models made of other models: parts that share weights, copies, and models put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from plait.core.layer import Layer
from plait.core.naming import free_name
from plait.core.walk import variables_by_path
from plait.errors import ArgumentTypeError, ConfigError, GraphError
from plait.graph import tree
from plait.graph.calls import Call, Ref
from plait.graph.edit import Draft
from plait.graph.graph import Graph
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import Input

if TYPE_CHECKING:
    from plait.models.model import Model


def taps(model: Model, targets: tuple[Any, ...]) -> Model:
    """See `Parts.taps`."""
    from plait.models.model import Model

    if not targets:
        raise ConfigError("taps needs at least one target.", fix="model.taps('dense_1')")
    draft = Draft(model.graph, model.describe())
    draft.outputs = _tapped(draft, targets)
    graph = draft.build()
    return Model(graph.input_structure, graph.output_structure, name=f"{model.name}_taps")


def _tapped(draft: Draft, targets: Sequence[Any]) -> dict[str, Ref]:
    """Return target -> its output; models within are put in that return what is asked of them."""
    found: dict[str, Any] = {}
    inner: dict[Any, list[tuple[str, Call, str]]] = {}
    for target in targets:
        if isinstance(target, str) and "/" in target:
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

    if not getattr(nested, "has_graph", False):
        raise GraphError(f"{nested.describe()} has no graph of its own to tap.")
    draft = Draft(nested.graph, nested.describe())
    outputs = tree.flatten(draft.outputs)
    draft.outputs = [*outputs, *_tapped(draft, paths).values()]
    graph = draft.build()
    return Model(graph.input_structure, graph.output_structure, name=nested.name)


def cut(model: Model, target: Any) -> tuple[Model, Model]:
    """See `Parts.cut`."""
    from plait.models.model import Model

    graph = model.graph
    node = Draft(graph, model.describe()).call(target).node
    assert node is not None
    below = set(graph.descendants(node))
    used = dict.fromkeys(t for user in graph.nodes if user in below for t in user.inputs)
    used |= dict.fromkeys(graph.outputs)
    crossing = [tensor for tensor in used if tensor.node not in below]
    crossing.sort(key=lambda tensor: tensor.node is not node)
    head = Model(model.input, _one_or_all(crossing), name=f"{model.name}_head")
    return head, replay(graph, crossing, graph.output_structure, f"{model.name}_tail")


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


def rebuilt(graph: Graph, make: Callable[[Layer], Layer]) -> Graph:
    """Return a graph of the same form with other layers: ``make(layer)`` in place of each."""
    draft = Draft(graph, "the copy")
    layers: dict[Layer, Layer] = {}
    for call in draft.calls():
        if call.tensors is not None:
            call.tensors = [_like(call.tensors[0])]
        else:
            if call.layer not in layers:
                layers[call.layer] = make(call.layer)
            call.layer, call.node = layers[call.layer], None
    return draft.build()


def _like(tensor: SymbolicTensor, shape: Any = None) -> SymbolicTensor:
    """Return an input like another, of another shape if one is given."""
    return Input(
        batch_shape=tensor.shape if shape is None else shape,
        dtype=tensor.dtype,
        name=tensor.name,
        optional=tensor.node is not None and getattr(tensor.node.layer, "optional", False),
    )


def remade(layer: Layer, arguments: Any) -> Layer:
    """Return a layer like `layer` that fits other arguments, its weights new where they must."""
    return _resized(layer, arguments) if getattr(layer, "has_graph", False) else layer.clone()


def _resized(model: Any, arguments: Any) -> Layer:
    """Return a model like `model` for inputs of other shapes; layers that still fit are shared."""
    draft = Draft(model.graph, model.describe())
    given = [leaf for leaf in tree.flatten(arguments) if isinstance(leaf, SymbolicTensor)]
    for ref, tensor in zip(tree.flatten(draft.inputs), given, strict=True):
        ref.call.tensors = [_like(ref.call.tensors[0], tensor.shape)]
    return _of_kind(model, draft.build("downstream", remade))


def _of_kind(model: Any, graph: Graph) -> Model:
    """Return a graph as a `Sequential` if `model` is one, else as a `Model`, of its name."""
    from plait.models.model import Model
    from plait.models.sequential import Sequential

    if not isinstance(model, Sequential):
        return Model(graph.input_structure, graph.output_structure, name=model.name)
    result = Sequential(name=model.name)
    result._set_graph(graph)
    return result


def copy(model: Model, weights: str) -> Model:
    """See `Parts.copy`."""
    if weights not in ("shared", "copied", "fresh"):
        raise ConfigError(
            f"copy: weights is 'shared', 'copied' or 'fresh'; received {weights!r}.",
            fix="model.copy(weights='copied')",
        )
    made: dict[Layer, Layer] = {}

    def make(layer: Layer) -> Layer:
        if layer not in made:
            nested = getattr(layer, "has_graph", False)
            made[layer] = whole(layer) if nested else layer.clone()
        return made[layer]

    def whole(outer: Any) -> Model:
        result = _of_kind(outer, rebuilt(outer.graph, make))
        result._trainable = outer._trainable
        return result

    if not model.has_graph:
        result = _copy_of_unbuilt(model, make if weights != "shared" else lambda layer: layer)
    elif weights == "shared":
        result = _of_kind(model, model.graph)
    else:
        result = whole(model)
    if weights == "copied":
        for old, new in made.items():
            theirs = variables_by_path(old)
            for path, variable in variables_by_path(new).items():
                variable.copy_from(theirs[path])
    return result


def _copy_of_unbuilt(model: Model, make: Callable[[Layer], Layer]) -> Model:
    from plait.models.sequential import Sequential

    if not isinstance(model, Sequential):
        raise GraphError(
            f"{model.describe()} has no graph to copy.", fix="make another object of the class"
        )
    return Sequential([make(layer) for layer in model.layers], name=model.name)


def merge(*models: Model, prefix: tuple[str, ...] | None = None, name: str | None = None) -> Model:
    """Return one model that runs several side by side: all their inputs, all their outputs.

    Args:
        *models: the models; they are nested in the result and keep their layers and weights.
        prefix: what paths of layers and names of inputs begin with, one a model (``"a/"``);
            default: the models' names.
        name: the name of the result.

    Raises:
        ConfigError: prefixes are too few or not unique.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> a = plait.Sequential([plait.Input((4,)), layers.Dense(2, name="d")])
        >>> b = plait.Sequential([plait.Input((3,)), layers.Dense(2, name="d")])
        >>> both = plait.merge(a, b, prefix=("a/", "b/"))
        >>> sorted(both.state())
        ['a/d/bias', 'a/d/kernel', 'b/d/bias', 'b/d/kernel']
    """
    from plait.models.model import Model

    _check_models(models)
    names = [p.strip("/") for p in prefix] if prefix else [model.name for model in models]
    if len(names) != len(models) or len(set(names)) != len(names):
        raise ConfigError(
            f"merge needs one prefix for each of {len(models)} models, all different; "
            f"received {names}.",
            fix="plait.merge(a, b, prefix=('a/', 'b/'))",
        )
    inputs: list[Any] = []
    outputs: list[Any] = []
    for model, label in zip(models, names, strict=True):
        given = [
            Input(batch_shape=t.shape, dtype=t.dtype, name=f"{label}_{t.name}")
            for t in model.inputs
        ]
        nested = copy(model, "shared")
        nested.name = label
        inputs += given
        outputs += tree.flatten(nested(tree.pack(model.input, given)))
    return Model(inputs, outputs, name=name)


def stack(*models: Model, name: str | None = None) -> Model:
    """Return one model that runs several one after another; they keep their layers and weights.

    Raises:
        ShapeError: an output does not fit the next model.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> trunk = plait.Sequential([plait.Input((4,)), layers.Dense(8)], name="trunk")
        >>> head = plait.Sequential([plait.Input((8,)), layers.Dense(2)], name="head")
        >>> plait.stack(trunk, head).output_shape
        (None, 2)
    """
    from plait.models.model import Model

    _check_models(models)
    inputs = [Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in models[0].inputs]
    given = value = tree.pack(models[0].input, inputs)
    for model in models:
        value = model(value)
    return Model(given, value, name=name)


def _check_models(models: tuple[Any, ...]) -> None:
    if len(models) < 2:
        raise ArgumentTypeError("this takes at least two models.")
    for model in models:
        if not getattr(model, "has_graph", False):
            shown = model.describe() if isinstance(model, Layer) else repr(model)
            raise ArgumentTypeError(f"this takes models with a graph; received {shown}.")


class Parts:
    """The part of a model that makes other models of it."""

    def taps(self, *targets: Any) -> Model:
        """Return a model with the same inputs and weights that gives inner outputs, by name.

        Args:
            *targets: names of layers, of calls (``"emb@1"``), or paths into nested models
                (``"block2/relu"``).

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
        ``tail(head(x))`` equals ``model(x)``.

        Raises:
            GraphError: there is no such target.
        """
        return cut(self, target)  # type: ignore[arg-type]

    def submodel(self, from_: Any, to: Any) -> Model:
        """Return the part of the model from one output to another, sharing its weights.

        Args:
            from_: the output that becomes the input; a list for several.
            to: the output; a list for several.

        Raises:
            GraphError: `to` depends on something else than `from_`.
        """
        graph: Graph = self.graph  # type: ignore[attr-defined]
        draft = Draft(graph, self.describe())  # type: ignore[attr-defined]
        tensors = {ref: tensor for tensor, ref in draft.tensors.items()}
        start, end = (
            tree.map_structure(lambda item: tensors[draft.ref(item)], targets)
            for targets in (from_, to)
        )
        return replay(graph, tree.flatten(start), end, None)

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
