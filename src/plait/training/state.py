"""The values of a model's variables while steps run on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from plait.core.scope import Scope
from plait.core.variable import Variable, on_device


class State:
    """Owns the values of variables while they train, so that steps can take them away.

    A variable that is looked at meanwhile reads a copy, one that is set writes into the state.
    Nothing is kept twice: once a first step has succeeded, variables let go of what they held.
    """

    def __init__(self) -> None:
        self.variables: list[Variable] = []
        self._places: dict[Variable, int] = {}
        self._values: list[Any] | None = None
        self._alone: set[int] = set()  # places whose value nobody else holds
        self._left: list[Any] = []  # what a call has returned and nobody has taken in
        self._places_left: Sequence[int] = ()
        self._changing = False  # if it stays so, an interrupt came while owners changed

    def cover(self, variables: Sequence[Variable]) -> bool:
        """Take these variables on from now on; return whether they are others than before."""
        if self.variables == list(variables):
            return False
        self.release()
        self.variables = list(variables)
        self._places = {variable: place for place, variable in enumerate(self.variables)}
        return True

    def place(self, variable: Variable) -> int | None:
        """Return the place of a variable, None if it is not among these."""
        return self._places.get(variable)

    def own(self, places: Sequence[int]) -> list[Any]:
        """Become the owner of all values, and the only one of some; return all."""
        if self._changing:
            self.release()
        self._settle()
        if self._values is None:
            for variable in self.variables:
                if variable.owner is not None:
                    variable.owner.release()
            self._values = [variable.concrete_value() for variable in self.variables]
            self._changing = True
            for variable in self.variables:
                variable.owner = self
            self._changing = False
        for place in places:
            if place not in self._alone:
                self._values[place] = _copy(self._values[place])
                self._alone.add(place)
        return self._values

    def values(self, places: Sequence[int] | None = None) -> list[Any]:
        """Return all values, or those in some places, without owning them."""
        self._settle()
        if places is None:
            places = range(len(self.variables))
        if self._values is not None:
            return [self._values[place] for place in places]
        return [self.variables[place].concrete_value() for place in places]

    def call(
        self, function: Callable[..., Any], arguments: Sequence[Any], places: Sequence[int]
    ) -> Any:
        """Return the results of a compiled call, and put the values it left in their places.

        The call takes old values away. An interrupt (Ctrl-C) must not come between that and keeping
        the new ones: called from within `extend`, it cannot.
        """
        self._places_left = places
        self._left.extend(map(function, *([argument] for argument in arguments)))
        results = self._left[0][1]
        self._settle()
        return results

    def _settle(self) -> None:
        while self._left:
            self.replace(self._places_left, self._left[0][0])
            self._left.clear()

    def replace(self, places: Sequence[int], values: Sequence[Any]) -> None:
        """Put values in their places."""
        for place, value in zip(places, values, strict=True):
            if self._values is not None:
                self._values[place] = value
            else:
                self._put(self.variables[place], value)

    def run(self, function: Callable[[], None]) -> None:
        """Run something that assigns variables (a reset of metrics) and keep what it assigned."""
        with Scope() as scope:
            function()
        for variable, value in scope.changed.items():
            self._put(variable, value)

    def _put(self, variable: Variable, value: Any) -> None:
        if variable.owner is self and self._values is not None:
            place = self._places[variable]
            self._values[place] = value
            self._alone.discard(place)
        elif variable.owner is not None:
            variable.owner.write(variable, value)
        else:
            variable.store(value)

    def drop_originals(self) -> None:
        """Let the variables let go of the values that steps have replaced."""
        for place in self._alone:
            if self.variables[place].owner is self:
                self.variables[place].store(None)

    # -- as the owner of variables ----------------------------------------------------------

    def read(self, variable: Variable) -> jax.Array:
        """Return a copy of the current value of `variable`."""
        self._settle()
        assert self._values is not None
        return _copy(self._values[self._places[variable]])

    def write(self, variable: Variable, value: Any) -> None:
        """Give `variable` a new value, from the next step on."""
        self._settle()
        self._put(variable, on_device(value, variable.dtype))

    def release(self) -> None:
        """Write every value back to its variable and let go of them."""
        self._settle()
        if self._values is None:
            return
        self._changing = True
        for variable, value in zip(self.variables, self._values, strict=True):
            if variable.owner is self:
                if _is_sound(value):
                    variable.store(value)
                else:
                    variable.lose()
                variable.owner = None
        self._values, self._changing = None, False
        self._alone.clear()


def _copy(value: Any) -> Any:
    # By way of NumPy where that is the same memory: to copy on the device compiles for each shape.
    if jax.default_backend() == "cpu":
        return jax.device_put(np.array(value))
    return jax.device_put(value, may_alias=False)


def _is_sound(value: Any) -> bool:
    if value.is_deleted():
        return False
    try:
        jax.block_until_ready(value)
    except Exception:  # What computed it failed.
        return False
    return True
