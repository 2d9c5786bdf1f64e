"""What may run in a compiled loop."""

from __future__ import annotations

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxprs_in_params


def loops_well(jaxpr: ClosedJaxpr) -> bool:
    """Return whether a traced function keeps its speed inside `scan`, `while` and `fori_loop`.

    On CPU, XLA's own convolutions run there on one thread and about 20 times slower; native
    kernels do not. ``jax.make_jaxpr(step)(*arguments)`` gives the `jaxpr`.
    """
    return jax.default_backend() != "cpu" or not _has_convolution(jaxpr.jaxpr)


def _has_convolution(jaxpr: Jaxpr) -> bool:
    waiting = [jaxpr]
    while waiting:
        for equation in waiting.pop().eqns:
            if equation.primitive.name == "conv_general_dilated":
                return True
            waiting += jaxprs_in_params(equation.params)
    return False
