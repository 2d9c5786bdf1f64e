"""Activations in ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from plait import activations, layers
from plait.core.layer import Layer
from plait.saving.onnx.arrays import clip, equal, greater, maximum, moveaxis, slice_axis, unary
from plait.saving.onnx.converters import call
from plait.saving.onnx.reductions import softmax, total
from plait.saving.onnx.registry import onnx_converter, refuse
from plait.saving.onnx.tensor import Constant, Tensor, cast, where, wide


def relu(
    x: Tensor,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Tensor:
    """Write `plait.activations.relu`."""
    if "float" not in x.dtype:
        if negative_slope or max_value is not None or threshold:
            refuse("it is relu with settings of whole numbers.", fix="cast to floats first")
        return maximum(x, 0)
    if negative_slope and max_value is None and not threshold:
        return unary("LeakyRelu", x, alpha=float(negative_slope))
    above = where(greater(x, threshold), x, 0.0) if threshold else unary("Relu", x)
    if max_value is not None:
        above = clip(above, 0.0, max_value)
    if not negative_slope:
        return above
    return above - unary("Relu", threshold - x) * negative_slope


def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """Write `plait.activations.leaky_relu`."""
    return unary("LeakyRelu", x, alpha=float(negative_slope))


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """Write `plait.activations.gelu`."""
    return unary("Gelu", x, approximate="tanh" if approximate else "none")


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Write `plait.activations.celu`."""
    return maximum(x, 0.0) + alpha * expm1(clip(x, None, 0.0) / alpha)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Write `plait.activations.elu`."""
    return maximum(x, 0.0) + alpha * expm1(clip(x, None, 0.0))


def selu(x: Tensor) -> Tensor:
    """Write `plait.activations.selu`."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def expm1(x: Tensor) -> Tensor:
    """Return ``exp(x) - 1``, exact also for small `x`: ``tanh(x / 2) * (exp(x) + 1)``."""
    x = cast(x, "float32") if "float" not in x.dtype else x
    raised = unary("Exp", x)
    near = unary("Tanh", x * 0.5) * (raised + 1.0)
    return where(greater(x, 1.0), raised - 1.0, near)


def log1p(x: Tensor) -> Tensor:
    """Return ``log(1 + x)``, exact also for small `x` (Kahan): ``log(u) * x / (u - 1)``."""
    x = cast(x, "float32") if "float" not in x.dtype else x
    shifted = x + 1.0
    none = equal(shifted, 1.0)
    infinite = equal(shifted, math.inf)
    exact = unary("Log", shifted) * x / where(none, 1.0, shifted - 1.0)
    return where(none, x, where(infinite, shifted, exact))


def sigmoid(x: Tensor) -> Tensor:
    """Write `plait.activations.sigmoid`."""
    return unary("Sigmoid", x)


def silu(x: Tensor) -> Tensor:
    """Write `plait.activations.silu`."""
    return x * unary("Sigmoid", x)


def softplus(x: Tensor) -> Tensor:
    """Return ``log(1 + exp(x))``: ``max(x, 0) + log1p(exp(-|x|))``."""
    x = cast(x, "float32") if "float" not in x.dtype else x
    return maximum(x, 0.0) + log1p(unary("Exp", -unary("Abs", x)))


def log_sigmoid(x: Tensor) -> Tensor:
    """Write `plait.activations.log_sigmoid`."""
    return -softplus(-x)


def hard_sigmoid(x: Tensor) -> Tensor:
    """Write `plait.activations.hard_sigmoid`."""
    return clip(x + 3.0, 0.0, 6.0) / 6.0


def sparse_sigmoid(x: Tensor) -> Tensor:
    """Write `plait.activations.sparse_sigmoid`."""
    return clip((x + 1.0) * 0.5, 0.0, 1.0)


def sparse_plus(x: Tensor) -> Tensor:
    """Write `plait.activations.sparse_plus`."""
    curve = (x + 1.0) * (x + 1.0) * 0.25
    return where(greater(x, 1.0), x, where(greater(-1.0, x), 0.0, curve))


def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """Write `plait.activations.squareplus`."""
    return (x + unary("Sqrt", x * x + float(b))) * 0.5


def hard_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """Write `plait.activations.hard_shrink`."""
    return where(greater(unary("Abs", x), threshold), x, 0.0)


def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """Write `plait.activations.soft_shrink`."""
    low = where(greater(-threshold, x), x + threshold, 0.0)
    return where(greater(x, threshold), x - threshold, low)


