"""A model as a table of its layers, for a terminal, a notebook, a pipe or a function."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from plait.core.variable import Variable
from plait.core.walk import trainable_flags
from plait.errors import ConfigError
from plait.graph.graph import Graph
from plait.graph.node import Node
from plait.view.cost import Cost, graph_costs, graph_of, total_cost
from plait.view.rows import Row, is_model, rows_of

_BORDER = 3  # between two columns: a space, a line, a space
_NARROWEST = 8


def summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Print a model: its layers, what comes out of them, how many parameters, what they cost.

    A layer called several times has a row for each call (``dense``, ``dense@1``). "Connected to"
    is shown unless the model is one strand. Floating-point operations and memory are those of one
    sample at inference; "~" marks figures for which sizes not known were taken as 1, or loops of
    unknown length as one turn, and "?" what cannot be told.

    Numbers of parameters are Keras', but for the seeds that Keras keeps in layers such as Dropout
    and counts as non-trainable: plait has none.

    Args:
        model: the model.
        line_length: the width of the table; default: as wide as it needs to be, and in a terminal
            not wider than that.
        positions: where the first columns end, as shares of the width or in characters; columns
            not spoken of are as wide as they need to be.
        print_fn: takes the text instead of standard output.
        expand_nested: whether the layers of models within are shown.
        show_trainable: whether to show which layers are trained.
        layer_range: the names of the first and the last layer to show, or patterns of them.

    Raises:
        ConfigError: `layer_range` or `positions` do not fit the model, or `line_length` is too
            small for the columns.

    Example:
        >>> import plait
        >>> model = plait.Sequential([plait.Input((4,)), plait.layers.Dense(2)], name="small")
        >>> summary(model, print_fn=lambda text: print(text.splitlines()[7].strip()))
        Total params: 10 (40 B)
    """
    from rich.cells import cell_len
    from rich.console import Console, Group
    from rich.table import Column, Table
    from rich.text import Text

    graph = graph_of(model)
    costs = {} if graph is None else graph_costs(graph)
    columns = _columns(_has_branches(model, expand_nested), show_trainable, bool(costs))
    rows = list(rows_of(model, costs, expand_nested, layer_range))
    cells = [[cell(row) for _, _, cell in columns] for row in rows]
    needs = [
        max(cell_len(text) for text in (head, *texts))
        for (head, _, _), *texts in zip(columns, *cells, strict=True)
    ]
    console = Console(highlight=False, file=None if print_fn is None else io.StringIO())
    room = console.width if console.is_terminal and not console.is_jupyter else None
    width = _width(columns, needs, line_length, room)
    fixed = _widths(positions, needs, width)

    table = Table(
        *(
            Column(
                head,
                justify=side,
                width=size,
                no_wrap=size is None and side == "right",
                overflow="fold",
            )
            for (head, side, _), size in zip(columns, fixed, strict=True)
        ),
        width=width if positions is None else None,
    )
    for texts in cells:
        table.add_row(*map(Text, texts))
    lines = [Text(line, no_wrap=True) for line in _totals(model, graph, costs)]
    title = Text(f'Model: "{model.name}"', "bold", no_wrap=True)
    console.width = max(10 * width, 200)
    console.print(Group(title, table, *lines))
    if print_fn is not None:
        print_fn(console.file.getvalue())  # type: ignore[attr-defined]


# -- the columns ----------------------------------------------------------------------------

_Column = tuple[str, Any, Callable[[Row], str]]


def _columns(branches: bool, trainable: bool, costs: bool) -> list[_Column]:
    columns: list[_Column] = [
        ("Layer (type)", "left", _label),
        ("Output Shape", "left", lambda row: row.shape),
        ("Param #", "right", _params),
    ]
    if branches:
        columns.append(("Connected to", "left", lambda row: row.sources or "-"))
    if costs:
        columns.append(("FLOPs", "right", lambda row: _figure(row.cost, _flops)))
        columns.append(("Memory", "right", lambda row: _figure(row.cost, _memory)))
    if trainable:
        flags = {True: "Y", False: "N", None: "-"}
        columns.append(("Trainable", "center", lambda row: flags[row.trainable]))
    return columns


