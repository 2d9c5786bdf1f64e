"""A traced step, and the compiled program that runs it once or many times in one call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from plait import kernels
from plait.core.compilation import compile_once

_BLOCK_BYTES = 2**24
_MOST_BATCHES = 1024


class Step(NamedTuple):
    """One step as a jaxpr: ``(state, batch, seed, number) -> (state that changes, results)``.

    Attributes:
        jaxpr: the closed jaxpr; arguments and results are flat.
        state: shapes and dtypes of the state.
        batch: shapes and dtypes of a batch.
        changed: the places in the state that the step assigns.
        read: the places that it only reads.
        results: the structure of the results.
        loops_well: whether it keeps its speed in a loop.
    """

    jaxpr: Any
    state: list[Any]
    batch: list[Any]
    changed: tuple[int, ...]
    read: tuple[int, ...]
    results: Any
    loops_well: bool

    def run(
        self, changed: list[Any], read: list[Any], batch: list[Any], seed: Any, number: Any
    ) -> tuple[list[Any], list[Any]]:
        """Return the new values of `changed`, and the results, flat."""
        state: list[Any] = [None] * len(self.state)
        for places, values in ((self.changed, changed), (self.read, read)):
            for place, value in zip(places, values, strict=True):
                state[place] = value
        outputs = jax.core.eval_jaxpr(
            self.jaxpr.jaxpr, self.jaxpr.consts, *state, *batch, seed, number
        )
        strict = [lax.convert_element_type(x, x.dtype) for x in map(jnp.asarray, outputs)]
        return strict[: len(self.changed)], strict[len(self.changed) :]


def trace(
    function: Callable[..., tuple[dict[int, Any], Any]], state: Sequence[Any], batch: Sequence[Any]
) -> Step:
    """Trace a step.

    Args:
        function: ``(state, batch, seed, number) -> ({place: new value}, results)``.
        state: shapes and dtypes.
        batch: shapes and dtypes.
    """
    number = jax.ShapeDtypeStruct((), np.uint32)
    jaxpr, (changed, results) = jax.make_jaxpr(function, return_shape=True)(
        list(state), list(batch), number, number
    )
    used = {id(variable) for variable in _used(jaxpr.jaxpr)}
    read = tuple(
        place
        for place, variable in enumerate(jaxpr.jaxpr.invars[: len(state)])
        if id(variable) in used and place not in changed
    )
    places = tuple(sorted(changed))
    structure, loops_well = jax.tree.structure(results), kernels.loops_well(jaxpr)
    return Step(jaxpr, list(state), list(batch), places, read, structure, loops_well)


def _used(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield from equation.invars
    yield from jaxpr.outvars


class Program:
    """A compiled call that runs some steps over a block of batches.

    Args:
        step: the traced step.
        length: the batches of a block; a block of one is run without a loop.
        donate: take the values that change away from the caller.
        stacked: return the results of every step, else of the last one.

    Attributes:
        seconds: how long a step takes, None if not known yet.
    """

    def __init__(self, step: Step, length: int, *, donate: bool, stacked: bool) -> None:
        self.step, self.length = step, length
        self.seconds: float | None = None
        run = _once(step, stacked) if length == 1 else _many(step, stacked)
        self._lowered = jax.jit(run, donate_argnums=(0,) if donate else ()).lower(
            [step.state[place] for place in step.changed],
            [step.state[place] for place in step.read],
            [jax.ShapeDtypeStruct((length, *leaf.shape), leaf.dtype) for leaf in step.batch],
            jax.ShapeDtypeStruct((4,), np.uint32),
        )
        self._lock = threading.Lock()
        self._compiled: Callable[..., Any] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it is compiled."""
        return self._compiled is not None

    def arguments(self, state: Sequence[Any], block: list[Any]) -> tuple[Any, ...]:
        """Return what `call` takes of a state, and the leaves of a block."""
        step = self.step
        return (
            [state[place] for place in step.changed],
            [state[place] for place in step.read],
            block,
        )

    def function(self) -> Callable[..., Any]:
        """Return the compiled call; it takes `arguments` and four numbers.

        The numbers are the seed, the number of the first step, the first batch, and how many. It
        returns the values of `Step.changed`, and the results.
        """
        compiled = self._compiled or self.ready()
        # After its first run a program can be called without Python in between.
        return getattr(compiled, "_call", None) or compiled

    def ready(self) -> Callable[..., Any]:
        """Wait until it is compiled."""
        with self._lock:
            if self._compiled is None:
                self._compiled = compile_once(self._lowered)
                del self._lowered
            return self._compiled


