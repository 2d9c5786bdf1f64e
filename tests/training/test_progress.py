"""What `fit`, `evaluate` and `predict` print: lines, and live bars in terminals and notebooks."""

import io
import itertools
import re
import sys
import types
from contextlib import redirect_stdout

import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait.training import progress as progress_module
from plait.training.pace import Pace, duration, measures
from plait.training.progress import Progress

X, Y = np.ones((10, 2), "float32"), np.ones((10, 1), "float32")
_TIMES = r"[\d.]+s - [\d.]+(s|ms|us)/step"
_HIDE, _RESTORE = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(scope="module")
def model():
    model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], steps_per_execution=1)
    return model


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 200 columns, for `redirect_stdout`; bars change at every batch."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress_module, "_INTERVAL", 0.0)
    return Terminal()


def batches(count):
    return ((X, Y) for _ in range(count))


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_one_plain_line_an_epoch(model, verbose, capsys):
    model.fit(X, Y, 4, epochs=2, validation_data=(X, Y), verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines, 1):
        assert re.fullmatch(
            rf"Epoch {epoch}/2 - 3/3 - {_TIMES} - loss: \S+ - mae: \S+ - val_loss: \S+ - "
            r"val_mae: \S+",
            line,
        )


def test_plain_lines_of_the_others(model, capsys):
    model.evaluate(X, Y, 4)
    model.predict(X, 4)
    model.fit(batches(3))
    evaluated, predicted, fitted = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"Evaluate - 3/3 - {_TIMES} - loss: \S+ - mae: \S+", evaluated)
    assert re.fullmatch(rf"Predict - 3/3 - {_TIMES}", predicted)
    assert re.fullmatch(rf"Epoch 1/1 - 3 steps - {_TIMES} - loss: \S+ - mae: \S+", fitted)


def test_silence(model, capsys):
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert capsys.readouterr().out == ""


def test_steps_are_known_from_the_first_epoch_on(capsys):
    line = Progress(2)
    line.set_params({"epochs": 2, "steps": None})
    for epoch in range(2):
        line.on_epoch_begin(epoch)
        for batch in range(3):
            line.on_train_batch_end(batch, {})
        line.on_epoch_end(epoch, {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Epoch 1/2 - 3 steps - ")
    assert second.startswith("Epoch 2/2 - 3/3 - ")


def test_a_terminal_shows_a_live_line(model, terminal):
    with redirect_stdout(terminal):
        model.fit(X, Y, 4, epochs=2, validation_data=(X, Y))
        assert sys.stdout is terminal
    output = terminal.getvalue()
    assert output.count(_HIDE) == output.count(_RESTORE) == 2
    frames = re.sub(r"\x1b\[[\d;]*m", "", output)
    for expected in ("0/3 - ", "1/3 - ", "2/3 - ", " left - ", "━" * 24 + " 3/3", "validating"):
        assert expected in frames
    final = frames.split("\x1b[2K")[-1]
    pattern = rf"Epoch 2/2 ━+ 3/3 - {_TIMES} - loss: \S+ - mae: \S+ - val_loss: \S+ - val_mae: "
    assert re.match(pattern, final)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda model: model.evaluate(X, Y, 4), ["Evaluate ", "3/3", "loss"]),
        (lambda model: model.predict(X, 4), ["Predict ", "3/3"]),
        (lambda model: model.fit(batches(3)), ["Epoch 1/1 ", "3 steps", "loss"]),
        (lambda model: model.fit(X, Y, verbose=2), ["Epoch 1/1 - 1/1 - "]),
    ],
    ids=["evaluate", "predict", "unknown steps", "verbose=2"],
)
def test_a_terminal_shows_the_others(model, terminal, run, expected):
    with redirect_stdout(terminal):
        run(model)
        assert sys.stdout is terminal
    output = terminal.getvalue()
    assert all(part in output for part in expected)
    assert output.count(_HIDE) == output.count(_RESTORE)
    assert output.endswith("\n" + _RESTORE) or _HIDE not in output


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end", "on_epoch_end"])
def test_the_terminal_is_given_back_after_an_exception(model, terminal, hook):
    def fail(number, logs):
        raise KeyboardInterrupt

    stop = plait.callbacks.LambdaCallback(**{hook: fail})
    with redirect_stdout(terminal), pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, validation_data=(X, Y), callbacks=[stop])
    assert terminal.getvalue().endswith(_RESTORE)


