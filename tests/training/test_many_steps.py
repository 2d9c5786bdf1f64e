"""Many steps in one call: the same numbers, hooks and interrupts as with one."""

import threading

import jax
import numpy as np
import pytest

import plait
from plait import layers
from plait.callbacks import Callback, LambdaCallback
from plait.core import random
from plait.training import blocks, data, engine, program

rng = np.random.default_rng(0)
X = rng.normal(size=(103, 4)).astype("float32")
Y = rng.normal(size=(103, 2)).astype("float32")
W = rng.random(103).astype("float32")


def make(steps=None):
    plait.utils.set_random_seed(3)
    model = plait.Sequential(
        [plait.Input((4,)), layers.Dense(5, "relu"), layers.Dropout(0.3), layers.Dense(2)]
    )
    model.compile("adam", "mse", metrics=["mae"], steps_per_execution=steps)
    return model


@pytest.fixture(scope="module")
def model():
    model = make()
    model.fit(X, Y, batch_size=10, verbose=0)
    return model


class Calls(Callback):
    """Notes when hooks come that need not come every batch."""

    lazy_logs = True

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)


@pytest.mark.parametrize(
    "arguments", [{}, {"sample_weight": W, "shuffle": False}, {"steps_per_epoch": 7}]
)
def test_the_same_numbers_as_step_by_step(arguments):
    def run(steps):
        model = make(steps)
        given = {"batch_size": 10, "epochs": 3, "verbose": 0, "validation_split": 0.2, **arguments}
        history = model.fit(X, Y, **given).history
        return [*map(np.array, history.values()), *model.get_weights()]

    for many, one in zip(run(None), run(1), strict=True):
        np.testing.assert_allclose(many, one, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64", "bool", "float16"])
def test_data_of_every_dtype_come_unchanged(dtype):
    x = (X[:, :1] > 0).astype(dtype)
    x = plait.Input((1,), dtype="float32"), x
    total = plait.Model(x[0], layers.Dense(1, kernel_initializer="ones")(x[0]))
    total.compile(plait.optimizers.SGD(0.0), "mse")
    loss = total.evaluate(x[1], np.zeros((103, 1)), batch_size=10, verbose=0)
    assert loss == pytest.approx((x[1].astype("float32") ** 2).mean(), rel=1e-5)


def test_calls_take_many_steps_and_hooks_that_need_not_come_every_batch_come_after_them(model):
    lazy, every = Calls(), []
    model.fit(X, Y, batch_size=10, verbose=0, callbacks=[lazy])
    assert lazy.seen[-1] == 10
    assert len(lazy.seen) < 11
    note = LambdaCallback(on_train_batch_begin=lambda batch, logs: every.append(batch))
    model.fit(X, Y, batch_size=10, verbose=0, callbacks=[note])
    assert every == [*range(11)]


def test_hooks_of_batches_get_the_logs_so_far(model):
    losses = []
    note = LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    history = model.fit(X, Y, batch_size=10, verbose=0, callbacks=[note]).history
    assert len(losses) == 11
    assert losses[-1] == pytest.approx(history["loss"][0])
    assert len(set(losses)) == 11


def test_steps_per_execution_says_how_many():
    model, lazy = make(4), Calls()
    note = LambdaCallback(on_train_batch_end=lambda batch, logs: lazy.seen.append(batch))
    model.fit(X, Y, batch_size=10, verbose=0, callbacks=[lazy, note])
    assert lazy.seen == [3, 3, 7, 7, 9, 9, 10, 10]


@pytest.mark.parametrize(
    ("shuffle", "early", "batches"),
    [(True, True, [2, 16, 2]), (True, False, [16, 4]), (False, True, [16, 4])],
)
def test_the_first_block_of_a_drawn_order_is_short_unless_somebody_says_how_long(
    shuffle, early, batches
):
    source = data.make_source(X, Y, batch_size=5, shuffle=shuffle)
    given = list(source.blocks(lambda: 16, early))
    assert [block.batches for block in given] == [*batches, 1]
    rows = [block.data[0][: block.batches].reshape(-1, 4) for block in given]
    order = random.generator(source.position(0).seed).permutation(103) if shuffle else ...
    np.testing.assert_array_equal(np.concatenate(rows), X[order])


def test_few_programs_serve_data_of_any_size(model):
    known = len(model._engine._programs)
    for size in (100, 90, 60, 50):
        model.fit(X[:size], Y[:size], batch_size=10, verbose=0)
    assert len(model._engine._programs) == known


def test_blocks_are_of_limited_bytes():
    def length(columns, most):
        batch = [jax.ShapeDtypeStruct((32, columns), "float32")]
        step = program.trace(lambda state, batch, *_: ({}, batch[0].sum()), [], batch)
        return program.batches_in_a_block(step, most)

    assert [length(10, most) for most in (1, 2, 16, 17, 5000)] == [1, 16, 16, 256, 1024]
    assert length(10_000, 5000) == 8
    assert length(1_000_000, 5000) == 1


def test_scalars_of_a_loop_travel_in_one_vector_a_dtype_and_come_back_in_their_places():
    one, two = np.float32(1.5), np.float32(2.5)
    given = (
        [one, np.ones((2, 3)), np.int32(2**30 + 1), two],
        [np.zeros(0), np.bool_(True), np.ones(1)],
    )
    pack, unpack = program._packing(given)
    vectors, rest = pack(given)
    assert [vector.tolist() for vector in vectors] == [[1.5, 2.5], [2**30 + 1], [True]]
    assert [leaf.shape for leaf in rest.values()] == [(2, 3), (0,), (1,)]
    for back, leaf in zip(
        jax.tree.leaves(unpack((vectors, rest))), jax.tree.leaves(given), strict=True
    ):
        assert back.dtype == leaf.dtype
        np.testing.assert_array_equal(back, leaf)


def test_data_that_fit_the_device_are_put_there_once(monkeypatch, model):
    expected = model.evaluate(X, Y, batch_size=10, verbose=0)
    monkeypatch.setattr(blocks, "_fits_device", lambda data: True)
    assert model.evaluate(X, Y, batch_size=10, verbose=0) == pytest.approx(expected, rel=1e-5)
    stage = blocks.Stage((X, None, W), 10, 16)
    order = rng.permutation(103)
    for given in (None, order):
        block = stage.block(blocks.Rows(given, 20, 70))
        rows = np.arange(103) if given is None else given
        assert block.batches == 5
        np.testing.assert_array_equal(block.data[0][:5].reshape(50, 4), X[rows[20:70]])


def test_convolutions_of_xla_are_trained_step_by_step():
    model = plait.Sequential(
        [plait.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(40, 6, 6, 1)).astype("float32"), np.zeros((40, 1))
    with plait.kernels.using("xla"):
        assert model._engine.batches_a_block("train", (x[:4], y[:4], None), 10, False) == 1
        assert model._engine.batches_a_block("test", (x[:4], y[:4], None), 10, False) == 16


def test_a_hyperparameter_set_by_a_callback_counts():
    model = make()
    model.compile(plait.optimizers.SGD(0.1), "mse")

    def begin_momentum(epoch, logs):
        if epoch == 0:
            model.optimizer.momentum = 0.9

    model.fit(X, Y, epochs=2, verbose=0, callbacks=[LambdaCallback(on_epoch_end=begin_momentum)])
    slots = model.optimizer.slots
    assert sorted(name.rsplit("/")[-1] for name in slots) == ["momentum"] * 4
    assert all(np.abs(slot.numpy()).max() > 0 for slot in slots.values())


def test_a_schedule_set_by_a_callback_counts():
    model = make()
    seen = []

    def stop_learning(epoch, logs):
        seen.append(model.get_weights())
        model.optimizer.learning_rate = lambda step: 0.0 * step

    model.fit(X, Y, epochs=2, verbose=0, callbacks=[LambdaCallback(on_epoch_end=stop_learning)])
    for before, after in zip(*seen, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_counter_on_a_model_traces_nothing_anew(model, monkeypatch):
    traced = []
    monkeypatch.setattr(engine, "trace", lambda *args: traced.append(args))
    model.rounds = 0

    def count(epoch, logs):
        model.rounds += 1

    model.fit(
        X, Y, batch_size=10, epochs=3, verbose=0, callbacks=[LambdaCallback(on_epoch_end=count)]
    )
    assert model.rounds == 3
    assert not traced


class Squares(plait.utils.PyDataset):
    """Notes which threads load."""

    def __init__(self, fails_at=None, **kwargs):
        super().__init__(**kwargs)
        self.fails_at, self.threads = fails_at, set()

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == self.fails_at:
            raise ValueError("the disk is gone")
        self.threads.add(threading.current_thread().name)
        return X[index * 10 : index * 10 + 10], Y[index * 10 : index * 10 + 10]


def test_workers_load_ahead_and_in_order():
    def run(**kwargs):
        data, model = Squares(**kwargs), make()
        model.fit(data, epochs=2, verbose=0, shuffle=False)
        return data, model.get_weights()

    (alone, expected), (loaded, weights) = run(), run(workers=3, max_queue_size=4)
    assert alone.threads == {threading.main_thread().name}
    assert all(name.startswith("plait-load") for name in loaded.threads)
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_while_loading_comes_as_it_is_and_leaves_no_thread(workers):
    model = make()
    with pytest.raises(ValueError, match="the disk is gone"):
        model.fit(Squares(fails_at=5, workers=workers), verbose=0, shuffle=False)
    assert int(model.optimizer.iterations) == 5
    assert not [t for t in threading.enumerate() if t.name.startswith("plait-load")]


def test_a_generator_gives_no_more_than_is_trained_on(model):
    given = []

    def batches():
        for index in range(50):
            given.append(index)
            yield X[:10], Y[:10]

    def stop(batch, logs):
        model.stop_training = batch == 3

    model.fit(batches(), verbose=0, callbacks=[LambdaCallback(on_train_batch_end=stop)])
    assert given == [0, 1, 2, 3]
    data = batches()
    model.fit(data, steps_per_epoch=2, epochs=3, verbose=0)
    assert given[4:] == [0, 1, 2, 3, 4, 5]


def test_the_values_before_training_are_let_go(model):
    held, variable = [], model.variables[0]
    look = LambdaCallback(on_epoch_end=lambda *_: held.append(variable._value))
    model.fit(X, Y, batch_size=10, verbose=0, callbacks=[look])
    assert held == [None]
    assert np.isfinite(variable.numpy()).all()


def test_values_that_the_device_lost_are_not_made_up():
    def fail(x):
        if armed:
            raise RuntimeError("the device failed")
        return x

    def loss(y_true, y_pred):
        y_true = jax.pure_callback(fail, jax.ShapeDtypeStruct(y_true.shape, y_true.dtype), y_true)
        return ((y_true - y_pred) ** 2).mean(-1)

    model, armed = make(), False
    model.compile("sgd", loss)

    def arm(epoch, logs):
        nonlocal armed
        armed = True

    with pytest.raises(Exception, match="the device failed"):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[LambdaCallback(on_epoch_end=arm)])
    with pytest.raises(plait.errors.ConfigError, match="is lost"):
        model.get_weights()
    armed = False
    model.set_weights([np.zeros(v.shape) for v in model.variables])
    model.compile("sgd", loss)
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"][0])
