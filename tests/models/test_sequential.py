"""Sequential: a list of layers that is a chain."""

import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, layers


def stack(*names):
    return Sequential([Input((4,)), *(layers.Dense(4, name=name) for name in names)])


def names(model):
    return [layer.name for layer in model]


def test_declared_and_deferred_input():
    declared = Sequential([layers.Flatten(input_shape=(28, 28)), layers.Dense(10)])
    assert declared.built
    assert (declared.input_shape, declared.output_shape) == ((None, 28, 28), (None, 10))
    deferred = Sequential([layers.Flatten(), layers.Dense(10)])
    assert not deferred.built
    with pytest.raises(plait.NotBuiltError, match="shape of its input is not known"):
        deferred.output
    assert deferred(np.ones((3, 28, 28))).shape == (3, 10)
    assert deferred.input_shape == (None, 28, 28)
    assert [v.path for v in deferred.variables] == [
        f"{deferred.layers[1].name}/kernel",
        f"{deferred.layers[1].name}/bias",
    ]


def test_build_and_input_properties():
    model = Sequential([layers.Dense(3)])
    model.build((None, 5))
    assert model.input.shape == (None, 5)
    assert model.inputs == [model.input] or model.inputs[0] is model.input
    assert model.output.shape == (None, 3)
    assert model.count_params() == 18
    assert Sequential(name="mine").name == "mine"


def test_add_pop_insert_delete_assign():
    model = stack("a", "b")
    model.add(layers.Dense(2, name="c"))
    assert model.output_shape == (None, 2)
    assert model.pop().name == "c"
    model.insert(1, layers.Activation("relu", name="act"))
    assert names(model) == ["a", "act", "b"]
    model.insert(-1, layers.Activation("tanh", name="tanh"))
    assert names(model) == ["a", "act", "tanh", "b"]
    del model[1:3]
    model[1] = layers.Dense(7, name="wide")
    assert (names(model), model.output_shape) == (["a", "wide"], (None, 7))
    del model[-1]
    assert len(model) == 1


def test_edits_keep_weights():
    model = stack("a", "b")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    before = {v.path: v.numpy() for v in model.variables}
    model.insert(1, layers.Activation("linear"))
    np.testing.assert_array_equal(before["a/kernel"], model.layers[0].kernel.numpy())
    expected = (x @ before["a/kernel"]) @ before["b/kernel"]
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


def test_slices_share_layers():
    model = stack("a", "b", "c")
    head = model[:-1]
    assert isinstance(head, Sequential)
    assert head.layers[0] is model.layers[0]
    assert head.output_shape == (None, 4)
    assert names(model[1:]) == ["b", "c"]
    assert model[1:].built
    assert names(model[::-1]) == ["c", "b", "a"]
    assert model[-1].name == "c"
    with pytest.raises(IndexError, match="3 layers"):
        model[3]


def test_a_failed_edit_changes_nothing():
    model = stack("a", "b")
    text = str(model.graph)
    with pytest.raises(plait.ShapeError):
        model.insert(1, layers.Dense(9, name="wide"))
    with pytest.raises(plait.GraphError, match="are named 'a'"):
        model.add(layers.Dense(4, name="a"))
    with pytest.raises(plait.ShapeError):
        model.add(layers.Conv2D(3, 3))
    assert str(model.graph) == text
    assert names(model) == ["a", "b"]
    assert model(np.ones((2, 4))).shape == (2, 4)


SHARED = layers.Dense(4, name="shared")


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Sequential([SHARED, SHARED]), plait.GraphError, "y = shared(shared(x))"),
        (lambda: Sequential([Input((4,)), Input((4,))]), plait.GraphError, "plait.Model([a, b]"),
        (
            lambda: Sequential([layers.Dense(2), [layers.Dense(2), layers.Dense(2)]]),
            plait.ArgumentTypeError,
            "layers.concatenate([",
        ),
        (lambda: Sequential([Input((4,)), layers.Add()]), ValueError, "Add"),
        (lambda: Sequential([layers.Dense]), plait.ArgumentTypeError, "Dense(...)"),
        (lambda: Sequential([np.tanh]), plait.ArgumentTypeError, "layers.Lambda"),
        (lambda: Sequential(layers.Dense(3)), plait.ArgumentTypeError, "list of layers"),
        (
            lambda: Sequential([Input((4,)), layers.Dense(3)(Input((4,)))]),
            plait.ArgumentTypeError,
            "pass the layer, not what calling it returns",
        ),
        (lambda: Sequential().pop(), plait.ConfigError, "no layer to pop"),
        (lambda: Sequential()(np.ones((2, 2))), plait.GraphError, "no layers"),
        (lambda: Sequential([layers.Dense(2)]).build([(1, 2), (1, 2)]), ValueError, "one tensor"),
    ],
)
def test_what_it_cannot_do_is_said_with_what_can(make, error, text):
    with pytest.raises(error) as raised:
        make()
    assert text in str(raised.value)


def test_several_outputs_in_the_middle():
    with pytest.raises(plait.GraphError, match="returns 3 tensors"):
        Sequential([Input((5, 4)), layers.LSTM(3, return_state=True), layers.Dense(2)])


def test_nested_and_as_layer():
    inner = stack("a", "b")
    outer = Sequential([inner, layers.Dense(2, name="out")])
    assert outer.input_shape == (None, 4)
    assert [v.path for v in plait.Model(outer.input, outer.output).variables][:1] == ["a/kernel"]
    x = Input((4,))
    model = Model(x, outer(inner(x)))
    assert model(np.ones((2, 4))).shape == (2, 2)
    assert len(model.variables) == 6
