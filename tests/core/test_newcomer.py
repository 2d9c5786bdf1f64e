"""Mistakes that would train nothing, or fail far from where they were made."""

import numpy as np
import pytest

import plait
from plait import Input, layers


class MadeInCall(layers.Layer):
    def call(self, inputs):
        return layers.Dense(1)(inputs)


class Forgetful(layers.Layer):
    def call(self, inputs):
        inputs + 1


def test_a_layer_made_in_call_is_refused():
    with pytest.raises(plait.ConfigError, match="made inside call"):
        MadeInCall()(np.ones((2, 3)))
    model = plait.Sequential([Input((3,)), MadeInCall()])
    model.compile("sgd", "mse")
    with pytest.raises(plait.ConfigError, match="made inside call"):
        model.fit(np.ones((4, 3)), np.ones(4), verbose=0)


def test_a_call_that_returns_nothing_is_refused():
    for given in (np.ones((2, 3)), Input((3,))):
        with pytest.raises(plait.ArgumentTypeError, match=r"returned nothing from call\(\)"):
            Forgetful()(given)


def test_an_array_cannot_take_the_place_of_a_variable():
    dense = layers.Dense(2)
    dense.build((None, 3))
    with pytest.raises(plait.ConfigError, match=r"layer.kernel.assign\(value\)"):
        dense.kernel = np.ones((3, 2))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (layers.Dense(2), "received <Dense"),
        (layers.Input, "received <function"),
        (np.array([[1, None]], dtype=object), "received one of object"),
        (np.array([["a"]]), "received one of <U1"),
    ],
)
def test_what_is_no_array_is_named(given, text):
    with pytest.raises(plait.ArgumentTypeError) as raised:
        layers.Dense(3)(given)
    assert text in str(raised.value)


def test_a_variable_asked_for_before_it_exists():
    with pytest.raises(plait.NotBuiltError, match="has no 'kernel': it is not built"):
        layers.Dense(2).kernel
    built = layers.Dense(2)
    built.build((None, 3))
    with pytest.raises(AttributeError, match="'Dense' object has no attribute 'kernle'"):
        built.kernle
    with pytest.raises(
        plait.NotBuiltError, match=r"Sequential '.*' \(test_newcomer.py:\d+\) has no"
    ):
        plait.Sequential([layers.Dense(1)]).output


def test_what_call_returns_may_be_a_variable():
    class Total(layers.Layer):
        def build(self, shape):
            self.total = self.add_weight(shape=(shape[-1],), initializer="zeros", trainable=False)

        def call(self, x):
            self.total.assign_add(x.sum(0))
            return self.total

    total = Total()
    for count in (2, 4):
        np.testing.assert_array_equal(total(np.ones((2, 3))), [count] * 3)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Activation("relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.Embedding(3, 2),
        layers.LayerNormalization(),
        layers.Reshape((3, 1)),
        layers.Rescaling(2.0),
    ],
    ids=lambda layer: layer.name,
)
def test_a_list_where_one_tensor_is_wanted(layer):
    with pytest.raises(plait.ArgumentTypeError, match="takes one tensor, but received a list of 2"):
        layer([Input((3,)), Input((3,))])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.fit(1, nb_epoch=3), r"fit: .* 'nb_epoch'. Did you mean 'epochs'\?"),
        (lambda m: m.fit(1, epoch=3), r"fit: .* 'epoch'. Did you mean 'epochs'\?"),
        (lambda m: m.compile("sgd", lr=0.1), r"'lr'. It is an argument of the optimizer"),
        (lambda m: m.evaluate(batchsize=3), "Did you mean 'batch_size'"),
        (lambda m: m.predict(), r"missing a required argument: 'x'.\nFix: predict\(x, "),
        (lambda m: m.summary(nested=True), "Did you mean 'expand_nested'"),
        (lambda m: plait.Model(input=1), "Did you mean 'inputs'"),
        (lambda m: plait.callbacks.EarlyStopping(monitr="loss"), "Did you mean 'monitor'"),
    ],
)
def test_misspelt_arguments(call, text):
    with pytest.raises(plait.ArgumentTypeError, match=text):
        call(plait.Sequential([Input((3,)), layers.Dense(1)]))


def test_a_type_error_from_within_is_left_alone():
    class Wrong(plait.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise TypeError("of the user's own")

    model = plait.Sequential([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"^of the user's own"):
        model.fit(np.ones((4, 3)), np.ones(4), callbacks=[Wrong()], verbose=0)


def test_data_sets_of_keras_say_what_there_is():
    with pytest.raises(AttributeError, match="load_mnist_sample"):
        plait.datasets.mnist
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'\.$"):
        plait.datasets.nothing