def _has_branches(model: Any, nested: bool) -> bool:
    graph = graph_of(model)
    if graph is not None and not graph.is_chain:
        return True
    return nested and any(_has_branches(layer, nested) for layer in model.layers if is_model(layer))


def _label(row: Row) -> str:
    indent = "  " * row.depth
    return f"{indent}{row.name}" if row.kind is None else f"{indent}{row.name} ({row.kind})"


def _params(row: Row) -> str:
    if row.kind is None:
        return ""
    return "unbuilt" if row.params is None else f"{row.params:,}"


def _figure(cost: Cost | None, text: Callable[[Cost], str]) -> str:
    if cost is None:
        return "?"
    return text(cost) if cost.exact else f"~{text(cost)}"


def _flops(cost: Cost) -> str:
    return _scaled(cost.flops, 1000, ("", " K", " M", " G", " T", " P"))


def _memory(cost: Cost) -> str:
    return _bytes(cost.bytes)


def _bytes(count: int) -> str:
    return _scaled(count, 1024, (" B", " KB", " MB", " GB", " TB", " PB"))


def _scaled(count: int, step: int, units: Sequence[str]) -> str:
    """Return a number with two decimals and the unit that leaves less than a step before them."""
    value, unit = float(count), 0
    while round(value, 2) >= step and unit < len(units) - 1:
        value, unit = value / step, unit + 1
    return f"{value:.2f}{units[unit]}" if unit else f"{count}{units[0]}"


# -- their widths ---------------------------------------------------------------------------


def _width(columns: list[_Column], needs: list[int], wanted: int | None, room: int | None) -> int:
    borders = _BORDER * len(columns) + 1
    least = borders + sum(
        need if side == "right" else min(need, _NARROWEST)
        for (_, side, _), need in zip(columns, needs, strict=True)
    )
    if wanted is None:
        natural = sum(needs) + borders
        return natural if room is None else max(min(natural, room), least)
    if wanted < least:
        raise ConfigError(
            f"summary: line_length={wanted} is too small for {len(columns)} columns.",
            fix=f"line_length={least} or more",
        )
    return wanted


def _widths(positions: Sequence[float] | None, needs: list[int], width: int) -> list[int | None]:
    if positions is None:
        return [None] * len(needs)
    if not 0 < len(positions) <= len(needs):
        raise ConfigError(
            f"summary: positions is a list of {len(needs)} numbers or fewer, one for each column; "
            f"received {len(positions)}."
        )
    rest = needs[len(positions) :]
    shared = width - sum(rest) - _BORDER * len(rest) - 1
    scale = shared if positions[-1] <= 1 else 1
    ends = [0, *(int(end * scale) for end in positions)]
    sizes = [end - start - _BORDER for start, end in itertools.pairwise(ends)]
    if min(sizes) < 1:
        raise ConfigError(
            f"summary: positions {list(positions)} leave no room for column "
            f"{sizes.index(min(sizes)) + 1}.",
            fix="give where the columns end, rising: positions=[0.45, 0.8, 1.0]",
        )
    return [*sizes, *rest]


# -- under the table ------------------------------------------------------------------------


def _totals(model: Any, graph: Graph | None, costs: Mapping[Node, Cost | None]) -> Iterator[str]:
    if not model.built:
        yield " Not built: the shape of its input is not known, so it has no params yet."
        yield " Build it: call it on data, or model.build(input_shape) with the batch as None."
        return
    flags = trainable_flags(model)
    trained = [variable for variable, trainable in flags if trainable]
    others = [variable for variable, trainable in flags if not trainable]
    optimizer = model.optimizer
    slots = optimizer.variables if optimizer is not None and optimizer.built else []
    yield _amount("Total params", [*trained, *others, *slots])
    yield _amount("Trainable params", trained)
    yield _amount("Non-trainable params", others)
    if slots:
        yield _amount("Optimizer params", slots)
    if graph is not None:
        cost = total_cost(costs[node] for node in graph.nodes)
        yield f" FLOPs per sample: {_figure(cost, _flops)}"
        yield f" Activation memory per sample: {_figure(cost, _memory)}"


def _amount(what: str, variables: list[Variable]) -> str:
    size = sum(variable.size * jnp.dtype(variable.dtype).itemsize for variable in variables)
    return f" {what}: {sum(variable.size for variable in variables):,} ({_bytes(size)})"
