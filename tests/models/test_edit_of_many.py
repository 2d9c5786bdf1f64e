"""Edits of many places at once: what they leave to the collector, and that they stay right."""

import gc

import pytest

import plait
from plait import layers
from plait.core.garbage import uncollected


@pytest.fixture
def model():
    x = h = plait.Input((4,), name="x")
    for i in range(300):
        h = layers.Dense(4, name=f"d{i}")(h)
    return plait.Model(x, h)


def test_no_collection_runs_while_many_layers_are_inserted(model):
    collections = []
    gc.callbacks.append(seen := lambda phase, info: collections.append(info["generation"]))
    threshold = gc.get_threshold()
    gc.set_threshold(50, 10, 10)
    try:
        gc.collect()
        collections.clear()
        model.insert_after("d*", layers.Dropout(0.1))
        during = len(collections)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(seen)
    assert during <= 3, "only those before the edit began and after it ended"
    assert gc.isenabled()
    assert len(model.layers) == 601
    assert model.graph.verify()


def test_a_failed_edit_lets_collections_run_again(model):
    with pytest.raises(plait.errors.GraphError):
        model.insert_after("nothing", layers.ReLU())
    assert gc.isenabled()


def test_who_switched_collections_off_keeps_them_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_layer_that_an_edit_brings_in_minds_the_names_of_its_model(model):
    added = layers.ReLU(name="added")
    model.insert_after("d3", added)
    with pytest.raises(plait.errors.GraphError, match="cannot be renamed to 'd7'"):
        added.name = "d7"
    model.undo()
    added.name = "d7"
