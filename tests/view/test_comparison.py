"""Pictures of two models, with what differs between them marked."""

import xml.etree.ElementTree as ET

import pytest
from drawn import changed, nested

import plait
from plait import layers
from plait.view.comparison import picture_of_both
from plait.view.palette import COLORS


def marks(picture):
    """Return path -> (mark, what changed) of boxes, and (sources, target) of marked wires."""
    boxes, wires, stack = {}, [], [picture]
    while stack:
        each = stack.pop()
        for box in each.boxes:
            if box.mark:
                boxes[box.path] = (box.mark, box.change)
            if box.inside is not None:
                stack.append(box.inside)
        for wire in each.wires:
            if wire.mark:
                assert wire.mark == "rewired"
                wires.append((each.boxes[wire.source.box].path, each.boxes[wire.box].path))
    return boxes, sorted(wires)


def test_each_change_is_marked_where_it_is():
    before, after = changed()
    boxes, wires = marks(picture_of_both(before, after, plait.diff(before, after)))
    assert boxes == {
        "before/gone": ("removed", ""),
        "before/tower/inside": ("changed", "units 4 → 3"),
        "before/tower/last": ("replaced", "Dense → EinsumDense"),
        "before/join": ("rewired", ""),
        "after/new": ("added", ""),
        "after/tower/inside": ("changed", "units 4 → 3"),
        "after/tower/last": ("replaced", "Dense → EinsumDense"),
        "after/join": ("rewired", ""),
    }
    assert wires == [("after/new", "after/join"), ("before/gone", "before/join")]


def test_a_picture_of_two_models_says_what_stands_for_what():
    before, after = changed()
    picture = picture_of_both(before, after, plait.diff(before, after))
    assert picture.legend == [
        ("added", "1 added"),
        ("removed", "1 removed"),
        ("replaced", "1 replaced"),
        ("rewired", "1 rewired"),
        ("changed", "1 changed"),
    ]
    assert picture.compares
    assert "params" in picture.kind
    assert [box.name for box in picture.boxes] == ["before: model", "after: model"]
    same = picture_of_both(before, before, plait.diff(before, before))
    assert (same.kind, same.legend, marks(same)) == ("no differences", [], ({}, []))


def test_a_change_of_order_marks_the_call():
    before = nested()
    after = before.copy()
    after.rewire("encoder/block/sum", ["encoder/block/x", "encoder/block/dense"])
    found = marks(picture_of_both(before, after, before.diff(after)))
    path = "encoder/block/sum"
    assert found == ({f"{side}/{path}": ("rewired", "") for side in ("before", "after")}, [])


@pytest.mark.parametrize("ending", ["svg", "png", "dot", "html"])
def test_a_difference_is_drawn_to_a_file(tmp_path, ending):
    before, after = changed()
    path = plait.diff(before, after).plot(tmp_path / f"d.{ending}")
    assert path == tmp_path / f"d.{ending}"
    assert path.stat().st_size > 1000
    if ending == "svg":
        text = "".join("".join(part.itertext()) for part in ET.parse(path).iter())
        for words in ("before: model", "after: model", "units 4 → 3", "1 added", "FLOPs"):
            assert words in text
        for mark in ("added", "removed", "replaced", "rewired", "changed"):
            assert COLORS[mark][0] in path.read_text()


def test_a_model_edited_since_is_not_drawn():
    model = nested()
    diff = plait.diff(model, model.copy())
    model.insert_after("encoder/relu", layers.ReLU(name="more"))
    with pytest.raises(plait.GraphError, match="was edited since it was compared"):
        diff.plot("never.html")
