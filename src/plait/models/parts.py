"""Models made of other models: parts that share weights, copies, and models put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from plait.core.layer import Layer
from plait.core.walk import variables_by_path
from plait.errors import ArgumentTypeError, ConfigError, GraphError
from plait.graph import tree
from plait.graph.edit import Call, Draft, Ref
from plait.graph.graph import Graph
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import Input, InputLayer

if TYPE_CHECKING:
    from plait.models.model import Model


def taps(model: Model, targets: tuple[Any, ...]) -> Model:
    """See `Parts.taps`."""
    from plait.models.model import Model

    if not targets:
        raise ConfigError("taps needs at least one target.", fix="model.taps('dense_1')")
    draft = Draft(model.graph, model.describe())
    found: dict[str, Ref] = {}
    inner: dict[int, list[tuple[str, Call, str]]] = {}
    for target in targets:
        if isinstance(target, str) and "/" in target:
            first, rest = target.split("/", 1)
            call = draft.call(first)
            inner.setdefault(id(call.layer), []).append((target, call, rest))
            found[target] = Ref(call)
        else:
            ref = draft.ref(target)
            found[target if isinstance(target, str) else ref.call.layer.name] = ref
    for wanted in inner.values():
        nested = wanted[0][1].layer
        if not getattr(nested, "has_graph", False):
            raise GraphError(f"{nested.describe()} has no graph of its own to tap.")
        paths = list(dict.fromkeys(path for _, _, path in wanted))
        outputs = [*nested.outputs, *tree.flatten(taps(nested, tuple(paths)).output)]
        tapped = Model(nested.input, outputs, name=nested.name)
        for call in draft.calls_of(nested):
            call.layer, call.node = tapped, None
        for target, call, path in wanted:
            found[target] = Ref(call, len(nested.outputs) + paths.index(path))
    draft.outputs = found
    graph = draft.build()
    return Model(graph.input_structure, graph.output_structure, name=f"{model.name}_taps")


def cut(model: Model, target: Any) -> tuple[Model, Model]:
    """See `Parts.cut`."""
    from plait.models.model import Model

    graph = model.graph
    draft = Draft(graph, model.describe())
    call = draft.call(target)
    assert call.node is not None
    below = {call.node, *graph.descendants(call.node)} - {call.node}
    tensors: dict[SymbolicTensor, None] = dict.fromkeys(call.node.outputs)
    used = [t for node in graph.nodes if node in below for t in node.inputs]
    for tensor in [*used, *graph.outputs]:
        if tensor.node not in below:
            tensors.setdefault(tensor)
    crossing = list(tensors)
    needed = [t for t in crossing if t in set(used) or t in graph.outputs]
    head = Model(model.input, needed if len(needed) > 1 else needed[0], name=f"{model.name}_head")
    inputs = [
        Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name) for tensor in needed
    ]
    tail = replay(graph, dict(zip(needed, inputs, strict=True)), f"{model.name}_tail")
    return head, tail


def replay(graph: Graph, given: dict[SymbolicTensor, SymbolicTensor], name: str) -> Model:
    """Return a model of a graph's outputs, with tensors put in place of some of its own."""
    from plait.models.model import Model

    values = dict(given)

    def fill(leaf: Any) -> Any:
        return values[leaf] if isinstance(leaf, SymbolicTensor) else leaf

    wanted = set(graph.outputs)
    needed: set[Any] = set()
    for node in reversed(graph.nodes):
        made = [t for t in node.outputs if t not in given]
        if any(t in wanted for t in made):
            needed.add(node)
            wanted.update(node.inputs)
    for node in graph.nodes:
        if node in needed and not node.is_input:
            copied = node.with_inputs(values)
            values.update(
                {
                    old: new
                    for old, new in zip(node.outputs, copied.outputs, strict=True)
                    if old not in given
                }
            )
    inputs = list(given.values())
    return Model(
        inputs if len(inputs) > 1 else inputs[0],
        tree.map_structure(fill, graph.output_structure),
        name=name,
    )


def rebuilt(graph: Graph, make: Callable[[Layer], Layer]) -> Graph:
    """Return a graph of the same form with other layers: ``make(layer)`` in place of each."""
    draft = Draft(graph, "the copy")
    layers: dict[int, Layer] = {}
    for call in draft.calls:
        old = call.layer
        if old is None:
            tensor = next(t for t, ref in draft._refs.items() if ref.call is call)
            call.layer = InputLayer(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
            call.node = call.layer.output.node
            continue
        if id(old) not in layers:
            layers[id(old)] = make(old)
        call.layer = layers[id(old)]
        is_input = call.node is not None and call.node.is_input
        call.node = call.layer.output.node if is_input else None
    return draft.build()


def copy(model: Model, weights: str) -> Model:
    """See `Parts.copy`."""
    from plait.models.model import Model
    from plait.models.sequential import Sequential

    if weights not in ("shared", "copied", "fresh"):
        raise ConfigError(
            f"copy: weights is 'shared', 'copied' or 'fresh'; received {weights!r}.",
            fix="model.copy(weights='copied')",
        )

    def make(layer: Layer) -> Layer:
        if isinstance(layer, Model) and layer.has_graph:
            return copy(layer, "fresh")
        return layer.clone()

    if isinstance(model, Sequential):
        stack = model.layers if weights == "shared" else [make(layer) for layer in model.layers]
        source: list[Any] = []
        if model.has_graph:
            first = model.inputs[0]
            source = [Input(batch_shape=first.shape, dtype=first.dtype, name=first.name)]
        result: Model = Sequential([*source, *stack], name=model.name)
    elif not model.has_graph:
        raise GraphError(
            f"{model.describe()} has no graph to copy.", fix="make another object of the class"
        )
    elif weights == "shared":
        result = Model(model.input, model.output, name=model.name)
    else:
        graph = rebuilt(model.graph, make)
        result = Model(graph.input_structure, graph.output_structure, name=model.name)
    if weights == "copied":
        theirs = variables_by_path(model)
        for path, variable in variables_by_path(result).items():
            variable.assign(np.array(theirs[path].concrete_value()))
    return result


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
        draft = Draft(self.graph, self.describe())  # type: ignore[attr-defined]
        back = {ref: tensor for tensor, ref in draft._refs.items()}

        def tensor(target: Any) -> Any:
            if isinstance(target, list | tuple):
                return [tensor(item) for item in target]
            return back[draft.ref(target)]

        from plait.models.model import Model

        return Model(tensor(from_), tensor(to))

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
        source = graph.inputs[0]
        layers = [node.layer for node in graph.nodes if not node.is_input]
        given = source.node.layer if source.node is not None and source.node.is_input else Input(
            batch_shape=source.shape, dtype=source.dtype, name=source.name
        )  # fmt: skip
        return Sequential([given, *layers], name=self.name)  # type: ignore[attr-defined]
