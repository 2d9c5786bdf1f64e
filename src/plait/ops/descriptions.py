"""What the functions do, in a line each: JAX's own words where it has a function of that name."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import jax.scipy.special

_MODULES = (
    jnp,
    jax.nn,
    jnp.linalg,
    jnp.fft,
    jax.scipy.linalg,
    jax.scipy.special,
    jax.lax,
    jax.ops,
    jax.image,
)

_OWN = {
    "cast": "Return `x` in another dtype.",
    "extract_sequences": "Cut the last axis into sequences, those that fit whole.",
    "hard_shrink": "Return `x` where its absolute value is above `threshold`, else 0.",
    "logdet": "Return the logarithm of the absolute value of the determinant.",
    "slice_update": "Return `inputs` with the block at `start_indices` replaced by `updates`.",
    "softsign": "Return ``x / (1 + abs(x))``.",
    "tanh_shrink": "Return ``x - tanh(x)``.",
    "threshold": "Return `x` where it is above `threshold`, else `default_value`.",
    "vectorized_map": "Apply `function` to every element of the first axis, all at once.",
    "view": "Return the bytes of `x` read as another dtype.",
    "view_as_real": "Return real and imaginary parts on a new last axis.",
}


def describe(name: str) -> str | None:
    """Return the docstring of the function of this name, or None."""
    if name in _OWN:
        return _OWN[name]
    for module in _MODULES:
        described = getattr(module, name, None)
        if described is not None and described.__doc__:
            first = described.__doc__.strip().splitlines()[0]
            return f"{first}\n\nSee `{module.__name__}.{name}`; the arguments are Keras'."
    return None
