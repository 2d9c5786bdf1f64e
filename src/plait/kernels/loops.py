"""What may run in a compiled loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr


def loops_well(jaxpr: ClosedJaxpr) -> bool:
    """Return whether a traced function keeps its speed inside `scan`, `while` and `fori_loop`.

    XLA for CPUs brings convolutions into the form that its kernels know, but not those within a
    loop: there, gradients of convolutions run on one thread and 10 to 90 times slower. Native
    kernels do not. ``jax.make_jaxpr(step)(*arguments)`` gives the `jaxpr`.
    """
    return jax.default_backend() != "cpu" or not _has_slow_convolution(jaxpr)


def inner_jaxprs(equation: Any) -> Iterator[Any]:
    """Yield the jaxprs among the parameters of an equation, closed ones as they are."""
    for parameter in equation.params.values():
        for one in parameter if isinstance(parameter, tuple) else (parameter,):
            if hasattr(one, "eqns"):
                yield one


def _has_slow_convolution(jaxpr: ClosedJaxpr) -> bool:
    waiting: list[Any] = [jaxpr]
    while waiting:
        for equation in waiting.pop().eqns:
            if equation.primitive.name == "conv_general_dilated" and not _is_plain(equation):
                return True
            waiting += inner_jaxprs(equation)
    return False


def _is_plain(convolution: Any) -> bool:
    """Return whether it has channels last, in and out, as no gradient has."""
    numbers = convolution.params["dimension_numbers"]
    rank = len(numbers.lhs_spec)
    image = (0, rank - 1, *range(1, rank - 1))
    kernel = (rank - 1, rank - 2, *range(rank - 2))
    dilated = any(size != 1 for size in convolution.params["lhs_dilation"])
    return not dilated and tuple(numbers) == (image, kernel, image)
