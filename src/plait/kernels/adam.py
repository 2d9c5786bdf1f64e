"""Adam over all variables in one native pass.

XLA for CPUs writes one array from each loop: means, roots and variables are read seven times and
written three times, one kernel after another. Natively each is read and written once.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad, batching, mlir

from plait.kernels.native import native
from plait.kernels.primitive import Arrays, primitive
from plait.kernels.table import is_native


def adam(
    gradients: Arrays,
    variables: Arrays,
    momenta: Arrays,
    velocities: Arrays,
    alpha: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[list[Any], list[Any], list[Any]] | None:
    """Return variables, momenta and velocities after one update.

    ``variable - alpha * m / (sqrt(v) + epsilon)``, where m and v are the means with the gradient in
    them (Kingma & Ba 2014).

    Args:
        gradients: one array for each variable.
        variables: float32, and so are all others.
        momenta: means of gradients.
        velocities: means of squares of gradients.
        alpha: the learning rate, corrected for bias; a number.
        beta_1: the share of the momenta that stays.
        beta_2: the share of the velocities that stays.
        epsilon: what is added to the root.

    Returns:
        Lists; None where there is no native kernel for that.
    """
    arrays = [*gradients, *variables, *momenta, *velocities]
    if not is_native("Adam", *arrays):
        return None
    rate = jnp.asarray(alpha, jnp.float32)
    numbers = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    results = adam_p.bind(rate, *arrays, **numbers)
    count = len(variables)
    return results[:count], results[count : 2 * count], results[2 * count :]


def _kinds(arrays: Arrays) -> list[Arrays]:
    count = len(arrays) // 4
    return [arrays[kind * count : (kind + 1) * count] for kind in range(4)]


def _reference(alpha: Any, *arrays: Any, beta_1: float, beta_2: float, epsilon: float) -> list[Any]:
    gradients, variables, momenta, velocities = _kinds(arrays)
    m = [m + (g - m) * (1 - beta_1) for m, g in zip(momenta, gradients, strict=True)]
    v = [v + (jnp.square(g) - v) * (1 - beta_2) for v, g in zip(velocities, gradients, strict=True)]
    moved = [
        variable - m * alpha / (jnp.sqrt(v) + epsilon)
        for variable, m, v in zip(variables, m, v, strict=True)
    ]
    return [*moved, *m, *v]


def _abstract(alpha: Any, *arrays: Any, **_: float) -> list[Any]:
    return [jax.core.ShapedArray(x.shape, x.dtype) for x in arrays[len(arrays) // 4 :]]


def _differentiate(primals: Arrays, tangents: Arrays, **numbers: float) -> Any:
    tangents = [ad.instantiate_zeros(tangent) for tangent in tangents]
    return jax.jvp(lambda *a: _reference(*a, **numbers), tuple(primals), tuple(tangents))


def _batch(arrays: Arrays, axes: Arrays, **numbers: float) -> Any:
    mapped = tuple(None if axis is batching.not_mapped else axis for axis in axes)
    results = jax.vmap(lambda *a: _reference(*a, **numbers), mapped)(*arrays)
    return results, [0] * len(results)


def _lower(
    context: Any, alpha: Any, *arrays: Any, beta_1: float, beta_2: float, epsilon: float
) -> Any:
    native()  # tells XLA of the handler
    count = len(arrays) // 4
    rule = jax.ffi.ffi_lowering(
        "plait_onednn_adam",
        operand_output_aliases={1 + count + index: index for index in range(3 * count)},
    )
    return rule(
        context,
        alpha,
        *arrays,
        momentum_share=np.float32(1 - beta_1),
        velocity_share=np.float32(1 - beta_2),
        epsilon=np.float32(epsilon),
    )


adam_p = primitive(
    "plait_adam", shaped=_abstract, reference=_reference, batched=_batch, several=True
)
ad.primitive_jvps[adam_p] = _differentiate
mlir.register_lowering(adam_p, _lower, platform="cpu")
