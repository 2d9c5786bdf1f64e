"""Write a model as an ONNX file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import jax
import onnx_ir as ir

from plait.errors import ExportError
from plait.saving.onnx import (  # noqa: F401  (each registers its converters)
    attention,
    basic,
    convolution,
    merging,
    normalization,
    operations,
    recurrent,
)
from plait.saving.onnx.converters import run_graph
from plait.saving.onnx.tensor import Tensor, cast, wide
from plait.saving.onnx.writer import IR_VERSION, OPSET, Writer, tensor_type, value

LARGEST = 2**31 - 2**20
"""A protobuf file holds less than 2 GiB."""


def onnx_bytes(model: Any) -> bytes:
    """Return a model's graph in inference as the contents of an ONNX file.

    Raises:
        ExportError: a layer has nothing in ONNX, or the weights do not fit in one file.
    """
    size = sum(variable.numpy().nbytes for variable in model.variables)
    if size > LARGEST:
        raise ExportError(
            f"{model.describe()} has {size / 1e9:.1f} GB of weights; one ONNX file holds 2 GB.",
            fix="export a part of it: head, tail = model.cut(...)",
        )
    return ir.to_proto(onnx_model(model)).SerializeToString()
