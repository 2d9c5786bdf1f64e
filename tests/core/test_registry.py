"""Configurations: what is captured, written down, and found again."""

import numpy as np
import pytest

import plait
from plait import layers
from plait.core import registry
from plait.core.registry import (
    captured,
    custom_object_scope,
    deserialize,
    register_serializable,
    serialize,
)


class Base(layers.Layer):
    def __init__(self, width, scale=2.0, *, flip=False, **kwargs):
        super().__init__(**kwargs)
        self.width, self.scale, self.flip = width, scale, flip

    def call(self, inputs):
        return inputs * self.scale


class Narrow(Base):
    def __init__(self, extra=(1, 2), **kwargs):
        super().__init__(width=3, **kwargs)
        self.extra = extra


class Plain(Base):
    pass


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Base(4), {"width": 4, "scale": 2.0, "flip": False}),
        (Base(4, 3.0, flip=True), {"width": 4, "scale": 3.0, "flip": True}),
        (Base(width=4, name="n"), {"width": 4, "scale": 2.0, "flip": False, "name": "n"}),
        (Narrow(), {"extra": (1, 2)}),
        (Narrow(scale=5.0), {"extra": (1, 2), "scale": 5.0}),
        (Plain(1), {"width": 1, "scale": 2.0, "flip": False}),
    ],
)
def test_capture_and_round_trip(layer, expected):
    assert captured(layer) == expected
    config = layer.get_config()
    assert config["name"] == layer.name
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert type(layer.clone()) is type(layer)
    assert layer.clone().get_config() == config


def test_attributes_set_later_are_part_of_it():
    layer = Base(4)
    layer.width = 7
    layer.other = 9
    assert layer.get_config()["width"] == 7
    assert "other" not in layer.get_config()
    layer.trainable = False
    assert layer.get_config()["trainable"] is False
    assert Base.from_config(layer.get_config()).trainable is False
    assert layer.clone(width=1).width == 1


def test_clones_are_unbuilt_and_clone_what_is_within():
    inner = layers.Dense(2)
    outer = layers.TimeDistributed(inner)
    outer(np.ones((1, 3, 4)))
    clone = outer.clone()
    assert not clone.built
    assert clone.layer is not inner
    assert clone.layer.get_config() == inner.get_config()


def test_hand_written_get_config_still_works():
    class Old(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.n = units

        def get_config(self):
            config = super().get_config()
            config.update({"units": self.n})
            return config

    assert Old.from_config(Old(3).get_config()).n == 3


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "text",
        (1, (2, None)),
        [1, [2.0, "x"]],
        {"a": 1, "b": {"c": (3,)}},
        slice(1, None, 2),
        ...,
    ],
)
def test_plain_values_round_trip(value):
    again = deserialize(serialize(value))
    assert again == value
    assert type(again) is type(value)


def test_arrays_dtypes_and_scalars():
    array = np.arange(6, dtype="int16").reshape(2, 3)
    again = deserialize(serialize(array))
    np.testing.assert_array_equal(again, array)
    assert again.dtype == "int16"
    assert deserialize(serialize(np.float32(1.5))) == 1.5
    assert serialize(np.dtype("float16")) == serialize(np.float16) == "float16"
    np.testing.assert_array_equal(deserialize(serialize(plait.Variable([1.0]))), [1.0])


@pytest.mark.parametrize(
    ("make", "module"),
    [
        (lambda: layers.Dense(3, "relu", kernel_regularizer="l2"), "keras.layers"),
        (lambda: plait.initializers.HeNormal(seed=1), "keras.initializers"),
        (lambda: plait.regularizers.L1L2(0.1, 0.2), "keras.regularizers"),
        (lambda: plait.constraints.MaxNorm(3), "keras.constraints"),
        (lambda: plait.losses.Huber(delta=2.0), "keras.losses"),
        (lambda: plait.metrics.Precision(thresholds=[0.5]), "keras.metrics"),
        (lambda: plait.optimizers.Adam(1e-2), "keras.optimizers"),
        (
            lambda: plait.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
            "keras.optimizers.schedules",
        ),
    ],
)
def test_objects_are_written_as_keras_writes_them(make, module):
    made = make()
    written = serialize(made)
    assert (written["module"], written["class_name"]) == (module, type(made).__name__)
    again = deserialize(written)
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()


def test_functions_by_bare_name():
    assert serialize(plait.activations.relu) == "relu"
    assert layers.Dense(2, "relu").get_config()["activation"] == "relu"
    assert registry.find_function("relu", "activations") is plait.activations.relu


def double(x):
    return 2 * x


class Mine(layers.Layer):
    def __init__(self, function=None, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def test_custom_objects():
    written = serialize(Mine(double))
    with pytest.raises(plait.ConfigError, match="'Mine', which is neither plait's"):
        deserialize(written)
    with custom_object_scope({"Mine": Mine, "double": double}):
        again = deserialize(written)
        with custom_object_scope({"double": abs}):
            assert deserialize(written).function is abs
        assert deserialize(written).function is double
    assert (type(again), again.function) == (Mine, double)
    with pytest.raises(plait.ConfigError):
        deserialize(written)
    with custom_object_scope({"Mine": Mine}), pytest.raises(plait.ConfigError, match="'double'"):
        deserialize(written)


def test_registration():
    @register_serializable(package="pack", name="Own")
    class Registered(layers.Layer):
        def call(self, inputs):
            return inputs

    written = serialize(Registered(name="r"))
    assert written["registered_name"] == "pack>Own"
    assert type(deserialize(written)) is Registered
    assert registry.registered_name(Registered) == "pack>Own"
    assert registry.find_custom("Own") is Registered


@pytest.mark.parametrize(
    ("run", "error", "text"),
    [
        (lambda: Base(), plait.ArgumentTypeError, "missing a required argument: 'width'"),
        (lambda: Base(3, hight=2), plait.ArgumentTypeError, "no argument 'hight'"),
        (lambda: layers.Dense(2, unitz=3), plait.ArgumentTypeError, "Did you mean 'units'"),
        (lambda: plait.losses.Huber(dleta=3), plait.ArgumentTypeError, "Did you mean 'delta'"),
        (lambda: Mine(lambda x: x).get_config(), plait.ConfigError, "argument function: an anonym"),
        (lambda: Mine(object()).get_config(), plait.ConfigError, "an object cannot be written"),
        (
            lambda: deserialize({"class_name": "Danse", "config": {}}, "layers"),
            plait.ConfigError,
            "Did you mean 'Dense'",
        ),
        (
            lambda: deserialize({"class_name": "function", "config": "nope"}),
            plait.ConfigError,
            "function 'nope'",
        ),
        (lambda: plait.initializers.get("zeroes"), plait.ConfigError, "Did you mean 'zeros'"),
        (lambda: plait.initializers.get(3), plait.ArgumentTypeError, "an initializer is a name"),
        (lambda: plait.losses.get("msee"), plait.ConfigError, "no loss named 'msee'"),
    ],
)
def test_errors(run, error, text):
    with pytest.raises(error, match=text):
        run()


def test_nothing_that_a_file_names_is_imported():
    with pytest.raises(plait.ConfigError, match="'Popen'"):
        deserialize({"module": "subprocess", "class_name": "Popen", "config": {"args": ["true"]}})
    with pytest.raises(plait.ConfigError):
        deserialize({"module": "builtins", "class_name": "function", "config": "eval"})
