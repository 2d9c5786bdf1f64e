"""A product with a kernel and its two gradients as native kernels.

The native kernel packs a part of the kernel while the one before is multiplied, shares long sums
among threads, and computes both gradients in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from plait.kernels.operation import Operation, Shapes
from plait.kernels.table import is_native

X, KERNEL, BIAS = range(3)


def _reference(_: None, x: Any, kernel: Any, bias: Any) -> list[jax.Array]:
    y = x @ kernel
    return [y + bias if bias.size else y]


def _shapes(_: None, operands: Sequence[Any], caches: bool) -> Shapes:
    return [(operands[X].shape[0], operands[KERNEL].shape[1])]


_dense = Operation(
    "plait_dense",
    operands=3,
    results=1,
    reference=_reference,
    shapes=_shapes,
    handlers=("plait_onednn_dense", "plait_onednn_dense_backward"),
    attributes=lambda _: {},
    kept=(),
    skipped=frozenset({X}),
    maps_on_xla=True,
)


def dense(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array | None:
    """Return ``x @ kernel + bias``; None where there is no native kernel for that.

    Args:
        x: (rows, features).
        kernel: (features, units).
        bias: (units,).
    """
    operands = [x, kernel] if bias is None else [x, kernel, bias]
    if not is_native("dense", *operands) or not pays(x.shape[0], min(kernel.shape)):
        return None
    nothing = jnp.zeros((0,), x.dtype)
    return _dense(None, x, kernel, nothing if bias is None else bias)[0]


def pays(rows: int, width: int) -> bool:
    """Return whether the native kernels are faster than XLA, by rows and the lesser of both widths.

    A tile is 64 wide. Of a narrower kernel, as that of few classes, the rest is computed in vain,
    which takes less than XLA's calls while there are few rows (measured over 1 to 4096 rows, 1 to
    2048 features and units).
    """
    return rows >= 16 and (width >= 32 or (width >= 8 and rows <= 64))
