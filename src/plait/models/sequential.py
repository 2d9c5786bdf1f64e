"""`Sequential`: a model whose graph is a chain, kept as a list of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, overload

from plait.core.layer import Layer
from plait.core.registry import custom_object_scope, deserialize, serialize
from plait.core.spec import is_shape, standardize_shape
from plait.core.variable import Variable
from plait.errors import ArgumentTypeError, ConfigError, GraphError, NotBuiltError, ShapeError
from plait.graph import edit, tree
from plait.graph.graph import Graph
from plait.graph.naming import hold
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import Input, InputLayer
from plait.models.history import Step
from plait.models.model import Model


class Sequential(Model):
    """A straight stack of layers.

    It is built at once when the shape of the input is known (an `Input` in front, or
    ``input_shape=`` on the first layer), else when it first sees data. It is edited as a list:
    `add`, `insert`, `pop`, ``del seq[i]``, ``seq[i] = layer``; ``seq[1:3]`` is a `Sequential` that
    shares the layers. A layer that does not fit is an error and changes nothing.

    Args:
        layers: the layers, in order; may begin with an `Input`.
        trainable: whether the variables are trained.
        name: default: ``sequential``, numbered.

    Example:
        >>> from plait import Sequential, layers
        >>> model = Sequential([layers.Flatten(input_shape=(28, 28)), layers.Dense(10)])
        >>> model.output_shape
        (None, 10)
        >>> model.insert(1, layers.Dropout(0.2))
        >>> len(model)
        3
    """

    def __init__(
        self, layers: Sequence[Any] | None = None, trainable: bool = True, name: str | None = None
    ) -> None:
        super().__init__(trainable=trainable, name=name)
        self._input: InputLayer | None = None
        self._stack: list[Layer] = []
        self._tensors: list[SymbolicTensor] = []
        if layers is None:
            return
        if isinstance(layers, Layer) or not isinstance(layers, list | tuple):
            raise ArgumentTypeError(
                f"Sequential takes a list of layers, not {type(layers).__name__}.",
                fix="Sequential([layers.Dense(10), ...])",
            )
        items = list(layers)
        if items and (isinstance(items[0], InputLayer) or _is_input(items[0])):
            self._take_input(items.pop(0))
        self._replace([self._as_layer(item) for item in items], first_changed=0)

    # -- the list ---------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, the input not counted."""
        return list(self._stack)

    def add(self, layer: Any) -> None:
        """Append a layer; the first may be an `Input`."""
        if isinstance(layer, InputLayer) or _is_input(layer):
            if self._stack or self._input is not None:
                raise GraphError(
                    f"Sequential '{self.name}' has its input already.",
                    fix=_model_code("a model with two inputs is a Model"),
                )
            self._take_input(layer)
            self._replace([], first_changed=0)
            return
        layer = self._as_layer(layer)
        if self._edits.done or self._edits.undone:
            self.insert(len(self), layer)
        elif self._tensors:
            self._check_name(layer, {other.name: other for other in self._stack})
            self._tensors.append(self._extend(layer, self._tensors[-1]))
            self._stack.append(layer)
            hold(self, layer)
            self._set_chain()
        else:
            self._replace([*self._stack, layer], first_changed=len(self._stack))

    def insert(self, index: int, layer: Any) -> None:
        """Insert a layer in front of position `index`; the weights of the others stay."""
        layer, size = self._as_layer(layer), len(self._stack)
        position = min(max(index + size, 0) if index < 0 else index, size)
        if not self.has_graph:
            stack = [*self._stack[:position], layer, *self._stack[position:]]
            self._edit_list(stack, f"insert({index}, {type(layer).__name__} '{layer.name}')")
        elif position < size:
            self.insert_before(self._stack[position], layer)
        else:
            self.insert_after(self._tensors[-1], layer)

    def pop(self, index: int = -1, rebuild: bool = True) -> Layer:
        """Remove and return the layer at `index`, by default the last."""
        if not self._stack:
            raise ConfigError(f"Sequential '{self.name}' has no layer to pop.")
        layer = self[index]
        del self[index]
        return layer

    def __len__(self) -> int:
        return len(self._stack)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Layer]:
        return iter(list(self._stack))

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Layer | Sequential:
        """Return a layer, or for a slice a `Sequential` that shares the layers."""
        if not isinstance(index, slice):
            return self._stack[self._position(index)]
        positions = range(len(self._stack))[index]
        part: list[Any] = [self._stack[i] for i in positions]
        contiguous = positions.step == 1 and len(positions) > 0
        if self._tensors and contiguous:
            start = self._tensors[positions[0]]
            part.insert(0, Input(batch_shape=start.shape, dtype=start.dtype))
        return Sequential(part)

    def __setitem__(self, index: int, layer: Any) -> None:
        """Replace a layer; weights of the same name and shape are kept, as by `replace`."""
        position, layer = self._position(index), self._as_layer(layer)
        if self.has_graph:
            self.replace(self._stack[position], layer)
            return
        stack = list(self._stack)
        stack[position] = layer
        self._edit_list(stack, f"[{index}] = {type(layer).__name__} '{layer.name}'")

    def __delitem__(self, index: int | slice) -> None:
        positions = index if isinstance(index, slice) else self._position(index)
        if not self.has_graph:
            stack = list(self._stack)
            del stack[positions]
            self._edit_list(stack, f"del [{index}]")
            return
        gone = self._stack[positions]
        with self.edit() as change:
            for layer in gone if isinstance(gone, list) else [gone]:
                change.remove(layer)

    def _position(self, index: int) -> int:
        if not -len(self._stack) <= index < len(self._stack):
            raise IndexError(
                f"Sequential '{self.name}' has {len(self._stack)} layers; no index {index}."
            )
        return index % len(self._stack)

    def _as_layer(self, layer: Any) -> Layer:
        if isinstance(layer, list | tuple):
            raise ArgumentTypeError(
                f"Sequential '{self.name}' takes one layer a place; received a list of "
                f"{len(layer)}: a branch.",
                fix=_model_code("a model with branches is a Model"),
            )
        if isinstance(layer, InputLayer) or _is_input(layer):
            raise GraphError(
                f"Sequential '{self.name}' has one input, in front; received another.",
                fix=_model_code("a model with two inputs is a Model"),
            )
        if not isinstance(layer, Layer):
            shown = f"the class {layer.__name__}" if isinstance(layer, type) else repr(layer)
            fix = "wrap a function: layers.Lambda(function)"
            if isinstance(layer, type):
                fix = f"make an object of it: {layer.__name__}(...)"
            elif isinstance(layer, SymbolicTensor):
                fix = "pass the layer, not what calling it returns; or write Model(inputs, outputs)"
            raise ArgumentTypeError(f"Sequential takes layers; received {shown}.", fix=fix)
        many = isinstance(layer, Model) and layer.has_graph and len(layer.inputs) > 1
        if many or layer.merges:
            raise GraphError(
                f"{layer.describe()} takes several tensors; a Sequential passes on one.",
                fix=_model_code("a model with several inputs or branches is a Model"),
            )
        return layer

    def _edit_list(self, stack: list[Layer], what: str) -> None:
        before = self._snapshot()
        self._replace(stack, first_changed=0)
        self._edits.remember(Step([what], [(self, before, self._snapshot())], []))

    # -- the chain --------------------------------------------------------------------------

    def _take_input(self, source: Any) -> None:
        self._input = source if isinstance(source, InputLayer) else source.node.layer

    def _replace(self, stack: list[Layer], first_changed: int) -> None:
        """Take a new list of layers; on any error nothing has changed."""
        names: dict[str, Layer] = {}
        for layer in stack:
            self._check_name(layer, names)
            names[layer.name] = layer
        source = self._input or _declared_input(stack)
        tensors: list[SymbolicTensor] = []
        if source is not None:
            if self._tensors and self._tensors[0] is source.output:
                tensors = self._tensors[: first_changed + 1]
            else:
                tensors = [source.output]
            for layer in stack[len(tensors) - 1 :]:
                tensors.append(self._extend(layer, tensors[-1]))
        self._set_stack(source, stack, tensors)

    def _set_graph(self, graph: Graph) -> None:
        reasons = graph.branches()
        if reasons:
            raise GraphError(
                f"the edit would make Sequential '{self.name}' branch: {reasons[0]}.",
                fix="model = model.to_model(), and edit that",
            )
        chain = [node for node in graph.nodes if not node.is_input]
        source = graph.inputs[0].node
        tensors = [graph.inputs[0], *(node.outputs[0] for node in chain)]
        self._set_stack(source and source.layer, [node.layer for node in chain], tensors)
        self._graph = graph

    def _set_stack(self, source: Any, stack: list[Layer], tensors: list[SymbolicTensor]) -> None:
        for tensor in self._tensors:
            tensor.node.live = False  # type: ignore[union-attr]
        for tensor in tensors:
            tensor.node.live = True  # type: ignore[union-attr]
        self._input, self._stack, self._tensors = source, list(stack), list(tensors)
        for layer in stack:
            hold(self, layer)
        self._set_chain()

    def _asked_names(self) -> list[str]:
        return [self._tensors[-1].name] if self._tensors else []

    def _snapshot(self) -> Any:
        stack = self._input, list(self._stack), list(self._tensors), self._graph
        return stack, self.objective, self.objective.settings()

    def _restore(self, snapshot: Any, before: Sequence[str]) -> None:
        (source, stack, tensors, graph), objective, settings = snapshot
        if tensors or not self._tensors:
            self._set_stack(source, stack, tensors)
            self._graph = graph
        else:  # it saw data since: it stays built
            self._replace(stack, first_changed=0)
        if self.has_graph:
            self._restore_objective(objective, settings, before)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_graph": None, "_tensors": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.built:
            self._replace(self._stack, first_changed=0)

    def _set_chain(self) -> None:
        self._graph = None
        self.built = bool(self._tensors) and bool(self._stack)

    def _check_name(self, layer: Layer, names: Mapping[str, Layer]) -> None:
        other = names.get(layer.name)
        if other is layer:
            raise GraphError(
                f"{layer.describe()} is twice in Sequential '{self.name}', which uses each layer "
                "once.",
                fix="a layer used twice is a Model: y = shared(shared(x)); Model(x, y)",
            )
        if other is not None:
            raise GraphError(
                f"two layers of Sequential '{self.name}' are named '{layer.name}'.",
                details=[("first ", other.describe()), ("second", layer.describe())],
                fix=f"give one of them another name: name='{layer.name}_2'",
            )

    def _extend(self, layer: Layer, tensor: SymbolicTensor) -> SymbolicTensor:
        result = layer(tensor)
        if not isinstance(result, SymbolicTensor):
            raise GraphError(
                f"{layer.describe()} returns {len(tree.flatten(result))} tensors; a Sequential "
                "passes on one.",
                fix=_model_code("a model with several outputs or branches is a Model"),
            )
        return result

    @property
    def graph(self) -> Graph:
        """The chain as a graph.

        Raises:
            NotBuiltError: the shape of the input is not known yet.
        """
        if self._graph is None:
            if len(self._tensors) < 1 or (not self._stack and self._input is None):
                raise NotBuiltError(
                    f"{self.describe()} has no input and output yet: the shape of its input is "
                    "not known.",
                    fix="begin it with plait.Input(shape=...), or call it on data first",
                )
            self._graph = Graph(self._tensors[0], self._tensors[-1])
        if not self._graph.is_current:
            self._set_graph(edit.refreshed(self._graph, self.describe()))
            return self.graph
        return self._graph

    @property
    def has_graph(self) -> bool:
        """Whether the shape of the input is known."""
        return bool(self._tensors)

    def _children(self) -> Iterator[tuple[str, Layer | Variable]]:
        for layer in self._stack:
            yield layer.name, layer

    def get_config(self) -> dict[str, Any]:
        """Return the layers as plain data, or the arguments of a subclass' own constructor."""
        if type(self).__init__ is not Sequential.__init__:
            return super().get_config()
        layers = [self._input, *self._stack] if self._input is not None else self._stack
        head = {"name": self.name, "trainable": self._trainable}
        return {**head, "layers": [serialize(layer) for layer in layers]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        """Make a model, without its weights, from what `get_config` returned."""
        if "layers" not in config or cls.__init__ is not Sequential.__init__:
            return super().from_config(config, custom_objects)
        with custom_object_scope(custom_objects):
            layers = [deserialize(layer, "layers") for layer in config["layers"]]
        model = cls(layers, name=config.get("name"))
        model._trainable = config.get("trainable", True)
        if config.get("build_input_shape") and not model.has_graph and layers:
            model.build(tuple(config["build_input_shape"]))
        return model

    def build(self, input_shape: Any = None) -> None:
        """Build for inputs of this shape, batch included."""
        if self._tensors or input_shape is None:
            return
        if not self._stack:
            raise GraphError(
                f"Sequential '{self.name}' has no layers.", fix="add some: model.add(...)"
            )
        if not is_shape(input_shape):
            raise ShapeError(
                f"Sequential '{self.name}' takes one tensor, received {input_shape}.",
                fix=_model_code("a model with two inputs is a Model"),
            )
        shape = (None, *standardize_shape(input_shape)[1:])
        self._input = InputLayer(batch_shape=shape)
        try:
            self._replace(self._stack, first_changed=0)
        except Exception:
            self._input = None
            raise

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the layers in order."""
        from plait.models import run

        return run.run(self.graph, inputs, self.describe())

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the shape and dtype of the output for a symbolic input."""
        from plait.models import run

        return run.run_specs(self.graph, inputs, self.describe())


def _is_input(item: Any) -> bool:
    return isinstance(item, SymbolicTensor) and item.node is not None and item.node.is_input


def _declared_input(stack: list[Layer]) -> InputLayer | None:
    if not stack:
        return None
    first = stack[0]
    if first.batch_input_shape is not None:
        dtype = "int32" if getattr(first, "takes_integers", False) else None
        return InputLayer(batch_shape=first.batch_input_shape, dtype=dtype)
    if isinstance(first, Model) and first.has_graph and len(first.inputs) == 1:
        return InputLayer(batch_shape=first.inputs[0].shape, dtype=first.inputs[0].dtype)
    return None


def _model_code(why: str) -> str:
    return (
        f"{why}:\n"
        "       a, b = plait.Input((8,)), plait.Input((4,))\n"
        "       y = layers.concatenate([layers.Dense(16)(a), layers.Dense(16)(b)])\n"
        "       model = plait.Model([a, b], layers.Dense(1)(y))"
    )
