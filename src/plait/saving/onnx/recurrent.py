"""Recurrent layers: ONNX's own LSTM, GRU and RNN where they mean the same, else a loop over time.

Sequences are time-major here, as ONNX and the layers' own loops have them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from plait import activations, layers
from plait.graph import tree
from plait.graph.tensor import Shape
from plait.layers.recurrent_cell import RecurrentCell
from plait.layers.stacked_cells import initial_state, output_size
from plait.saving.onnx.activations import activate
from plait.saving.onnx.arrays import (
    broadcast_to,
    expand_dims,
    flip,
    index_axis,
    size,
    slice_axis,
    squeeze,
)
from plait.saving.onnx.converters import call
from plait.saving.onnx.reductions import matmul, some
from plait.saving.onnx.registry import mask_of, onnx_converter, refuse
from plait.saving.onnx.tensor import Tensor, cast, constant, where, wide
from plait.saving.onnx.writer import tensor_type, value

_ONNX_ACTIVATIONS = {
    activations.tanh: "Tanh",
    activations.sigmoid: "Sigmoid",
    activations.relu: "Relu",
}


@onnx_converter(layers.RNN)
@onnx_converter(layers.LSTM)
@onnx_converter(layers.GRU)
@onnx_converter(layers.SimpleRNN)
def convert_recurrent(
    layer: layers.RNN, sequences: Tensor, initial_state: Any = None, mask: Any = None
) -> Any:
    """Write `RNN`, `LSTM`, `GRU` and `SimpleRNN`."""
    outputs, states = _run(layer, sequences, initial_state, mask)
    if layer.return_sequences:
        outputs = flip(outputs, 0) if layer.go_backwards else outputs
        outputs = outputs.transpose([1, 0, *range(2, outputs.ndim)])
    if not layer.return_state:
        return outputs
    return (outputs, *tree.pack(layer.state_size, tree.flatten(states)))


@mask_of(layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN)
def mask_of_recurrent(layer: layers.RNN, inputs: Any, previous: Any) -> Any:
    """Return the mask of the steps for the outputs of all steps, none for the rest."""
    mask = tree.flatten(previous)[0] if layer.return_sequences else None
    return [mask, *(None for _ in layer.state_size)] if layer.return_state else mask


def _run(layer: layers.RNN, sequences: Tensor, given: Any, mask: Any) -> tuple[Tensor, Any]:
    """Return the outputs, each in the place of its step, and the last states."""
    if layer.stateful:
        refuse(
            "it is stateful, and a file keeps no state.",
            fix="return_state=True and initial_state=, as outputs and inputs of the model",
        )
    sequence = sequences.transpose([1, 0, *range(2, sequences.ndim)])
    batch = size(sequences, 0)
    states = _first_states(layer.cell, sequence, batch)
    if given is not None:
        states = tree.pack(states, tree.flatten(given))
    keep = None
    if mask is not None:
        keep = cast(tree.flatten(mask)[0], "bool")
        keep = (some(keep, tuple(range(2, keep.ndim))) if keep.ndim > 2 else keep).transpose([1, 0])
    loop = _Loop(layer.go_backwards, layer.return_sequences, layer.zero_output_for_mask)
    return loop.run(layer.cell, sequence, states, keep)


def _first_states(cell: Any, sequence: Tensor, batch: Any) -> Any:
    """Return what a cell begins with, for a batch whose size may not be known."""
    dtype = wide(getattr(cell, "compute_dtype", "float32"))

    def first(state: Any) -> Tensor:
        rows = np.asarray(state, dtype)
        if rows.shape[0] != 2 or not np.array_equal(rows[0], rows[1]):
            refuse("its cell begins the samples of a batch with different states.")
        return broadcast_to(constant(rows[:1]), [batch, *rows.shape[1:]], sequence.writer)

    return tree.map_structure(first, initial_state(cell, 2))


class _Loop(NamedTuple):
    """How to run over time; see `plait.layers.time_loop.TimeLoop`."""

    reverse: bool
    every_step: bool
    zero_masked: bool

    def run(self, cell: Any, sequence: Tensor, states: Any, keep: Any) -> tuple[Tensor, Any]:
        """Return the outputs (or the last one) of a cell, and its last states."""
        if type(cell) is layers.StackedRNNCells:
            return self._run_stack(cell, sequence, states, keep)
        native = _NATIVE.get(type(cell))
        if native is not None and keep is None and _has_activations(cell):
            outputs, last = native(cell, sequence, states, self.reverse)
        else:
            outputs, last = self._scan(cell, sequence, states, keep)
        if not self.every_step:
            outputs = index_axis(outputs, 0, 0 if self.reverse else -1)
        if keep is not None and self.zero_masked:
            kept = keep if self.every_step else index_axis(keep, 0, 0 if self.reverse else -1)
            outputs = where(expand_dims(kept, tuple(range(kept.ndim, outputs.ndim))), outputs, 0.0)
        return outputs, last

    def _run_stack(self, stack: Any, sequence: Tensor, states: Any, keep: Any) -> Any:
        inner = _Loop(self.reverse, True, False)
        new_states = []
        for cell, own in zip(stack.cells, states, strict=True):
            loop = self if cell is stack.cells[-1] else inner
            sequence, last = loop.run(cell, sequence, [own] if tree.is_leaf(own) else own, keep)
            new_states.append(last)
        return sequence, new_states

    def _scan(self, cell: Any, sequence: Tensor, states: Any, keep: Any) -> tuple[Tensor, Any]:
        """Write a loop whose body calls the cell."""
        writer = sequence.writer
        flat = tree.flatten(states)
        project, step = _steps_of(cell)
        scanned = [project(sequence), *([] if keep is None else [keep])]
        name = writer.name("/".join([*writer.path, "steps"]))

        def parameter(shape: Shape, dtype: str) -> Tensor:
            source = value(writer.name(f"{name}/given"), dtype, shape)
            return Tensor(writer, source, shape, dtype)

        old = [parameter(state.shape, state.dtype) for state in flat]
        now = [parameter(item.shape[1:], item.dtype) for item in scanned]
        with writer.body() as nodes:
            output, new = step(now[0], tree.pack(states, old))
            fresh = tree.flatten(new)
            if keep is not None:
                fresh = [_held(now[1], n, o) for n, o in zip(fresh, old, strict=True)]
                if not self.zero_masked:
                    output = _held(now[1], output, _first_of(tree.pack(states, fresh)))
            # Copies: a body may not return what it is given, nor the same value twice.
            ends = [writer.add("Identity", tensor.value) for tensor in [*fresh, output]]
        for end, tensor in zip(ends, [*fresh, output], strict=True):
            end.type, end.shape = tensor_type(tensor.dtype), ir.Shape(tensor.shape)
        given = [tensor.source for tensor in [*old, *now]]
        body = ir.Graph(given, ends, nodes=nodes, name=name)
        direction = int(self.reverse)
        made = writer.add(
            "Scan",
            *(state.value for state in flat),
            *(item.value for item in scanned),
            count=len(ends),
            body=body,
            num_scan_inputs=len(scanned),
            scan_input_directions=[direction] * len(scanned),
            scan_output_directions=[direction],
        )
        last = [
            Tensor(writer, source, state.shape, state.dtype)
            for source, state in zip(made, fresh, strict=False)
        ]
        shape = (sequence.shape[0], *output.shape)
        return Tensor(writer, made[-1], shape, output.dtype), tree.pack(states, last)


def _held(kept: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return where(expand_dims(kept, tuple(range(kept.ndim, new.ndim))), new, old)


def _first_of(states: Any) -> Tensor:
    return tree.flatten(states if tree.is_leaf(states[0]) else states[-1])[0]


Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


def _steps_of(cell: Any) -> tuple[Callable[[Tensor], Tensor], Step]:
    """Return what is computed for all steps at once, and what for each."""
    step = _CELLS.get(type(cell))
    if step is None:
        return lambda sequence: sequence, lambda inputs, states: _called(cell, inputs, states)

    def apply(projected: Tensor, states: Any) -> tuple[Tensor, Any]:
        new = step(cell, projected, tree.flatten(states))
        return new[0], tree.pack(states, new)

    return lambda sequence: _projected(cell, sequence), apply


def _called(cell: Any, inputs: Tensor, states: Any) -> tuple[Tensor, Any]:
    output, new = call(cell, inputs, states)
    new = [new] if tree.is_leaf(new) else list(new)
    if output.shape[-1] is None:
        output.shape = (*output.shape[:-1], output_size(cell))
    return output, new


def _projected(cell: RecurrentCell, sequence: Tensor) -> Tensor:
    projected = matmul(sequence, cell.kernel)
    if cell.bias is None:
        return projected
    return projected + constant(cell.bias.numpy().reshape(-1, projected.shape[-1])[0])


# -- one step of the cells ------------------------------------------------------------------


def _simple_step(cell: Any, projected: Tensor, states: list[Tensor]) -> list[Tensor]:
    return [activate(cell.activation, projected + matmul(states[0], cell.recurrent_kernel))]


def _gru_step(cell: Any, projected: Tensor, states: list[Tensor]) -> list[Tensor]:
    h, units = states[0], cell.units
    recurrent = cell.recurrent_kernel.numpy()
    x_z, x_r, x_g = (_part(projected, index, units) for index in range(3))
    width = (3 if cell.reset_after else 2) * units
    inner = matmul(h, recurrent[:, :width])
    if cell.reset_after and cell.bias is not None:
        inner = inner + cell.bias.numpy()[1]
    z = activate(cell.recurrent_activation, x_z + _part(inner, 0, units))
    r = activate(cell.recurrent_activation, x_r + _part(inner, 1, units))
    if cell.reset_after:
        recurrent_g = r * _part(inner, 2, units)
    else:
        recurrent_g = matmul(r * h, recurrent[:, width:])
    return [z * h + (1.0 - z) * activate(cell.activation, x_g + recurrent_g)]


def _lstm_step(cell: Any, projected: Tensor, states: list[Tensor]) -> list[Tensor]:
    h, c = states
    gate = cell.recurrent_activation
    summed = projected + matmul(h, cell.recurrent_kernel)
    i, f, g, o = (_part(summed, index, cell.units) for index in range(4))
    c = activate(gate, f) * c + activate(gate, i) * activate(cell.activation, g)
    return [activate(gate, o) * activate(cell.activation, c), c]


def _part(x: Tensor, index: int, units: int) -> Tensor:
    return slice_axis(x, -1, index * units, (index + 1) * units)


_CELLS: dict[type, Any] = {
    layers.SimpleRNNCell: _simple_step,
    layers.GRUCell: _gru_step,
    layers.LSTMCell: _lstm_step,
}


@onnx_converter(layers.SimpleRNNCell)
@onnx_converter(layers.GRUCell)
@onnx_converter(layers.LSTMCell)
def convert_cell(cell: Any, inputs: Tensor, states: Any) -> tuple[Tensor, Any]:
    """Write one step of `SimpleRNNCell`, `GRUCell` or `LSTMCell`."""
    new = _CELLS[type(cell)](cell, _projected(cell, inputs), tree.flatten(states))
    return new[0], tree.pack(states, new)


@onnx_converter(layers.StackedRNNCells)
def convert_stacked_cells(stack: Any, inputs: Tensor, states: Any) -> tuple[Tensor, Any]:
    """Write one step of `StackedRNNCells`."""
    new_states = []
    for cell, own in zip(stack.cells, states, strict=True):
        inputs, new = _called(cell, inputs, [own] if tree.is_leaf(own) else own)
        new_states.append(new)
    return inputs, tree.pack(states, tree.flatten(new_states))


# -- ONNX's own operators -------------------------------------------------------------------


def _has_activations(cell: Any) -> bool:
    used = {cell.activation, getattr(cell, "recurrent_activation", activations.sigmoid)}
    return used <= set(_ONNX_ACTIVATIONS)


def _native(kind: str, order: tuple[int, ...]) -> Any:
    """Return a function that writes ONNX's operator, whose gates stand in another order."""

    def write(cell: Any, sequence: Tensor, states: Any, reverse: bool) -> tuple[Tensor, Any]:
        writer, units = sequence.writer, cell.units

        def gates(array: np.ndarray) -> np.ndarray:
            parts = np.split(array, len(order), axis=-1)
            return np.concatenate([parts[index] for index in order], axis=-1)

        kernel, recurrent = (
            gates(variable.numpy()).astype(np.float32).T[None]
            for variable in (cell.kernel, cell.recurrent_kernel)
        )
        bias = np.zeros((2, units * len(order)), np.float32)
        if cell.bias is not None:
            given = cell.bias.numpy().reshape(-1, units * len(order))
            bias[: len(given)] = gates(given)
        inputs = [
            sequence.value,
            writer.constant(kernel, f"{'/'.join(writer.path)}/W"),
            writer.constant(recurrent, f"{'/'.join(writer.path)}/R"),
            writer.constant(bias.reshape(1, -1), f"{'/'.join(writer.path)}/B"),
            None,
            *(expand_dims(state, 0).value for state in tree.flatten(states)),
        ]
        used = [_ONNX_ACTIVATIONS[cell.activation]]
        if kind != "RNN":
            used.insert(0, _ONNX_ACTIVATIONS[cell.recurrent_activation])
        if kind == "LSTM":
            used.append(used[-1])
        settings = {"linear_before_reset": int(cell.reset_after)} if kind == "GRU" else {}
        made = writer.add(
            kind,
            *inputs,
            count=1 + cell.state_count,
            hidden_size=units,
            direction="reverse" if reverse else "forward",
            activations=used,
            **settings,
        )
        batch = sequence.shape[1]
        outputs = Tensor(writer, made[0], (sequence.shape[0], 1, batch, units), "float32")
        last = [squeeze(Tensor(writer, item, (1, batch, units), "float32"), 0) for item in made[1:]]
        return squeeze(outputs, 1), tree.pack(states, last)

    return write


_NATIVE: dict[type, Any] = {
    layers.SimpleRNNCell: _native("RNN", (0,)),
    layers.GRUCell: _native("GRU", (0, 1, 2)),
    layers.LSTMCell: _native("LSTM", (0, 3, 1, 2)),
}