def cut(x: Tensor, threshold: float, default_value: float) -> Tensor:
    """Write `plait.activations.threshold`."""
    return where(greater(x, threshold), x, default_value)


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """Write `plait.activations.glu`."""
    whole = x.shape[axis]
    if whole is None:
        refuse(f"axis {axis} of its input has no known size.", fix="give it in Input(shape=...)")
    first = slice_axis(x, axis, 0, whole // 2)
    return first * sigmoid(slice_axis(x, axis, whole // 2, None))


def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """Write `plait.activations.sparsemax`."""
    x = moveaxis(x, axis, -1)
    count = x.shape[-1]
    if count is None:
        refuse(f"axis {axis} of its input has no known size.", fix="give it in Input(shape=...)")
    writer = x.writer
    ordered, _ = writer.add("TopK", x.value, writer.integers(count), count=2)
    largest = Tensor(writer, ordered, x.shape, x.dtype)
    last = writer.constant(np.array(x.ndim - 1, np.int64))
    running = Tensor(writer, writer.add("CumSum", ordered, last), x.shape, x.dtype)
    ranks = Constant(np.arange(1, count + 1, dtype=np.float32))
    kept = greater(largest * ranks, running - 1.0)
    summed = total(where(kept, largest, 0.0), -1, keepdims=True)
    tau = (summed - 1.0) / total(cast(kept, x.dtype), -1, keepdims=True)
    return moveaxis(maximum(x - tau, 0.0), -1, axis)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "celu": celu,
    "elu": elu,
    "exponential": lambda x: unary("Exp", x),
    "gelu": gelu,
    "glu": glu,
    "hard_shrink": hard_shrink,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": lambda x: x * hard_sigmoid(x),
    "hard_swish": lambda x: x * hard_sigmoid(x),
    "hard_tanh": lambda x: clip(x, -1.0, 1.0),
    "leaky_relu": leaky_relu,
    "linear": lambda x: x,
    "log_sigmoid": log_sigmoid,
    "log_softmax": lambda x, axis=-1: softmax(x, axis, log=True),
    "mish": lambda x: x * unary("Tanh", softplus(x)),
    "relu": relu,
    "relu6": lambda x: clip(x, 0.0, 6.0),
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "soft_shrink": soft_shrink,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": lambda x: unary("Softsign", x),
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": squareplus,
    "swish": silu,
    "tanh": lambda x: unary("Tanh", x),
    "tanh_shrink": lambda x: x - unary("Tanh", x),
    "threshold": cut,
}
"""What each function of `plait.activations` becomes."""

_BY_FUNCTION = {getattr(activations, name): function for name, function in FUNCTIONS.items()}
_BY_FUNCTION |= {
    getattr(jax.nn, name): FUNCTIONS[name]
    for name in ("elu", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus")
}


def activate(function: Any, x: Tensor) -> Tensor:
    """Apply the activation that a layer was given.

    Raises:
        ExportError: it is a function that nobody knows in ONNX.
    """
    if isinstance(function, Layer):
        return call(function, x)
    known = next((made for given, made in _BY_FUNCTION.items() if given is function), None)
    if known is not None:
        return known(x)
    name = getattr(function, "__name__", repr(function))
    if getattr(function, "__module__", None) == "plait.ops":
        from plait.saving.onnx.operations import OPERATIONS

        if name in OPERATIONS:
            return OPERATIONS[name](x)
    return refuse(
        f"ONNX has nothing for its activation '{name}'.",
        fix="an activation by name, or a layer as activation",
    )


@onnx_converter(layers.Activation)
def convert_activation(layer: layers.Activation, inputs: Tensor) -> Tensor:
    """Write `Activation`."""
    return activate(layer.activation, cast(inputs, _floats(layer)))


@onnx_converter(layers.ReLU)
def convert_relu(layer: layers.ReLU, inputs: Tensor) -> Tensor:
    """Write `ReLU`."""
    x = cast(inputs, _floats(layer))
    return relu(x, layer.negative_slope, layer.max_value, layer.threshold)


@onnx_converter(layers.LeakyReLU)
def convert_leaky_relu(layer: layers.LeakyReLU, inputs: Tensor) -> Tensor:
    """Write `LeakyReLU`."""
    return leaky_relu(cast(inputs, _floats(layer)), layer.negative_slope)


@onnx_converter(layers.PReLU)
def convert_prelu(layer: layers.PReLU, inputs: Tensor) -> Tensor:
    """Write `PReLU`."""
    x = cast(inputs, _floats(layer))
    return unary("Relu", x) - unary("Relu", -x) * layer.alpha


@onnx_converter(layers.ELU)
def convert_elu(layer: layers.ELU, inputs: Tensor) -> Tensor:
    """Write `ELU`."""
    return elu(cast(inputs, _floats(layer)), layer.alpha)


@onnx_converter(layers.Softmax)
def convert_softmax(layer: layers.Softmax, inputs: Tensor, mask: Any = None) -> Tensor:
    """Write `Softmax`."""
    x = cast(inputs, _floats(layer))
    axis = layer.axis if isinstance(layer.axis, int) else tuple(layer.axis)
    if mask is None:
        return softmax(x, axis)
    kept = mask if mask.dtype == "bool" else greater(mask, 0.5)
    return where(kept, softmax(where(kept, x, -1e9), axis), 0.0)


def _floats(layer: Layer) -> str:
    return wide(layer.compute_dtype)
