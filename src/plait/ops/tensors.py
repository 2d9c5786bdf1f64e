"""What is known of a tensor without computing: its shape, its dtype, whether it is one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import dtypes
from plait.core.variable import Variable
from plait.graph.tensor import SymbolicTensor
from plait.ops.arguments import array
from plait.ops.reductions import no_sparse


def shape(x: Any) -> tuple[Any, ...]:
    """Return the shape; of a symbolic tensor with None for sizes that are not known."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def ndim(x: Any) -> int:
    """Return the rank."""
    return len(shape(x))


def size(x: Any) -> Any:
    """Return the number of elements; None where a symbolic tensor's is not known."""
    sizes = shape(x)
    if None in sizes:
        return None
    product: Any = 1
    for number in sizes:
        product = product * number
    return product


def dtype(x: Any) -> str:
    """Return the name of the dtype."""
    return dtypes.standardize(x.dtype if hasattr(x, "dtype") else jnp.asarray(x).dtype)


def is_tensor(x: Any) -> bool:
    """Return whether `x` is a JAX array or tracer."""
    return isinstance(x, jax.Array)


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """Return `x` as a JAX array, of `dtype` if one is given; symbolic tensors stay symbolic.

    Raises:
        ConfigError: a sparse or ragged tensor is asked for.
    """
    no_sparse(sparse or ragged)
    wanted = None if dtype is None else dtypes.standardize(dtype)
    if isinstance(x, SymbolicTensor):
        return x if wanted in (None, x.dtype) else x.astype(wanted)
    if wanted is None:
        return array(x)
    return jnp.asarray(x.value if isinstance(x, Variable) else x, wanted)


def convert_to_numpy(x: Any) -> np.ndarray:
    """Return `x` as a NumPy array of its own.

    Raises:
        ArgumentTypeError: it is symbolic, and has no values.
    """
    return np.array(x.value if isinstance(x, Variable) else x)
