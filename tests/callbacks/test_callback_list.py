"""A list of callbacks in a training loop of one's own, as in Keras."""

import keras
import numpy as np
import pytest

import plait

X, Y = np.random.default_rng(0).normal(size=(2, 12, 3)).astype("float32")


def run(package, seen):
    """Train by hand; return what the hooks were called with."""

    def note(hook):
        def called(*position, logs=None):
            if position and not isinstance(position[-1], int):
                *position, logs = position
            seen.append((hook, *position, sorted(logs or {})))

        return called

    hooks = [
        *("train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "epoch_end"),
        *("train_end", "test_begin", "test_batch_end", "test_end", "predict_batch_end"),
    ]
    look = package.callbacks.LambdaCallback(**{f"on_{hook}": note(hook) for hook in hooks})
    model = package.Sequential([package.layers.Input((3,)), package.layers.Dense(3)])
    model.compile("sgd", "mse")
    called = package.callbacks.CallbackList(
        [look], add_history=True, model=model, epochs=2, steps=3, verbose=0
    )
    called.on_train_begin()
    for epoch in range(2):
        called.on_epoch_begin(epoch)
        for batch in range(3):
            called.on_train_batch_begin(batch)
            rows = slice(4 * batch, 4 * batch + 4)
            logs = model.train_on_batch(X[rows], Y[rows], return_dict=True)
            called.on_train_batch_end(batch, logs)
        called.on_epoch_end(epoch, logs)
    called.on_test_begin()
    called.on_test_batch_end(0, {"loss": 1.0})
    called.on_test_end({"loss": 1.0})
    called.on_predict_batch_end(0, {"outputs": Y})
    called.on_train_end(logs)
    history = [item for item in called.callbacks if isinstance(item, package.callbacks.History)]
    return seen, sorted(history[0].history), look.params, look.model is model


def test_as_in_keras():
    assert run(plait, []) == run(keras, [])


def test_fit_takes_one():
    model = plait.Sequential([plait.Input((3,)), plait.layers.Dense(3)])
    model.compile("sgd", "mse")
    seen = []
    look = plait.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    given = plait.callbacks.CallbackList([look], add_history=True, model=model)
    assert model.fit(X, Y, epochs=2, verbose=0, callbacks=given).epoch == [0, 1]
    assert seen == [0, 1]


def test_progress_is_shown_once(capsys):
    model = plait.Sequential([plait.Input((3,)), plait.layers.Dense(3)])
    model.compile("sgd", "mse")
    progress = plait.callbacks.ProgbarLogger()
    model.fit(X, Y, verbose=2, callbacks=[progress])
    assert capsys.readouterr().out.count("Epoch 1/1") == 1
    model.fit(X, Y, verbose=0, callbacks=[progress])
    assert not capsys.readouterr().out
    called = plait.callbacks.CallbackList(add_progbar=True, model=model, epochs=3, verbose=2)
    called.on_epoch_begin(0)
    called.on_train_batch_end(0, {"loss": 0.5})
    called.on_epoch_end(0, {"loss": 0.5})
    assert "Epoch 1/3" in capsys.readouterr().out


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="callbacks are objects of plait"):
        plait.callbacks.CallbackList([print])
