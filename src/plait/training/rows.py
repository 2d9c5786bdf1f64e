"""Does a step compute each row of a batch from that row alone?

Only then may a batch be filled up with rows whose results are thrown away. The same step is traced
for two batch sizes and both traces are read side by side: the axis whose size differs is the axis
of the rows, and every operation must keep it apart. What is not known to do so counts as mixing.
Steps are traced for XLA's kernels: native ones compute the same, each for sizes of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plait.kernels.loops import inner_jaxprs
from plait.training.program import Step

_ELEMENTWISE = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp
    clz complex conj convert_element_type copy copy_p cos cosh digamma div eq erf erf_inv erfc exp
    exp2 expm1 floor ge gt igamma igammac imag integer_pow is_finite le lgamma log log1p logistic lt
    max min mul ne neg nextafter not optimization_barrier or polygamma population_count pow real
    reduce_precision rem round rsqrt select_n shift_left shift_right_arithmetic
    shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor
""".split()  # noqa: SIM905
_ALONG_AXES = """
    reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax argmin
    cumsum cumprod cummax cummin cumlogsumexp sort rev
""".split()  # noqa: SIM905
_CALLS = """
    jit pjit closed_call core_call custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr remat
    remat2 checkpoint custom_lin
""".split()  # noqa: SIM905
_SAME_FOR_EVERY_SIZE = frozenset(("iota", "broadcast_in_dim"))


class _Mixes(Exception):
    """An operation that may mix rows."""


def are_independent(small: Step, large: Step) -> bool:
    """Return whether row `i` of the results depends on nothing but row `i` of the batch.

    Args:
        small: the step traced for one size of batch.
        large: the same step traced for a larger one.
    """
    sizes = (small.batch[0].shape[0], large.batch[0].shape[0])
    if small.changed or large.changed or small.results != large.results:
        return False
    try:
        walk = _Walk(*sizes)
        outputs = walk.run(
            small.jaxpr.jaxpr, large.jaxpr.jaxpr, small.jaxpr.consts, large.jaxpr.consts
        )
    except _Mixes:
        return False
    rows = [aval.shape[:1] == sizes[:1] for aval in small.jaxpr.out_avals]
    return all(rows) and all(axis == 0 for axis in outputs)


