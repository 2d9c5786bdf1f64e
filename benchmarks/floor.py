"""What the machine can do, and what a model asks of it.

The floor of a step is its multiplications at the rate of a large matrix product, plus the bytes
that products and the optimizer must move at the rate of a large copy. Everything that is done to
single elements is taken to cost nothing. No implementation is faster, but one whose convolutions
take fewer multiplications than the sum of products that defines them (Winograd's).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any


def machine() -> dict[str, float]:
    """Measure FLOP/s of a matrix product, bytes/s of copies in cache and memory, and a call."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    square = jnp.ones((2048, 2048))
    product = jax.jit(lambda a: a @ a)
    rates = {"flops": 2 * 2048**3 / _best(lambda: product(square).block_until_ready(), 12)}
    for name, size in (("cache", 1 << 20), ("memory", 1 << 26)):
        values = jnp.ones(size, "float32")
        copy = jax.jit(lambda a: a + 1, donate_argnums=0)
        box = [values]

        def run(copy: Any = copy, box: list[Any] = box) -> None:
            box[0] = copy(box[0]).block_until_ready()

        rates[name] = 8 * size / _best(run, 20)
    tiny, add = np.ones((1,), "float32"), jax.jit(lambda a: a + 1)
    rates["call"] = _best(lambda: np.asarray(add(tiny)), 2000)
    return rates


def seconds(operations: float, moved: float, rates: dict[str, float]) -> float:
    """Return the least time of a step; what fits the last cache moves at its rate."""
    return operations / rates["flops"] + moved / rates["cache" if moved < 1 << 24 else "memory"]


def count(jaxpr: Any) -> tuple[float, float]:
    """Return the operations of all products and convolutions, and the bytes they read and write."""
    operations = moved = 0.0
    for equation in jaxpr.eqns:
        inner, times = _bodies(equation)
        for body in inner:
            more = count(body)
            operations += times * more[0]
            moved += times * more[1]
        cost = _products(equation)
        if cost:
            operations += cost
            moved += sum(_bytes(v.aval) for v in (*equation.invars, *equation.outvars))
    return operations, moved


def _bodies(equation: Any) -> tuple[list[Any], int]:
    inner = []
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                inner.append(item)
    return inner, equation.params.get("length", 1) if equation.primitive.name == "scan" else 1


def _products(equation: Any) -> float:
    name = equation.primitive.name
    if name == "dot_general":
        (left, _), _ = equation.params["dimension_numbers"]
        operand = equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(operand[i] for i in left)
    if name == "conv_general_dilated":
        numbers = equation.params["dimension_numbers"]
        kernel, out = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
        taps = math.prod(kernel) / kernel[numbers.rhs_spec[0]]
        # Zeros put between the inputs, as the backward pass of strides does, cost nothing.
        return 2.0 * math.prod(out) * taps / math.prod(equation.params["lhs_dilation"])
    return 0.0


def _bytes(aval: Any) -> int:
    return math.prod(aval.shape) * aval.dtype.itemsize


def _best(run: Callable[[], Any], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)
