"""Which implementation computes what, where.

`TABLE` says it for people, `is_native` for the operations; each operation looks after its own
conditions. Where no row fits, XLA computes, with the same results.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp

from plait.errors import ConfigError, did_you_mean
from plait.kernels.native import native

Choice = Literal["auto", "xla"]
VARIABLE = "PLAIT_KERNELS"


class Row(NamedTuple):
    """An operation that has a native kernel, and where that is used.

    With `one_device` it is not used where there are more: of arrays on several, XLA would gather
    all for it.
    """

    operation: str
    platform: str
    dtype: str
    conditions: str
    implementation: str
    one_device: bool = False


TABLE = (
    Row(
        "convolution",
        "cpu",
        "float32",
        "channels last, no empty axis, no negative padding, and oneDNN has more than its slow "
        "reference for the output and both gradients",
        "plait-onednn",
    ),
    Row(
        "transposed convolution",
        "cpu",
        "float32",
        "as for the convolution whose transpose it is",
        "plait-onednn",
    ),
    Row(
        "convolution with normalization, addition and relu",
        "cpu",
        "float32",
        "as for convolution; those layers in this order (each but the convolution optional, also "
        "its own bias and relu), in a model's graph, with nothing else taking what is between",
        "plait-onednn",
    ),
    Row(
        "max pooling",
        "cpu",
        "float32",
        "channels last, at least 8 of them over two axes, 16 over one or three; at most 256 "
        "elements in a window",
        "plait-onednn",
    ),
    Row("average pooling", "cpu", "float32", "as for max pooling", "plait-onednn"),
    Row(
        "LSTM",
        "cpu",
        "float32",
        "tanh and sigmoid, no recurrent dropout, not unrolled; a batch of 32 or more, 10 steps or "
        "more, 16 to 128 units, with a batch of 128 or more 512",
        "plait-onednn",
    ),
    Row(
        "dense",
        "cpu",
        "float32",
        "on one device, 16 or more rows; 32 or more features and units, 8 where there are at most "
        "64 rows",
        "plait-onednn",
        one_device=True,
    ),
    Row(
        "Adam",
        "cpu",
        "float32",
        "Adam and AdamW without amsgrad, on one device, none of the variables empty",
        "plait-onednn",
        one_device=True,
    ),
    Row(
        "layer normalization",
        "cpu",
        "float32",
        "over the last axis, of at least 16 features, on one device",
        "plait-onednn",
        one_device=True,
    ),
    Row(
        "attention",
        "cpu",
        "float32",
        "MultiHeadAttention over one axis, also masked, without dropout in training and weights "
        "returned, on one device; at least 4 heads in the batch, 4 queries and 4 keys",
        "plait-onednn",
        one_device=True,
    ),
    Row("GRU", "cpu", "float32", "as for LSTM, and reset_after", "plait-onednn"),
)


def is_native(operation: str, *arrays: Any) -> bool:
    """Return whether a native kernel computes `operation` on these arrays, as far as `TABLE` goes.

    It is asked while a function is traced, and traced anew where the choice has changed. Within
    `jax.shard_map` XLA computes: JAX adds up gradients of devices only for primitives that tell it
    over which axes of the mesh their results vary, and has no public way to tell it.
    """
    (row,) = (row for row in TABLE if row.operation == operation)
    return (
        chosen() == "auto"
        and all(_is_plain(array, row.dtype) for array in arrays)
        and jax.default_backend() == row.platform
        and (not row.one_device or jax.device_count() == 1)
        and not jax.sharding.get_abstract_mesh().manual_axes
        and native().library is not None
    )


def _is_plain(array: Any, dtype: str) -> bool:
    sizes = array.shape
    return array.dtype == jnp.dtype(dtype) and all(isinstance(s, int) and s > 0 for s in sizes)


def _checked(kernels: str, what: str) -> Choice:
    if kernels not in ("auto", "xla"):
        raise ConfigError(
            f"{what} cannot be {kernels!r}.{did_you_mean(str(kernels), ['auto', 'xla'])}",
            fix=f'{what}="auto" or "xla"',
        )
    return cast(Choice, kernels)


# Part of the key under which `jax.jit` keeps what it compiled.
_context = jax.make_user_context(_checked(os.environ.get(VARIABLE) or "auto", VARIABLE))


def chosen() -> Choice:
    """Return "auto" (native kernels where `TABLE` says so), or "xla" (none)."""
    return _context.value


def choose(kernels: str) -> None:
    """Choose the kernels: "auto" or "xla"; what was compiled with others compiles anew.

    Raises:
        ConfigError: it is neither.
    """
    _context.set_global(_checked(kernels, "kernels"))


@contextlib.contextmanager
def using(kernels: str) -> Iterator[None]:
    """Choose the kernels within, in this thread, for instance to export for other machines.

    Raises:
        ConfigError: `kernels` is neither "auto" nor "xla".
    """
    with _context(_checked(kernels, "kernels")):
        yield
