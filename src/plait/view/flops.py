"""Count the floating-point operations of a traced function.

Counts follow the field's custom: a multiplication and an addition are two operations, any function
of one element is one, and moving data or working with indices is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

_MOVES = frozenset(
    {
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "copy_p",
        "device_put",
        "dynamic_slice",
        "dynamic_update_slice",
        "expand_dims",
        "gather",
        "iota",
        "optimization_barrier",
        "pad",
        "reshape",
        "rev",
        "scatter",
        "select_n",
        "slice",
        "split",
        "squeeze",
        "transpose",
    }
)
_REDUCTIONS = frozenset(
    {"argmax", "argmin", "reduce", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum"}
)
_UNCOUNTED = frozenset(
    {
        "cholesky",
        "eig",
        "eigh",
        "fft",
        "ffi_call",
        "householder_product",
        "io_callback",
        "lu",
        "pure_callback",
        "qr",
        "schur",
        "sort",
        "svd",
        "top_k",
        "triangular_solve",
    }
)


def count_flops(jaxpr: Any) -> tuple[int, bool]:
    """Return the number of operations of a jaxpr, and whether it is exact.

    It is not when a loop has no known length (it is counted once), when branches differ (the
    longest counts), and for operations such as sorting and decompositions, which are left out.
    """
    flops, exact = 0, True
    for equation in jaxpr.eqns:
        more, sure = _count(equation)
        flops, exact = flops + more, exact and sure
    return flops, exact


def _count(equation: Any) -> tuple[int, bool]:
    name, params = equation.primitive.name, equation.params
    if name in _MOVES:
        return 0, True
    if name in _UNCOUNTED:
        return 0, False
    inputs = [variable.aval for variable in equation.invars]
    outputs = [variable.aval for variable in equation.outvars]
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        depth = math.prod(inputs[0].shape[axis] for axis in contracted)
        return 2 * outputs[0].size * depth, True
    if name == "conv_general_dilated":
        return _convolution(inputs, outputs[0], params), True
    if name == "scan":
        flops, exact = count_flops(params["jaxpr"])
        return flops * params["length"], exact
    if name == "cond":
        branches = [count_flops(branch) for branch in params["branches"]]
        longest = max(flops for flops, _ in branches)
        return longest, all(branch == (longest, True) for branch in branches)
    is_float = any(_is_float(aval) for aval in inputs)
    if name in _REDUCTIONS:
        return inputs[0].size * is_float, True
    if name.startswith("reduce_window"):
        return outputs[0].size * math.prod(params["window_dimensions"]) * is_float, True
    if name.startswith("scatter"):
        return inputs[-1].size * is_float, True
    inner = [count_flops(jaxpr) for jaxpr in _jaxprs(params)]
    if inner:
        exact = name != "while" and all(sure for _, sure in inner)
        return sum(flops for flops, _ in inner), exact
    return sum(aval.size for aval in outputs) * is_float, True


def _convolution(inputs: list[Any], output: Any, params: dict[str, Any]) -> int:
    """Return 2 x elements x window, padding and the zeros between strided inputs not special.

    A transposed convolution spreads every input over a window of all filters; any other gathers
    every output from a window of all channels of its group.
    """
    image, kernel = inputs
    filters = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
    channels = kernel.shape[params["dimension_numbers"].rhs_spec[1]]
    if any(stride > 1 for stride in params["lhs_dilation"]):
        groups = params["feature_group_count"]
        return 2 * image.size * (kernel.size // channels) // groups
    return 2 * output.size * (kernel.size // filters)


def _jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            if hasattr(item, "eqns"):
                yield item


def _is_float(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, np.inexact)
