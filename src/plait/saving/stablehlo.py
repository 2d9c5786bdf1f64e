"""StableHLO files: what `jax.export` serializes, followed by the names of inputs and outputs.

A file is the serialized module, which `jax.export.deserialize` reads as it is; then a JSON object;
then the lengths of both and eight bytes that say what the file is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import export
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo
from jaxlib.mlir.passmanager import PassManager

from plait import kernels
from plait.core.calling import apply
from plait.errors import ExportError, FileError
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor
from plait.saving.exported import ExportedSpec, damaged

_MAGIC = b"plaitHLO"
_END = struct.Struct("<QQ8s")
_PLATFORMS = ("cpu", "cuda", "tpu")
_CALLS = frozenset(
    [
        "Sharding",
        "shape_assertion",
        "stablehlo.dynamic_reduce_window",
        "stablehlo.dynamic_top_k",
        "stablehlo.dynamic_rng_bit_generator",
    ]
)
"""What a module may call outside itself: nothing but notes for the compiler."""


def stablehlo_bytes(model: Any) -> bytes:
    """Return the contents of a StableHLO file that computes what a model computes in inference.

    Args:
        model: a model with a graph.

    Raises:
        ExportError: it changes variables, or JAX cannot lower it for sizes that are not known.
    """

    def pure(*arrays: Any) -> Any:
        outputs, changed = apply(model, {}, (list(arrays),), {}, False, None)
        if changed:
            raise ExportError(
                f"{model.describe()} cannot be exported: a call changes {', '.join(changed)}, and "
                "a file keeps no state.",
                fix="stateful=False",
            )
        return tuple(tree.flatten(outputs))

    pure.__name__ = model.name
    errors: list[Exception] = []
    for shared in (False, True):
        try:
            with kernels.using("xla"):
                made = export.export(jax.jit(pure), platforms=_PLATFORMS)(
                    *_specs(model.graph.inputs, shared)
                )
            break
        except ExportError:
            raise
        except Exception as error:
            errors.append(error)
    else:
        first = str(errors[0]).strip().splitlines()[0]
        raise ExportError(
            f"{model.describe()} cannot be exported to StableHLO: {first}",
            fix="give the sizes that are None in Input(shape=...)",
        ) from errors[0]
    module = _module(made.mlir_module_serialized)
    unknown = sorted(set(_calls(module)) - _CALLS)
    if unknown:
        raise ExportError(
            f"{model.describe()} cannot be exported to StableHLO: it calls {', '.join(unknown)}, "
            "which other programs do not have."
        )
    made = dataclasses.replace(made, mlir_module_serialized=_without_locations(module))
    payload = bytes(made.serialize())
    described = {
        "version": 1,
        "digest": hashlib.blake2b(payload).hexdigest(),
        "inputs": [
            [name, list(symbol.shape), _dtype(symbol)]
            for name, symbol in zip(model.input_names, model.graph.inputs, strict=True)
        ],
        "outputs": [
            [
                name,
                [size if isinstance(size, int) else None for size in aval.shape],
                str(aval.dtype),
            ]
            for name, aval in zip(model.output_names, made.out_avals, strict=True)
        ],
    }
    text = json.dumps(described).encode()
    return payload + text + _END.pack(len(payload), len(text), _MAGIC)


def _dtype(symbol: SymbolicTensor) -> str:
    return jax.dtypes.canonicalize_dtype(symbol.dtype).name


def _specs(inputs: Sequence[SymbolicTensor], shared: bool) -> Iterator[jax.ShapeDtypeStruct]:
    """Yield shapes with a symbol for each open size: ``b`` for the batch, others by axis.

    Args:
        inputs: the inputs of the model.
        shared: whether an axis has one symbol in all inputs, or one in each.
    """
    scope = export.SymbolicScope()
    for index, symbol in enumerate(inputs):
        terms = [
            str(size) if size is not None else _symbol(index, axis, shared)
            for axis, size in enumerate(symbol.shape)
        ]
        shape = export.symbolic_shape(",".join(terms), scope=scope) if terms else ()
        yield jax.ShapeDtypeStruct(shape, _dtype(symbol))


def _symbol(index: int, axis: int, shared: bool) -> str:
    if axis == 0:
        return "b"
    return f"d{axis}" if shared else f"d{axis}_{index}"


def _module(serialized: bytes) -> ir.Module:
    context = ir.Context()
    stablehlo.register_dialect(context)
    return stablehlo.deserialize_portable_artifact(context, serialized)


def _calls(module: ir.Module) -> Iterator[str]:
    """Yield what a module calls outside itself."""
    stack = [module.operation]
    while stack:
        operation = stack.pop()
        if operation.name == "stablehlo.custom_call":
            yield ir.StringAttr(operation.attributes["call_target_name"]).value
        for region in operation.regions:
            for block in region.blocks:
                stack.extend(inner.operation for inner in block.operations)


def _without_locations(module: ir.Module) -> bytes:
    """Serialize a module without the lines it came from, which name folders of this machine."""
    with module.context:
        PassManager.parse("builtin.module(strip-debuginfo)").run(module.operation)
    month = stablehlo.StablehloCompatibilityRequirement.WEEK_4  # as jax.export has it
    version = stablehlo.get_version_from_compatibility_requirement(month)
    return stablehlo.serialize_portable_artifact(module, version)


def read_stablehlo(
    path: pathlib.Path, contents: bytes
) -> tuple[list[ExportedSpec], list[ExportedSpec], Callable[[list[np.ndarray]], Sequence[Any]]]:
    """Return the inputs, the outputs and the function that a StableHLO file holds.

    Raises:
        FileError: it is damaged, was not written by plait, or calls code from outside.
    """
    payload, described = _taken_apart(path, contents)
    try:
        inputs, outputs = (
            [ExportedSpec(str(name), tuple(shape), str(dtype)) for name, shape, dtype in items]
            for items in (described["inputs"], described["outputs"])
        )
        made = export.deserialize(bytearray(payload))
        unknown = sorted(set(_calls(_module(made.mlir_module_serialized))) - _CALLS)
        fits = (len(made.in_avals), len(made.out_avals)) == (len(inputs), len(outputs))
    except Exception as error:
        raise damaged(path, error) from error
    if unknown or not fits:
        why = f"calls {', '.join(unknown)}" if unknown else "does not hold what it says"
        raise FileError(f"'{path}' is not run: it {why}.")
    compiled = jax.jit(made.call)
    return inputs, outputs, lambda arrays: compiled(*arrays)


def _taken_apart(path: pathlib.Path, contents: bytes) -> tuple[bytes, dict[str, Any]]:
    wrong = FileError(
        f"'{path}' is no StableHLO file that plait wrote, or it is damaged.",
        fix="jax.export.deserialize reads files of other origin",
    )
    if len(contents) < _END.size:
        raise wrong
    size, text_size, magic = _END.unpack(contents[-_END.size :])
    if magic != _MAGIC or size + text_size + _END.size != len(contents):
        raise wrong
    payload, text = contents[:size], contents[size : size + text_size]
    try:
        described = json.loads(text)
        digest = described["digest"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise wrong from error
    if digest != hashlib.blake2b(payload).hexdigest():
        raise wrong
    return payload, described
