"""What the functions of `plait.ops`, and operators on symbolic tensors, become in ONNX."""

from __future__ import annotations

from typing import Any

from plait.ops.operation import Op
from plait.saving.onnx import op_elementwise, op_networks, op_picking, op_reductions, op_shaping
from plait.saving.onnx.registry import Converter, onnx_converter, refuse

OPERATIONS: dict[str, Converter] = {
    **op_elementwise.TABLE,
    **op_reductions.TABLE,
    **op_shaping.TABLE,
    **op_picking.TABLE,
    **op_networks.TABLE,
}
"""Name in `plait.ops` -> what it becomes."""


@onnx_converter(Op)
def convert_operation(layer: Op, *args: Any, **kwargs: Any) -> Any:
    """Write a function of `plait.ops`."""
    if layer.function not in OPERATIONS:
        refuse(f"there is no converter for ops.{layer.function}.")
    return OPERATIONS[layer.function](*args, **kwargs)
