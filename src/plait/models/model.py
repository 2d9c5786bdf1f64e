"""`Model`: a layer whose `call` runs a graph, plus training."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from plait.core import calling, infer
from plait.core.arguments import checked_arguments
from plait.core.layer import Layer
from plait.core.spec import is_shape, standardize_shape
from plait.core.variable import Variable
from plait.core.walk import walk
from plait.errors import ConfigError, GraphError, ModelWarning, NotBuiltError, did_you_mean
from plait.graph import edit, tree
from plait.graph.graph import Graph
from plait.graph.naming import hold
from plait.graph.tensor import SymbolicTensor
from plait.models import run
from plait.models.editable import Editable
from plait.models.parts import Parts
from plait.models.persistent import Persistent
from plait.training.callback_list import CallbackList
from plait.training.engine import Engine
from plait.training.loop import Trainer
from plait.training.resume import Store

if TYPE_CHECKING:
    from plait.view.difference import ModelDiff
    from plait.view.profile import Profile


class Model(Persistent, Trainer, Editable, Parts, Layer):
    """A network: the graph between inputs and outputs, or a subclass with its own `call`.

    ``Model(inputs, outputs)`` takes symbolic tensors, or lists, tuples and dicts of them, and
    contains every layer call between them. A subclass makes layers in `__init__` and calls them in
    `call(inputs, training=None)`; it may also override `train_step`, `test_step`, `predict_step`.

    Args:
        inputs: what `Input` returned; or any symbolic tensors, to cut a graph there.
        outputs: what layers returned.
        name: default: ``model``, numbered.

    Raises:
        GraphError: an output depends on an input that is not given; two layers share a name.

    Example:
        >>> import plait
        >>> x = plait.Input((8,))
        >>> y = plait.layers.Dense(1)(x)
        >>> plait.Model(x, y).output_shape
        (None, 1)
    """

    routes_masks = True
    _auto_name = None
    _more_arguments = ("inputs", "outputs", "name", "trainable", "dtype")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        graph_arguments = {}
        for name, value in zip(("inputs", "outputs", "name"), args, strict=False):
            graph_arguments[name] = value
        if len(args) > 3:
            raise ConfigError("Model takes inputs, outputs and name.", fix="Model(inputs, outputs)")
        for name in ("inputs", "outputs"):
            if name in kwargs:
                graph_arguments[name] = kwargs.pop(name)
        if "name" in graph_arguments:
            kwargs["name"] = graph_arguments.pop("name")
        super().__init__(**kwargs)
        self._init_training()
        self._init_editing()
        self._graph: Graph | None = None
        if len(graph_arguments) == 1:
            missing = "outputs" if "inputs" in graph_arguments else "inputs"
            raise GraphError(f"Model '{self.name}' has no {missing}.", fix="Model(inputs, outputs)")
        if graph_arguments:
            self._captured = {
                name: value
                for name, value in self._captured.items()
                if not any(value is given for given in graph_arguments.values())
            }
            self._set_graph(Graph(graph_arguments["inputs"], graph_arguments["outputs"]))

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for name in ("_engine", "_edits"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._engine = Engine(self)
        self._init_editing()

    def _set_graph(self, graph: Graph) -> None:
        before = self._graph
        for node in before.nodes if before is not None else ():
            node.live = False
        for node in graph.nodes:
            node.live = True
        self._graph = graph
        self.built = True
        for layer in set(graph.layers).difference(before.layers if before is not None else ()):
            hold(self, layer)

    def _adopt(self, graph: Graph, before: Sequence[str], origins: Sequence[int | None]) -> None:
        """Take the graph that an edit made.

        Args:
            graph: the graph.
            before: the outputs' names until now.
            origins: for each output, its position until now, None for a new one.
        """
        self._set_graph(graph)
        self.objective.carry_over(before, self.output_names, origins)

    def _asked_names(self) -> list[str]:
        """Return the outputs' names, of the graph as it is, even if it no longer fits."""
        return [] if self._graph is None else run.output_names(self._graph)

    def _snapshot(self) -> Any:
        """Return what `_restore` takes to put the graph and what is asked of it back."""
        return self._graph, self.objective, self.objective.settings()

    def _restore(self, snapshot: Any, before: Sequence[str]) -> None:
        """Take the graph and the rest of a snapshot; `before` are the outputs' names until now."""
        graph, objective, settings = snapshot
        self._set_graph(graph)
        self._restore_objective(objective, settings, before)

    def _restore_objective(self, objective: Any, settings: Any, before: Sequence[str]) -> None:
        if objective is self.objective:
            objective.restore(settings)
        elif self.has_graph:
            self.objective.carry_over(before, self.output_names)

    # -- the graph --------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The graph of layer calls.

        Raises:
            NotBuiltError: this is a subclass with its own `call`, or not built yet.
        """
        if self._graph is None:
            raise NotBuiltError(
                f"{self.describe()} has no graph: it is a subclass with its own call().",
                fix="Model(inputs, outputs) makes a model with a graph",
            )
        if not self._graph.is_current:
            self._set_graph(edit.refreshed(self._graph, self.describe()))
        return self._graph

    @property
    def has_graph(self) -> bool:
        """Whether the model is a graph (and not a subclass with its own `call`)."""
        return self._graph is not None

    @property
    def computes(self) -> bool:
        """Whether it can be called: it has a graph, or a `call` of its own."""
        return self.has_graph or type(self).call is not Model.call

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs, flat."""
        return list(self.graph.inputs)

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs, flat."""
        return list(self.graph.outputs)

    @property
    def input(self) -> Any:
        """The symbolic inputs as they were given to `Model`."""
        return self.graph.input_structure

    @property
    def output(self) -> Any:
        """The symbolic outputs as they were given to `Model`."""
        return self.graph.output_structure

    @property
    def input_shape(self) -> Any:
        """The shapes of the inputs, as they were given."""
        return tree.map_structure(lambda tensor: tensor.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """The shapes of the outputs, as they were given."""
        return tree.map_structure(lambda tensor: tensor.shape, self.output)

    @property
    def input_names(self) -> list[str]:
        """The keys of dicts of inputs."""
        return run.input_names(self.graph)

    @property
    def output_names(self) -> list[str]:
        """The keys of dicts of targets, losses, metrics and weights by output."""
        return run.output_names(self.graph)

    @property
    def layers(self) -> list[Layer]:
        """The layers: of the graph in the order they run, or those in attributes."""
        if self._graph is not None:
            return list(self._graph.layers)
        found = [child for _, child in self._children() if isinstance(child, Layer)]
        return list({id(layer): layer for layer in found}.values())

    @overload
    def get_layer(self, name: str) -> Layer: ...
    @overload
    def get_layer(self, name: None = None, index: int | None = None) -> Layer: ...

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name, by path into nested models (``"encoder/conv_2"``), or by index.

        Raises:
            ConfigError: there is none; the message names the closest.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ConfigError("get_layer takes a name or an index.", fix="model.get_layer('dense')")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ConfigError(f"{self.describe()} has {len(layers)} layers; no index {index}.")
            return layers[index]
        by_name = {layer.name: layer for layer in layers}
        if name in by_name:
            return by_name[name]
        by_path = dict(walk(self))
        if name in by_path:
            return by_path[name]
        assert name is not None
        raise ConfigError(
            f"{self.describe()} has no layer '{name}'.{did_you_mean(name, by_path)}",
            fix=f"its layers are {', '.join(by_name)}" if len(by_name) < 20 else None,
        )

    @checked_arguments
    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print the layers, their outputs, parameters and cost; see `plait.view.summary`."""
        from plait.view.summary import summary

        summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    @checked_arguments
    def profile(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        trace: str | os.PathLike[str] | None = None,
    ) -> Profile:
        """Return what each layer costs on a batch: time, FLOPs, bytes and memory.

        Printed, it is a table; see `plait.view.profile`.

        Args:
            x: one batch of inputs.
            y: targets, to measure a training step; nothing is trained.
            sample_weight: weights of the samples.
            trace: a folder for traces that Perfetto, chrome://tracing and TensorBoard open.
        """
        from plait.view.profile import profile

        return profile(self, x, y, sample_weight, trace=trace)

    def diff(self, other: Model) -> ModelDiff:
        """Return what differs between this model and another; see `plait.diff`."""
        from plait.view.difference import diff

        return diff(self, other)

    def to_python(self) -> str:
        """Return Python source that builds the same graph; see `plait.models.source`.

        Raises:
            ConfigError: something in it cannot be written, as an anonymous function.
        """
        from plait.models.source import to_python

        return to_python(self)

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        theme: Literal["light", "dark"] | None = None,
        **show: Any,
    ) -> pathlib.Path:
        """Draw the graph to an ``.html``, ``.svg``, ``.png`` or ``.dot``; see `plait.view.plot`."""
        from plait.view.plot import plot

        return plot(self, path, theme=theme, **show)

    def export(self, filepath: str | os.PathLike[str], format: str | None = None) -> pathlib.Path:
        """Write what the model computes in inference, for programs that know nothing of plait.

        The batch, and other sizes that are None, stay open; names of inputs and outputs are the
        model's. `plait.saving.load_exported` reads the file back.

        Args:
            filepath: the file. Its ending says the format: ``.onnx`` (needs
                ``pip install 'plait[onnx]'``), or ``.stablehlo``, which `jax.export` writes.
            format: "onnx" or "stablehlo", whatever the ending.

        Returns:
            The path of the file.

        Raises:
            ConfigError: an unknown format.
            ExportError: a layer, named with its line, has nothing in the format; nothing is
                written then.
            FileError: the file cannot be written.
        """
        from plait.saving.export import export

        return export(self, filepath, format)

    def _repr_html_(self) -> str | None:
        if not self.has_graph:
            return None
        from plait.view.html import frame
        from plait.view.picture import picture_of

        return frame(picture_of(self))

    def _children(self) -> Iterator[tuple[str, Layer | Variable]]:
        if self._graph is not None:
            for layer in self._graph.layers:
                yield layer.name, layer
        yield from super()._children()

    def _look_over(self) -> None:
        from plait.view.lint import lint

        for finding in lint(self):
            if finding.severity == "warning":
                warnings.warn(str(finding), ModelWarning, stacklevel=4)

    def _checkpoints(self, resume: Any, hooks: CallbackList) -> Store | None:
        brought = [c.checkpoints for c in hooks.callbacks if hasattr(c, "checkpoints")]
        if resume is None and not brought:
            return None
        from plait.saving.checkpoint import Checkpoints

        given = brought if resume is None else [resume, *brought]
        if len(given) > 1:
            raise ConfigError(
                "a run keeps its checkpoints in one place; received several.",
                fix="fit(resume=...) or one BackupAndRestore",
            )
        return given[0] if isinstance(given[0], Checkpoints) else Checkpoints(given[0])

    # -- calling ----------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Make the variables of a subclassed model for inputs of these shapes (batch included)."""
        if self._graph is not None:
            return
        if input_shape is not None:
            inputs = _symbolic(input_shape)
            with calling.errors_name(self, (inputs,), {}, None):
                infer.abstract_call(self, (inputs,), {})
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the graph; subclasses without a graph override it."""
        if self._graph is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no graph and no call() method. Write call(self, "
                "inputs, training=None), or make it with Model(inputs, outputs)."
            )
        return run.run(self.graph, inputs, self.describe())

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return shapes and dtypes of the outputs for symbolic inputs."""
        if self._graph is not None:
            return run.run_specs(self.graph, inputs, self.describe())
        return infer.abstract_call(self, (inputs, *args), kwargs)


def _symbolic(shapes: Any) -> Any:
    if is_shape(shapes):
        return SymbolicTensor(standardize_shape(shapes))
    if isinstance(shapes, dict):
        return {key: _symbolic(item) for key, item in shapes.items()}
    return [_symbolic(item) for item in shapes]
