"""Whole models in ``.keras`` files, from plait to Keras and back."""

import numpy as np
import pytest
from crossing import close, cross

import plait
from plait import layers, ops

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(32, 8)).astype("float32")


def sequential():
    dense = layers.Dense(5, activation="relu", kernel_regularizer="l2")
    model = plait.Sequential(
        [plait.Input((8,)), dense, layers.BatchNormalization(), layers.Dense(3)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model, VECTORS, RNG.normal(size=(32, 3))


def branches():
    x = plait.Input((8,), name="x")
    shared = layers.Dense(6, name="shared")
    a, b = shared(x), shared(layers.Dense(8)(x))
    y = layers.concatenate([a, b]) * 2 + 1
    y = ops.mean(ops.reshape(y, (-1, 3, 4)), axis=1)
    z = plait.Input((4,))
    inner = plait.Model(z, layers.Dense(4)(z))
    model = plait.Model(x, {"u": inner(inner(y))[:, :2], "v": layers.Dense(1)(a)})
    model.compile(plait.optimizers.SGD(0.01, momentum=0.9), {"u": "mse", "v": plait.losses.Huber()})
    return model, VECTORS, {"u": RNG.normal(size=(32, 2)), "v": RNG.normal(size=(32, 1))}


def recurrent():
    model = plait.Sequential(
        [
            plait.Input((6,)),
            layers.Embedding(9, 4, mask_zero=True),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(2)),
            layers.GRU(3),
        ]
    )
    model.compile("rmsprop", "mse")
    return model, RNG.integers(0, 9, size=(32, 6)), RNG.normal(size=(32, 3))


@pytest.mark.parametrize("make", [sequential, branches, recurrent])
def test_training_goes_on_after_each_crossing(make, tmp_path):
    model, x, y = make()
    model.fit(x, y, epochs=2, verbose=0)
    readers = cross(model, tmp_path)
    expected = model.predict(x, verbose=0)
    for reader in readers:
        close(reader.predict(x, verbose=0), expected)
    logs = model.fit(x, y, epochs=2, verbose=0, shuffle=False).history
    for reader in readers:
        again = reader.fit(x, y, epochs=2, verbose=0, shuffle=False).history
        for name, values in logs.items():
            np.testing.assert_allclose(again[name], values, rtol=1e-4, err_msg=name)
        close(reader.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_model_that_was_compiled_and_not_trained_is_read_without_a_warning(tmp_path):
    model, x, y = sequential()
    model.save(tmp_path / "m.keras")
    read = plait.models.load_model(tmp_path / "m.keras")
    first, second = (m.fit(x, y, epochs=1, shuffle=False, verbose=0) for m in (read, model))
    assert first.history["loss"] == pytest.approx(second.history["loss"])
