"""Write a model for other programs: ONNX, or StableHLO."""

from __future__ import annotations

import math
import os
import pathlib
from typing import Any

import jax.numpy as jnp

from plait.errors import ConfigError, ExportError, did_you_mean
from plait.saving.atomic import replacing
from plait.saving.exported import LARGEST

FORMATS = ("onnx", "stablehlo")


def export(model: Any, path: str | os.PathLike[str], format: str | None = None) -> pathlib.Path:
    """Write what a model computes in inference; see `Model.export`.

    Raises:
        ConfigError: the format is neither, or cannot be told from the name of the file.
        ExportError: the model cannot be expressed in it; nothing is written then.
        FileError: the file cannot be written.
    """
    written = pathlib.Path(path)
    format = _format(written, format)
    if not model.has_graph:
        raise ExportError(
            f"{model.describe()} cannot be exported: it has no graph that says what its inputs "
            "are.",
            fix=f"x = plait.Input(...); plait.Model(x, {model.name}(x)).export({written.name!r})",
        )
    size = sum(math.prod(v.shape) * jnp.dtype(v.dtype).itemsize for v in model.variables)
    if size > LARGEST:
        raise ExportError(
            f"{model.describe()} has {size / 1e9:.1f} GB of weights; a file of this kind holds "
            "less than 2 GB.",
            fix="export it in parts: head, tail = model.cut('layer')",
        )
    for symbol in model.inputs:
        if symbol.dtype == "string":
            raise ExportError(f"input '{symbol.name}' holds text, which {format} does not know.")
    contents = _onnx(model) if format == "onnx" else _stablehlo(model)
    with replacing(written) as temporary:
        temporary.write_bytes(contents)
    return written


def _format(path: pathlib.Path, format: str | None) -> str:
    if format in ("tf_saved_model", "openvino", "litert", "torch"):
        raise ConfigError(
            f"there is no export to {format!r}: plait has no TensorFlow or PyTorch in it.",
            fix="model.export('model.onnx'), which runtimes of all kinds read",
        )
    found = path.suffix.removeprefix(".").lower() if format is None else format
    if found not in FORMATS:
        what = f"the name '{path.name}'" if format is None else f"format={format!r}"
        raise ConfigError(
            f"export cannot tell a format from {what}.{did_you_mean(found, FORMATS)}",
            fix="model.export('model.onnx') or model.export('model.stablehlo')",
        )
    return found


def _onnx(model: Any) -> bytes:
    try:
        import onnx_ir  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "export to ONNX needs the package onnx-ir.", fix="pip install 'plait[onnx]'"
        ) from error
    from plait import __version__
    from plait.saving.onnx.export import onnx_bytes

    return onnx_bytes(model, __version__)


def _stablehlo(model: Any) -> bytes:
    from plait.saving.stablehlo import stablehlo_bytes

    return stablehlo_bytes(model)
