"""A scope binds variables to values for the time of a trace.

Layers are written with variables that are read and assigned, and are run as pure functions: while
a scope is open, a read of a bound variable gives the scope's value and an assignment stays in the
scope. Whoever opened it takes the results out. This is the only place where state turns into
arguments and results.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from plait.core.layer import Layer
    from plait.core.variable import Variable
    from plait.errors import Location

_local = threading.local()


class Observer(Protocol):
    """Comes between layers and what they do, to look at it or to measure it."""

    def call(
        self, layer: Layer, location: Location | None, args: Any, run: Callable[..., Any]
    ) -> Any:
        """Return what ``run(args, kwargs)`` returns for ``(args, kwargs)``, the call of a layer."""

    def read(self, variable: Variable, value: Any) -> Any:
        """Return the value that a layer gets when it reads a variable."""


class Scope:
    """Values of variables, a random key, and what a traced call leaves behind.

    Args:
        values: variable -> value; reads see it.
        rng: the key from which layers draw; None for none.
        step: a number, possibly traced, that makes the draws of each step new.
        training: what layers take `training` to be when nobody says.
        closed: all variables exist; a layer that makes one is not part of what is traced.
        abstract: variables without a value here read as zeros and are never initialized; used to
            infer shapes.

    Attributes:
        changed: the variables assigned within, in order, with their new values.
        losses: what `add_loss` was given.
        observer: comes between layers and their calls and variables; None: nobody.
    """

    def __init__(
        self,
        values: Mapping[Variable, Any] | None = None,
        *,
        rng: Any = None,
        step: Any = 0,
        training: bool | None = None,
        abstract: bool = False,
        closed: bool = False,
    ) -> None:
        self.values: dict[Variable, Any] = dict(values or {})
        self.changed: dict[Variable, Any] = {}
        self.losses: list[Any] = []
        self.rng, self.step, self.training, self.abstract = rng, step, training, abstract
        self.closed = closed
        self.compute_dtype: str | None = None
        self.observer: Observer | None = None
        self.path: list[Layer] = []
        self._masks: dict[int, tuple[Any, Any]] = {}
        self._draws: dict[str, int] = {}
        self._labels: dict[int, str] = {}

    def __enter__(self) -> Scope:
        self._outer = current_scope()
        _local.scope = self
        return self

    def __exit__(self, *exc: object) -> None:
        _local.scope = self._outer

    def read(self, variable: Variable) -> Any:
        """Return the value that `variable` has in this scope."""
        if variable in self.values:
            value = self.values[variable]
            return value if self.observer is None else self.observer.read(variable, value)
        if self.abstract:
            return jnp.zeros(variable.shape, variable.dtype)
        return variable.concrete_value()

    def assign(self, variable: Variable, value: Any) -> None:
        """Give `variable` a new value in this scope."""
        self.values[variable] = self.changed[variable] = value

    def _label(self, layer: Layer) -> str:
        """Return what a layer is called in the path that keys depend on.

        That is its name if it was given one. Automatic names count on through a session, so for
        these it is the prefix and the place among the layers that have drawn in this trace.
        """
        if layer.is_named:
            return layer.name
        if id(layer) not in self._labels:
            prefix = layer.name.rstrip("0123456789").rstrip("_")
            place = sum(label.startswith(f"{prefix}#") for label in self._labels.values())
            self._labels[id(layer)] = f"{prefix}#{place}"
        return self._labels[id(layer)]

    def next_key(self, seed: int | None) -> jax.Array:
        """Return a key for the layer being called, new at every draw and every step."""
        path = "/".join(map(self._label, self.path))
        draw = self._draws[path] = self._draws.get(path, 0) + 1
        base = self.rng if seed is None else jax.random.key(seed)
        label = zlib.crc32(f"{path}:{draw}".encode()) if seed is None else draw
        return jax.random.fold_in(jax.random.fold_in(base, self.step), label)

    def set_mask(self, tensor: Any, mask: Any) -> None:
        """Attach a mask to a tensor of this trace."""
        self._masks[id(tensor)] = (tensor, mask)

    def has_masks(self) -> bool:
        """Return whether any tensor of this trace has a mask."""
        return bool(self._masks)

    def get_mask(self, tensor: Any) -> Any:
        """Return the mask attached to a tensor of this trace, or None."""
        found = self._masks.get(id(tensor))
        return None if found is None else found[1]

    def child(self, values: Mapping[Variable, Any]) -> Scope:
        """Return a scope that sees this one's values with `values` put over them."""
        child = Scope(
            {**self.values, **values},
            rng=self.rng,
            step=self.step,
            training=self.training,
            abstract=self.abstract,
            closed=self.closed,
        )
        child.path, child._draws, child._labels = self.path, self._draws, self._labels
        child.compute_dtype, child.observer = self.compute_dtype, self.observer
        child._masks = dict(self._masks)
        return child


def current_scope() -> Scope | None:
    """Return the innermost open scope of this thread, or None."""
    return getattr(_local, "scope", None)


def value_and_grad(
    function: Callable[[], Any], variables: Sequence[Variable], has_aux: bool = False
) -> tuple[Any, list[Any]]:
    """Return ``function()`` and its gradient with respect to `variables`.

    `function` takes no arguments and reads the variables through layers, so no state is handed
    around. What it assigns (moving averages, metrics) and the masks of what it returns are kept.
    Usable in a `train_step` override and outside.

    Args:
        function: returns the loss, a scalar; with `has_aux`, ``(loss, anything)``.
        variables: what to differentiate by, for instance ``model.trainable_variables``.

    Returns:
        What `function` returned, and a list of gradients in the order of `variables`.
    """
    outer = current_scope()
    assigned: list[Variable] = []

    def traced(values: list[Any]) -> tuple[Any, Any]:
        bound = dict(zip(variables, values, strict=True))
        scope = outer.child(bound) if outer is not None else _fresh_scope(bound)
        with scope:
            result = function()
        loss = result[0] if has_aux else result
        assigned[:] = scope.changed
        masks = [scope.get_mask(leaf) for leaf in jax.tree.leaves(result)]
        return loss, (result, masks, [*scope.changed.values()], scope.losses)

    values = [outer.read(v) if outer is not None else v.concrete_value() for v in variables]
    (_, (result, masks, changed, losses)), grads = jax.value_and_grad(traced, has_aux=True)(values)
    for variable, value in zip(assigned, changed, strict=True):
        variable.assign(value)
    if outer is not None:
        outer.losses += losses
        for leaf, mask in zip(jax.tree.leaves(result), masks, strict=True):
            if mask is not None:
                outer.set_mask(leaf, mask)
    return result, grads


def _fresh_scope(values: Mapping[Variable, Any]) -> Scope:
    from plait.core import random

    return Scope(values, rng=jax.random.key(random.next_seed()), step=random.call_counter())
