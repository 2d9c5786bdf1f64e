"""How the calls of a draft become the nodes of a new graph.

Calls whose inputs are what they were are the old nodes, calls whose inputs have the same shapes
are copied, and the rest are made anew by calling their layers, which infers shapes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, NoReturn

from plait.errors import GraphError, ShapeError, user_location
from plait.graph.calls import Call, Ref
from plait.graph.node import Node, call_layer, describe_layer
from plait.graph.tensor import SymbolicTensor

Remake = Callable[[Any, Any], Any]


class Building:
    """One run through the calls of a draft, what a call uses before it, making a node of each.

    Args:
        who: how errors name the model.
        rebuilds: whether layers that no longer fit are made anew.
        remake: makes one anew, given the layer and its arguments; None: the first that does not fit
            is the error.

    Attributes:
        rebuilt: pairs of layers that no longer fitted and those made in their place.
    """

    def __init__(self, who: str, rebuilds: bool, remake: Remake | None) -> None:
        self.who, self.rebuilds, self.remake = who, rebuilds, remake
        self.values: dict[Call, list[SymbolicTensor]] = {}
        self.rebuilt: list[tuple[Any, Any]] = []
        self._fresh: dict[Any, Any] = {}
        self._settled: set[Any] = set()
        self._misfits: list[ShapeError] = []

    def value(self, ref: Ref) -> SymbolicTensor:
        """Return the tensor that a reference stands for now."""
        tensors = self.values[ref.call]
        if ref.index >= len(tensors):
            raise GraphError(
                f"{ref.call.describe()} has no output [{ref.index}], which is used.",
                fix="rewire what uses it first",
            )
        return tensors[ref.index]

    def evaluate(self, call: Call) -> None:
        """Find or make the node of a call whose inputs have been evaluated."""
        tensors = call.tensors
        if tensors is None:
            tensors = self._node(call, [self.value(ref) for ref in call.inputs]).outputs
        self.values[call] = tensors

    def _node(self, call: Call, given: list[SymbolicTensor]) -> Node:
        layer, node = self._fresh.get(call.layer, call.layer), call.node
        if node is not None and layer is node.layer and node.is_current:
            old = node.inputs
            if all(map(operator.is_, given, old)):
                self._settled.add(layer)
                return node
            if all(map(_alike, given, old)):
                self._settled.add(layer)
                args, kwargs = call.arguments(given)
                copied = Node(layer, args, kwargs, node.output_structure, node.location)
                copied.live = False
                return copied
        args, kwargs = call.arguments(given)
        try:
            made = call_layer(layer, args, kwargs)
        except ShapeError as error:
            made = self._called_anew(call, args, kwargs, error)
        self._settled.add(made.layer)
        made.location = call.location or made.location
        return made

    def _called_anew(self, call: Call, args: Any, kwargs: Any, error: ShapeError) -> Node:
        """Return the call of a layer made in place of one whose weights do not fit.

        Raises:
            ShapeError: the fault is not in the weights, or another call needs them as they are.
        """
        layer = self._fresh.get(call.layer, call.layer)
        error = _seen_from(call, layer, error)
        if self.remake is None or not layer.built or not layer.variables:
            self._refuse(error)
        if self.rebuilds and layer in self._settled:
            name = layer.name
            fix = f"give this call a layer of its own: replace('{name}@1', layer)"
            self._refuse(ShapeError(f"{error.what} Another call needs its weights.", fix=fix))
        self._misfits.append(error)
        fresh = self._fresh[call.layer] = self.remake(layer, (args, kwargs))
        self.rebuilt.append((layer, fresh))
        try:
            return call_layer(fresh, args, kwargs)
        except ShapeError as still:
            self._refuse(_seen_from(call, fresh, still))

    def _refuse(self, error: ShapeError) -> NoReturn:
        if not self._misfits:
            raise error
        raise self._all_misfits([*self._misfits, error], error.fix) from error

    def _all_misfits(self, errors: list[ShapeError], fix: str | None) -> ShapeError:
        lines = [(re.sub(r"\s+", " ", error.what),) for error in errors]
        count = "1 of its layers no longer fits" if len(lines) == 1 else (
            f"{len(lines)} of its layers no longer fit"
        )  # fmt: skip
        return ShapeError(f"{self.who}: {count}.", details=lines, fix=fix)

    def finish(self) -> None:
        """See that no layer was left that does not fit.

        Raises:
            ShapeError: layers do not fit and were not to be rebuilt.
        """
        if self._misfits and not self.rebuilds:
            fix = "rebuild='downstream' makes exactly these anew; what still fits in them is kept"
            raise self._all_misfits(self._misfits, fix)


def _seen_from(call: Call, layer: Any, error: ShapeError) -> ShapeError:
    """Return an error of a call made anew that names the line of the call it stands for."""
    here = describe_layer(layer, user_location())
    if call.location is None or not error.what.startswith(here):
        return error
    what = call.describe() + error.what.removeprefix(here)
    seen = ShapeError(what, details=error.details, fix=error.fix)
    seen.located = True
    return seen


def _alike(left: SymbolicTensor, right: SymbolicTensor) -> bool:
    return left is right or (left.shape == right.shape and left.dtype == right.dtype)
