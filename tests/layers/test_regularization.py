import jax
import keras
import numpy as np
import pytest
from check_layer import check_layer

import plait
from plait import layers
from plait.core.random import SeedGenerator, set_random_seed
from plait.graph.tensor import SymbolicTensor


def data(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


CASES = [
    ("Dropout", {"rate": 0.3, "noise_shape": (None, 1, None), "seed": 3}, (4, 5, 6)),
    ("Dropout", {"rate": 0.0}, (4, 6)),
    ("SpatialDropout1D", {"rate": 0.3}, (4, 5, 6)),
    ("SpatialDropout2D", {"rate": 0.3, "data_format": "channels_first"}, (4, 5, 6, 3)),
    ("SpatialDropout3D", {"rate": 0.3}, (2, 3, 4, 5, 6)),
    ("GaussianDropout", {"rate": 0.3}, (4, 6)),
    ("GaussianNoise", {"stddev": 0.3}, (4, 6)),
    ("AlphaDropout", {"rate": 0.3}, (4, 6)),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (4, 6)),
]


@pytest.mark.parametrize(("name", "config", "shape"), CASES)
def test_inference_is_keras(name, config, shape):
    layer, _ = check_layer(
        lambda: getattr(layers, name)(**config),
        lambda: getattr(keras.layers, name)(**config),
        data(*shape),
        training=(False,),
    )
    np.testing.assert_array_equal(layer(data(*shape)), data(*shape))
    written = getattr(keras.layers, name)(**config).get_config()
    assert getattr(layers, name).from_config(written).get_config()["name"] == written["name"]


NOISY = [
    case for case in CASES if case[0] != "ActivityRegularization" and 0.0 not in case[1].values()
]


@pytest.mark.parametrize(("name", "config", "shape"), NOISY)
def test_draws_repeat_with_the_global_seed_and_differ_between_calls(name, config, shape):
    x = data(*shape)

    def draws(**extra):
        set_random_seed(5)
        layer = getattr(layers, name)(**{**config, "seed": None, "name": "noise", **extra})
        return [np.asarray(layer(x, training=True)) for _ in range(2)]

    (a, b), (c, d) = draws(), draws()
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)
    assert (a != b).any()
    assert (draws(seed=1)[0] != draws(seed=2)[0]).any()
    assert (draws(seed=SeedGenerator(4))[0] == draws(seed=SeedGenerator(4))[0]).all()


@pytest.mark.parametrize(("name", "config", "shape"), NOISY)
def test_the_mean_stays_and_gradients_flow(name, config, shape):
    layer = getattr(layers, name)(**config)
    shape = (64, *shape[1:-1], 64)
    x = data(*shape) if name == "AlphaDropout" else np.ones(shape, "float32")
    outputs = np.asarray(layer(x, training=True))
    np.testing.assert_allclose(outputs.mean(), x.mean(), atol=0.1)
    if name == "AlphaDropout":
        np.testing.assert_allclose(outputs.var(), x.var(), atol=0.1)
    gradient = jax.grad(
        lambda x: layer.apply({}, x, training=True, rng=jax.random.key(0))[0].sum()
    )(x)
    assert np.isfinite(gradient).all()
    assert np.any(gradient)


def test_dropped_entries_are_zero_and_others_scaled():
    y = np.asarray(layers.Dropout(0.25)(np.ones((100, 100)), training=True))
    assert set(np.unique(y).tolist()) == {0.0, float(np.float32(1 / 0.75))}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert not np.any(layers.Dropout(1.0)(np.ones((3, 3)), training=True))
    assert np.all(np.asarray(layers.Dropout(0)(np.ones((3, 3)), training=True)) == 1)


@pytest.mark.parametrize(
    ("layer", "shape", "whole"),
    [
        (lambda: layers.Dropout(0.5, (None, 1, None)), (4, 5, 8), (1,)),
        (lambda: layers.AlphaDropout(0.5, noise_shape=(4, 1, 8)), (4, 5, 8), (1,)),
        (lambda: layers.SpatialDropout1D(0.5), (4, 5, 8), (1,)),
        (lambda: layers.SpatialDropout2D(0.5), (4, 5, 6, 8), (1, 2)),
        (lambda: layers.SpatialDropout2D(0.5, "channels_first"), (4, 8, 5, 6), (2, 3)),
        (lambda: layers.SpatialDropout3D(0.5, "channels_first"), (4, 8, 5, 6, 2), (2, 3, 4)),
    ],
)
def test_whole_channels_are_dropped(layer, shape, whole):
    y = np.asarray(layer()(np.ones(shape), training=True))
    np.testing.assert_array_equal(y.min(whole), y.max(whole))
    assert len(np.unique(y)) == 2


def test_activity_is_regularized_as_in_keras():
    ours, theirs = (m.layers.ActivityRegularization(l1=0.1, l2=0.2) for m in (plait, keras))
    ours(data(4, 6))
    theirs(data(4, 6))
    np.testing.assert_allclose(float(ours.losses[0]), float(theirs.losses[0]), rtol=1e-5, atol=1e-6)


def test_half_precision_stays():
    for make in (layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout, layers.Dropout):
        assert make(0.5, dtype="float16")(data(4, 6), training=True).dtype == "float16"


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: layers.Dropout(1.5), "ConfigError", "Dropout: rate must be between 0 and 1"),
        (lambda: layers.SpatialDropout2D(-0.1), "ConfigError", "SpatialDropout2D: rate must"),
        (lambda: layers.Dropout("half"), "ConfigError", "received 'half'"),
        (lambda: layers.GaussianNoise(2), "ConfigError", "stddev must be between"),
        (lambda: layers.GaussianDropout(1), "ConfigError", "rate must be below 1"),
        (lambda: layers.AlphaDropout(1.0), "ConfigError", "rate must be below 1"),
        (lambda: layers.Dropout(0.5, "1"), "ConfigError", "noise_shape is a tuple"),
        (lambda: layers.Dropout(0.5, (0, 1)), "ConfigError", "noise_shape is a tuple"),
        (lambda: layers.SpatialDropout3D(0.5, "last"), "ConfigError", "data_format must be"),
        (lambda: layers.ActivityRegularization(l1=-1), "ConfigError", "at least 0"),
        (
            lambda: layers.Dropout(0.5, (None, 3))(np.ones((2, 4)), training=True),
            "ShapeError",
            r"cannot drop with noise_shape=\(None, 3\)",
        ),
        (
            lambda: layers.SpatialDropout1D(0.5)(SymbolicTensor((None, 4))),
            "ShapeError",
            "expects 3 axes, received 2",
        ),
    ],
)
def test_bad_input_is_named(make, error, text):
    with pytest.raises(getattr(plait.errors, error), match=text):
        make()
