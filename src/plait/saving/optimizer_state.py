"""The state of optimizers, in the order in which Keras 3 writes it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.core.variable import Variable
from plait.core.walk import trainable_flags, variables_by_path
from plait.saving.hdf5 import Hdf5


def optimizer_groups(optimizer: Any, model: Any) -> list[tuple[str, str, list[Any]]]:
    """Return path, name and arrays of an optimizer's groups in a file of Keras."""
    return [
        (path, part.name, [np.asarray(v.concrete_value()) for v in variables])
        for path, part, variables in _parts(optimizer)
    ]


def _parts(optimizer: Any) -> list[tuple[str, Any, list[Variable]]]:
    return [("optimizer", optimizer, list(optimizer.state.values()))]


def restore_optimizer(optimizer: Any, model: Any, file: Hdf5) -> None:
    """Set the state of a model's optimizer from a file of Keras, if it is in there."""
    build_for(optimizer, model)
    for path, part, variables in _parts(optimizer):
        count = sum(key.startswith(f"{path}/vars/") for key in file.datasets)
        found = [file.datasets.get(f"{path}/vars/{index}") for index in range(count)]
        set_state(part, variables, [array.read() for array in found if array is not None])


def build_for(optimizer: Any, model: Any) -> None:
    """Make the slots for what a model trains."""
    trained = {id(v) for v, flag in trainable_flags(model) if flag}
    optimizer.build({p: v for p, v in variables_by_path(model).items() if id(v) in trained})


def set_state(optimizer: Any, variables: Sequence[Variable], arrays: Sequence[Any]) -> None:
    """Give an optimizer's variables their values; warn and leave them if they do not fit."""
    if not arrays:
        return
    if [v.shape for v in variables] != [np.shape(array) for array in arrays]:
        warnings.warn(
            f"the file holds the state of another optimizer than '{optimizer.name}': "
            f"{len(arrays)} arrays for {len(variables)}, or other shapes. It begins anew."
        )
        return
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
