"""Operations with a native kernel and a native gradient, differentiable to any order.

An operation is three primitives, each lowered to a native kernel on the CPU where there is one:

- the function itself, which returns as well what its gradient needs (the caches);
- its derivative, linear in the tangents, whose transpose is
- the gradient.

The caches are functions of the operands, of which derivatives need not know: the derivatives of
the second and third primitive are those of the reference, which is the same function on XLA.
An operand that is not there has no elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import ad, mlir

from plait.kernels.native import native
from plait.kernels.primitive import Arrays, Primitive, all_at_once, primitive

Shapes = list[tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Operation:
    """A function of arrays, which a hashable `kind` tells the details.

    Args:
        name: of the primitives.
        operands: how many it has.
        results: how many it has.
        reference: ``(kind, *operands)`` -> the results, on XLA.
        shapes: ``(kind, operands, caches)`` -> the shapes of results and caches; those of caches
            that are not asked for may be ``(0,)``.
        handlers: the native handlers of the function and of its gradient. The gradient takes the
            operands, what is kept, and the gradients by the results, one that is 0 without
            elements; it returns the gradients by all operands that are not fixed.
        attributes: kind -> what the handlers get to know.
        kept: the places, among results and caches, of what the gradient takes.
        fixed: the places of operands without derivatives.
        skipped: the places of operands whose gradients are not computed where nobody asks.
        has_gradient: ``(kind, wanted, given)`` -> whether the native gradient gives those by the
            operands at `wanted` from gradients by the results at `given`.
        maps_on_xla: whether XLA computes all elements of a mapped axis at once, which is faster
            than one after another where each is small.
    """

    name: str
    operands: int
    results: int
    reference: Callable[..., Sequence[Any]]
    shapes: Callable[[Any, Arrays, bool], Shapes]
    handlers: tuple[str, str]
    attributes: Callable[[Any], dict[str, Any]]
    kept: tuple[int, ...]
    fixed: frozenset[int] = frozenset()
    skipped: frozenset[int] = frozenset()
    has_gradient: Callable[[Any, Sequence[int], Sequence[int]], bool] = lambda *_: True
    maps_on_xla: bool = False
    function: Primitive = field(init=False)
    derivative: Primitive = field(init=False)
    gradient: Primitive = field(init=False)

    def __post_init__(self) -> None:
        for part, suffix, abstract, computed in (
            ("function", "", self._shaped, self._reference),
            ("derivative", "_jvp", self._shaped_derivative, self._reference_derivative),
            ("gradient", "_vjp", self._shaped_gradient, self._reference_gradient),
        ):
            batched = all_at_once(computed) if self.maps_on_xla else None
            made = primitive(
                self.name + suffix,
                shaped=abstract,
                reference=computed,
                batched=batched,
                several=True,
            )
            object.__setattr__(self, part, made)
        ad.primitive_jvps[self.function] = self._differentiate
        for linear, computed in (
            (self.derivative, self._reference_derivative),
            (self.gradient, self._reference_gradient),
        ):
            ad.primitive_jvps[linear] = self._by_reference(linear, computed)
        ad.primitive_transposes[self.derivative] = self._transpose
        for native_one, handler in zip((self.function, self.gradient), self.handlers, strict=True):
            mlir.register_lowering(native_one, self._lowering(handler), platform="cpu")

    def __call__(self, kind: Any, *operands: Any) -> list[jax.Array]:
        """Return the results."""
        return self.function.bind(*operands, kind=kind, caches=False)[: self.results]

    # -- the function -----------------------------------------------------------------------

    def _shaped(self, *operands: Any, kind: Any, caches: bool) -> Any:
        shapes = self.shapes(kind, operands, caches)
        return [jax.core.ShapedArray(shape, operands[0].dtype) for shape in shapes]

    def _reference(self, *operands: Any, kind: Any, caches: bool) -> list[Any]:
        """Without a native kernel caches are not used, and are 0."""
        shapes = self.shapes(kind, operands, caches)[self.results :]
        nothing = [jnp.zeros(shape, operands[0].dtype) for shape in shapes]
        return [*self.reference(kind, *operands), *nothing]

    def _differentiate(self, primals: Arrays, tangents: Arrays, *, kind: Any, caches: bool) -> Any:
        results = self.function.bind(*primals, kind=kind, caches=True)
        moved = tuple(
            index not in self.fixed and not isinstance(tangent, ad.Zero)
            for index, tangent in enumerate(tangents)
        )
        active = [tangent for tangent, moves in zip(tangents, moved, strict=True) if moves]
        kept = [results[index] for index in self.kept]
        changes = self.derivative.bind(*primals, *kept, *active, kind=kind, moved=moved)
        if not caches:
            shapes = self.shapes(kind, primals, False)
            results = [
                result if result.shape == shape else jnp.zeros(shape, result.dtype)
                for result, shape in zip(results, shapes, strict=True)
            ]
        still = [ad.Zero(jax.typeof(x).to_tangent_aval()) for x in results[self.results :]]
        return results, [*changes, *still]

    # -- its derivative ---------------------------------------------------------------------

    def _known(self) -> int:
        return self.operands + len(self.kept)

    def _shaped_derivative(self, *arrays: Any, kind: Any, moved: tuple[bool, ...]) -> Any:
        return self._shaped(*arrays[: self.operands], kind=kind, caches=False)[: self.results]

    def _reference_derivative(self, *arrays: Any, kind: Any, moved: tuple[bool, ...]) -> list[Any]:
        operands, active = arrays[: self.operands], arrays[self._known() :]

        def moving(*values: Any) -> Any:
            rest = iter(values)
            taken = [next(rest) if m else o for m, o in zip(moved, operands, strict=True)]
            return list(self.reference(kind, *taken))

        at = [operand for operand, moves in zip(operands, moved, strict=True) if moves]
        return list(jax.jvp(moving, at, list(active))[1])

    def _transpose(
        self, cotangents: Arrays, *arrays: Any, kind: Any, moved: tuple[bool, ...]
    ) -> list[Any]:
        known, active = arrays[: self._known()], arrays[self._known() :]
        given = [i for i, cotangent in enumerate(cotangents) if not isinstance(cotangent, ad.Zero)]
        if not given:
            return [None] * len(arrays)
        nothing = jnp.zeros((0,), known[0].dtype)
        by_results = [cotangents[i] if i in given else nothing for i in range(self.results)]
        places = [index for index, moves in enumerate(moved) if moves]
        wanted = tuple(
            index
            for index, tangent in zip(places, active, strict=True)
            if ad.is_undefined_primal(tangent)
        )
        if self.has_gradient(kind, wanted, given):
            gradients = self.gradient.bind(*known, *by_results, kind=kind, wanted=wanted)
        else:
            gradients = self._reference_gradient(*known, *by_results, kind=kind, wanted=wanted)
        by_place = dict(zip(self._moving(), gradients, strict=True))
        asked = [by_place[index] if index in wanted else None for index in places]
        return [None] * len(known) + asked

    # -- its gradient -----------------------------------------------------------------------

    def _moving(self) -> list[int]:
        return [index for index in range(self.operands) if index not in self.fixed]

    def _computed(self, wanted: tuple[int, ...]) -> list[int]:
        return [index for index in self._moving() if index in wanted or index not in self.skipped]

    def _shaped_gradient(self, *arrays: Any, kind: Any, wanted: tuple[int, ...]) -> Any:
        computed = self._computed(wanted)
        shapes = [arrays[i].shape if i in computed else (0,) for i in self._moving()]
        return [jax.core.ShapedArray(shape, arrays[0].dtype) for shape in shapes]

    def _reference_gradient(self, *arrays: Any, kind: Any, wanted: tuple[int, ...]) -> list[Any]:
        operands, cotangents = arrays[: self.operands], arrays[self._known() :]
        places = self._computed(wanted)

        def moving(*values: Any) -> Any:
            taken = list(operands)
            for place, value in zip(places, values, strict=True):
                taken[place] = value
            return list(self.reference(kind, *taken))

        results, pull = jax.vjp(moving, *(operands[place] for place in places))
        by_results = [
            cotangent if cotangent.size else jnp.zeros_like(result)
            for cotangent, result in zip(cotangents, results, strict=True)
        ]
        gradients = dict(zip(places, pull(by_results), strict=True))
        nothing = jnp.zeros((0,), arrays[0].dtype)
        return [gradients.get(index, nothing) for index in self._moving()]

    # -- both -------------------------------------------------------------------------------

    def _by_reference(self, primitive: Primitive, computed: Callable[..., Any]) -> Any:
        """Return the rule of derivatives of a primitive whose caches do not count."""
        kept = range(self.operands, self._known())

        def rule(primals: Arrays, tangents: Arrays, **parameters: Any) -> Any:
            moves = [
                index
                for index, tangent in enumerate(tangents)
                if not isinstance(tangent, ad.Zero)
                and index not in self.fixed
                and index not in kept
            ]

            def moving(*values: Any) -> Any:
                arrays = list(primals)
                for index, value in zip(moves, values, strict=True):
                    arrays[index] = value
                return computed(*arrays, **parameters)

            results = primitive.bind(*primals, **parameters)
            at, along = [primals[i] for i in moves], [tangents[i] for i in moves]
            return results, jax.jvp(moving, at, along)[1]

        return rule

    def _lowering(self, handler: str) -> Callable[..., Any]:
        def rule(context: Any, *arrays: Any, kind: Any, **_: Any) -> Any:
            native()  # tells XLA of the handler
            return jax.ffi.ffi_lowering(handler)(context, *arrays, **self.attributes(kind))

        return rule
