"""A gated recurrent unit over a whole sequence, with the reset gate after the recurrent kernel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from plait.kernels import recurrence
from plait.kernels.affine import affine
from plait.kernels.table import is_native


def gru(
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None,
    state: jax.Array,
    keep: jax.Array | None = None,
    reverse: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Return h of every step, and the last h.

    Gates are those of Keras' GRU with tanh, sigmoid and `reset_after`, in the order z, r, g.

    Args:
        x: (time, batch, features).
        kernel: (features, 3 * units).
        recurrent_kernel: (units, 3 * units).
        bias: (2, 3 * units), of `kernel` and of `recurrent_kernel`.
        state: the first h, (batch, units).
        keep: (time, batch); False where a step leaves the state as it is.
        reverse: whether to begin with the last step; outputs keep the place of their inputs.
    """
    none = jnp.zeros((0,), x.dtype)
    operands = recurrence.operands(x, kernel, recurrent_kernel, bias, state, none, keep=keep)
    steps, batch, _ = x.shape
    fits = is_native("GRU", x, kernel, recurrent_kernel, state)
    if fits and recurrence.pays(batch, steps, recurrent_kernel.shape[0]):
        h, last, _ = recurrence.recurrence(recurrence.Kind(True, reverse), *operands)
    else:
        h, last, _ = _on_xla(*operands, reverse=reverse)
    return jnp.swapaxes(h, 0, 1), last


def _on_xla(
    x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, c: Any, keep: Any, *, reverse: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    of_x, of_h = bias if bias.size else (None, jnp.zeros((), x.dtype))
    projected = jnp.swapaxes(affine(x, kernel, of_x), 0, 1)
    kept = keep.T if keep.size else None

    def step(h: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
        projected, kept = now
        x_z, x_r, x_g = jnp.split(projected, 3, axis=-1)
        h_z, h_r, h_g = jnp.split(h @ recurrent + of_h, 3, axis=-1)
        z, r = jax.nn.sigmoid(x_z + h_z), jax.nn.sigmoid(x_r + h_r)
        new_h = z * h + (1 - z) * jnp.tanh(x_g + r * h_g)
        h = new_h if kept is None else jnp.where(kept[:, None], new_h, h)
        return h, h

    last, outputs = lax.scan(step, h, (projected, kept), reverse=reverse)
    return jnp.swapaxes(outputs, 0, 1), last, c


recurrence.refer(True, _on_xla)
