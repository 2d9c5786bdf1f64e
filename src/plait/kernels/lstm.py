"""A long short-term memory over a whole sequence.

The loop over time holds only what must be there. One `tanh` serves all gates, since
``sigmoid(x) = (1 + tanh(x / 2)) / 2``. What derivatives multiply with is computed for all steps at
once before the backward loop, and the gradient of the recurrent kernel is one product after it.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from plait.kernels import recurrence
from plait.kernels.affine import affine
from plait.kernels.table import is_native

States = tuple[jax.Array, jax.Array]


def lstm(
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None,
    states: States,
    keep: jax.Array | None = None,
    reverse: bool = False,
) -> tuple[jax.Array, States]:
    """Return h of every step, and the last h and c.

    Gates are those of Keras' LSTM with tanh and sigmoid, in the order i, f, g, o.

    Args:
        x: (time, batch, features).
        kernel: (features, 4 * units).
        recurrent_kernel: (units, 4 * units).
        bias: (4 * units,).
        states: the first h and c, (batch, units) each.
        keep: (time, batch); False where a step leaves the states as they are.
        reverse: whether to begin with the last step; outputs keep the place of their inputs.
    """
    operands = recurrence.operands(x, kernel, recurrent_kernel, bias, *states, keep=keep)
    steps, batch, _ = x.shape
    fits = is_native("LSTM", x, kernel, recurrent_kernel, *states)
    if fits and recurrence.pays(batch, steps, recurrent_kernel.shape[0]):
        h, *last = recurrence.recurrence(recurrence.Kind(False, reverse), *operands)
    else:
        h, *last = _on_xla(*operands, reverse=reverse)
    return jnp.swapaxes(h, 0, 1), (last[0], last[1])


def _on_xla(
    x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, c: Any, keep: Any, *, reverse: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    projected = jnp.swapaxes(affine(x, kernel, bias if bias.size else None), 0, 1)
    kept = keep.T if keep.size else None
    outputs, last = projected_lstm(projected, recurrent, (h, c), kept, reverse)
    return jnp.swapaxes(outputs, 0, 1), *last


recurrence.refer(False, _on_xla)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def projected_lstm(
    projected: jax.Array,
    recurrent_kernel: jax.Array,
    states: States,
    keep: jax.Array | None,
    reverse: bool,
) -> tuple[jax.Array, States]:
    """Return what `lstm` does, of ``projected = x @ kernel + bias``, (time, batch, 4 * units)."""
    outputs, _, _, last = _run(projected, recurrent_kernel, states, keep, reverse)
    return outputs, last


def _run(
    projected: jax.Array, kernel: jax.Array, states: States, keep: Any, reverse: bool
) -> tuple[jax.Array, jax.Array, jax.Array, States]:
    """Return h, c and the tanh of the scaled gates of every step, and the last states."""
    units = kernel.shape[0]
    scale = jnp.repeat(jnp.array([0.5, 0.5, 1, 0.5], projected.dtype), units)

    def step(states: States, now: Any) -> tuple[States, Any]:
        h, c = states
        projected, kept = now
        gates = jnp.tanh((projected + h @ kernel) * scale)
        i, f, g, o = _open(gates)
        new_c = f * c + i * g
        states = _hold(kept, (o * jnp.tanh(new_c), new_c), states)
        return states, (*states, gates)

    last, (h, c, gates) = lax.scan(step, states, (projected, keep), reverse=reverse)
    return h, c, gates, last


@projected_lstm.defjvp
def _projected_jvp(reverse: bool, primals: Any, tangents: Any) -> Any:
    projected, kernel, (first_h, first_c), keep = primals
    d_projected, d_kernel, d_states, _ = tangents
    outputs, c, gates, last = _run(projected, kernel, (first_h, first_c), keep, reverse)
    before_h, before_c = _before(first_h, outputs, reverse), _before(first_c, c, reverse)
    i, f, g, o = _open(gates)
    squashed = jnp.tanh(c)
    by_i, by_f, by_g = g * i * (1 - i), before_c * f * (1 - f), i * (1 - g * g)
    by_o, by_c = squashed * o * (1 - o), o * (1 - squashed * squashed)
    units = kernel.shape[0]
    d_projected += (before_h.reshape(-1, units) @ d_kernel).reshape(d_projected.shape)

    def step(d_states: States, now: Any) -> tuple[States, jax.Array]:
        d_h, d_c = d_states
        d_projected, by_i, by_f, by_g, by_o, by_c, f, kept = now
        d_i, d_f, d_g, d_o = jnp.split(d_projected + d_h @ kernel, 4, axis=-1)
        new_d_c = f * d_c + by_i * d_i + by_f * d_f + by_g * d_g
        d_states = _hold(kept, (by_c * new_d_c + by_o * d_o, new_d_c), d_states)
        return d_states, d_states[0]

    factors = (by_i, by_f, by_g, by_o, by_c, f)
    d_last, d_outputs = lax.scan(step, d_states, (d_projected, *factors, keep), reverse=reverse)
    return (outputs, last), (d_outputs, d_last)


def _open(gates: jax.Array) -> tuple[jax.Array, ...]:
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    return 0.5 + 0.5 * i, 0.5 + 0.5 * f, g, 0.5 + 0.5 * o


def _before(first: jax.Array, states: jax.Array, reverse: bool) -> jax.Array:
    """Return the state that each step began with."""
    if reverse:
        return jnp.concatenate([states[1:], first[None]])
    return jnp.concatenate([first[None], states[:-1]])


def _hold(kept: Any, new: States, old: States) -> States:
    if kept is None:
        return new
    return jnp.where(kept[:, None], new[0], old[0]), jnp.where(kept[:, None], new[1], old[1])
