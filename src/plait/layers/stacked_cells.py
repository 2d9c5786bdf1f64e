"""What a recurrent cell is to the layers that run it, and cells stacked into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from plait.core.calling import ensure_built
from plait.core.layer import Layer
from plait.errors import ConfigError, ShapeError
from plait.graph import tree
from plait.graph.tensor import Shape, SymbolicTensor


def check_cell(who: str, cell: Any) -> None:
    """Check that a value is a cell: it has `call` and a `state_size` of whole numbers.

    Raises:
        ConfigError: it is none.
    """
    missing = [name for name in ("call", "state_size") if not hasattr(cell, name)]
    if missing:
        raise ConfigError(
            f"{who}: {type(cell).__name__} is no recurrent cell: it has no {missing[0]}.",
            fix="pass a cell such as layers.LSTMCell(64), or use layers.LSTM(64)",
        )
    if not all(isinstance(size, int) for size in tree.flatten(cell.state_size)):
        raise ConfigError(
            f"{who}: the state_size of {type(cell).__name__} is a whole number for each state; "
            f"received {cell.state_size!r}.",
            fix="self.state_size = units",
        )


def output_size(cell: Any) -> int:
    """Return the size of a cell's output; by default that of its first state."""
    size = getattr(cell, "output_size", None)
    return tree.flatten(cell.state_size)[0] if size is None else size


def initial_state(cell: Any, batch_size: Any) -> list[Any]:
    """Return a cell's initial state as a list; zeros if it does not say."""
    if hasattr(cell, "get_initial_state"):
        states = cell.get_initial_state(batch_size=batch_size)
        return [states] if tree.is_leaf(states) else list(states)
    dtype = getattr(cell, "compute_dtype", None)
    return [jnp.zeros((batch_size, size), dtype) for size in tree.flatten(cell.state_size)]


def build_cell(cell: Any, input_shape: Shape) -> None:
    """Build a cell that is a layer for the input of one time step."""
    if not isinstance(cell, Layer):
        return
    sizes: Any = cell.state_size  # type: ignore[attr-defined]
    states = tree.map_structure(
        lambda size: SymbolicTensor((input_shape[0], size), cell.compute_dtype), sizes
    )
    inputs = SymbolicTensor(tuple(input_shape), cell.compute_dtype)
    ensure_built(cell, (inputs, [states] if tree.is_leaf(states) else states), {})


def call_cell(cell: Any, inputs: Any, states: Any, training: bool) -> tuple[Any, list[Any]]:
    """Return a cell's output, and its new states nested and typed as `states` is.

    Raises:
        ShapeError: the cell returns another number of states.
    """
    takes_training = isinstance(cell, Layer) and "training" in cell._call_parameters
    kwargs = {"training": training} if takes_training else {}
    output, new_states = (cell if callable(cell) else cell.call)(inputs, states, **kwargs)
    old, new = tree.flatten(states), tree.flatten(new_states)
    if len(old) != len(new):
        raise ShapeError(
            f"has {len(old)} states, but its cell {type(cell).__name__} returns {len(new)}.",
            fix="let the cell's call return (output, [one new state for each state])",
        )
    typed = [jnp.asarray(value, before.dtype) for value, before in zip(new, old, strict=True)]
    return output, tree.pack(states, typed)


class StackedRNNCells(Layer):
    """Stack cells into one: each takes the output of the one before it.

    Its state is the list of the states of its cells.

    Args:
        cells: the cells, from the input to the output.

    Raises:
        ConfigError: there are none, or one is no cell.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> stack = layers.StackedRNNCells([layers.GRUCell(8), layers.LSTMCell(4)])
        >>> stack.state_size
        [8, [4, 4]]
        >>> layers.RNN(stack)(plait.Input((10, 3))).shape
        (None, 4)
    """

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not cells:
            raise ConfigError(f"{type(self).__name__}: there are no cells to stack.")
        for cell in cells:
            check_cell(type(self).__name__, cell)
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of the cells."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The size of the last cell's output."""
        return output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """Return the initial states of the cells."""
        return [initial_state(cell, batch_size) for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        """Build the cells."""
        for cell in self.cells:
            build_cell(cell, input_shape)
            input_shape = (input_shape[0], output_size(cell))

    def call(
        self, inputs: jax.Array, states: Sequence[Any], training: bool = False
    ) -> tuple[jax.Array, list[Any]]:
        """Return the output of the last cell, and the new states of all."""
        new_states = []
        for cell, given in zip(self.cells, states, strict=True):
            cell_states = [given] if tree.is_leaf(given) else given
            inputs, cell_states = call_cell(cell, inputs, cell_states, training)
            new_states.append(cell_states)
        return inputs, tree.pack(states, tree.flatten(new_states))

    def compute_output_shape(self, inputs_shape: Any, states_shape: Any) -> Any:
        """Return the shapes of the output and of the new states."""
        return (inputs_shape[0], self.output_size), states_shape
