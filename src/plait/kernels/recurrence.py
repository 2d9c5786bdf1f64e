"""LSTM and GRU over whole sequences natively, differentiable to any order.

Three primitives that are lowered to native kernels on the CPU where there is one:

- the recurrence itself, which returns as well what its gradient needs (the caches);
- its derivative, linear in the tangents, whose transpose is
- the gradient.

The caches are functions of the operands, of which derivatives need not know: the derivatives of
the second and third primitive are those of `reference`, which is the same recurrence on XLA.
Inputs are (batch, time, features) here. An operand that is not there has no elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from plait.kernels.native import native

Arrays = Sequence[Any]
Reference = Callable[..., tuple[jax.Array, jax.Array, jax.Array]]


class Kind(NamedTuple):
    """What is computed: an LSTM or a GRU, from the first step or from the last."""

    gru: bool
    reverse: bool


X, KERNEL, RECURRENT, BIAS, FIRST_H, FIRST_C, KEEP = range(7)
OPERANDS, RESULTS = 7, 3  # x ... keep; h, last h, last c

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
    h, last_h, last_c, *_ = recurrence_p.bind(*operands, kind=kind, caches=False)
    return h, last_h, last_c


def pays(batch: int, steps: int, units: int) -> bool:
    """Return whether the native kernels are faster than XLA.

    Weights are packed in every call, and threads split the batch: few rows, few steps and many
    units for the rows are XLA's (measured over batches of 1 to 256 and 8 to 512 units).
    """
    return batch >= 32 and steps >= 10 and 16 <= units <= (128 if batch < 128 else 512)


def _shapes(x: Any, first_h: Any, first_c: Any, caches: bool) -> list[tuple[int, ...]]:
    batch, steps = x.shape[:2]
    units = first_h.shape[1]
    has_c = first_c.size > 0
    return [
        (batch, steps, units),
        (batch, units),
        first_c.shape,
        (batch, steps, units) if caches and has_c else (0,),
        (batch, steps, 4 * units) if caches else (0,),
    ]


def _recurrence_abstract(*operands: Any, kind: Kind, caches: bool) -> Any:
    shapes = _shapes(operands[X], operands[FIRST_H], operands[FIRST_C], caches)
    return [jax.core.ShapedArray(shape, operands[X].dtype) for shape in shapes]


def _recurrence_reference(*operands: Any, kind: Kind, caches: bool) -> list[jax.Array]:
    """Without a native kernel caches are not used, and are 0."""
    shapes = _shapes(operands[X], operands[FIRST_H], operands[FIRST_C], caches)
    return [*reference(kind, *operands), *(jnp.zeros(s, operands[X].dtype) for s in shapes[3:])]


def _recurrence_jvp(primals: Arrays, tangents: Arrays, *, kind: Kind, caches: bool) -> Any:
    results = recurrence_p.bind(*primals, kind=kind, caches=True)
    kept = (results[0], *results[RESULTS:])
    moved = tuple(
        index < KEEP and not isinstance(tangent, ad.Zero) for index, tangent in enumerate(tangents)
    )
    active = [tangent for tangent, moves in zip(tangents, moved, strict=True) if moves]
    changes = derivative_p.bind(*primals, *kept, *active, kind=kind, moved=moved)
    if not caches:
        results = [*results[:RESULTS], *(jnp.zeros((0,), results[0].dtype) for _ in range(2))]
    still = [ad.Zero(jax.typeof(cache).to_tangent_aval()) for cache in results[RESULTS:]]
    return results, [*changes, *still]


def _derivative_abstract(*arrays: Any, kind: Kind, moved: tuple[bool, ...]) -> Any:
    return _recurrence_abstract(*arrays[:OPERANDS], kind=kind, caches=False)[:RESULTS]


def _derivative_reference(*arrays: Any, kind: Kind, moved: tuple[bool, ...]) -> Any:
    operands, active = arrays[:OPERANDS], arrays[OPERANDS + RESULTS :]

    def moving(*values: Any) -> Any:
        rest = iter(values)
        return reference(
            kind, *(next(rest) if m else o for m, o in zip(moved, operands, strict=True))
        )

    at = [operand for operand, moves in zip(operands, moved, strict=True) if moves]
    return [*jax.jvp(moving, at, list(active))[1]]


def _derivative_transpose(
    cotangents: Arrays, *arrays: Any, kind: Kind, moved: tuple[bool, ...]
) -> list[Any]:
    known, active = arrays[: OPERANDS + RESULTS], arrays[OPERANDS + RESULTS :]
    if all(isinstance(cotangent, ad.Zero) for cotangent in cotangents):
        return [None] * len(arrays)
    dtype = known[X].dtype
    given = [
        jnp.zeros((0,), dtype) if isinstance(cotangent, ad.Zero) else cotangent
        for cotangent in cotangents
    ]
    places = [index for index, moves in enumerate(moved) if moves]
    wanted = [
        index
        for index, tangent in zip(places, active, strict=True)
        if ad.is_undefined_primal(tangent)
    ]
    gradients = gradient_p.bind(*known, *given, kind=kind, by_x=X in wanted)
    asked = [gradients[index] if index in wanted else None for index in places]
    return [None] * len(known) + asked


def _gradient_abstract(*arrays: Any, kind: Kind, by_x: bool) -> Any:
    shapes = [operand.shape for operand in arrays[:KEEP]]
    if not by_x:
        shapes[X] = (0,)
    return [jax.core.ShapedArray(shape, arrays[X].dtype) for shape in shapes]


def _gradient_reference(*arrays: Any, kind: Kind, by_x: bool) -> list[jax.Array]:
    operands, cotangents = arrays[:OPERANDS], arrays[OPERANDS + RESULTS :]
    results, pull = jax.vjp(lambda *o: reference(kind, *o, operands[KEEP]), *operands[:KEEP])
    gradients = [
        *pull(
            tuple(
                ct if ct.size else jnp.zeros_like(result)
                for ct, result in zip(cotangents, results, strict=True)
            )
        )
    ]
    if not by_x:
        gradients[X] = jnp.zeros((0,), gradients[X].dtype)
    return gradients


def _by_reference(primitive: Primitive, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule of derivatives of a primitive whose caches do not count."""

    def rule(primals: Arrays, tangents: Arrays, **parameters: Any) -> Any:
        moves = [
            index
            for index, tangent in enumerate(tangents)
            if not isinstance(tangent, ad.Zero)
            and index != KEEP
            and not OPERANDS <= index < OPERANDS + RESULTS
        ]

        def moving(*values: Any) -> Any:
            arrays = list(primals)
            for index, value in zip(moves, values, strict=True):
                arrays[index] = value
            return function(*arrays, **parameters)

        results = primitive.bind(*primals, **parameters)
        at, along = [primals[i] for i in moves], [tangents[i] for i in moves]
        return results, jax.jvp(moving, at, along)[1]

    return rule


