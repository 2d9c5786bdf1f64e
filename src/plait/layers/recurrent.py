"""The recurrent layer over any cell."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.core.layer import Layer
from plait.core.spec import InputSpec, is_shape, shape_of, shapes_of
from plait.core.variable import Variable
from plait.errors import ShapeError
from plait.graph import tree
from plait.graph.tensor import Shape
from plait.layers.stacked_cells import (
    StackedRNNCells,
    build_cell,
    check_cell,
    initial_state,
    output_size,
)
from plait.layers.time_loop import TimeLoop


class RNN(Layer):
    """Run a cell over the time steps of sequences of shape (batch, time, features...).

    A cell is a layer with `state_size` (a whole number, or a list of them), optionally
    `output_size` and `get_initial_state(batch_size)`, and ``call(inputs, states)`` that returns
    ``(output, new_states)`` for one time step; `states` is a list.

    Called as ``layer(x)``, ``layer(x, initial_state=[...])`` or ``layer([x, state, ...])``. It
    returns the last output (batch, output_size), or with `return_sequences` all of them (batch,
    time, output_size); with `return_state` a tuple of that and the last states. Steps where
    ``mask`` (batch, time) is False keep the state.

    Args:
        cell: a cell, or a list of cells to stack.
        return_sequences: whether to return the output of every step.
        return_state: whether to return the last states as well.
        go_backwards: whether to begin with the last step; outputs come in the order of running.
        stateful: whether the states of one batch are the initial states of the next. The batch
            size must be fixed.
        unroll: whether to write the steps out instead of looping; for short sequences.
        zero_output_for_mask: whether a masked step's output is 0 instead of the one before.

    Raises:
        ConfigError: `cell` is no cell.
        ShapeError: the inputs have fewer than 3 axes, the initial states do not fit the cell, or
            the layer is stateful and the batch size is not known or not the same.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> class Leaky(layers.Layer):
        ...     state_size = 3
        ...     def call(self, inputs, states):
        ...         new = 0.9 * states[0] + inputs
        ...         return new, [new]
        >>> layers.RNN(Leaky(), return_sequences=True)(plait.Input((10, 3))).shape
        (None, 10, 3)
    """

    supports_masking = True
    call_advice = (
        "give it (batch, time, features); after another recurrent layer, that one needs "
        "return_sequences=True"
    )

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(cell, list | tuple):
            cell = StackedRNNCells(cell, dtype=self.dtype_policy)
        check_cell(type(self).__name__, cell)
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.input_spec = InputSpec(min_ndim=3)
        self.states: Any = None

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        """Run on sequences; a list is the sequences and the initial states."""
        if isinstance(sequences, list | tuple) and sequences and "initial_state" not in kwargs:
            sequences, *states = sequences
            kwargs["initial_state"] = states or None
        return super().__call__(sequences, *args, **kwargs)

    @property
    def state_size(self) -> list[Any]:
        """The size of each state."""
        size = self.cell.state_size
        return [size] if isinstance(size, int) else list(size)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Build the cell for one time step; make the states if they are kept."""
        build_cell(self.cell, (sequences_shape[0], *sequences_shape[2:]))
        if self.stateful:
            if sequences_shape[0] is None:
                raise ShapeError(
                    "is stateful, so its batch size must be known.",
                    fix="fix it: Input(batch_shape=(32, 10, 8))",
                )
            with jax.ensure_compile_time_eval():
                start = self.get_initial_state(sequences_shape[0])
            self.states = tree.map_structure(self._kept_state, start)

    def _kept_state(self, value: jax.Array) -> Variable:
        return self.add_weight(
            value.shape, lambda shape, dtype: value, trainable=False, name="rnn_state"
        )

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return the states that sequences begin with."""
        return initial_state(self.cell, batch_size)

    def reset_state(self) -> None:
        """Set the kept states to 0; without `stateful` there are none."""
        for variable in tree.flatten(self.states or []):
            variable.assign(jnp.zeros(variable.shape))

    reset_states = reset_state

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Return the last output or all, and the last states if asked."""
        given = None if initial_state is None else shapes_of(initial_state)
        self._check_states(shape_of(sequences) or (), given)
        loop = TimeLoop(
            training=training,
            reverse=self.go_backwards,
            unroll=self.unroll,
            every_step=self.return_sequences,
            zero_masked=self.zero_output_for_mask,
        )
        outputs, states = loop.run(
            self.cell,
            jnp.swapaxes(sequences, 0, 1),
            self._first_states(sequences.shape[0], initial_state),
            _keep(mask),
        )
        outputs, states = tree.map_structure(
            lambda array: array.astype(self.compute_dtype), (outputs, states)
        )
        if self.stateful:
            for variable, value in zip(
                tree.flatten(self.states), tree.flatten(states), strict=True
            ):
                variable.assign(value)
        if self.return_sequences:
            outputs = jnp.swapaxes(jnp.flip(outputs, 0) if self.go_backwards else outputs, 0, 1)
        if not self.return_state:
            return outputs
        return (outputs, *tree.pack(self.state_size, tree.flatten(states)))

    def _first_states(self, batch_size: int, given: Any) -> list[Any]:
        states = self.get_initial_state(batch_size)
        if given is not None:
            states = tree.pack(states, tree.flatten(given))
        elif self.stateful:
            states = tree.map_structure(lambda variable: variable.value, self.states)
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        return tree.map_structure(lambda state: jnp.asarray(state, dtype), states)

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """Return (batch, [time,] output_size), and the shapes of the states if asked."""
        self._check_states(sequences_shape, initial_state_shape)
        batch, time = sequences_shape[:2]
        size = output_size(self.cell)
        outputs = (batch, time, size) if self.return_sequences else (batch, size)
        if not self.return_state:
            return outputs
        return (outputs, *tree.map_structure(lambda size: (batch, size), self.state_size))

    def _check_states(self, sequences_shape: Shape, given: Any) -> None:
        batch = sequences_shape[0]
        if self.states is not None:
            fixed = tree.flatten(self.states)[0].shape[0]
            if batch not in (None, fixed):
                raise ShapeError(
                    f"is stateful with a batch of {fixed}; received a batch of {batch}.",
                    fix=f"pass batches of {fixed}: batch_size={fixed}",
                )
        if given is None:
            return
        shapes = [given] if is_shape(given) else _flat_shapes(given)
        wanted: list[Shape] = [(batch, size) for size in tree.flatten(self.state_size)]
        if len(shapes) != len(wanted) or not all(map(_fits, shapes, wanted)):
            raise ShapeError(
                f"begins with {_listed(wanted)}, received initial_state of {_listed(shapes)}.",
                fix="pass the states that a layer of the same kind and size returns with "
                "return_state=True",
            )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the steps for the outputs of all steps, none for the rest."""
        mask = tree.flatten(previous_mask)[0] if self.return_sequences else None
        return [mask, *(None for _ in self.state_size)] if self.return_state else mask


def _keep(mask: Any) -> Any:
    """Return a mask as (time, batch): a step counts if any of its features does."""
    if mask is None:
        return None
    mask = jnp.asarray(tree.flatten(mask)[0], bool)
    return jnp.any(mask, axis=tuple(range(2, mask.ndim))).T


def _flat_shapes(shapes: Any) -> list[Shape]:
    return [
        shape for item in shapes for shape in ([item] if is_shape(item) else _flat_shapes(item))
    ]


def _fits(shape: Shape, wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(
        have == want or None in (have, want) for have, want in zip(shape, wanted, strict=True)
    )


def _listed(shapes: list[Shape]) -> str:
    count = f"{len(shapes)} state" + ("s" if len(shapes) != 1 else "")
    return f"{count} of shape " + ", ".join(str(tuple(shape)) for shape in shapes)
