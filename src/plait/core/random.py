"""Randomness: one seeded stream on the host, and keys for layers that draw while they compute.

Initial weights are drawn by NumPy on the host: nothing is compiled for them and a trace cannot
leak into them. Layers that draw in `call` ask `key()`; inside a trace the key depends on the
step and on the path of the layer that asks, so changing one layer leaves the draws of the
others alone.
"""

from __future__ import annotations

import random as _python_random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import dtypes
from plait.core.scope import current_scope
from plait.errors import ConfigError

_stream = np.random.default_rng()
_own_stream: ContextVar[np.random.Generator | None] = ContextVar("stream", default=None)
_base: int | None = None
_calls = 0


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and plait's random numbers: two runs then draw the same."""
    global _stream, _base, _calls
    _python_random.seed(seed)
    np.random.seed(seed % 2**32)
    _stream = np.random.default_rng(seed)
    _base, _calls = None, 0


def get_state() -> dict[str, Any]:
    """Return what `set_state` needs to draw the same from here on: Python's, NumPy's and plait's.

    It is made of numbers, strings, arrays, and lists and dicts of them.
    """
    version, words, gauss = _python_random.getstate()
    return {
        "python": [version, np.array(words, "uint32"), gauss],
        "numpy": list(np.random.get_state()),
        "stream": _stream.bit_generator.state,
        "base": _base,
        "calls": _calls,
    }


def set_state(state: Mapping[str, Any]) -> None:
    """Go on drawing where `get_state` was called."""
    global _base, _calls
    version, words, gauss = state["python"]
    _python_random.setstate((version, tuple(map(int, words)), gauss))
    np.random.set_state(tuple(state["numpy"]))
    _stream.bit_generator.state = state["stream"]
    _base, _calls = state["base"], state["calls"]


def next_seed() -> int:
    """Draw a seed from the host's stream."""
    stream = _own_stream.get() or _stream
    return int(stream.integers(0, 2**31 - 1))


def generator(seed: int | SeedGenerator | None) -> np.random.Generator:
    """Return a NumPy generator for `seed`; None is the next seed of the stream."""
    if isinstance(seed, SeedGenerator):
        seed.draws += 1
        return np.random.default_rng((seed.seed, seed.draws))
    return np.random.default_rng(next_seed() if seed is None else int(seed))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a stream of its own within the block, in this thread."""
    token = _own_stream.set(np.random.default_rng(seed))
    try:
        yield
    finally:
        _own_stream.reset(token)


class SeedGenerator:
    """A seed and the number of draws so far; pass it as ``seed=`` to draw a new value each time."""

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self.seed = next_seed() if seed is None else int(seed)
        self.draws = 0

    def next(self) -> jax.Array:
        """Return the next key."""
        if current_scope() is not None:
            return key(self.seed)
        self.draws += 1
        return jax.random.fold_in(jax.random.key(self.seed), self.draws)


def key(seed: int | SeedGenerator | None = None) -> jax.Array:
    """Return a fresh JAX key.

    Inside a traced call the key is new at every step; with a `seed` the sequence of keys depends
    on that seed alone. Outside, a seed gives the same key each time.
    """
    if isinstance(seed, SeedGenerator) and current_scope() is None:
        return seed.next()
    number = seed.seed if isinstance(seed, SeedGenerator) else seed
    scope = current_scope()
    if scope is not None:
        if scope.rng is None:
            raise ConfigError(
                "draws random numbers, but was given no key.",
                fix="outputs, updates = layer.apply(layer.state(), x, training=True, "
                "rng=jax.random.key(0))",
            )
        return scope.next_key(number)
    return jax.random.key(next_seed() if number is None else number)


def base_seed() -> int:
    """Return the seed that concrete calls share until `set_random_seed` is called again."""
    global _base
    if _base is None:
        _base = next_seed()
    return _base


def call_counter() -> int:
    """Return the number of this concrete call; it stands for the step outside training."""
    global _calls
    _calls += 1
    return _calls


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> jax.Array:
    """Draw from the normal distribution."""
    dtype = dtypes.standardize(dtype)
    return jax.random.normal(key(seed), tuple(shape), dtype) * stddev + mean


def uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> jax.Array:
    """Draw uniformly from [minval, maxval)."""
    return jax.random.uniform(key(seed), tuple(shape), dtypes.standardize(dtype), minval, maxval)


def truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> jax.Array:
    """Draw from the normal distribution cut at two standard deviations."""
    draws = jax.random.truncated_normal(
        key(seed), -2.0, 2.0, tuple(shape), dtypes.standardize(dtype)
    )
    return draws * stddev + mean


def randint(
    shape: Sequence[int],
    minval: int,
    maxval: int,
    dtype: Any = "int32",
    seed: int | SeedGenerator | None = None,
) -> jax.Array:
    """Draw whole numbers from [minval, maxval)."""
    return jax.random.randint(key(seed), tuple(shape), minval, maxval, dtypes.standardize(dtype))


def categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: int | SeedGenerator | None = None
) -> jax.Array:
    """Draw `num_samples` classes for each row of unnormalized log-probabilities."""
    logits = jnp.asarray(logits)
    shape = (num_samples, logits.shape[0])
    return jax.random.categorical(key(seed), logits, shape=shape).T.astype(dtype)


def bernoulli(
    shape: Sequence[int], p: float = 0.5, seed: int | SeedGenerator | None = None
) -> jax.Array:
    """Draw booleans that are true with probability `p`."""
    return jax.random.bernoulli(key(seed), p, tuple(shape))


def dropout(
    inputs: Any,
    rate: float,
    noise_shape: Sequence[int | None] | None = None,
    seed: int | SeedGenerator | None = None,
) -> jax.Array:
    """Set entries to 0 with probability `rate` and scale the others by 1 / (1 - rate).

    Source: Srivastava et al. 2014, in the inverted form that Keras uses.
    """
    inputs = jnp.asarray(inputs)
    if rate >= 1.0:
        return jnp.zeros_like(inputs)
    shape = inputs.shape
    if noise_shape is not None:
        shape = tuple(s if n is None else n for s, n in zip(shape, noise_shape, strict=True))
    keep = jax.random.bernoulli(key(seed), 1.0 - rate, shape)
    return jnp.where(keep, inputs / jnp.asarray(1.0 - rate, inputs.dtype), 0).astype(inputs.dtype)


def shuffle(x: Any, axis: int = 0, seed: int | SeedGenerator | None = None) -> jax.Array:
    """Return `x` with its entries along `axis` in random order."""
    return jax.random.permutation(key(seed), jnp.asarray(x), axis)