def _one_by_one(primitive: Primitive) -> Callable[..., Any]:
    """Return the rule of a mapped axis that computes one element after another."""

    def rule(arrays: Arrays, axes: Arrays, **parameters: Any) -> Any:
        mapped = [
            jnp.moveaxis(array, axis, 0)
            for array, axis in zip(arrays, axes, strict=True)
            if axis is not batching.not_mapped
        ]

        def one(values: list[Any]) -> list[Any]:
            rest = iter(values)
            return primitive.bind(
                *(
                    array if axis is batching.not_mapped else next(rest)
                    for array, axis in zip(arrays, axes, strict=True)
                ),
                **parameters,
            )

        results = lax.map(one, mapped)
        return results, [0] * len(results)

    return rule


def _lower(name: str) -> Callable[..., Any]:
    def rule(context: Any, *arrays: Any, kind: Kind, **_: Any) -> Any:
        native()  # tells XLA of the handler
        return jax.ffi.ffi_lowering(name)(context, *arrays, gru=kind.gru, reverse=kind.reverse)

    return rule


def _primitive(name: str, abstract: Any, function: Callable[..., Any]) -> Primitive:
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(lambda *a, **k: jax.jit(lambda *a: primitive.bind(*a, **k))(*a))
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=True))
    batching.primitive_batchers[primitive] = _one_by_one(primitive)
    return primitive


recurrence_p = _primitive("plait_recurrence", _recurrence_abstract, _recurrence_reference)
derivative_p = _primitive("plait_recurrence_jvp", _derivative_abstract, _derivative_reference)
gradient_p = _primitive("plait_recurrence_vjp", _gradient_abstract, _gradient_reference)
ad.primitive_jvps[recurrence_p] = _recurrence_jvp
ad.primitive_jvps[derivative_p] = _by_reference(derivative_p, _derivative_reference)
ad.primitive_jvps[gradient_p] = _by_reference(gradient_p, _gradient_reference)
ad.primitive_transposes[derivative_p] = _derivative_transpose
mlir.register_lowering(recurrence_p, _lower("plait_onednn_recurrence"), platform="cpu")
mlir.register_lowering(gradient_p, _lower("plait_onednn_recurrence_backward"), platform="cpu")
