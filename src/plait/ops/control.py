"""Branches and loops inside a computation, and functions made from functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from plait.core.variable import unwrapped
from plait.ops.arguments import Table


def _while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """Apply `body` to `loop_vars` while `cond` holds, at most `maximum_iterations` times."""
    many = isinstance(loop_vars, list | tuple)

    def values(result: Any) -> tuple[Any, ...]:
        return tuple(result) if many else (result,)

    def go_on(state: Any) -> Any:
        count, variables = state
        wanted = cond(*variables)
        return wanted if maximum_iterations is None else wanted & (count < maximum_iterations)

    def step(state: Any) -> Any:
        count, variables = state
        return count + 1, values(body(*variables))

    result = lax.while_loop(go_on, step, (0, values(loop_vars)))[1]
    return result if many else result[0]


def _switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    return lax.switch(index, branches, *operands)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `f` with the gradient that it returns next to its value.

    Args:
        f: returns ``(value, gradient)``, where ``gradient(upstream)`` returns one gradient for
            each argument.
    """
    traced = jax.custom_gradient(f)

    def function(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = unwrapped((args, kwargs))
        return traced(*args, **kwargs)

    return function


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: set[int | str] | None = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """Return `pyfunc`, which works on scalars or on `signature`, for arrays that broadcast."""
    return jnp.vectorize(pyfunc, excluded=excluded or set(), signature=signature)


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """Return ``fun(*primals)`` and its derivative in the direction of `tangents`."""
    primals, tangents = unwrapped((tuple(primals), tuple(tangents)))
    return jax.jvp(fun, primals, tangents, has_aux=has_aux)


STRUCTURED: Table = {
    "associative_scan": lambda f, elems, reverse=False, axis=0: lax.associative_scan(
        f, elems, reverse, axis
    ),
    "cond": lambda pred, true_fn, false_fn: lax.cond(pred, true_fn, false_fn),
    "fori_loop": lambda lower, upper, body_fun, init_val: lax.fori_loop(
        lower, upper, body_fun, init_val
    ),
    "map": lambda f, xs: lax.map(f, xs),
    "scan": lambda f, init, xs=None, length=None, reverse=False, unroll=1: lax.scan(
        f, init, xs, length, reverse, unroll
    ),
    "switch": _switch,
    "vectorized_map": lambda function, elements: jax.vmap(function)(elements),
    "while_loop": _while_loop,
}
