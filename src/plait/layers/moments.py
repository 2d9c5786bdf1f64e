"""Mean and variance, and the way channels are summed that normalization layers share.

XLA on CPU sums over all axes but the last in one slow loop. Summing over axis 1 first, behind a
barrier that keeps XLA from merging the two sums again, vectorizes over what is left.
`plait.kernels.spread` does the same for the sums of the backward pass.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp


def average(x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """Return the mean over `axes`, which stay as axes of size 1."""
    return total(x, axes) / math.prod(x.shape[axis] for axis in axes)


def total(x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """Return the sum over `axes`, which stay as axes of size 1."""
    if len(axes) > 1 and 1 in axes and x.ndim - 1 not in axes:
        x = jax.lax.optimization_barrier(jnp.sum(x, axis=1, keepdims=True))
    return jnp.sum(x, axis=tuple(axes), keepdims=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def moments(x: jax.Array, mean_of: Callable[[jax.Array], jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the variance around it, both as `mean_of` shapes them.

    The derivative leaves out ``mean_of(x - mean)``, which is 0: one pass less over `x`.

    Args:
        x: an array.
        mean_of: a linear function that averages groups of entries, broadcasts against `x`, and
            closes over no traced array.
    """
    mean = mean_of(x)
    return mean, mean_of(jnp.square(x - mean))


@moments.defjvp
def _moments_jvp(
    mean_of: Callable[[jax.Array], jax.Array],
    primals: tuple[jax.Array],
    tangents: tuple[jax.Array],
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    (x,), (dx,) = primals, tangents
    mean, variance = moments(x, mean_of)
    return (mean, variance), (mean_of(dx), 2.0 * mean_of((x - mean) * dx))
