"""Run a recurrent cell over the time steps of a sequence, in one compiled loop.

Sequences are time-major here: (time, batch, ...). What does not depend on the state is computed
for all time steps before the loop, so that its body stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from plait.core.layer import Layer
from plait.core.scope import Scope, current_scope
from plait.core.variable import Variable
from plait.errors import ShapeError
from plait.graph import tree
from plait.layers.recurrent_cell import RecurrentCell
from plait.layers.stacked_cells import StackedRNNCells, call_cell


@dataclass(frozen=True)
class TimeLoop:
    """How to run over time.

    Attributes:
        training: whether this is training.
        reverse: whether to begin with the last step; outputs keep the place of their inputs.
        unroll: whether to write the steps out instead of looping.
        every_step: whether to return the output of every step, or of the one run last.
        zero_masked: whether the output of a masked step is 0, or the first state, which stays
            that of the step before.
    """

    training: bool = False
    reverse: bool = False
    unroll: bool = False
    every_step: bool = True
    zero_masked: bool = False

    def run(self, cell: Any, sequence: Any, states: Any, keep: Any = None) -> tuple[Any, Any]:
        """Return the output or outputs of a cell, and its last states.

        Args:
            cell: the cell.
            sequence: of shape (time, batch, ...).
            states: as `StackedRNNCells` or the cell nests them.
            keep: None, or of shape (time, batch): False where a step is masked and keeps the state.
        """
        if isinstance(cell, StackedRNNCells) and type(cell).call is StackedRNNCells.call:
            return self._run_stack(cell, sequence, states, keep)
        run = self._run_projected if _projects(cell) else self._run_called
        outputs, states = run(cell, sequence, states, keep)
        if keep is not None and self.zero_masked:
            kept = keep if self.every_step else keep[self._last]
            outputs = jnp.where(_like(kept, outputs), outputs, 0)
        return outputs, states

    def _run_stack(self, stack: StackedRNNCells, sequence: Any, states: Any, keep: Any) -> Any:
        """Run the first cell over the whole sequence, then the next over its outputs, ..."""
        inner = TimeLoop(self.training, self.reverse, self.unroll)
        new_states = []
        for cell, cell_states in zip(stack.cells, states, strict=True):
            loop = self if cell is stack.cells[-1] else inner
            sequence, last = loop.run(cell, sequence, cell_states, keep)
            new_states.append(last)
        return sequence, new_states

    def _run_projected(self, cell: RecurrentCell, sequence: Any, states: Any, keep: Any) -> Any:
        if not self.unroll:
            done = cell.over_time(sequence, states, keep, self.training, self.reverse)
            if done is not None:
                outputs, states = done
                return outputs if self.every_step else states[0], states
        projected, step = cell.begin(sequence, self.training)

        def body(states: list[Any], now: Any) -> tuple[list[Any], Any]:
            inputs, kept = now
            states = _hold(kept, step(inputs, states), states)
            return states, states[0] if self.every_step else None

        states, outputs = self._scan(body, states, (projected, keep))
        return outputs if self.every_step else states[0], states

    def _run_called(self, cell: Any, sequence: Any, states: Any, keep: Any) -> Any:
        """Call the cell at each step; what it assigns, adds to the loss or draws is kept."""
        scope = current_scope()
        assert scope is not None
        variables = cell.non_trainable_variables if isinstance(cell, Layer) else []
        changed: dict[Variable, Any] = {}

        def body(carry: Any, now: Any) -> Any:
            states, values = carry
            inputs, kept, time = now
            with step_scope(scope, dict(zip(variables, values, strict=True)), time) as inner:
                output, new_states = call_cell(cell, inputs, states, self.training)
                changed.update(inner.changed)
                values = [inner.read(variable) for variable in variables]
            new_states = _hold(kept, new_states, states)
            if kept is not None and not self.zero_masked:
                output = jnp.where(_like(kept, output), output, _held_output(new_states, output))
            return (new_states, values), (output, [jnp.asarray(loss) for loss in inner.losses])

        carry = (states, [scope.read(variable) for variable in variables])
        times = jnp.arange(sequence.shape[0])
        (states, values), (outputs, losses) = self._scan(body, carry, (sequence, keep, times))
        for variable, value in zip(variables, values, strict=True):
            if variable in changed:
                scope.assign(variable, value)
        scope.losses += [jnp.sum(loss, axis=0) for loss in losses]
        return outputs if self.every_step else outputs[self._last], states

    def _scan(self, body: Any, carry: Any, inputs: Any) -> tuple[Any, Any]:
        return lax.scan(body, carry, inputs, reverse=self.reverse, unroll=self.unroll)

    @property
    def _last(self) -> int:
        return 0 if self.reverse else -1


def step_scope(scope: Scope, values: dict[Variable, Any], time: Any) -> Scope:
    """Return a child scope for one time step: what is drawn in it differs from step to step."""
    inner = scope.child(values)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), scope.step), time)
    inner.step = jax.random.bits(key, dtype="uint32")
    return inner


def _projects(cell: Any) -> bool:
    scope = current_scope()
    return (
        isinstance(cell, RecurrentCell)
        and type(cell).call is RecurrentCell.call
        and cell.activity_regularizer is None
        and scope is not None
        and scope.compute_dtype == cell.compute_dtype
    )


def _hold(kept: Any, new: Any, old: Any) -> Any:
    if kept is None:
        return new
    return tree.map_structure(lambda n, o: jnp.where(_like(kept, n), n, o), new, old)


def _like(kept: Any, array: Any) -> Any:
    return kept.reshape(kept.shape + (1,) * (array.ndim - kept.ndim))


def _held_output(states: Any, output: Any) -> Any:
    first = tree.flatten(states if tree.is_leaf(states[0]) else states[-1])[0]
    if first.shape != output.shape:
        raise ShapeError(
            f"cannot repeat the output of a masked step: the first state is {first.shape}, the "
            f"output {output.shape}.",
            fix="pass zero_output_for_mask=True",
        )
    return first