class _Walk:
    """Reads two traces of the same step, of batches of `a` and of `b` rows."""

    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b

    def axis(self, small: Any, large: Any) -> int | None:
        """Return the axis of the rows of a value, None if it has none."""
        if len(small.shape) != len(large.shape) or small.dtype != large.dtype:
            raise _Mixes
        differing = [
            i for i, (m, n) in enumerate(zip(small.shape, large.shape, strict=True)) if m != n
        ]
        if not differing:
            return None
        axis = differing[0]
        m, n = small.shape[axis], large.shape[axis]
        if len(differing) > 1 or m % self.a or m // self.a * self.b != n:
            raise _Mixes
        return axis

    def run(
        self, small: Any, large: Any, small_consts: Any = (), large_consts: Any = ()
    ) -> list[int | None]:
        """Check a jaxpr and return the axes of its results."""
        for one, other in zip(small_consts, large_consts, strict=True):
            if one is not other and not np.array_equal(np.asarray(one), np.asarray(other)):
                raise _Mixes
        if len(small.eqns) != len(large.eqns):
            raise _Mixes
        partners: dict[int, int] = {}
        self._pair(partners, [*small.constvars, *small.invars], [*large.constvars, *large.invars])
        for one, other in zip(small.eqns, large.eqns, strict=True):
            self._require_partners(partners, one.invars, other.invars)
            self._check(one, other)
            self._pair(partners, one.outvars, other.outvars)
        self._require_partners(partners, small.outvars, large.outvars)
        return self._axes(small.outvars, large.outvars)

    def _pair(self, partners: dict[int, int], small: Any, large: Any) -> None:
        partners.update((id(one), id(other)) for one, other in zip(small, large, strict=True))

    def _require_partners(self, partners: dict[int, int], small: Any, large: Any) -> None:
        for one, other in zip(small, large, strict=True):
            first, second = getattr(one, "val", None), getattr(other, "val", None)
            if first is None and second is None:
                self._require(partners.get(id(one)) == id(other))
            else:  # Numbers may not be made of the size of the batch.
                self._require(np.array_equal(np.asarray(first), np.asarray(second)))

    def _axes(self, small: Any, large: Any) -> list[int | None]:
        return [self.axis(m.aval, n.aval) for m, n in zip(small, large, strict=True)]

    def _check(self, small: Any, large: Any) -> None:
        name = small.primitive.name
        self._require(name == large.primitive.name)
        given = self._axes(small.invars, large.invars)
        got = self._axes(small.outvars, large.outvars)
        if all(axis is None for axis in given):
            inner = any(True for _ in inner_jaxprs(small))
            if not inner and name not in _SAME_FOR_EVERY_SIZE and any(a is not None for a in got):
                raise _Mixes  # As random numbers: the size decides what the values are.
            if not inner and not _same_parameters(small, large) and all(a is None for a in got):
                raise _Mixes
            if not inner:
                return
        if name in _ELEMENTWISE:
            # A scalar may stand beside arrays; otherwise shapes are equal.
            self._require(_same_parameters(small, large))
            self._require({a for a in given if a is not None} == set(got))
        elif name in _ALONG_AXES:
            self._keeps_reduced(name, small, given, got)
        elif name in _CALLS:
            self._enter(small, large)
        else:
            rule = _RULES.get(name)
            self._require(rule is not None)
            rule(self, small, large, given, got)  # type: ignore[misc]

    def _require(self, holds: bool) -> None:
        if not holds:
            raise _Mixes

    def _enter(self, small: Any, large: Any) -> None:
        pairs = list(zip(_closed(small), _closed(large), strict=True))
        self._require(bool(pairs))
        for (one, one_consts), (other, other_consts) in pairs:
            self.run(one, other, one_consts, other_consts)

    def _keeps_reduced(self, name: str, equation: Any, given: Any, got: Any) -> None:
        parameters = equation.params
        axes = parameters.get("axes", parameters.get("dimensions"))
        if axes is None:
            axes = (parameters.get("axis", parameters.get("dimension")),)
        rank = len(equation.invars[0].aval.shape)
        axes = {axis % rank for axis in axes}
        for axis, result in zip(given, got, strict=True):
            self._require(axis is None or (axis not in axes and result is not None))


def _closed(equation: Any) -> list[tuple[Any, Any]]:
    found = []
    for key, value in equation.params.items():
        if key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            found.append((getattr(value, "jaxpr", value), getattr(value, "consts", ())))
    return found


def _same_parameters(small: Any, large: Any) -> bool:
    def plain(equation: Any) -> dict[str, str]:
        return {key: str(value) for key, value in equation.params.items() if key != "sharding"}

    return plain(small) == plain(large)


# -- operations with a rule of their own -------------------------------------------------------

_Rule = Callable[[_Walk, Any, Any, list[Any], list[Any]], None]


