"""Evaluation with moving averages, beside Keras."""

import keras
import numpy as np
import pytest

import plait
from plait import callbacks
from plait.errors import ConfigError

X, Y = np.random.default_rng(0).normal(size=(2, 20, 3)).astype("float32")
START = [np.eye(3, dtype="float32") * 2, np.zeros(3, "float32")]


def make(package, **given):
    model = package.Sequential([package.layers.Input((3,)), package.layers.Dense(3)])
    optimizer = package.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.7)
    model.compile(optimizer, "mse", **given)
    model.set_weights(START)
    return model


@pytest.mark.parametrize("on_epoch", [False, True])
def test_as_in_keras(on_epoch):
    found = {}
    for package in (plait, keras):
        model, seen = make(package), []
        look = package.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, m=model, s=seen: s.append(m.get_weights()[0])
        )
        swap = package.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
        given = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}
        data = {"validation_data": (X, Y), "callbacks": [swap, look]}
        history = model.fit(X, Y, **given, **data).history
        found[package] = [history["loss"], history["val_loss"], *seen, *model.get_weights()]
    for ours, theirs in zip(found[plait], found[keras], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_evaluate_and_predict_give_the_weights_back():
    model = make(plait)
    model.fit(X, Y, 8, verbose=0)
    model.set_weights(START)
    plain = model.predict(X, verbose=0)
    for run in (model.predict, lambda *given, **more: model.evaluate(X, Y, **more)):
        run(X, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
        np.testing.assert_array_equal(model.get_weights()[0], START[0])
    averaged = model.predict(X, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
    assert np.abs(averaged - plain).max() > 0.01


def test_averages_stay_when_training_stops_early():
    model, seen = make(plait), []
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    look = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0])
    )
    stop = callbacks.EarlyStopping("loss", mode="max")
    model.fit(X, Y, 8, epochs=9, verbose=0, callbacks=[swap, look, stop])
    assert 1 < len(seen) < 9
    np.testing.assert_array_equal(model.get_weights()[0], seen[-1])


def test_a_run_goes_on(tmp_path):
    model = make(plait)

    def fit(folder, epochs):
        model.set_weights(START)
        swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
        given = {"shuffle": False, "verbose": 0, "callbacks": [swap], "resume": folder}
        return model.fit(X, Y, 8, epochs=epochs, **given).history["loss"]

    fit(tmp_path / "parts", 1)
    parts, weights = fit(tmp_path / "parts", 3), model.get_weights()
    model.compile(plait.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.7), "mse")
    assert fit(tmp_path / "whole", 3) == parts
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def test_it_needs_averages():
    model = plait.Sequential([plait.Input((3,)), plait.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ConfigError, match=r"keeps moving averages(.|\n)*use_ema=True"):
        model.evaluate(X, Y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
