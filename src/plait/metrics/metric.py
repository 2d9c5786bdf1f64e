"""`Metric`: state that is updated batch by batch and gives a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait import initializers
from plait.core import naming
from plait.core.registry import Configurable
from plait.core.scope import Scope, current_scope
from plait.core.variable import Variable
from plait.errors import ConfigError, NotBuiltError, ShapeError
from plait.losses.numeric import computing_dtype


class Metric(Configurable):
    """Gather statistics over batches.

    A subclass makes its variables in the constructor with `add_variable`, changes them in
    `update_state` and reads them in `result`. Sums that grow over many batches are best made with
    `add_sum` and `accumulate`, which lose nothing to rounding.

    Args:
        dtype: of the state and the result; default: float32.
        name: default: the class in snake case, numbered.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import metrics
        >>> class Largest(metrics.Metric):
        ...     def __init__(self, name="largest"):
        ...         super().__init__(name=name)
        ...         self.value = self.add_variable((), "zeros", name="value")
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         error = jnp.max(jnp.abs(jnp.asarray(y_true) - jnp.asarray(y_pred)))
        ...         self.value.assign(jnp.maximum(self.value.value, error))
        ...     def result(self):
        ...         return self.value.value
        >>> metric = Largest()
        >>> metric.update_state([1.0, 2.0], [1.0, 5.0])
        >>> float(metric.result())
        3.0
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or naming.auto_name(naming.snake_case(type(self).__name__))
        if "name" in self._captured:
            self._captured["name"] = self.name
        self.dtype = computing_dtype(dtype)
        self._variables: list[Variable] = []
        self._carries: dict[Variable, Variable] = {}

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        """Make the variables whose shapes depend on the data; most metrics have none.

        Called by the first `update_state`, and by training before it traces.
        """

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a variable of this metric.

        Args:
            shape: its shape.
            initializer: its first value; `reset_state` sets zeros.
            dtype: default: that of the metric.
            name: its name.

        Raises:
            ConfigError: the constructor did not call ``super().__init__()`` first.
        """
        if "_variables" not in self.__dict__:
            raise ConfigError(
                f"{type(self).__name__} makes a variable before its base class is set up.",
                fix="call super().__init__() first in __init__",
            )
        variable = Variable(
            initializers.get(initializer),
            shape=shape,
            dtype=dtype or self.dtype,
            trainable=False,
            autocast=False,
            name=name,
            path=f"{self.name}/{name or 'variable'}",
        )
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a variable of this metric; the same as `add_variable`."""
        return self.add_variable(shape, initializer, dtype, name)

    def add_sum(self, name: str, shape: Sequence[int] = ()) -> Variable:
        """Make a variable for `accumulate`, and the one that carries its rounding errors."""
        variable = self.add_variable(shape, "zeros", name=name)
        self._carries[variable] = self.add_variable(shape, "zeros", name=f"{name}_carry")
        return variable

    def accumulate(self, variable: Variable, amount: Any) -> None:
        """Add to a variable made by `add_sum`, carrying the rounding error along (Kahan, 1965).

        Plain float32 sums of ones stop growing at 2**24; these do not.
        """
        carry = self._carries[variable]
        old = variable.value
        amount = jnp.asarray(amount, variable.dtype) - carry.value
        new = old + amount
        carry.assign((new - old) - amount)
        variable.assign(new)

    def need_data(self) -> None:
        """Raise a NotBuiltError if `build` has not made its variables yet."""
        if not self._carries:
            raise NotBuiltError(
                f"{type(self).__name__} '{self.name}' has seen no data, whose shape its state "
                "depends on.",
                fix="call update_state(y_true, y_pred) before result()",
            )

    @property
    def variables(self) -> list[Variable]:
        """All variables, those of metrics kept in attributes included."""
        found = dict.fromkeys(self._variables)
        for value in vars(self).values():
            for item in value if isinstance(value, list | tuple) else (value,):
                if isinstance(item, Metric):
                    found |= dict.fromkeys(item.variables)
                elif isinstance(item, Variable):
                    found[item] = None
        return list(found)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take a batch in: usually ``(y_true, y_pred, sample_weight=None)``."""
        raise NotImplementedError(f"{type(self).__name__} has no update_state")

    def result(self) -> Any:
        """Return the value so far: a scalar array, or a dict of them."""
        raise NotImplementedError(f"{type(self).__name__} has no result")

    def reset_state(self) -> None:
        """Set every variable to zero."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch in and return the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[jax.Array]:
        """Return the values of `variables` after an update; the metric itself is left alone.

        Args:
            metric_variables: values, in the order of `variables`.
            args: for `update_state`.
            kwargs: for `update_state`.

        Raises:
            ShapeError: the number of values is not that of `variables`.
        """
        with self._bound(metric_variables) as scope:
            self.update_state(*args, **kwargs)
        return [scope.read(variable) for variable in self.variables]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """Return the result for given values of `variables`.

        Args:
            metric_variables: values, in the order of `variables`.

        Raises:
            ShapeError: the number of values is not that of `variables`.
        """
        with self._bound(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[jax.Array]:
        """Return the values of `variables` at the start; the metric itself is left alone."""
        with _inner_scope({}) as scope:
            self.reset_state()
        return [scope.read(variable) for variable in self.variables]

    def _bound(self, values: Sequence[Any]) -> Scope:
        variables = self.variables
        if len(values) != len(variables):
            raise ShapeError(
                f"{type(self).__name__} '{self.name}' has {len(variables)} variables; "
                f"received {len(values)} values.",
                fix="start from metric.stateless_reset_state(), after metric.build(...) where the "
                "state depends on the shape of the data",
            )
        return _inner_scope(
            {v: jnp.asarray(x, v.dtype) for v, x in zip(variables, values, strict=True)}
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _inner_scope(values: dict[Variable, Any]) -> Scope:
    outer = current_scope()
    return Scope(values) if outer is None else outer.child(values)
