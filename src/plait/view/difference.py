"""What differs between two models, with what the difference costs."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass, field, fields
from typing import Any

from plait.errors import ArgumentTypeError, GraphError
from plait.graph.diff import Diff, compare
from plait.graph.graph import Graph
from plait.view.comparison import picture_of_both
from plait.view.cost import graph_costs, total_cost
from plait.view.palette import Theme
from plait.view.plot import draw


@dataclass(frozen=True, slots=True)
class ModelDiff(Diff):
    """What differs between two models; false if nothing does, readable with `print`.

    Attributes:
        models: the two models.
        graphs: the graphs that they had.

    Example:
        >>> import pathlib, tempfile, plait
        >>> model = plait.Sequential([plait.Input((4,)), plait.layers.Dense(2, name="a")])
        >>> before = model.copy()
        >>> model.insert_after("a", plait.layers.ReLU(name="b"))
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> plait.diff(before, model).plot(folder / "changes.html").name
        'changes.html'
    """

    models: tuple[Any, Any] = field(kw_only=True, repr=False, compare=False)
    graphs: tuple[Graph, Graph] = field(kw_only=True, repr=False, compare=False)

    def plot(
        self, path: str | os.PathLike[str], *, theme: Theme | None = None, **show: Any
    ) -> pathlib.Path:
        """Draw both models beside each other, what differs in colours, and return the path.

        Args:
            path: an ``.html``, ``.svg``, ``.png`` or ``.dot``, as for `plait.view.plot`.
            theme: "light" or "dark"; default: what the reader's system prefers.
            **show: what an image shows; see `plait.view.dot.Style`.

        Raises:
            GraphError: one of the models was edited since they were compared.
        """
        for model, graph in zip(self.models, self.graphs, strict=True):
            if model.graph is not graph:
                raise GraphError(
                    f"{model.describe()} was edited since it was compared.",
                    fix="compare again: plait.diff(before, after).plot(...); "
                    "before = model.copy() keeps what a model was",
                )
        return draw(picture_of_both(*self.models, self), path, theme=theme, **show)


def diff(before: Any, after: Any) -> ModelDiff:
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
    graphs = (before.graph, after.graph)
    found = compare(*graphs)
    known = {each.name: getattr(found, each.name) for each in fields(found)}
    known["parameters"] = (_parameters(before), _parameters(after))
    if found:
        known["flops"] = (_flops(before), _flops(after))
    return ModelDiff(**known, models=(before, after), graphs=graphs)


def _parameters(model: Any) -> int | None:
    return model.count_params() if model.built else None


def _flops(model: Any) -> int | None:
    cost = total_cost(graph_costs(model.graph).values())
    return None if cost is None else cost.flops
