"""`predict`: lengths, streams, and what stays in memory."""

import gc
import weakref

import jax
import numpy as np
import pytest

import plait
from plait import layers, ops
from plait.callbacks import LambdaCallback

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 6)).astype("float32")


def make():
    x = plait.Input((6,), name="x")
    hidden = layers.BatchNormalization()(layers.Dense(8, activation="relu", name="inner")(x))
    return plait.Model(x, {"score": layers.Dense(2)(hidden), "hidden": hidden})


@pytest.fixture(scope="module")
def model():
    return make()


def expected(model, x):
    return model.apply(model.state(), x, training=False)[0]


def same(ours, theirs):
    for name in ("score", "hidden"):
        assert ours[name].shape == theirs[name].shape
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_ten_lengths_compile_few_programs(model):
    for size in (1, 3, 7, 31, 32, 33, 63, 100, 199, 300):
        same(model.predict(X[:size], verbose=0), expected(model, X[:size]))
    assert len(model._engine._programs) <= 7


def test_ten_lengths_of_sequences_whose_kernels_differ_with_the_batch():
    model = plait.Sequential([plait.Input((12, 4)), layers.LSTM(16), layers.Dense(2)])
    x = rng.normal(size=(300, 12, 4)).astype("float32")
    for size in (1, 3, 7, 31, 32, 33, 63, 100, 199, 300):
        found = model.predict(x[:size], verbose=0)
        np.testing.assert_allclose(found, expected(model, x[:size]), rtol=1e-5, atol=1e-6)
    assert len(model._engine._programs) <= 7


def test_rows_that_depend_on_others_are_not_filled_up():
    x = plait.Input((6,))
    model = plait.Model(x, x - ops.mean(x, axis=0, keepdims=True))
    for size in (3, 5, 37):
        parts = [part - part.mean(0) for part in np.split(X[:size], range(32, size, 32))]
        np.testing.assert_allclose(
            model.predict(X[:size], verbose=0), np.concatenate(parts), rtol=1e-5, atol=1e-6
        )


def test_outputs_that_are_not_one_a_row():
    x = plait.Input((6,))
    model = plait.Model(x, ops.sum(x, axis=0, keepdims=True))
    found = model.predict(X[:70], batch_size=32, verbose=0)
    sums = [X[:32].sum(0), X[32:64].sum(0), X[64:70].sum(0)]
    np.testing.assert_allclose(found, np.stack(sums), rtol=1e-4, atol=1e-5)


def test_weights_of_now_are_used(model):
    before = model.predict(X[:1], verbose=0)["score"]
    weights = model.get_weights()
    model.set_weights([w + 1 for w in weights])
    after = model.predict(X[:1], verbose=0)["score"]
    model.set_weights(weights)
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(model.predict(X[:1], verbose=0)["score"], before)
    model.get_layer("inner").activation = plait.activations.get("tanh")
    assert not np.allclose(model.predict(X[:1], verbose=0)["score"], before)
    model.get_layer("inner").activation = plait.activations.get("relu")


def test_errors_stay_after_a_batch_that_was_good(model):
    model.predict(X[:2], verbose=0)
    with pytest.raises(plait.errors.ShapeError, match=r"expects \(None, 6\)"):
        model.predict(X[:2, :5], verbose=0)
    with pytest.raises(plait.errors.DataError):
        model.predict(X[:0], verbose=0)
    same(model.predict(X[:2].astype("float64"), verbose=0), expected(model, X[:2]))


def test_files_and_generators_are_streamed(model, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    same(model.predict(mapped, verbose=0), expected(model, X))
    batches = (X[start : start + 70] for start in range(0, 300, 70))
    same(model.predict(batches, verbose=0), expected(model, X))
    same(model.predict(X, steps=2, verbose=0), expected(model, X[:64]))


def test_hooks_get_the_outputs_of_every_batch(model):
    parts = []
    note = LambdaCallback(on_predict_batch_end=lambda batch, logs: parts.append(logs["outputs"]))
    whole = model.predict(X, verbose=0, callbacks=[note])
    assert len(parts) == 10
    np.testing.assert_array_equal(np.concatenate([p["score"] for p in parts]), whole["score"])


def test_many_predictions_keep_nothing(model):
    model.predict(X[:3], verbose=0)
    gc.collect()
    before = len(jax.live_arrays())
    for size in (1, 3) * 50:
        model.predict(X[:size], verbose=0)
    gc.collect()
    assert len(jax.live_arrays()) == before


def test_models_that_are_dropped_leave_nothing():
    def round_of_training():
        model = plait.Sequential([plait.Input((6,)), layers.Dense(3), layers.Dense(1)])
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(X, X[:, :1], verbose=0, validation_split=0.1)
        model.predict(X[:1], verbose=0)
        return weakref.ref(model), weakref.ref(model._engine.state)

    gc.collect()
    before = len(jax.live_arrays())
    refs = [ref for _ in range(3) for ref in round_of_training()]
    gc.collect()
    assert not [ref for ref in refs if ref() is not None]
    assert len(jax.live_arrays()) == before


def test_data_are_not_copied_whole():
    x = np.zeros((20_000, 2000), np.uint8)
    model = plait.Sequential([plait.Input((2000,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    largest = []

    def look(epoch, logs):
        largest.append(max(array.nbytes for array in jax.live_arrays()))

    look = LambdaCallback(on_epoch_end=look)
    model.fit(x, np.zeros((20_000, 1)), batch_size=1000, verbose=0, callbacks=[look])
    assert largest[0] <= x.nbytes / 2
