"""What differs between two models, with what the difference costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plait.errors import ArgumentTypeError
from plait.graph.diff import Diff, compare
from plait.view.cost import graph_costs, total_cost


def diff(before: Any, after: Any) -> Diff:
    """Return what differs between two models: layers, wiring, configuration, parameters, FLOPs.

    Layers are matched by name, those of models within by path. Values of weights are not compared.

    Args:
        before: a model with a graph.
        after: another.

    Raises:
        ArgumentTypeError: one of them is no model.
        NotBuiltError: one of them has no graph.

    Example:
        >>> import plait
        >>> def make(units):
        ...     x = plait.Input((4,), name="x")
        ...     h = plait.layers.Dense(units, name="hidden")(x)
        ...     return plait.Model(x, plait.layers.Dense(1, name="out")(h))
        >>> print(diff(make(8), make(16)))
        changed    Dense 'hidden': units 8 -> 16
        parameters 49 -> 97 (+48)
        FLOPs      89 -> 177 (+88)
    """
    for model in (before, after):
        if not hasattr(model, "has_graph"):
            raise ArgumentTypeError(
                f"diff compares two models; received {type(model).__name__}.",
                fix="plait.diff(model, other)",
            )
    found = compare(before.graph, after.graph)
    parameters = (_parameters(before), _parameters(after))
    if not found:
        return replace(found, parameters=parameters)
    return replace(found, parameters=parameters, flops=(_flops(before), _flops(after)))


def _parameters(model: Any) -> int | None:
    return model.count_params() if model.built else None


def _flops(model: Any) -> int | None:
    cost = total_cost(graph_costs(model.graph).values())
    return None if cost is None else cost.flops
