"""`plait.diff`: what differs between two models, as text and as an object."""

import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, demo, layers, ops


@pytest.fixture(autouse=True)
def _fresh():
    plait.utils.clear_session()


def block(units=8, activation="relu", extra=False, skip=True, tower=3, axis=-1):
    x = Input((4,), name="x")
    inner = Sequential(
        [Input((4,), name="i"), layers.Dense(tower, name="first"), layers.Dense(4, name="last")],
        name="tower",
    )
    h = layers.Dense(units, activation=activation, name="hidden")(x)
    if extra:
        h = layers.Dropout(0.5, name="drop")(h)
    h = layers.Dense(4, name="back")(h)
    h = layers.Add(name="join")([h, x if skip else inner(x)])
    h = layers.Concatenate(axis=axis, name="all")([h, inner(h)])
    return Model(x, layers.Dense(1, name="out")(h))


def test_equal_models_do_not_differ():
    model = demo.residual()
    plait.utils.clear_session()
    same = model.diff(demo.residual())
    assert not same
    assert str(same) == "no differences"
    assert same.parameters == (model.count_params(), model.count_params())
    assert not plait.diff(model, model)
    scope = {}
    exec(model.to_python(), scope)
    assert not model.diff(scope["model"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"units": 16, "activation": "gelu"},
            "changed    Dense 'hidden': units 8 -> 16, activation 'relu' -> 'gelu'\n"
            "parameters 116 -> 188 (+72)\n",
        ),
        (
            {"extra": True},
            "added      Dropout 'drop' <- hidden\n"
            "rewired    'back': hidden -> drop\n"
            "parameters 116, as before\n",
        ),
        (
            {"skip": False},
            "rewired    'join': back, x -> back, tower\n"
            "rewired    'tower': join -> x\n"
            "rewired    'all': join, tower -> join, tower@1\n"
            "rewired    'tower@1': nothing -> join\n"
            "parameters 116, as before\n",
        ),
        (
            {"tower": 5},
            "changed    Dense 'tower/first': units 3 -> 5\nparameters 116 -> 134 (+18)\n",
        ),
        ({"axis": 1}, "changed    Concatenate 'all': axis -1 -> 1\nparameters 116, as before\n"),
    ],
)
def test_text(change, text):
    found = plait.diff(block(), block(**change))
    assert str(found).startswith(text)
    assert str(found).splitlines()[-1].startswith("FLOPs")
    assert found


def test_removed_replaced_and_the_object():
    first, second = block(extra=True), block(extra=True)
    second.replace("drop", layers.GaussianNoise(0.1, name="drop"))
    second.remove("tower")
    second.get_layer("hidden").trainable = False
    found = first.diff(second)
    assert [(c.path, c.before, c.after) for c in found.replaced] == [
        ("drop", "Dropout", "GaussianNoise")
    ]
    assert [entry.path for entry in found.removed] == ["tower"]
    assert [(r.path, r.before, r.after) for r in found.rewired] == [
        ("all", ("join", "tower"), ("join", "join"))
    ]
    assert [(c.path, dict(c.arguments)) for c in found.changed] == [
        ("hidden", {"trainable": (True, False)})
    ]
    assert found.added == []
    assert found.parameters == (first.count_params(), second.count_params())
    assert found.flops[0] > found.flops[1]


def test_calls_inputs_and_outputs():
    def make(axis, shape, outputs):
        x = Input((3, shape), name="x")
        y = ops.mean(x, axis=axis)
        z = layers.TimeDistributed(layers.Dense(outputs, name="d"), name="t")(x)
        plait.utils.clear_session()
        result = {"y": y, "z": z} if outputs == 2 else {"y": y}
        return Model(x, result)

    first = str(plait.diff(make(1, 4, 2), make(2, 5, 3)))
    assert "changed    Input 'x': shape (None, 3, 4) -> (None, 3, 5)" in first
    assert "changed    ops.mean 'mean': axis 1 -> 2" in first
    assert "removed    TimeDistributed 't' <- x" in first
    assert "rewired    'outputs': y: mean, z: t -> y: mean" in first
    second = plait.diff(make(1, 4, 2), make(1, 4, 2))
    assert not second


@pytest.mark.parametrize(
    "make",
    [
        lambda n: layers.Normalization(mean=np.full(4, n), variance=np.ones(4), name="l"),
        lambda n: layers.Lambda(lambda x: x * n, name="l"),
        lambda n: layers.TimeDistributed(layers.Dense(n + 1), name="l"),
        lambda n: layers.Dense(4, kernel_regularizer=plait.regularizers.L2(n), name="l"),
    ],
)
def test_arguments_of_every_kind(make):
    def model(n):
        plait.utils.clear_session()
        x = Input((3, 4), name="x")
        return Model(x, make(n)(x))

    assert [change.path for change in plait.diff(model(1), model(2)).changed] == ["l"]


def test_wrong_arguments():
    with pytest.raises(plait.ArgumentTypeError, match="diff compares two models; received Dense"):
        plait.diff(demo.sequential(), layers.Dense(1))
    with pytest.raises(plait.NotBuiltError, match="not known"):
        plait.diff(Sequential([layers.Dense(1)]), demo.sequential())
