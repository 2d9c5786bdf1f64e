"""The state of optimizers, in the order in which Keras 3 writes it."""

from __future__ import annotations

from typing import Any

import numpy as np

from plait.core.walk import trainable_flags, variables_by_path


def optimizer_arrays(optimizer: Any, model: Any) -> list[tuple[str, str, list[Any]]]:
    """Return path, name and arrays of an optimizer's groups in a file of Keras."""
    arrays = [np.asarray(v.concrete_value()) for v in _ordered(optimizer)]
    return [("optimizer", optimizer.name, arrays)]


def _ordered(optimizer: Any) -> list[Any]:
    return list(optimizer.state.values())


def restore_optimizer(optimizer: Any, model: Any, weights: Any) -> None:
    """Set the state of a model's optimizer from a file of Keras."""
    trained = {id(v) for v, flag in trainable_flags(model) if flag}
    optimizer.build({p: v for p, v in variables_by_path(model).items() if id(v) in trained})
    for index, variable in enumerate(_ordered(optimizer)):
        variable.assign(weights.arrays[f"optimizer/vars/{index}"])
