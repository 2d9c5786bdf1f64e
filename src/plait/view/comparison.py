"""Two models as one picture, with what differs between them marked."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from plait.graph.diff import Change, Diff
from plait.view.picture import MARKS, Box, Mark, Picture, picture_of


def picture_of_both(before: Any, after: Any, diff: Diff) -> Picture:
    """Return a picture in which each of two models is a box with its layers inside.

    Args:
        before: a model with a graph.
        after: another.
        diff: what differs between them.
    """
    sides = [_side(label, model, diff) for label, model in (("before", before), ("after", after))]
    counts = {mark: len(getattr(diff, mark)) for mark in MARKS}
    costs = [(diff.parameters, "params"), (diff.flops, "FLOPs per sample")] if diff else []
    return Picture(
        name=" → ".join(dict.fromkeys((before.name, after.name))),
        kind=" · ".join(filter(None, itertools.starmap(_amounts, costs))) or "no differences",
        boxes=sides,
        wires=[],
        inputs=[],
        outputs=[],
        output_shapes=[],
        params=0,
        trained=0,
        flops=None,
        legend=[(mark, f"{count} {mark}") for mark, count in counts.items() if count],
    )


def _amounts(amounts: tuple[int | None, int | None], what: str) -> str:
    before, after = amounts
    if before is None or after is None:
        return ""
    return f"{before:,} {what}" if before == after else f"{before:,} → {after:,} {what}"


def _side(label: str, model: Any, diff: Diff) -> Box:
    inside = picture_of(model, prefix=f"{label}/")
    boxes = dict(_boxes(inside, len(label) + 1))
    for entry in diff.removed if label == "before" else diff.added:
        _mark(boxes, entry.path, "removed" if label == "before" else "added", "")
    for change in diff.replaced:
        _mark(boxes, change.path, "replaced", f"{change.before} → {change.after}")
    for change in diff.changed:
        _mark(boxes, change.path, "changed", _arguments(change))
    for rewiring in diff.rewired:
        taken, other = rewiring.before, rewiring.after
        if label == "after":
            taken, other = other, taken
        _mark_wires(inside, rewiring.path, Counter(other) if taken != other else Counter())
    return Box(
        path=label,
        name=f"{label}: {model.name}",
        kind=inside.kind,
        family="model",
        params=inside.params,
        inside=inside,
    )


def _boxes(picture: Picture, start: int) -> Iterator[tuple[str, Box]]:
    """Yield path within the model -> box, those within nested models too."""
    for box in picture.boxes:
        yield box.path[start:], box
        if box.inside is not None:
            yield from _boxes(box.inside, start)


def _mark(boxes: dict[str, Box], path: str, mark: Mark, change: str) -> None:
    box = boxes.get(path) or boxes.get(path.rpartition("@")[0])
    if box is not None:
        box.mark, box.change = mark, change


def _arguments(change: Change) -> str:
    return ", ".join(f"{name} {a!r} → {b!r}" for name, (a, b) in change.arguments.items())


def _mark_wires(picture: Picture, path: str, others: Counter[str]) -> None:
    """Mark the wires of a call that the other model has not."""
    *outer, name = path.split("/")
    inner: Picture | None = picture
    for part in outer:
        inner = next((box.inside for box in inner.boxes if box.name == part), None)  # type: ignore[union-attr]
        if inner is None:
            return
    assert inner is not None
    for wire in inner.wires:
        target = inner.boxes[wire.box]
        if target.calls[wire.call].name != name:
            continue
        source = inner.boxes[wire.source.box].calls[wire.source.call]
        label = source.name + (f"[{wire.source.output}]" if len(source.shapes) > 1 else "")
        target.mark = target.mark or "rewired"
        if others[label]:
            others[label] -= 1
        else:
            wire.mark = "rewired"
