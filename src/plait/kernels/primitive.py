"""How a JAX primitive with a native kernel is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import batching, mlir

if TYPE_CHECKING:
    from jax.extend.core import Primitive
else:  # That module brings Pallas along, which takes 11 ms to import.
    Primitive = type(lax.add_p)

Arrays = Sequence[Any]
Rule = Callable[..., Any]


def primitive(
    name: str,
    *,
    shaped: Rule,
    reference: Rule,
    batched: Rule | None = None,
    several: bool = False,
) -> Primitive:
    """Return a primitive that XLA computes, as long as no other lowering is registered.

    Args:
        name: of the primitive.
        shaped: its rule of shapes and dtypes.
        reference: what computes the same with XLA.
        batched: its rule of mapped axes; default, of one with several results: `one_by_one`.
        several: whether it has a list of results, not one.
    """
    made = Primitive(name)
    made.multiple_results = several
    made.def_impl(lambda *a, **k: jax.jit(lambda *a: made.bind(*a, **k))(*a))
    made.def_abstract_eval(shaped)
    mlir.register_lowering(made, mlir.lower_fun(reference, multiple_results=several))
    batching.primitive_batchers[made] = batched or one_by_one(made)
    return made


def one_by_one(primitive: Primitive) -> Rule:
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


def all_at_once(reference: Rule) -> Rule:
    """Return the rule of a mapped axis that computes all elements with XLA."""

    def rule(arrays: Arrays, axes: Arrays, **parameters: Any) -> Any:
        places = tuple(None if axis is batching.not_mapped else axis for axis in axes)
        results = jax.vmap(lambda *a: list(reference(*a, **parameters)), places)(*arrays)
        return results, [0] * len(results)

    return rule
