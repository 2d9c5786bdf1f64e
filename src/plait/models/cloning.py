"""Models made anew from others, and from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from plait.core.layer import Layer
from plait.core.registry import custom_object_scope, deserialize, exchanging
from plait.errors import ArgumentTypeError, ConfigError
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor
from plait.models.model import Model
from plait.models.sequential import Sequential


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the model that `Model.to_json` wrote, without its weights.

    Args:
        json_string: what `Model.to_json` of plait or Keras 3 returned.
        custom_objects: name -> class or function, for those of your own.

    Raises:
        FileError: it is damaged.
        ConfigError: it names a class or function that is not known.

    Example:
        >>> import plait
        >>> model = plait.Sequential([plait.Input((4,)), plait.layers.Dense(2)])
        >>> plait.models.model_from_json(model.to_json()).output_shape
        (None, 2)
    """
    from plait.saving.archive import errors_in, parse_json
    from plait.saving.exchange import Reading

    with errors_in("the JSON of a model"):
        data = parse_json(json_string)
        with custom_object_scope(custom_objects), exchanging(Reading()):
            model = deserialize(data)
        if not isinstance(model, Layer):
            raise ConfigError("it describes no model.", fix="pass what model.to_json() returned")
        return model


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Model:
    """Return a model of the same form with new layers, new weights and no compile settings.

    Unlike Keras', a clone of a `Sequential` takes a `call_function` too; `Model.edit` changes a
    model and keeps its weights.

    Args:
        model: a model with a graph.
        input_tensors: symbolic tensors, or their structure, to build on; default: new inputs.
        clone_function: makes the layer that stands for a layer; default: ``layer.clone()``.
        call_function: ``(layer, *args, **kwargs) -> output`` calls the new layers; default: calls.
        recursive: whether `clone_function` and `call_function` are for layers in nested models,
            too.

    Raises:
        ArgumentTypeError: a wrong number of tensors, or `clone_function` returns no layer.
        GraphError: the model has no graph.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> model = plait.Sequential([plait.Input((4,)), layers.Dense(2, "relu", name="d")])
        >>> linear = lambda layer: layer.clone(activation=None)
        >>> clone_model(model, clone_function=linear).layers[0].get_config()["name"]
        'd'
    """
    made: dict[Layer, Any] = {}

    def cloned(layer: Any) -> Any:
        if layer in made:
            return made[layer]
        nested = isinstance(layer, Model) and layer.has_graph
        if nested and (recursive or clone_function is None):
            inner = (clone_function, call_function) if recursive else (None, None)
            made[layer] = clone_model(layer, None, *inner, recursive)
        else:
            made[layer] = layer.clone() if clone_function is None else clone_function(layer)
        if not isinstance(made[layer], Layer):
            raise ArgumentTypeError(
                f"clone_function returned a {type(made[layer]).__name__} for {layer.describe()}.",
                fix="return a layer: layer.clone(), or another one",
            )
        return made[layer]

    graph = model.graph
    values = dict(zip(graph.inputs, _inputs(model, input_tensors), strict=True))
    for node in graph.nodes:
        if node.is_input:
            continue
        args, kwargs = tree.map_structure(
            lambda leaf: values[leaf] if isinstance(leaf, SymbolicTensor) else leaf,
            (node.args, node.kwargs),
        )
        layer = cloned(node.layer)
        output = (call_function or _call)(layer, *args, **kwargs)
        made_now = [t for t in tree.flatten(output) if isinstance(t, SymbolicTensor)]
        values.update(zip(node.outputs, made_now, strict=True))
    outputs = tree.map_structure(values.__getitem__, graph.output_structure)
    inputs = tree.map_structure(values.__getitem__, graph.input_structure)
    result = Model(inputs, outputs, name=model.name)
    chain = isinstance(model, Sequential) and result.graph.is_chain
    return result.to_sequential() if chain else result


def _call(layer: Layer, *args: Any, **kwargs: Any) -> Any:
    return layer(*args, **kwargs)


def _inputs(model: Model, given: Any) -> list[SymbolicTensor]:
    from plait.layers.input import Input

    if given is None:
        return [Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs]
    tensors = tree.flatten(given)
    if len(tensors) != len(model.inputs) or not all(isinstance(t, SymbolicTensor) for t in tensors):
        raise ArgumentTypeError(
            f"clone_model: {model.describe()} has {len(model.inputs)} inputs; input_tensors are "
            f"that many symbolic tensors, received {len(tensors)} values.",
            fix="input_tensors=[plait.Input((8,)), ...], or leave it out",
        )
    return tensors
