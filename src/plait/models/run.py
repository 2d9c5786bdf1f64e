"""Run a graph: on arrays, and on shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from plait.core.calling import is_array, map_specs, traced_call
from plait.core.infer import infer
from plait.core.naming import free_name
from plait.core.scope import current_scope
from plait.core.spec import TensorSpec
from plait.errors import DataError, ShapeError, did_you_mean
from plait.graph import tree
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.graph.tensor import Shape, SymbolicTensor
from plait.models import fusion


def input_names(graph: Graph) -> list[str]:
    """Return the name of every input: its key if inputs are a dict, else the tensor's name."""
    if isinstance(graph.input_structure, Mapping):
        return ["/".join(path) for path, _ in tree.leaves_with_path(graph.input_structure)]
    return [tensor.name for tensor in graph.inputs]


def output_names(graph: Graph) -> list[str]:
    """Return the name of every output: its key if outputs are a dict, else its layer's name."""
    if isinstance(graph.output_structure, Mapping):
        return ["/".join(path) for path, _ in tree.leaves_with_path(graph.output_structure)]
    names: list[str] = []
    for tensor in graph.outputs:
        names.append(free_name(tensor.name, names))
    return names


def match_inputs(graph: Graph, inputs: Any, who: str) -> list[Any]:
    """Return one value for each input of the graph, from however the caller grouped them.

    Accepts the structure of the model's inputs, a flat list in their order, or a dict by name.

    Raises:
        DataError: the number or a name is wrong.
    """
    names = input_names(graph)
    if isinstance(inputs, Mapping):
        by_tensor = {tensor.name: i for i, tensor in enumerate(graph.inputs)}
        positions = {**by_tensor, **{name: i for i, name in enumerate(names)}}
        flat = {"/".join(path): leaf for path, leaf in tree.leaves_with_path(inputs)}
        values: list[Any] = [None] * len(names)
        for name, value in flat.items():
            if name not in positions:
                raise DataError(
                    f"has no input '{name}'.{did_you_mean(name, names)}",
                    fix=f"its inputs are {', '.join(map(repr, names))}",
                ).at(who)
            values[positions[name]] = value
        missing = [
            name
            for name, value, tensor in zip(names, values, graph.inputs, strict=True)
            if value is None and not _optional(tensor)
        ]
        if missing:
            raise DataError(
                f"needs {', '.join(map(repr, names))}; {', '.join(map(repr, missing))} is missing.",
                fix=f"pass a dict with the keys {', '.join(map(repr, names))}",
            ).at(who)
        return values
    flat_values = tree.flatten(inputs)
    if len(flat_values) != len(names):
        received = (
            "one array" if len(flat_values) == 1 and tree.is_leaf(inputs) else len(flat_values)
        )
        raise DataError(
            f"has {_count(len(names), 'input')} ({', '.join(map(repr, names))}); "
            f"received {received}.",
            fix=f"model([{', '.join(names)}]) or a dict with these keys"
            if len(names) > 1
            else "pass the array itself",
        ).at(who)
    return flat_values


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _optional(tensor: SymbolicTensor) -> bool:
    return tensor.node is not None and getattr(tensor.node.layer, "optional", False)


def fit_rank(shape: Shape, wanted: Shape) -> int:
    """Return +1 if a last axis of 1 must be added to `shape`, -1 if removed, else 0."""
    if len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        return 1
    if len(shape) == len(wanted) + 1 and shape[-1] == 1:
        return -1
    return 0


def check_input(tensor: SymbolicTensor, shape: Shape, who: str) -> None:
    """Check the shape of a value for an input.

    Raises:
        ShapeError: it does not fit, naming the input.
    """
    wanted = tensor.shape
    fits = len(shape) == len(wanted) and all(
        want is None or have is None or have == want
        for have, want in zip(shape, wanted, strict=True)
    )
    if fits:
        return
    fix = None
    if len(shape) == len(wanted) - 1 and shape == wanted[1:]:
        fix = "this is one sample; add the batch axis: x[None]"
    elif len(shape) == len(wanted) - 1 and wanted[-1] in (1, 3):
        fix = "add the channel axis: x[..., None]" if wanted[-1] == 1 else None
    elif len(shape) > 1 and shape[1:] != wanted[1:]:
        fix = f"reshape the data, or declare Input(shape={shape[1:]})"
    where = f" ({tensor.location})" if tensor.location else ""
    raise ShapeError(
        f"input '{tensor.name}'{where} expects {wanted}, received {shape}.", fix=fix
    ).at(f"{who}:")


