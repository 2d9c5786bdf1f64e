"""What every initializer is: a function of shape and dtype, with a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from plait.core import dtypes
from plait.core.registry import Configurable


class Initializer(Configurable):
    """Make the first value of a variable; subclass it and write `__call__`.

    Values are NumPy arrays made on the host: nothing is compiled for them. bfloat16 arrays are
    NumPy arrays of JAX's bfloat16 type.

    Random initializers take ``seed``. An int gives the same values at every call; a
    `SeedGenerator` gives new ones at every call, a function of its seed and its count of draws;
    None, the default, draws a fresh seed from the global stream (see `set_random_seed`) at every
    call. The last is on purpose unlike Keras 3, where an unseeded initializer keeps one seed, so
    that two variables of one shape that share the object start equal.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> class Ramp(plait.initializers.Initializer):
        ...     def __init__(self, step=1.0):
        ...         self.step = step
        ...     def __call__(self, shape, dtype=None):
        ...         return self.step * np.arange(np.prod(shape), dtype=dtype).reshape(shape)
        >>> Ramp(step=2.0)((3,), "float32").tolist()
        [0.0, 2.0, 4.0]
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """Return an array.

        Args:
            shape: its shape.
            dtype: its dtype; default: the default float.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype=None)")


def numpy_dtype(dtype: Any) -> np.dtype:
    """Return the NumPy dtype (bfloat16 included) that `dtype` means; None is the default float."""
    return np.dtype(jnp.dtype(dtypes.standardize(dtype)))


def working_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype to compute values of `dtype` in: float64 for itself, else float32."""
    return np.dtype("float64" if dtype == np.float64 else "float32")
