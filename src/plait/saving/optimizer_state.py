"""The state of optimizers, in the order in which Keras 3 writes it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.core.variable import Variable
from plait.core.walk import trainable_flags, variables_by_path
from plait.optimizers import Adafactor, LossScaleOptimizer, RMSprop
from plait.saving.hdf5 import Hdf5

# Slots that Keras makes for all variables together, after those it makes variable by variable.
_MADE_LATER = ("average_gradient", "velocity_hat")


def optimizer_groups(optimizer: Any, model: Any) -> list[tuple[str, str, list[Any]]]:
    """Return path, name and arrays of an optimizer's groups in a file of Keras."""
    groups = [("optimizer", optimizer.name, _arrays(optimizer))]
    if isinstance(optimizer, LossScaleOptimizer):
        inner = optimizer.inner_optimizer
        groups.append(("optimizer/inner_optimizer", inner.name, _arrays(inner)))
    return groups


def _arrays(optimizer: Any) -> list[Any]:
    return [
        np.asarray(entry.concrete_value()) if isinstance(entry, Variable) else entry
        for entry in _entries(optimizer)
    ]


def _entries(optimizer: Any) -> list[Any]:
    """Return what Keras keeps: variables, and arrays where what it keeps means nothing."""
    if isinstance(optimizer, LossScaleOptimizer):
        own = [optimizer._iteration, np.float32(0), optimizer.step_counter, optimizer.dynamic_scale]
        return own + _entries(optimizer.inner_optimizer)
    state = dict(optimizer.state)
    slots = {name: state.pop(name) for name in optimizer.slots}
    if isinstance(optimizer, Adafactor):
        return [*state.values(), *_factored(optimizer, slots)]

    def rank(name: str) -> int:
        leaf = name.rpartition("/")[2]
        if isinstance(optimizer, RMSprop) and leaf == "momentum":
            return 1
        return 2 if leaf in _MADE_LATER else 0

    return [*state.values(), *(slots[name] for name in sorted(slots, key=rank))]


def _factored(optimizer: Any, slots: dict[str, Variable]) -> list[Any]:
    """Return the slots of Adafactor, for which Keras has a row, a column and a whole each time."""
    shapes = {path: variable.shape for path, variable in optimizer._optimized.items()}
    entries: list[Any] = []
    for path, shape in shapes.items():
        names = [f"{path}/{leaf}" for leaf in ("row", "column", "velocity")]
        unused = (np.float32(0), np.float32(0), np.zeros(shape, "float32"))
        entries += [slots.pop(name, empty) for name, empty in zip(names, unused, strict=True)]
    return [*slots.values(), *entries]


def restore_optimizer(optimizer: Any, model: Any, file: Hdf5) -> None:
    """Set the state of a model's optimizer from a file of Keras, if it is in there."""
    count = sum(key.startswith("optimizer/vars/") for key in file.datasets)
    found = [file.datasets.get(f"optimizer/vars/{index}") for index in range(count)]
    set_state(optimizer, model, [array.read() for array in found if array is not None])


def set_state(optimizer: Any, model: Any, arrays: Sequence[Any]) -> None:
    """Give an optimizer of a model its state; warn and begin anew if it does not fit."""
    entries = _entries(optimizer)
    if not _fit(entries, arrays):  # it does if the optimizer had no slots yet when it was saved
        trained = {id(v) for v, flag in trainable_flags(model) if flag}
        optimizer.build({p: v for p, v in variables_by_path(model).items() if id(v) in trained})
        entries = _entries(optimizer)
    if not arrays:
        return
    if not _fit(entries, arrays):
        warnings.warn(
            f"the file holds the state of another optimizer than '{optimizer.name}': "
            f"{len(arrays)} arrays for {len(entries)}, or other shapes. It begins anew."
        )
        return
    for entry, array in zip(entries, arrays, strict=True):
        if isinstance(entry, Variable):
            entry.assign(array)


def _fit(entries: Sequence[Any], arrays: Sequence[Any]) -> bool:
    return [np.shape(entry) for entry in entries] == [np.shape(array) for array in arrays]
