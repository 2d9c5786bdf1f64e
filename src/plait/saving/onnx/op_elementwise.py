"""Functions of every element: arithmetic, comparisons, rounding."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.saving.onnx import activations
from plait.saving.onnx.arrays import as_tensor, clip, equal, greater, logical, unary
from plait.saving.onnx.registry import Converter, refuse
from plait.saving.onnx.tensor import (
    Tensor,
    cast,
    constant,
    divide,
    elementwise,
    result_dtype,
    where,
)


def _floats(kind: str) -> Converter:
    return lambda x: unary(kind, x)


def _plain(kind: str) -> Converter:
    return lambda x: elementwise(kind, x)


def _rounding(kind: str) -> Converter:
    return lambda x: unary(kind, x) if "float" in x.dtype else cast(x, "float32")


def _binary(kind: str) -> Converter:
    of_booleans = {"Add": "Or", "Max": "Or", "Mul": "And", "Min": "And"}.get(kind)

    def apply(x1: Any, x2: Any) -> Tensor:
        if of_booleans and result_dtype(x1, x2) == "bool":
            return logical(of_booleans, x1, x2)
        return elementwise(kind, x1, x2)

    return apply


def _comparison(kind: str) -> Converter:
    return lambda x1, x2: elementwise(kind, x1, x2, out="bool")


def _logical(kind: str) -> Converter:
    return lambda x1, x2: logical(kind, x1, x2)


def _bitwise(kind: str) -> Converter:
    def apply(x: Any, y: Any) -> Tensor:
        if result_dtype(x, y) == "bool":
            return logical(kind, x, y)
        return elementwise(f"Bitwise{kind}", x, y)

    return apply


def _bitwise_not(x: Tensor) -> Tensor:
    return logical("Not", x) if x.dtype == "bool" else elementwise("BitwiseNot", x)


def _reciprocal(x: Tensor) -> Tensor:
    return 1.0 / x


def _square(x: Tensor) -> Tensor:
    return x * x


def floor_divide(x1: Any, x2: Any) -> Tensor:
    """Return the quotient, rounded down."""
    dtype = result_dtype(x1, x2)
    if "float" in dtype:
        return unary("Floor", divide(x1, x2))
    quotient = elementwise("Div", x1, x2)  # towards 0
    rest = elementwise("Sub", x1, quotient * x2)
    apart = logical("Xor", greater(0, rest), greater(0, elementwise("Add", x2, rest * 0)))
    down = logical("And", logical("Not", equal(rest, 0)), apart)
    return cast(quotient - cast(down, dtype), dtype)


def _mod(x1: Any, x2: Any) -> Tensor:
    if "float" in result_dtype(x1, x2):
        rest = elementwise("Mod", x1, x2, fmod=1)
        apart = logical("Xor", greater(0.0, rest), greater(0.0, rest * 0.0 + x2))
        return where(logical("And", logical("Not", equal(rest, 0.0)), apart), rest + x2, rest)
    return elementwise("Mod", x1, x2)


def _divide_no_nan(x1: Any, x2: Any) -> Tensor:
    zero = equal(x2, 0) if isinstance(x2, Tensor) else constant(constant(x2).array == 0)
    return where(zero, 0.0, divide(x1, where(zero, 1, x2) if isinstance(zero, Tensor) else x2))


def _power(x1: Any, x2: Any) -> Tensor:
    dtype = result_dtype(x1, x2)
    return elementwise("Pow", x1, x2, dtypes=[dtype, dtype], out=dtype)


def _round(x: Tensor, decimals: int = 0) -> Tensor:
    if "float" not in x.dtype:
        return x if decimals >= 0 else refuse("it rounds whole numbers to tens.")
    if not decimals:
        return unary("Round", x)
    factor = 10.0**decimals
    return unary("Round", x * factor) / factor


def _clip(x: Tensor, x_min: Any, x_max: Any) -> Tensor:
    return clip(cast(x, "int32") if x.dtype == "bool" else x, x_min, x_max)


def _isfinite(x: Tensor) -> Tensor:
    if "float" not in x.dtype:
        return equal(x, x)
    return logical("Not", logical("Or", _isinf(x), _isnan(x)))


def _isnan(x: Tensor) -> Tensor:
    return Tensor(x.writer, x.writer.add("IsNaN", x.source), x.shape, "bool", x.axes)


def _isinf(x: Tensor) -> Tensor:
    return Tensor(x.writer, x.writer.add("IsInf", x.source), x.shape, "bool", x.axes)


def _nan_to_num(x: Tensor, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    if "float" not in x.dtype:
        return x
    limits = np.finfo(x.dtype)
    x = where(_isnan(x), float(nan), x)
    x = where(equal(x, math.inf), float(limits.max if posinf is None else posinf), x)
    return where(equal(x, -math.inf), float(limits.min if neginf is None else neginf), x)


def _logaddexp(x1: Any, x2: Any) -> Tensor:
    high, low = elementwise("Max", x1, x2), elementwise("Min", x1, x2)
    return high + activations.log1p(unary("Exp", low - high))


def _isclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    if equal_nan:
        refuse("it counts NaN as close to NaN.", fix="equal_nan=False")
    distance = unary("Abs", elementwise("Sub", x1, x2))
    allowed = elementwise("Abs", x2) if isinstance(x2, Tensor) else np.abs(constant(x2).array)
    near = elementwise("LessOrEqual", distance, allowed * rtol + atol, out="bool")
    return logical("Or", near, equal(x1, x2))


def _arctan2(x1: Any, x2: Any) -> Tensor:
    x1, x2 = as_tensor(x1, [x1, x2]), as_tensor(x2, [x1, x2])
    side = where(greater(0.0, x1), -math.pi, math.pi)
    angle = unary("Atan", divide(x1, where(equal(x2, 0), 1.0, x2)))
    turned = angle + where(greater(0, x2), side, 0.0)
    upright = where(equal(x1, 0), 0.0, side / 2)
    return where(equal(x2, 0), upright, turned)


def _cbrt(x: Tensor) -> Tensor:
    return elementwise("Sign", x) * _power(unary("Abs", x), 1 / 3)


def _sinc(x: Tensor) -> Tensor:
    turned = x * math.pi
    none = equal(x, 0)
    return where(none, 1.0, unary("Sin", turned) / where(none, 1.0, turned))


def _hypot(x1: Any, x2: Any) -> Tensor:
    first, second = (_square(as_tensor(x, [x1, x2])) for x in (x1, x2))
    return unary("Sqrt", first + second)


def _heaviside(x1: Any, x2: Any) -> Tensor:
    sign = where(greater(x1, 0), 1.0, 0.0)
    return where(equal(x1, 0), x2, sign)


def cast_to(x: Tensor, dtype: Any) -> Tensor:
    """Return `x` in the dtype that JAX makes of one."""
    return cast(x, jax.dtypes.canonicalize_dtype(jnp.dtype(dtype)))


TABLE: dict[str, Converter] = {
    **activations.FUNCTIONS,
    "gelu": lambda x, approximate=True: activations.gelu(x, approximate),
    **{
        name: _floats(kind)
        for name, kind in {
            "arccos": "Acos",
            "arccosh": "Acosh",
            "arcsin": "Asin",
            "arcsinh": "Asinh",
            "arctan": "Atan",
            "arctanh": "Atanh",
            "cos": "Cos",
            "cosh": "Cosh",
            "erf": "Erf",
            "exp": "Exp",
            "log": "Log",
            "sin": "Sin",
            "sinh": "Sinh",
            "sqrt": "Sqrt",
            "tan": "Tan",
            "tanh": "Tanh",
        }.items()
    },
    **{
        name: _plain(kind)
        for name, kind in {
            "abs": "Abs",
            "absolute": "Abs",
            "negative": "Neg",
            "sign": "Sign",
        }.items()
    },
    **{name: _rounding(kind) for name, kind in {"ceil": "Ceil", "floor": "Floor"}.items()},
    **{
        name: _binary(kind)
        for name, kind in {
            "add": "Add",
            "maximum": "Max",
            "minimum": "Min",
            "multiply": "Mul",
            "subtract": "Sub",
        }.items()
    },
    **{
        name: _comparison(kind)
        for name, kind in {
            "equal": "Equal",
            "greater": "Greater",
            "greater_equal": "GreaterOrEqual",
            "less": "Less",
            "less_equal": "LessOrEqual",
        }.items()
    },
    **{f"logical_{kind.lower()}": _logical(kind) for kind in ("And", "Or", "Xor")},
    **{f"bitwise_{kind.lower()}": _bitwise(kind) for kind in ("And", "Or", "Xor")},
    "arctan2": _arctan2,
    "bitwise_invert": _bitwise_not,
    "bitwise_not": _bitwise_not,
    "cbrt": _cbrt,
    "cast": cast_to,
    "clip": _clip,
    "copy": lambda x: x,
    "deg2rad": lambda x: x * (math.pi / 180),
    "divide": divide,
    "divide_no_nan": _divide_no_nan,
    "erfc": lambda x: 1.0 - unary("Erf", x),
    "exp2": lambda x: unary("Exp", x * math.log(2)),
    "expm1": activations.expm1,
    "fabs": lambda x: unary("Abs", x),
    "floor_divide": floor_divide,
    "heaviside": _heaviside,
    "hypot": _hypot,
    "isclose": _isclose,
    "isfinite": _isfinite,
    "isinf": _isinf,
    "isnan": _isnan,
    "isneginf": lambda x: equal(x, -math.inf),
    "isposinf": lambda x: equal(x, math.inf),
    "log10": lambda x: unary("Log", x) / math.log(10),
    "log1p": activations.log1p,
    "log2": lambda x: unary("Log", x) / math.log(2),
    "logaddexp": _logaddexp,
    "logical_not": lambda x: logical("Not", x),
    "mod": _mod,
    "nan_to_num": _nan_to_num,
    "not_equal": lambda x1, x2: logical("Not", equal(x1, x2)),
    "power": _power,
    "rad2deg": lambda x: x * (180 / math.pi),
    "reciprocal": _reciprocal,
    "round": _round,
    "rsqrt": lambda x: 1.0 / unary("Sqrt", x),
    "sinc": _sinc,
    "square": _square,
    "stop_gradient": lambda variable: variable,
    "true_divide": divide,
    "trunc": lambda x: unary("Floor", unary("Abs", x)) * elementwise("Sign", x),
}
"""Name in `plait.ops` -> what it becomes."""
