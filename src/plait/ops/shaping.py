"""Moving data: other shapes, other orders, tensors joined and taken apart."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from plait.errors import ConfigError, ShapeError
from plait.ops.arguments import Function, Table, array


def _joined(function: Function) -> Function:
    return lambda xs: function(xs)


def _halved(function: Function) -> Function:
    return lambda x, indices_or_sections: function(x, indices_or_sections)


def _band(function: Function) -> Function:
    return lambda x, k=0: function(x, k)


def _reshape(x: jax.Array, newshape: Any) -> jax.Array:
    """Reshape; None is a size not known, as ``ops.shape`` gives it, and means -1."""
    if isinstance(newshape, list | tuple):
        newshape = tuple(-1 if size is None else size for size in newshape)
    return jnp.reshape(x, newshape)


def _pad(x: jax.Array, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    if constant_values is None:
        return jnp.pad(x, pad_width, mode)
    if mode != "constant":
        raise ConfigError(
            f"takes constant_values only with mode='constant', not {mode!r}.",
            fix="leave constant_values out",
        )
    return jnp.pad(x, pad_width, constant_values=constant_values)


def _repeat(x: jax.Array, repeats: Any, axis: int | None = None) -> jax.Array:
    if isinstance(repeats, list | tuple):
        repeats = np.asarray(repeats)
    return jnp.repeat(x, repeats, axis)


def _unstack(x: jax.Array, num: int | None = None, axis: int = 0) -> list[jax.Array]:
    size = num if num is not None else x.shape[axis]
    if not isinstance(size, int):
        raise ShapeError(
            f"cannot tell how many tensors axis {axis} makes: its size is not known.",
            fix="give it: ops.unstack(x, num=..., axis=...)",
        )
    return [lax.index_in_dim(x, index, axis, keepdims=False) for index in range(size)]


def _rearrange(tensor: jax.Array, pattern: str, **axes_lengths: int) -> jax.Array:
    """Split, permute and merge axes as in ``"b (h p) c -> b h (p c)"``.

    Source: einops (Rogozhnikov 2022).
    """
    source, _, target = pattern.partition("->")
    before, after = axis_groups(source), axis_groups(target)
    if len(before) != tensor.ndim:
        raise ShapeError(
            f"names {len(before)} axes in {pattern!r}, but the tensor has {tensor.ndim}."
        )
    sizes: dict[str, Any] = dict(axes_lengths)
    for group, whole in zip(before, tensor.shape, strict=True):
        unknown = [name for name in group if name not in sizes]
        if len(unknown) > 1:
            raise ShapeError(
                f"cannot tell the sizes of {' and '.join(unknown)} in {pattern!r}.",
                fix=f"give one: ops.rearrange(x, {pattern!r}, {unknown[0]}=...)",
            )
        for name in unknown:
            sizes[name] = whole // int(np.prod([sizes[n] for n in group if n != name]))
    names = [name for group in before for name in group]
    if sorted(names) != sorted(name for group in after for name in group):
        raise ConfigError(f"names other axes on the left than on the right: {pattern!r}.")
    split = jnp.reshape(tensor, [sizes[name] for name in names])
    moved = jnp.transpose(split, [names.index(name) for group in after for name in group])
    merged = []
    for group in after:
        size: Any = 1
        for name in group:
            size = size * sizes[name]
        merged.append(size)
    return jnp.reshape(moved, merged)


def axis_groups(side: str) -> list[list[str]]:
    """Return the names in each group of one side of a pattern."""
    return [re.findall(r"\w+", group) for group in re.findall(r"\w+|\([^)]*\)", side)]


def _depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> jax.Array:
    """Move channels into blocks of pixels, `block_size` wide. Source: Shi 2016."""
    pattern = {
        "channels_last": "n h w (p q c) -> n (h p) (w q) c",
        "channels_first": "n (c p q) h w -> n c (h p) (w q)",
    }[data_format]
    return _rearrange(x, pattern, p=block_size, q=block_size)


def _space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> jax.Array:
    """Move blocks of pixels, `block_size` wide, into channels: undo `depth_to_space`."""
    pattern = {
        "channels_last": "n (h p) (w q) c -> n h w (p q c)",
        "channels_first": "n c (h p) (w q) -> n (c p q) h w",
    }[data_format]
    return _rearrange(x, pattern, p=block_size, q=block_size)


def _view_as_complex(x: jax.Array) -> jax.Array:
    """Return the last axis, (real, imaginary), as complex numbers."""
    if x.ndim == 0 or x.shape[-1] != 2:
        raise ShapeError(f"expects a last axis of size 2 (real, imaginary), received {x.shape}.")
    return lax.complex(x[..., 0].astype(jnp.float32), x[..., 1].astype(jnp.float32))


TABLE: Table = {
    **{name: _joined(getattr(jnp, name)) for name in ("dstack", "hstack", "vstack")},
    **{name: _halved(getattr(jnp, name)) for name in ("dsplit", "hsplit", "vsplit")},
    **{name: _band(getattr(jnp, name)) for name in ("diag", "diagflat", "tril", "triu")},
    "append": lambda x1, x2, axis=None: jnp.append(x1, x2, axis),
    "array_split": lambda x, indices_or_sections, axis=0: jnp.array_split(
        x, indices_or_sections, axis
    ),
    "broadcast_to": lambda x, shape: jnp.broadcast_to(x, shape),
    "concatenate": lambda xs, axis=0: jnp.concatenate(xs, axis),
    "depth_to_space": _depth_to_space,
    "diagonal": lambda x, offset=0, axis1=0, axis2=1: jnp.diagonal(x, offset, axis1, axis2),
    "diff": lambda a, n=1, axis=-1: jnp.diff(a, n, axis),
    "expand_dims": lambda x, axis: jnp.expand_dims(x, axis),
    "flip": lambda x, axis=None: jnp.flip(x, axis),
    "fliplr": lambda x: jnp.fliplr(x),
    "flipud": lambda x: jnp.flipud(x),
    "meshgrid": lambda *x, indexing="xy": list(jnp.meshgrid(*x, indexing=indexing)),
    "moveaxis": lambda x, source, destination: jnp.moveaxis(x, source, destination),
    "pad": _pad,
    "ravel": lambda x: jnp.ravel(x),
    "rearrange": _rearrange,
    "repeat": _repeat,
    "reshape": _reshape,
    "roll": lambda x, shift, axis=None: jnp.roll(x, shift, axis),
    "rot90": lambda array, k=1, axes=(0, 1): jnp.rot90(array, k, axes),
    "space_to_depth": _space_to_depth,
    "split": lambda x, indices_or_sections, axis=0: list(jnp.split(x, indices_or_sections, axis)),
    "squeeze": lambda x, axis=None: jnp.squeeze(x, axis),
    "swapaxes": lambda x, axis1, axis2: jnp.swapaxes(x, axis1, axis2),
    "tile": lambda x, repeats: jnp.tile(x, repeats),
    "transpose": lambda x, axes=None: jnp.transpose(x, axes),
    "unstack": _unstack,
    "view": lambda x, dtype=None: x.view(dtype) if dtype else x,
    "view_as_complex": _view_as_complex,
    "view_as_real": lambda x: jnp.stack([jnp.real(x), jnp.imag(x)], axis=-1),
}

STRUCTURED: Table = {
    "stack": lambda x, axis=0: jnp.stack([array(item) for item in x], axis),
}
