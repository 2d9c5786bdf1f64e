"""LSTM and GRU over whole sequences natively.

Inputs are (batch, time, features) here. An operand that is not there has no elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from plait.kernels.operation import Operation, Shapes


class Kind(NamedTuple):
    """What is computed: an LSTM or a GRU, from the first step or from the last."""

    gru: bool
    reverse: bool


X, KERNEL, RECURRENT, BIAS, FIRST_H, FIRST_C, KEEP = range(7)

_references: dict[bool, Callable[..., Any]] = {}


def reference(kind: Kind, *operands: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Compute h of all steps, the last h and the last c with XLA."""
    return _references[kind.gru](*operands, reverse=kind.reverse)


def refer(gru: bool, function: Callable[..., Any]) -> None:
    """Say how XLA computes a recurrence."""
    _references[gru] = function


def operands(
    x: Any, kernel: Any, recurrent: Any, bias: Any, first_h: Any, first_c: Any, *, keep: Any
) -> tuple[Any, ...]:
    """Return the operands for time-major inputs and mask."""
    return (
        jnp.swapaxes(x, 0, 1),
        kernel,
        recurrent,
        jnp.zeros((0,), x.dtype) if bias is None else bias,
        first_h,
        first_c,
        jnp.zeros((0, 0), bool) if keep is None else keep.T,
    )


def recurrence(kind: Kind, *operands: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return h of all steps, the last h and the last c; those of a GRU have no elements."""
    h, last_h, last_c = _recurrence(kind, *operands)
    return h, last_h, last_c


def pays(batch: int, steps: int, units: int) -> bool:
    """Return whether the native kernels are faster than XLA.

    Weights are packed in every call, and threads split the batch: few rows, few steps and many
    units for the rows are XLA's (measured over batches of 1 to 256 and 8 to 512 units).
    """
    return batch >= 32 and steps >= 10 and 16 <= units <= (128 if batch < 128 else 512)


def _shapes(kind: Kind, operands: Sequence[Any], caches: bool) -> Shapes:
    batch, steps = operands[X].shape[:2]
    first_h, first_c = operands[FIRST_H], operands[FIRST_C]
    units = first_h.shape[1]
    return [
        (batch, steps, units),
        (batch, units),
        first_c.shape,
        (batch, steps, units) if caches and first_c.size else (0,),
        (batch, steps, 4 * units) if caches else (0,),
    ]


_recurrence = Operation(
    "plait_recurrence",
    operands=7,
    results=3,
    reference=reference,
    shapes=_shapes,
    handlers=("plait_onednn_recurrence", "plait_onednn_recurrence_backward"),
    attributes=Kind._asdict,
    kept=(0, 3, 4),
    fixed=frozenset({KEEP}),
    skipped=frozenset({X}),
)
