"""Run converters over a graph of layers, with its masks.

A converter takes the layer and the arguments of its `call`, with tensors of the ONNX graph in
place of arrays, and returns what `call` returns. A layer without one is called with symbolic
tensors: if `plait.ops` and other layers are all that its `call` uses, that makes a graph of layers
that have converters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from plait.core import naming
from plait.core.calling import context_by_name
from plait.core.layer import Layer
from plait.core.scope import Scope
from plait.errors import ExportError, Location
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.tensor import SymbolicTensor
from plait.layers.input import InputLayer
from plait.layers.lambda_layer import Lambda
from plait.saving.onnx.registry import converter_of, mask_converter_of, refuse
from plait.saving.onnx.tensor import Tensor, cast, shape_of, wide, writer_of

# -- one layer ------------------------------------------------------------------------------


def call(layer: Layer, *args: Any, **kwargs: Any) -> Any:
    """Convert a call of a layer: cast inputs, hand on masks."""
    return call_at(layer, args, kwargs, None)


def call_at(
    layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], location: Location | None
) -> Any:
    """Convert a call of a layer that was written on a line.

    Raises:
        ExportError: ONNX has nothing for it.
    """
    writer = writer_of(tree.flatten((args, kwargs)))
    writer.path.append(layer.name)
    try:
        return _call(writer, layer, args, kwargs)
    except ExportError as error:
        if error.located:
            raise
        raise _refused(layer, location, error.what, error.fix) from error
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _refused(layer, location, f"its converter failed: {first}", None) from error
    finally:
        writer.path.pop()


def _refused(layer: Layer, location: Location | None, why: str, fix: str | None) -> ExportError:
    return ExportError(why, fix=fix).at(f"{layer.describe(location)} cannot be exported to ONNX:")


def _call(writer: Any, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    parameters = type(layer)._call_parameters
    args, kwargs = context_by_name(args, kwargs, parameters)
    if layer.autocast:
        compute = wide(layer.compute_dtype)
        args, kwargs = tree.map_structure(
            lambda leaf: _autocast(writer, leaf, compute), (args, kwargs)
        )
    kwargs, previous = _masks_for(writer, args, kwargs, parameters)
    if kwargs.pop("training", None):
        refuse(
            "it is called with training=True, and a file computes what inference does.",
            fix="leave training out of the call",
        )
    outputs = _convert(layer, args, kwargs)
    _hand_on_masks(writer, layer, args, outputs, previous)
    return outputs


def _autocast(writer: Any, leaf: Any, dtype: str) -> Any:
    if not isinstance(leaf, Tensor) or "float" not in leaf.dtype or leaf.dtype == dtype:
        return leaf
    result = cast(leaf, dtype)
    if id(leaf) in writer.masks:
        writer.masks[id(result)] = (result, writer.masks[id(leaf)][1])
    return result


def _convert(layer: Layer, args: Any, kwargs: Any) -> Any:
    if getattr(layer, "has_graph", False):
        inputs = args[0] if args else kwargs["inputs"]
        return run_graph(layer.graph, _matched(layer.graph, inputs))  # type: ignore[attr-defined]
    converter = converter_of(layer)
    if converter is not None:
        return converter(layer, *args, **kwargs)
    if "training" in type(layer)._call_parameters:
        kwargs = {**kwargs, "training": False}
    return _traced(layer, layer.call, args, kwargs)


def _traced(layer: Layer, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Convert the graph that a method of a layer makes of symbolic tensors."""
    tensors: list[Tensor] = []
    symbols: list[SymbolicTensor] = []

    def symbol(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        tensors.append(leaf)
        symbols.append(InputLayer(batch_shape=leaf.shape, dtype=leaf.dtype).output)
        return symbols[-1]

    with naming.numbers_kept():
        symbolic_args, symbolic_kwargs = tree.map_structure(symbol, (args, kwargs))
        try:
            with Scope(training=False):
                outputs = method(*symbolic_args, **symbolic_kwargs)
            if method == layer.compute_mask and outputs is None:
                return None
            graph = Graph(symbols, outputs)
        except Exception as error:
            raise _unknown(layer, method.__name__, error) from error
    return run_graph(graph, tensors)


def _unknown(layer: Layer, method: str, error: Exception) -> ExportError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "is symbolic" in first:
        first = "it calls a function of JAX or NumPy, or reads values."
    if isinstance(layer, Lambda):
        return ExportError(
            f"its function is not made of plait.ops alone: {first}",
            fix="write the function with plait.ops",
        )
    name = type(layer).__name__
    registering = f", or a converter: @plait.saving.onnx_converter({name})"
    return ExportError(
        f"there is no converter for {name}, and its {method}() is not made of plait.ops and "
        f"layers alone: {first}",
        fix=f"write {method}() with plait.ops" + (registering if method == "call" else ""),
    )


# -- masks ----------------------------------------------------------------------------------


def _masks_for(
    writer: Any, args: Any, kwargs: dict[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> tuple[dict[str, Any], Any]:
    """Add masks to the keyword arguments as a call on arrays does; return the first one too."""
    kwargs = dict(kwargs)
    given = dict(zip(parameters, args, strict=False)) | kwargs
    previous: Any = None
    for position, (name, value) in enumerate(given.items()):
        found = tree.map_structure(lambda leaf: mask(writer, leaf), value)
        if position == 0:
            previous = found
        if all(item is None for item in tree.flatten(found)):
            continue
        for target in (f"{name}_mask", *(["mask"] if position == 0 else [])):
            if target in parameters and given.get(target) is None:
                kwargs[target] = found
    if kwargs.get("mask") is not None:
        previous = kwargs["mask"]
    if all(item is None for item in tree.flatten(previous)):
        previous = None
    return kwargs, previous


def mask(writer: Any, tensor: Any) -> Tensor | None:
    """Return the mask of a tensor, or None."""
    found = writer.masks.get(id(tensor))
    return None if found is None else found[1]


def _hand_on_masks(writer: Any, layer: Layer, args: Any, outputs: Any, previous: Any) -> None:
    if layer.routes_masks:
        return
    makes_masks = type(layer).compute_mask is not Layer.compute_mask
    if not makes_masks and (previous is None or not layer.supports_masking):
        return
    result = previous
    if makes_masks:
        first = args[0] if args else None
        compute = mask_converter_of(layer)
        if compute is not None:
            result = compute(layer, first, previous)
        else:
            result = _traced(layer, layer.compute_mask, (first, previous), {})
    for output, made in zip(tree.flatten(outputs), tree.flatten(result), strict=False):
        if made is not None:
            writer.masks[id(output)] = (output, made)


# -- a graph --------------------------------------------------------------------------------


def _matched(graph: Graph, inputs: Any) -> list[Any]:
    """Return one tensor for each input of a nested model, however the caller grouped them."""
    if not isinstance(inputs, Mapping):
        return tree.flatten(inputs)
    given = {"/".join(path): leaf for path, leaf in tree.leaves_with_path(inputs)}
    paths = ["/".join(path) for path, _ in tree.leaves_with_path(graph.input_structure)]
    return [
        given[path] if path in given else given[tensor.name]
        for path, tensor in zip(paths, graph.inputs, strict=True)
    ]


def run_graph(graph: Graph, inputs: list[Any]) -> Any:
    """Convert every call of a graph, in order.

    Args:
        graph: the graph.
        inputs: a tensor for each of its inputs.

    Returns:
        The outputs, nested as the graph has them.
    """
    values: dict[SymbolicTensor, Any] = {
        symbol: _fitted(symbol, tensor) for symbol, tensor in zip(graph.inputs, inputs, strict=True)
    }

    def fill(leaf: Any) -> Any:
        return values[leaf] if isinstance(leaf, SymbolicTensor) else leaf

    for node in graph.nodes:
        if node.is_input:
            continue
        args, kwargs = tree.map_structure(fill, (node.args, node.kwargs))
        outputs = call_at(node.layer, args, kwargs, node.location)
        for symbol, tensor in zip(
            tree.flatten(node.output_structure), tree.flatten(outputs), strict=True
        ):
            if symbol is not None:
                values[symbol] = _checked(node, symbol, tensor)
    return tree.map_structure(fill, graph.output_structure)


def _fitted(symbol: SymbolicTensor, tensor: Any) -> Any:
    """Cast and fit the rank of what a nested model is given, as a call on arrays does."""
    from plait.saving.onnx.arrays import expand_dims, squeeze

    if tensor is None:
        refuse(f"its input '{symbol.name}' is None.")
    result = cast(tensor, wide(jax.dtypes.canonicalize_dtype(symbol.dtype)))
    if result.ndim == len(symbol.shape) - 1 and symbol.shape[-1] == 1:
        result = expand_dims(result, -1)
    elif result.ndim == len(symbol.shape) + 1 and result.shape[-1] == 1:
        result = squeeze(result, -1)
    known = mask(tensor.writer, tensor)
    if known is not None and result is not tensor:
        tensor.writer.masks[id(result)] = (result, known)
    return result


def _checked(node: Any, symbol: SymbolicTensor, tensor: Any) -> Any:
    """Hold what was written against what the graph says; learn sizes that only it knows."""
    fits = isinstance(tensor, Tensor) and len(tensor.shape) == len(symbol.shape)
    fits = fits and all(
        None in pair or pair[0] == pair[1] for pair in zip(tensor.shape, symbol.shape, strict=True)
    )
    if not fits or tensor.dtype != wide(jnp.dtype(symbol.dtype)):
        got = f"{shape_of(tensor)} {getattr(tensor, 'dtype', '')}"
        raise ExportError(
            f"{node.describe()} cannot be exported to ONNX: its converter returns {got}, but it "
            f"is {symbol.shape} {symbol.dtype}."
        )
    tensor.shape = tuple(
        have if have is not None else own
        for have, own in zip(tensor.shape, symbol.shape, strict=True)
    )
    return tensor
