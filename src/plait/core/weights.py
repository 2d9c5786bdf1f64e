"""The variables of a layer and of all within it: lists, values, counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.core.variable import Variable
from plait.core.walk import trainable_flags, variables_by_path, walk
from plait.errors import NotBuiltError, ShapeError


class Weights:
    """The part of a layer that hands out its variables."""

    _trainable: bool

    @property
    def variables(self: Any) -> list[Variable]:
        """Every variable, its own first, then those of the layers within."""
        return list(variables_by_path(self).values())

    @property
    def weights(self: Any) -> list[Variable]:
        """The same as `variables`."""
        return self.variables

    @property
    def trainable_variables(self: Any) -> list[Variable]:
        """The variables that training changes."""
        return [v for v, trainable in trainable_flags(self) if trainable]

    @property
    def non_trainable_variables(self: Any) -> list[Variable]:
        """The variables that training does not change by gradients."""
        return [v for v, trainable in trainable_flags(self) if not trainable]

    @property
    def trainable_weights(self: Any) -> list[Variable]:
        """The same as `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self: Any) -> list[Variable]:
        """The same as `non_trainable_variables`."""
        return self.non_trainable_variables

    @property
    def trainable(self: Any) -> bool:
        """Whether it is trained; setting it sets every layer within, at once."""
        return self._trainable

    @trainable.setter
    def trainable(self: Any, value: bool) -> None:
        for _, layer in walk(self):
            layer._trainable = bool(value)

    def state(self: Any) -> dict[str, Any]:
        """Return path -> value of every variable, as `apply` takes it."""
        return {path: v.concrete_value() for path, v in variables_by_path(self).items()}

    def get_weights(self: Any) -> list[np.ndarray]:
        """Return the values of `variables` as NumPy arrays of their own."""
        return [np.array(variable.value) for variable in self.variables]

    def set_weights(self: Any, weights: Sequence[Any]) -> None:
        """Set the values of `variables`, in order.

        Raises:
            ShapeError: the number or a shape differs; nothing is set then.
        """
        variables = self.variables
        rows = [(v.path, v.shape) for v in variables]
        if len(weights) != len(variables):
            advice = "build the layer first: call it on data" if not self.built else None
            raise ShapeError(
                f"{self.describe()} has {len(variables)} weights; received {len(weights)}.",
                details=rows,
                fix=advice or "pass a list in the order of get_weights()",
            )
        for variable, value in zip(variables, weights, strict=True):
            if np.shape(value) != variable.shape:
                raise ShapeError(
                    f"weight '{variable.path}' of {self.describe()} is {variable.shape}; "
                    f"received {np.shape(value)}.",
                    fix="pass a list in the order of get_weights()",
                )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)

    def count_params(self: Any) -> int:
        """Return the number of elements in all variables.

        Raises:
            NotBuiltError: the variables do not exist yet.
        """
        if not self.built:
            raise NotBuiltError(
                f"{self.describe()} has no variables yet.",
                fix="call it on data, or build it: layer.build(input_shape)",
            )
        return sum(variable.size for variable in self.variables)