def _prepare(tensor: SymbolicTensor, value: Any, who: str) -> Any:
    if value is None:
        if _optional(tensor):
            return None
        raise DataError(f"input '{tensor.name}' is None.", fix="pass an array").at(f"{who}:")
    if not is_array(value) and not hasattr(value, "shape"):
        value = jnp.asarray(value)
    scope = current_scope()
    mask = scope.get_mask(value) if scope is not None else None
    array = jnp.asarray(value)
    change = fit_rank(array.shape, tensor.shape)
    if change:
        array = array[..., None] if change > 0 else array[..., 0]
    check_input(tensor, array.shape, who)
    if array.dtype != tensor.dtype and tensor.dtype != "string":
        array = array.astype(tensor.dtype)
    if mask is not None and scope is not None:
        scope.set_mask(array, mask)
    return array


def run(graph: Graph, inputs: Any, who: str) -> Any:
    """Compute the outputs of a graph in the current scope.

    Raises:
        DataError: the inputs are not those of the graph.
        ShapeError: one has the wrong shape.
    """
    values: dict[SymbolicTensor, Any] = {
        tensor: _prepare(tensor, value, who)
        for tensor, value in zip(graph.inputs, match_inputs(graph, inputs, who), strict=True)
    }

    def fill(leaf: Any) -> Any:
        return values[leaf] if isinstance(leaf, SymbolicTensor) else leaf

    def call(node: Node) -> None:
        args, kwargs = tree.map_structure(fill, (node.args, node.kwargs))
        results = traced_call(node.layer, args, kwargs, node.location)
        _store(values, node.output_structure, results)

    scope = current_scope()
    fused = fusion.chains(graph) if scope is not None and scope.observer is None else {}
    for node in graph.nodes:
        chain = fused.get(node)
        if node.is_input or (chain is not None and node is not chain.nodes[-1]):
            continue
        if chain is None or scope is None:
            call(node)
            continue
        output = fusion.run(chain, values, scope)
        if output is not None:
            values[node.outputs[0]] = output
            continue
        for single in chain.nodes:
            call(single)
    return tree.map_structure(fill, graph.output_structure)


def _store(values: dict[SymbolicTensor, Any], structure: Any, results: Any) -> None:
    for tensor, result in zip(tree.flatten(structure), tree.flatten(results), strict=True):
        if tensor is not None:
            values[tensor] = result


def run_specs(graph: Graph, inputs: Any, who: str) -> Any:
    """Return the `TensorSpec`s of a graph's outputs for symbolic inputs of other shapes."""
    given = match_inputs(graph, inputs, who)
    shapes: dict[SymbolicTensor, Shape] = {}
    for tensor, value in zip(graph.inputs, given, strict=True):
        if value is None:
            continue
        shape = tuple(value.shape)
        change = fit_rank(shape, tensor.shape)
        if change:
            shape = (*shape, 1) if change > 0 else shape[:-1]
        check_input(tensor, shape, who)
        shapes[tensor] = shape
    if all(shapes.get(tensor) == tensor.shape for tensor in graph.inputs):
        return tree.map_structure(lambda t: TensorSpec(t.shape, t.dtype), graph.output_structure)
    values: dict[SymbolicTensor, Any] = {
        tensor: SymbolicTensor(shape, tensor.dtype) for tensor, shape in shapes.items()
    }

    def fill(leaf: Any) -> Any:
        return values[leaf] if isinstance(leaf, SymbolicTensor) else leaf

    for node in graph.nodes:
        if node.is_input:
            continue
        args, kwargs = tree.map_structure(fill, (node.args, node.kwargs))
        specs = infer(node.layer, args, kwargs)
        results = map_specs(lambda spec: SymbolicTensor(spec.shape, spec.dtype), specs)
        _store(values, node.output_structure, results)
    return tree.map_structure(
        lambda t: TensorSpec(values[t].shape, values[t].dtype), graph.output_structure
    )
