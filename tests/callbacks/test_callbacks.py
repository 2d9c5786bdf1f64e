"""Hooks in Keras' order, and the callbacks that schedule, log, watch and call functions."""

import csv

import keras
import numpy as np
import pytest

import plait
from plait import callbacks

X, Y = np.ones((10, 2), "float32"), np.ones((10, 1), "float32")


def make(package=plait, rate=0.1):
    model = package.Sequential([package.layers.Input((2,)), package.layers.Dense(1)])
    model.compile(package.optimizers.SGD(rate), "mse", metrics=["mae"])
    return model


def recorder(package, seen):
    def hook(name):
        def called(self, *args, logs=None):
            *position, given = args if logs is None else (*args, logs)
            seen.append((name, *position, sorted(given or {})))

        return called

    names = [name for name in vars(keras.callbacks.Callback) if name.startswith("on_")]
    return type("Recorder", (package.callbacks.Callback,), {n: hook(n) for n in names})()


@pytest.mark.parametrize(
    "run",
    [
        lambda model, **kw: model.fit(X, Y, 4, epochs=2, validation_data=(X, Y), **kw),
        lambda model, **kw: model.fit(X, Y, 4, epochs=3, initial_epoch=1, **kw),
        lambda model, **kw: model.evaluate(X, Y, 4, **kw),
        lambda model, **kw: model.predict(X, 4, **kw),
    ],
    ids=["fit-validation", "fit", "evaluate", "predict"],
)
def test_hooks_come_as_in_keras(run):
    seen = {}
    for package in (plait, keras):
        seen[package] = []
        run(make(package), verbose=0, callbacks=[recorder(package, seen[package])])
    assert seen[plait] == seen[keras]


def test_fit_returns_the_history():
    model = make()
    history = model.fit(X, Y, 4, epochs=3, validation_data=(X, Y), validation_freq=2, verbose=0)
    assert isinstance(history, callbacks.History)
    assert history is model.history
    assert history.model is model
    assert history.epoch == [0, 1, 2]
    assert {name: len(values) for name, values in history.history.items()} == {
        "loss": 3, "mae": 3, "val_loss": 1, "val_mae": 1,
    }  # fmt: skip
    assert history.params["epochs"] == 3
    assert history.params["steps"] == 3


def test_stop_and_restore_in_fit():
    model = make()
    kernels = []
    stop = callbacks.EarlyStopping("loss", mode="max", patience=2, restore_best_weights=True)
    keep = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kernels.append(model.get_weights()[0])
    )
    history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[keep, stop])
    assert history.epoch == [0, 1, 2]
    np.testing.assert_array_equal(model.get_weights()[0], kernels[0])
    assert np.abs(kernels[2] - kernels[0]).max() > 0


def test_stopping_does_not_make_the_next_fit_compile():
    traces = []

    def loss(y_true, y_pred):
        traces.append(1)
        return (y_true - y_pred) ** 2

    model = make()
    model.compile("sgd", loss)
    stop = callbacks.EarlyStopping("loss", mode="max")
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[stop])
    before = len(traces)
    assert len(model.fit(X, Y, epochs=2, verbose=0, callbacks=[stop]).epoch) == 2
    assert len(traces) == before


# -- learning rate ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch: 0.5 / (epoch + 1),
        lambda epoch, rate: rate * 0.5,
        lambda epoch, rate=1.0: rate + epoch,
    ],
    ids=["epoch", "epoch and rate", "default"],
)
def test_scheduler_as_keras(schedule):
    rates = [
        make(package)
        .fit(X, Y, epochs=3, verbose=0,
             callbacks=[package.callbacks.LearningRateScheduler(schedule)])
        .history["learning_rate"]
        for package in (plait, keras)
    ]  # fmt: skip
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)


def test_scheduler_takes_scalars_and_says_so(capsys):
    constant = callbacks.LearningRateScheduler(lambda epoch: np.float32(0.25), verbose=1)
    make().fit(X, Y, verbose=0, callbacks=constant)
    assert capsys.readouterr().out == "Epoch 1: the learning rate is 0.25.\n"


@pytest.mark.parametrize("returned", [None, "0.1", [0.1, 0.2]])
def test_scheduler_refuses_what_is_no_number(returned):
    bad = callbacks.LearningRateScheduler(lambda epoch: returned)
    with pytest.raises(plait.ArgumentTypeError, match=r"the schedule returned .* for epoch 0"):
        make().fit(X, Y, verbose=0, callbacks=[bad])


def test_schedule_must_be_a_function():
    with pytest.raises(plait.ArgumentTypeError, match=r"schedule is a function; received 0\.1"):
        callbacks.LearningRateScheduler(0.1)


@pytest.mark.parametrize(
    "callback",
    [callbacks.LearningRateScheduler(lambda epoch: 0.1), callbacks.ReduceLROnPlateau("loss")],
)
def test_an_optimizer_with_a_schedule_is_refused(callback):
    model = make(rate=plait.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))
    with pytest.raises(plait.ArgumentTypeError, match="that of SGD follows a schedule"):
        model.fit(X, Y, verbose=0, callbacks=[callback])


