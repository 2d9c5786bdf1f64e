"""Convolution as a trilinear form, computed natively.

The sum over a convolution's output times a third array is linear in input, kernel and output.
Each of the three kernels of a convolution (the output forward, input and kernel backward) is the
derivative of that form by one of them, and so is every derivative of each: one primitive that
says which of the three is wanted is closed under differentiation of any order.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad, mlir

from plait.kernels.native import native
from plait.kernels.primitive import primitive

Sizes = tuple[int, ...]
INPUT, KERNEL, OUTPUT = range(3)


class Geometry(NamedTuple):
    """How a window moves: per axis its steps, those within it, and the padding at both ends."""

    strides: Sizes
    dilation: Sizes
    before: Sizes
    after: Sizes
    groups: int


class Wanted(NamedTuple):
    """Which of input, kernel and output is computed, and its sizes between batch and channels."""

    role: int
    sizes: Sizes


def output_of(x: jax.Array, kernel: jax.Array, sizes: Sizes, geometry: Geometry) -> jax.Array:
    """Convolve `x`; `sizes` are those of the output."""
    return conv_p.bind(x, kernel, wanted=Wanted(OUTPUT, sizes), geometry=geometry)


def input_of(kernel: jax.Array, y: jax.Array, sizes: Sizes, geometry: Geometry) -> jax.Array:
    """Return the transpose of a convolution of an input with `sizes`."""
    return conv_p.bind(kernel, y, wanted=Wanted(INPUT, sizes), geometry=geometry)


@functools.lru_cache(maxsize=4096)
def is_fast(x: Sizes, kernel: Sizes, y: Sizes, geometry: Geometry) -> bool:
    """Return whether there is more than oneDNN's slow reference for all three kernels."""
    return all("ref" not in (name or "ref") for name in implementations(x, kernel, y, geometry))


def implementations(x: Sizes, kernel: Sizes, y: Sizes, geometry: Geometry) -> tuple[str, ...]:
    """Return the names of what computes input, kernel and output; "" for what nothing does."""
    library = native().library
    if library is None:
        return ("", "", "")
    numbers = (x, kernel, y, *geometry[:-1])
    arrays = [(ctypes.c_int64 * len(part))(*part) for part in numbers]
    names = []
    for role in (INPUT, KERNEL, OUTPUT):
        name = ctypes.create_string_buffer(128)
        library.plait_onednn_convolution_implementation(
            ctypes.c_int64(role),
            ctypes.c_int64(len(x) - 2),
            *arrays,
            ctypes.c_int64(geometry.groups),
            name,
            ctypes.c_int64(len(name)),
        )
        names.append(name.value.decode())
    return tuple(names)


def _shape(first: Any, second: Any, wanted: Wanted, groups: int) -> Sizes:
    if wanted.role == OUTPUT:
        return (first.shape[0], *wanted.sizes, second.shape[-1])
    if wanted.role == INPUT:
        return (second.shape[0], *wanted.sizes, first.shape[-2] * groups)
    return (*wanted.sizes, first.shape[-1] // groups, second.shape[-1])


def _abstract(first: Any, second: Any, *, wanted: Wanted, geometry: Geometry) -> Any:
    return jax.core.ShapedArray(_shape(first, second, wanted, geometry.groups), first.dtype)


def _operands(wanted: int) -> tuple[int, int]:
    first, second = (role for role in (INPUT, KERNEL, OUTPUT) if role != wanted)
    return first, second


def _transpose(
    index: int, cotangent: Any, *operands: Any, wanted: Wanted, geometry: Geometry
) -> jax.Array:
    """Return the derivative by the operand at `index`, of the kernel that is linear in it."""
    roles = _operands(wanted.role)
    role = roles[index]
    arrays = {wanted.role: cotangent, roles[1 - index]: operands[1 - index]}
    shape = operands[index].aval.shape
    sizes = shape[:-2] if role == KERNEL else shape[1:-1]
    first, second = (arrays[other] for other in _operands(role))
    return conv_p.bind(first, second, wanted=Wanted(role, sizes), geometry=geometry)


def _batch(
    operands: tuple[Any, Any], axes: tuple[Any, Any], *, wanted: Wanted, geometry: Geometry
) -> tuple[jax.Array, int]:
    """Put a mapped axis into the batch where no kernel is mapped; else take one after another."""
    call = functools.partial(conv_p.bind, wanted=wanted, geometry=geometry)
    roles = _operands(wanted.role)
    mapped = {role for role, axis in zip(roles, axes, strict=True) if axis is not None}
    if KERNEL in mapped or wanted.role == KERNEL:
        first, second = (
            x if axis is None else jnp.moveaxis(x, axis, 0)
            for x, axis in zip(operands, axes, strict=True)
        )
        if axes[0] is None:
            return lax.map(lambda second: call(first, second), second), 0
        if axes[1] is None:
            return lax.map(lambda first: call(first, second), first), 0
        return lax.map(lambda both: call(*both), (first, second)), 0
    count = 0
    arrays = []
    for x, axis in zip(operands, axes, strict=True):
        if axis is not None:
            x = jnp.moveaxis(x, axis, 0)
            count = x.shape[0]
            x = x.reshape(-1, *x.shape[2:])
        arrays.append(x)
    result = call(*arrays)
    return result.reshape(count, -1, *result.shape[1:]), 0


def _lower(context: Any, first: Any, second: Any, *, wanted: Wanted, geometry: Geometry) -> Any:
    numbers = {
        name: np.asarray(getattr(geometry, name), np.int64) for name in geometry._fields[:-1]
    }
    native()  # tells XLA of the handler
    rule = jax.ffi.ffi_lowering("plait_onednn_convolution")
    return rule(
        context,
        first,
        second,
        wanted=np.int64(wanted.role),
        groups=np.int64(geometry.groups),
        **numbers,
    )


def reference(first: Any, second: Any, *, wanted: Wanted, geometry: Geometry) -> jax.Array:
    """Compute the same with XLA."""
    strides, dilation, before, after, groups = geometry
    rank = len(strides)
    axes = tuple(range(1, rank + 1))
    layout = lax.ConvDimensionNumbers(
        (0, rank + 1, *axes), (rank + 1, rank, *range(rank)), (0, rank + 1, *axes)
    )

    def forward(x: Any, kernel: Any) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            strides,
            tuple(zip(before, after, strict=True)),
            rhs_dilation=dilation,
            dimension_numbers=layout,
            feature_group_count=groups,
        )

    if wanted.role == OUTPUT:
        return forward(first, second)
    like = jax.ShapeDtypeStruct(_shape(first, second, wanted, groups), first.dtype)
    if wanted.role == INPUT:
        return jax.linear_transpose(lambda x: forward(x, first), like)(second)[0]
    return jax.linear_transpose(lambda kernel: forward(first, kernel), like)(second)[0]


conv_p = primitive("plait_convolution", shaped=_abstract, reference=reference, batched=_batch)
ad.defbilinear(conv_p, functools.partial(_transpose, 0), functools.partial(_transpose, 1))
mlir.register_lowering(conv_p, _lower, platform="cpu")
