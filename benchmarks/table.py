"""The table of what was measured.

``python benchmarks/table.py`` prints the last one again, with ``--markdown`` a short one for docs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rows import ROWS

RAW = ("jax", "jax-epoch")
# groups of: measured quantity -> (title, whether more is better)
GROUPS = (
    {"train": ("{row}, examples/s", True)},
    {
        "predict": ("predict, one sample, us", False),
        "call": ("model(x), one sample, us", False),
        "batch": ("predict, a batch of 32, {row}, us", False),
    },
    {
        "import": ("import, s", False),
        "first-cold": ("first step, {row}, cold, s", False),
        "first-warm": ("first step, {row}, warm, s", False),
        "lengths-cold": ("predict, ten new lengths, cold, s", False),
        "lengths-warm": ("predict, ten new lengths, warm, s", False),
    },
    {"memory": ("peak memory, {row}, MB", False)},
)


def show(record: dict[str, Any]) -> None:
    """Print medians, and how many times better plait is than each peer."""
    medians: dict[str, dict[str, float]] = record["medians"]
    peers = list(dict.fromkeys(peer for values in medians.values() for peer in values))
    table = Table(
        title="medians; below each, how many times better plait is",
        caption="best: the best of Keras and PyTorch. raw: the best of JAX by hand. floor: what "
        "products, bytes and (one sample) one call need at this machine's rates.",
    )
    table.add_column("", no_wrap=True)
    for peer in (*peers, "best", "raw", "floor"):
        table.add_column(peer, justify="right", no_wrap=True)
    floors = {**record["floors"], **_call_floors(record)}
    last = 0
    for group, title, more, row, values in _rows(record):
        if group != last:
            table.add_section()
        last = group
        cells = [_cell(values, peer, more) for peer in peers]
        cells += [_best(values, more, raw) for raw in (False, True)]
        table.add_row(title, *cells, _floor(values, floors.get(row), more))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    rates = record["machine"]
    console.print(
        f"{rates['cores']} cores: {rates['flops'] / 1e9:.0f} GFLOP/s in a float32 product, "
        f"{rates['memory'] / 1e9:.1f} GB/s of memory, {rates['cache'] / 1e9:.1f} GB/s of cache, "
        f"{rates['call'] * 1e6:.0f} us a compiled call and its copy out; "
        f"{record['seconds'] / 60:.1f} minutes. "
        + ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    )
    for remark in record["remarks"]:
        console.print(f"failed: {remark}", style="red", markup=False)


def markdown(record: dict[str, Any]) -> str:
    """Return a short table: plait, the best peer, how many times better, raw JAX, the floor."""
    lines = ["| | plait | best peer | x | raw JAX, x | floor, x |", "|---|---|---|---|---|---|"]
    floors = {**record["floors"], **_call_floors(record)}
    for _, title, more, row, values in _rows(record):
        if "plait" not in values:
            continue
        others = {k: v for k, v in values.items() if k != "plait" and k not in RAW}
        best = (max if more else min)(others, key=others.__getitem__) if others else None
        floor = floors.get(row)
        cells = [
            title,
            _number(values["plait"]),
            f"{_number(others[best])} {best}" if best else "",
            _best(values, more, False),
            _best(values, more, True),
            _times(_ratio(values, floor, more)) if floor else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rows(record: dict[str, Any]) -> Iterator[tuple[int, str, bool, str, dict[str, float]]]:
    """Yield group, title, whether more is better, the row's key and its medians."""
    for index, group in enumerate(GROUPS):
        for quantity, (title, more) in group.items():
            for row, values in record["medians"].items():
                if row.split()[0] == quantity:
                    name = ROWS[row.split()[1]].title if " " in row else ""
                    yield index, title.format(row=name), more, row, values


def _cell(values: dict[str, float], peer: str, more: bool) -> str:
    if peer not in values:
        return ""
    ratio = "" if peer == "plait" else "\n" + _times(_ratio(values, values[peer], more))
    return _number(values[peer]) + ratio


def _ratio(values: dict[str, float], other: float, more: bool) -> float:
    return values["plait"] / other if more else other / values["plait"]


def _best(values: dict[str, float], more: bool, raw: bool) -> str:
    others = [value for peer, value in values.items() if peer != "plait" and (peer in RAW) == raw]
    if not others or "plait" not in values:
        return ""
    return _times(_ratio(values, max(others) if more else min(others), more))


def _floor(values: dict[str, float], floor: float | None, more: bool) -> str:
    if floor is None or "plait" not in values:
        return ""
    return f"{_number(floor)}\n{_times(_ratio(values, floor, more))}"


def _call_floors(record: dict[str, Any]) -> dict[str, float]:
    call = record["machine"]["call"] * 1e6
    return {row: call for row in record["medians"] if row.split()[0] in ("predict", "call")}


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio >= 0.1 else f"{ratio:.2g}x"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    last = json.loads((Path(__file__).parent / "results.json").read_text())
    if "--markdown" in sys.argv:
        print(markdown(last))
    else:
        show(last)