def _broadcast(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    axis = given[0]
    walk._require(axis is not None and small.params["broadcast_dimensions"][axis] == got[0])


def _reshape(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    axis, result = given[0], got[0]
    walk._require(axis is not None and result is not None and small.params["dimensions"] is None)
    before = np.prod(small.invars[0].aval.shape[:axis], dtype=int)
    walk._require(before == np.prod(small.outvars[0].aval.shape[:result], dtype=int))


def _transpose(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    walk._require(small.params["permutation"][got[0]] == given[0])


def _split(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    walk._require(set(got) == {given[0]} and small.params["axis"] != given[0])


def _top(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    last = len(small.invars[0].aval.shape) - 1
    walk._require(set(got) == {given[0]} and small.params.get("axis", last) != given[0])


def _dot(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    (contract_left, contract_right), (batch_left, batch_right) = small.params["dimension_numbers"]
    left, right = given
    walk._require(got[0] is not None)
    walk._require(left not in contract_left and right not in contract_right)
    if left is not None and right is not None:
        walk._require(left in batch_left and right in batch_right)
        walk._require(batch_left.index(left) == batch_right.index(right))


def _concatenate(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    walk._require({a for a in given if a is not None} == {got[0]})
    walk._require(small.params["dimension"] != got[0])


def _squeeze(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    removed = small.params["dimensions"]
    walk._require(got[0] == given[0] - sum(axis < given[0] for axis in removed))


def _slice(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    axis = given[0]
    walk._require(axis is not None and got[0] == axis)
    strides = small.params["strides"]
    walk._require(strides is None or strides[axis] == 1)
    walk._require(small.invars[0].aval.shape[axis] == small.outvars[0].aval.shape[axis])


def _dynamic_slice(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    axis = given[0]
    walk._require(axis is not None and got[0] == axis and not any(a is not None for a in given[1:]))
    walk._require(small.invars[0].aval.shape[axis] == small.outvars[0].aval.shape[axis])


def _dynamic_update(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    operand, update, *starts = given
    walk._require(operand == update == got[0] and not any(a is not None for a in starts))
    walk._require(small.invars[0].aval.shape[operand] == small.invars[1].aval.shape[operand])


def _pad(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    axis = given[0]
    walk._require(axis is not None and given[1] is None and got[0] == axis)
    walk._require(small.params["padding_config"][axis] == (0, 0, 0))


def _window(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    axis, parameters = given[0], small.params
    walk._require(axis is not None and got[0] == axis and not any(a is not None for a in given[1:]))
    walk._require(parameters["window_dimensions"][axis] == 1 == parameters["window_strides"][axis])
    walk._require(tuple(parameters["padding"][axis]) == (0, 0))
    walk._require(parameters["base_dilation"][axis] == 1)


def _convolution(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    numbers = small.params["dimension_numbers"]
    walk._require(given[0] == numbers.lhs_spec[0] and given[1] is None)
    walk._require(got[0] == numbers.out_spec[0] and small.params["batch_group_count"] == 1)


def _gather(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    operand, indices = given
    numbers, result = small.params["dimension_numbers"], got[0]
    walk._require(result is not None)
    rank = len(small.outvars[0].aval.shape)
    index_axes = [axis for axis in range(rank) if axis not in numbers.offset_dims]
    if indices is not None:
        # The axes of the indices, in order, are those of the result that no slice makes.
        walk._require(index_axes[indices] == result)
    if operand is None:
        return
    if indices is None:
        kept = [
            axis
            for axis in range(len(small.invars[0].aval.shape))
            if axis not in numbers.collapsed_slice_dims
            and axis not in numbers.operand_batching_dims
        ]
        walk._require(operand in kept and operand not in numbers.start_index_map)
        walk._require(small.params["slice_sizes"][operand] == small.invars[0].aval.shape[operand])
        walk._require(numbers.offset_dims[kept.index(operand)] == result)
        return
    walk._require(operand in numbers.operand_batching_dims)
    place = numbers.operand_batching_dims.index(operand)
    walk._require(numbers.start_indices_batching_dims[place] == indices)


def _scan(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    walk._require(small.params["length"] == large.params["length"])
    # Steps go over the first axis, which the body does not see; rows must lie on another.
    body = small.params["jaxpr"]
    carries = sum(map(_same_rank, small.outvars, body.out_avals))
    consts = sum(map(_same_rank, small.invars, body.in_avals)) - carries
    walk._require(all(axis != 0 for axis in given[consts + carries :]))
    walk._require(all(axis != 0 for axis in got[carries:]))
    walk._require(given[consts : consts + carries] == got[:carries])
    walk._enter(small, large)


def _same_rank(variable: Any, inner: Any) -> bool:
    return len(variable.aval.shape) == len(inner.shape)


def _conditional(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    walk._require(given[0] is None)
    pairs = zip(small.params["branches"], large.params["branches"], strict=True)
    for one, other in pairs:
        walk.run(one.jaxpr, other.jaxpr, one.consts, other.consts)


def _while(walk: _Walk, small: Any, large: Any, given: Any, got: Any) -> None:
    for key in ("cond_jaxpr", "body_jaxpr"):
        one, other = small.params[key], large.params[key]
        walk.run(one.jaxpr, other.jaxpr, one.consts, other.consts)


_RULES: dict[str, _Rule] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "dot_general": _dot,
    "concatenate": _concatenate,
    "squeeze": _squeeze,
    "split": _split,
    "top_k": _top,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update,
    "pad": _pad,
    "reduce_window_max": _window,
    "reduce_window_min": _window,
    "reduce_window_sum": _window,
    "conv_general_dilated": _convolution,
    "gather": _gather,
    "scan": _scan,
    "cond": _conditional,
    "while": _while,
}