def test_what_callbacks_print_stays_above_the_bar(model, terminal):
    speak = plait.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (print("hello"), model.evaluate(X, Y))
    )
    with redirect_stdout(terminal):
        model.fit(X, Y, callbacks=[speak])
        assert sys.stdout is terminal
    output = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert "\x1b[2Khello\n" in output
    assert re.search(rf"\x1b\[2KEvaluate - 1/1 - {_TIMES} - loss: \S+ - mae: \S+\n", output)
    assert output.count(_HIDE) == output.count(_RESTORE) == 1


def test_narrow_terminals_break_lines_between_measures(model, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with redirect_stdout(terminal):
        model.fit(X, Y, 4, validation_data=(X, Y))
        assert sys.stdout is terminal
    last = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue().split(" - validating")[-1])
    assert all(len(line.rstrip()) <= 60 for line in last.splitlines())
    assert re.search(r"\n  - \w+: \d\.\d{4}", last)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_dumb_terminals_get_plain_lines(model, terminal, monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    with redirect_stdout(terminal):
        model.fit(X, Y)
        assert sys.stdout is terminal
    assert re.fullmatch(rf"Epoch 1/1 - 1/1 - {_TIMES} - .*\n", terminal.getvalue())


def test_a_notebook_shows_an_output_that_changes(model, monkeypatch, capsys):
    shown = []
    handle = types.SimpleNamespace(update=shown.append)
    module = types.SimpleNamespace(display=lambda first, display_id: handle)
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=module))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    model.fit(X, Y, 4)
    assert shown[0].plain.startswith("Epoch 1/1 ━")
    assert re.search(r"3/3 - .* - loss: \S+ - mae: \S+$", shown[-1].plain)
    assert "text/html" in shown[-1]._repr_mimebundle_([], [])
    assert capsys.readouterr().out == ""


def test_values_are_fetched_ten_times_a_second(terminal, monkeypatch):
    fetched = []

    class DeviceValue:
        shape = ()

        def __array__(self, dtype=None, copy=None):
            fetched.append(now)
            return np.asarray(1.0)

    now = 0.0
    monkeypatch.setattr(progress_module, "_INTERVAL", 0.1)
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: now)
    line = Progress()
    line.set_params({"epochs": 1, "steps": 1000})
    with redirect_stdout(terminal):
        line.on_epoch_begin(0)
        for batch in range(1000):
            now += 0.001
            line.on_train_batch_end(batch, {"loss": DeviceValue()})
        line.on_epoch_end(0, {"loss": 1.0})
    assert 9 <= len(fetched) <= 10
    assert all(b - a > 0.0999 for a, b in itertools.pairwise(fetched))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.43214, "0.4321"),
        (12.0, "12.0000"),
        (0, "0.0000"),
        (5e-5, "5.0000e-05"),
        (-2.0, "-2.0000"),
        (float("nan"), "nan"),
        (jnp.float32(0.5), "0.5000"),
        (np.array([0.5, 1.5]), "1.0000"),
    ],
)
def test_numbers_as_keras_writes_them(value, text):
    assert measures({"loss": value}) == [f"loss: {text}"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.23, "1.2s"), (59.9, "59.9s"), (125, "2:05"), (3725.4, "1:02:05")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_pace_leaves_the_first_step_out():
    pace = Pace("Epoch 1/1", 11, 0.0)
    assert (pace.share, pace.count(), pace.remaining(1.0)) == (0.0, "0/11", None)
    pace.step(1, 10.0)
    assert (pace.speed(10.0), pace.remaining(10.0)) == ("10.0s/step", None)
    pace.step(6, 10.5)
    assert (pace.speed(10.5), pace.remaining(10.5)) == ("100ms/step", "0.5s")
    pace.step(11, 11.0)
    pace.end(11.0)
    assert (pace.speed(99.0), pace.elapsed(99.0), pace.remaining(99.0)) == (
        "100ms/step", "1:39", None,
    )  # fmt: skip
    pace.step(12, 11.1)
    assert pace.count() == "12 steps"
    assert pace.share == 1.0


def test_pace_leaves_the_steps_of_an_earlier_run_out():
    pace = Pace("Epoch 3/9", 100, 0.0)
    pace.step(61, 5.0)
    pace.step(81, 7.0)
    assert (pace.speed(7.0), pace.remaining(7.0), pace.count()) == ("100ms/step", "1.9s", "81/100")