def in_background(programs: list[Program]) -> None:
    """Compile programs, one after the other: XLA does not need the interpreter."""

    def compile_all() -> None:
        for program in programs:
            with contextlib.suppress(Exception):  # Whoever calls it gets the error.
                program.ready()

    if programs:
        threading.Thread(target=compile_all, name="plait-compile").start()


def _once(step: Step, stacked: bool) -> Callable[..., Any]:
    def run(changed: list[Any], read: list[Any], block: list[Any], numbers: Any) -> Any:
        batch = [leaf[0] for leaf in block]
        changed, results = step.run(changed, read, batch, numbers[0], numbers[1])
        return changed, [result[None] for result in results] if stacked else results

    return run


def _many(step: Step, stacked: bool) -> Callable[..., Any]:
    def run(changed: list[Any], read: list[Any], block: list[Any], numbers: Any) -> Any:
        seed, number, first, count = numbers

        def body(index: Any, carry: Any) -> Any:
            changed, results = unpack(carry)
            batch = [
                lax.dynamic_index_in_dim(leaf, first + index, keepdims=False) for leaf in block
            ]
            changed, new = step.run(changed, read, batch, seed, number + index)
            if not stacked:
                return pack((changed, new))
            pairs = zip(results, new, strict=True)
            put = lax.dynamic_update_index_in_dim
            return pack((changed, [put(whole, one, first + index, 0) for whole, one in pairs]))

        shape = block[0].shape[:1] if stacked else ()
        results = [
            jnp.zeros(shape + aval.shape, aval.dtype)
            for aval in step.jaxpr.out_avals[len(step.changed) :]
        ]
        pack, unpack = _packing((changed, results))
        return unpack(lax.fori_loop(jnp.uint32(0), count, body, pack((changed, results))))

    return run


def _packing(like: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return functions that put the scalars of nested arrays into one vector a dtype, and back.

    What a loop carries XLA computes by a kernel for each array; those of single numbers, as metrics
    have, take longer to start than to run, and keep threads from larger ones.
    """
    leaves, structure = jax.tree.flatten(like)
    places: dict[Any, list[int]] = {}
    for place, leaf in enumerate(leaves):
        if leaf.shape == ():
            places.setdefault(leaf.dtype, []).append(place)
    scalar = [place for group in places.values() for place in group]

    def pack(values: Any) -> Any:
        leaves = jax.tree.leaves(values)
        vectors = [jnp.stack([leaves[place] for place in group]) for group in places.values()]
        return vectors, {p: leaf for p, leaf in enumerate(leaves) if p not in scalar}

    def unpack(values: Any) -> Any:
        vectors, rest = values
        numbers = [number for vector in vectors for number in vector]
        found = {**rest, **dict(zip(scalar, numbers, strict=True))}
        return jax.tree.unflatten(structure, [found[place] for place in sorted(found)])

    return pack, unpack


def batches_in_a_block(step: Step, most: int) -> int:
    """Return how many batches make a block: of a few sizes, so that few programs are compiled.

    Args:
        step: the step on one of the batches.
        most: as many as there are.
    """
    given = sum(leaf.size * leaf.dtype.itemsize for leaf in step.batch)
    returned = sum(a.size * a.dtype.itemsize for a in step.jaxpr.out_avals[len(step.changed) :])
    fitting = max(min(_BLOCK_BYTES // max(given, returned, 1), _MOST_BATCHES), 1)
    wanted = next((size for size in (16, 256) if size >= most), _MOST_BATCHES)
    return min(wanted, 1 << (fitting.bit_length() - 1)) if most > 1 else 1