def test_reduced_rate_takes_effect():
    model = make()
    reduce = callbacks.ReduceLROnPlateau("loss", factor=0.0, patience=1, mode="max")
    history = model.fit(X, Y, epochs=4, verbose=0, callbacks=[reduce]).history
    assert history["learning_rate"] == pytest.approx([0.1, 0.1, 0.0, 0.0])
    assert history["loss"][1] > history["loss"][2] == history["loss"][3]


# -- CSVLogger ----------------------------------------------------------------------------------


def rows(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def log(path, logs, **options):
    logger = callbacks.CSVLogger(path, **options)
    logger.on_train_begin()
    for epoch, values in enumerate(logs):
        logger.on_epoch_end(epoch, values)
    logger.on_train_end()


def test_csv_is_as_keras_writes_it(tmp_path):
    for package in (plait, keras):
        logger = package.callbacks.CSVLogger(tmp_path / f"{package.__name__}.csv")
        logger.on_train_begin()
        for epoch in range(3):
            logger.on_epoch_end(epoch, {"loss": 0.5 / (epoch + 1), "mae": 0.25, "val_loss": 1})
        logger.on_train_end()
    assert rows(tmp_path / "plait.csv") == rows(tmp_path / "keras.csv")


def test_csv_of_fit(tmp_path):
    path = tmp_path / "log.csv"
    history = make().fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path, ";")])
    header, *values = rows(path, ";")
    assert header == ["epoch", "loss", "mae"]
    assert [float(row[1]) for row in values] == history.history["loss"]


def test_csv_gains_columns_later_and_appends(tmp_path):
    path = tmp_path / "log.csv"
    log(path, [{"loss": 1.0}, {"loss": 0.5, "val_loss": 0.7}])
    log(path, [{"mae": np.float32(2.0), "loss": np.array([0.5, 1])}], append=True)
    assert rows(path) == [
        ["epoch", "loss", "val_loss", "mae"],
        ["0", "1.0", "NA", "NA"],
        ["1", "0.5", "0.7", "NA"],
        ["0", "[0.5, 1.0]", "NA", "2.0"],
    ]
    log(path, [{"loss": "a,b"}])
    assert rows(path) == [["epoch", "loss"], ["0", "a,b"]]


def test_csv_appends_to_nothing(tmp_path):
    path = tmp_path / "log.csv"
    log(path, [{"loss": 1.0}], append=True)
    assert rows(path) == [["epoch", "loss"], ["0", "1.0"]]


# -- TerminateOnNaN, LambdaCallback ---------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_terminate_on_nan(bad, capsys):
    x = X.copy()
    x[5] = bad
    stopped = []
    history = make().fit(
        x, Y, 2, epochs=5, shuffle=False, verbose=0,
        callbacks=[
            callbacks.TerminateOnNaN(),
            callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: stopped.append(batch)),
        ],
    )  # fmt: skip
    assert history.epoch == [0]
    assert stopped == [0, 1, 2]
    assert capsys.readouterr().out.startswith("Batch 2: the loss is ")
    with pytest.raises(RuntimeError, match=r"at batch 2\.\nFix:"):
        make().fit(
            x, Y, 2, shuffle=False, verbose=0, callbacks=callbacks.TerminateOnNaN(raise_error=True)
        )


def test_lambda_callback_takes_any_hook():
    seen = []
    hooks = [name for name in vars(callbacks.Callback) if name.startswith("on_")]
    functions = {name: lambda *args, name=name: seen.append(name) for name in hooks}
    model = make()
    model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[
        callbacks.LambdaCallback(**{k: f for k, f in functions.items() if "train_batch" not in k})
    ])  # fmt: skip
    model.predict(X, verbose=0, callbacks=[callbacks.LambdaCallback(**functions)])
    assert seen == [
        "on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end",
        "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end",
        "on_epoch_end", "on_train_end",
        "on_predict_begin", "on_predict_batch_begin", "on_predict_batch_end", "on_predict_end",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("hooks", "text"),
    [
        ({"on_epoch_ends": print}, r"no hook 'on_epoch_ends'\. Did you mean 'on_epoch_end'"),
        ({"name": "x"}, "no hook 'name'"),
        ({"on_train_end": 3}, "on_train_end is a function; received 3"),
    ],
)
def test_lambda_callback_refuses(hooks, text):
    with pytest.raises(plait.ArgumentTypeError, match=text):
        callbacks.LambdaCallback(**hooks)


def test_an_exception_aborts():
    seen = []

    def fail(batch, logs):
        raise KeyboardInterrupt

    stop = callbacks.LambdaCallback(
        on_train_batch_end=fail,
        on_test_batch_end=fail,
        on_predict_batch_end=fail,
        on_abort=lambda: seen.append("abort"),
    )
    model = make()
    for run in (model.fit, model.evaluate, lambda x, y, **kw: model.predict(x, **kw)):
        with pytest.raises(KeyboardInterrupt):
            run(X, Y, verbose=0, callbacks=[stop])
    assert seen == ["abort"] * 3
