"""Checkpoints: files that hold a run's state, and runs that go on from them."""

import os
import pathlib
import resource
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import plait
from plait import callbacks, layers
from plait.errors import ArgumentTypeError, ConfigError, FileError
from plait.saving import Checkpoints
from plait.saving.background import Background
from plait.saving.state_file import pack, read, write

rng = np.random.default_rng(0)
X = rng.normal(size=(20, 4)).astype("float32")
Y = rng.normal(size=(20, 2)).astype("float32")


def make(units=3, name=None, optimizer="adam", activation="relu"):
    model = plait.Sequential(
        [
            plait.Input((4,)),
            layers.Dense(units, activation=activation, name=name),
            layers.Dense(2),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def shared():
    model = make()
    model.start = model.get_weights()
    model.fit(X, Y, 6, verbose=0)  # makes the optimizer's slots
    return model


@pytest.fixture
def model(shared):
    """The shared model at its start: what was compiled stays, values do not."""
    reset(shared)
    return shared


def reset(model):
    model.set_weights(model.start)
    for name, variable in model.optimizer.state.items():
        variable.assign(np.zeros(variable.shape) if name != "learning_rate" else 0.001)


def fit(model, folder=None, *hooks, epochs=4, **given):
    plait.utils.set_random_seed(0)
    arguments = {"batch_size": 6, "verbose": 0, "resume": folder, **given}
    return model.fit(X, Y, epochs=epochs, callbacks=list(hooks), **arguments)


class Failing(callbacks.Callback):
    """End a run by an exception, after so many batches."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("as if killed")


def fail(model, folder, batches, *hooks, **given):
    with pytest.raises(RuntimeError, match="as if killed"):
        fit(model, folder, *hooks, Failing(batches), **given)


def values(model):
    return [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def files(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir() if path.name != ".lock")


# -- killed runs --------------------------------------------------------------------------------


def test_killed_anywhere():
    """Real kills at random moments; `kill_many.py` runs any number of them by hand."""
    script = pathlib.Path(__file__).with_name("kill_many.py")
    package = pathlib.Path(plait.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(script), "3", "--seed", "1", "--runs", "arrays"],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 rounds that differ" in done.stdout


@pytest.mark.parametrize("batches", [2, 4, 5, 11])
def test_goes_on_where_it_was(model, tmp_path, batches):
    halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    whole = fit(model, None, halve).history
    expected = values(model)
    reset(model)
    fail(model, Checkpoints(tmp_path, steps=1), batches, halve)
    model.set_weights([np.ones(weight.shape) for weight in model.start])
    history = fit(model, tmp_path, halve)
    assert history.history == whole
    assert history.epoch == [0, 1, 2, 3]
    assert_same(values(model), expected)


def test_a_run_that_is_over_trains_nothing_more(model, tmp_path):
    first = fit(model, tmp_path)
    trained = values(model)
    model.set_weights(model.start)
    batches = []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    again = fit(model, tmp_path, count)
    assert not batches
    assert (again.history, again.epoch) == (first.history, first.epoch)
    assert_same(values(model), trained)
    longer = fit(model, tmp_path, count, epochs=5)
    assert longer.epoch == [0, 1, 2, 3, 4]
    assert longer.history["loss"][:4] == first.history["loss"]
    assert batches == [0, 1, 2, 3]


def test_a_run_that_stopped_early_stays_so(model, tmp_path):
    def stop():
        return callbacks.EarlyStopping("loss", mode="max", patience=1, restore_best_weights=True)

    first = fit(model, tmp_path, stop())
    trained = values(model)
    assert first.epoch == [0, 1]
    model.set_weights(model.start)
    again = fit(model, tmp_path, stop(), epochs=9)
    assert (again.history, again.epoch) == (first.history, first.epoch)
    assert_same(values(model), trained)


def test_a_model_built_anew_in_the_same_session(tmp_path):
    fail(make(), Checkpoints(tmp_path, steps=1), 7)
    model = make()
    assert model.layers[0].name != "dense"
    assert fit(model, tmp_path).epoch == [0, 1, 2, 3]


def test_logs_of_killed_epochs_are_taken_back(model, tmp_path):
    table = tmp_path / "log.csv"
    fail(model, Checkpoints(tmp_path / "run", steps=3, seconds=None), 6, callbacks.CSVLogger(table))
    assert len(table.read_text().splitlines()) == 2
    for torn in (tmp_path / "run").glob("*-00001-*"):
        torn.unlink()  # as if killed while writing those of the second epoch
    fit(model, tmp_path / "run", callbacks.CSVLogger(table))
    assert [line.split(",")[0] for line in table.read_text().splitlines()] == [
        "epoch", "0", "1", "2", "3",
    ]  # fmt: skip


def test_models_and_data_of_another_run_are_refused(model, tmp_path):
    fit(model, tmp_path, epochs=1)
    with pytest.raises(ConfigError) as error:
        fit(make(units=5, name="wide"), tmp_path)
    text = str(error.value)
    assert text.startswith("the checkpoint is of a run with another model:")
    assert '"units": 3' in text or "units=3" in text
    assert "units=5" in text
    assert text.endswith("Fix: the same model as before, or another folder for a new run")
    refused = (
        r"with another model:\n  optimizers  in the checkpoint:  Adam\n  optimizers  here: +SGD"
    )
    with pytest.raises(ConfigError, match=refused):
        fit(make(optimizer="sgd"), tmp_path)
    refused = r"with other data:\n  batch size +6 in the checkpoint +5 here"
    with pytest.raises(ConfigError, match=refused):
        fit(model, tmp_path, batch_size=5)
    with pytest.raises(ConfigError, match=r"samples +20 in the checkpoint +8 here"):
        model.fit(X[:8], Y[:8], batch_size=6, verbose=0, resume=tmp_path)
    with pytest.raises(ConfigError, match=r"data +missing in the checkpoint +list here"):
        model.fit([(X, Y)], verbose=0, resume=tmp_path)


def test_variables_that_do_not_fit_are_named(model, tmp_path):
    fit(model, tmp_path, epochs=1)
    file = next(tmp_path.glob("*.safetensors"))
    state = read(file)
    path = next(path for path in state["variables"] if path.endswith("kernel"))
    state["variables"][path] = np.zeros((7, 7), "float32")
    del state["variables"][path.replace("kernel", "bias")]
    write(file, *pack(state))
    with pytest.raises(ConfigError) as error:
        fit(model, tmp_path)
    assert "(7, 7) float32 in the checkpoint  (4, 3) float32 here" in str(error.value)
    assert "missing in the checkpoint" in str(error.value)


# -- files --------------------------------------------------------------------------------------


def test_states_come_back(tmp_path):
    state = {
        "numbers": [1, 2.5, True, None, 2**100, float("inf"), "text"],
        "arrays": {
            kind: np.ones((2, 3), kind)
            for kind in ("float32", "float64", "float16", "int8", "bool", "complex64", "complex128")
        },
        "jax": [jnp.ones((), "bfloat16"), jnp.ones((3,), "int4"), jnp.zeros((0, 2))],
        "transposed": np.arange(6).reshape(2, 3).T,
    }
    arrays, text = pack(state)
    state["transposed"][:] = 0  # a state is what it was when it was packed
    write(tmp_path / "state", arrays, text)
    back = read(tmp_path / "state")
    assert back["numbers"] == state["numbers"]
    for kind, array in back["arrays"].items():
        assert array.dtype == kind
        np.testing.assert_array_equal(array, np.ones((2, 3)))
    assert [(a.dtype.name, a.shape) for a in back["jax"]] == [
        ("bfloat16", ()), ("int4", (3,)), ("float32", (0, 2)),
    ]  # fmt: skip
    np.testing.assert_array_equal(back["transposed"], np.arange(6).reshape(2, 3).T)


@pytest.mark.parametrize("wrong", [object(), {1: 2}, {"a": [print]}])
def test_what_cannot_be_kept_is_named(wrong):
    with pytest.raises(ArgumentTypeError, match="a checkpoint cannot hold callbacks/Mine"):
        pack({"callbacks": {"Mine": wrong}})


def test_other_programs_read_the_weights(model, tmp_path):
    fit(model, tmp_path, epochs=1)
    arrays = load_file(next(tmp_path.glob("*.safetensors")))
    for path, value in model.state().items():
        np.testing.assert_array_equal(arrays[f"variables/model/{path}"], value)


def test_the_newest_whole_one_counts(model, tmp_path):
    fit(model, Checkpoints(tmp_path, steps=1, keep=3), epochs=2)
    (tmp_path / ".checkpoint-00009-00000000.safetensors.0123.tmp").write_bytes(b"torn")
    names = files(tmp_path)
    newest = tmp_path / names[-1]
    newest.write_bytes(newest.read_bytes()[:-10])
    with pytest.warns(UserWarning, match=f"{names[-1]}' is damaged: .* An older checkpoint"):
        assert fit(model, tmp_path, epochs=2).epoch == [0, 1]
    assert not [name for name in files(tmp_path) if name.endswith(".tmp")]
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(b"nothing")
    with pytest.raises(FileError, match=r"none of the \d checkpoints in '.*' can be read"):  # noqa: SIM117
        with pytest.warns(UserWarning, match="damaged"):
            fit(model, tmp_path)


def test_every_damage_is_noticed(tmp_path):
    file = tmp_path / "state"
    state = {"history": [0.5, 0.25], "weights": {"a": np.arange(50.0), "b": np.ones(3, "int8")}}
    write(file, *pack(state))
    whole, draw = file.read_bytes(), np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(whole)
        for place in draw.integers(len(whole), size=draw.integers(1, 4)):
            damaged[place] = draw.integers(256)
        damaged = damaged[: draw.integers(len(whole))] if draw.random() < 0.2 else damaged
        if damaged == whole:
            continue
        file.write_bytes(damaged)
        try:
            back = read(file)
        except FileError:
            continue
        assert back["history"] == state["history"]  # the change was in a part without meaning
        np.testing.assert_array_equal(back["weights"]["a"], state["weights"]["a"])
        np.testing.assert_array_equal(back["weights"]["b"], state["weights"]["b"])


def test_so_many_are_kept(model, tmp_path):
    fit(model, Checkpoints(tmp_path, steps=1, keep=1))
    assert files(tmp_path) == ["checkpoint-00004-00000000.safetensors"]
    fit(model, Checkpoints(tmp_path, steps=1, keep=3), epochs=9)
    assert len(files(tmp_path)) == 3
    assert files(tmp_path)[-1] == "checkpoint-00009-00000000.safetensors"


def test_a_folder_is_of_one_run(model, tmp_path):
    with Checkpoints(tmp_path):  # noqa: SIM117
        with pytest.raises(FileError, match="another run is writing its checkpoints to"):
            fit(model, tmp_path)
    fit(model, tmp_path, epochs=1)


def test_a_full_disk_leaves_what_was_there(model, tmp_path):
    fit(model, tmp_path, epochs=2)
    kept = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(FileError, match=r"cannot write '.*checkpoint-0000"):
            fit(model, tmp_path, epochs=50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == kept
    assert fit(model, tmp_path, epochs=3).epoch == [0, 1, 2]


def test_a_folder_that_cannot_be(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot keep checkpoints in '.*file'"):
        fit(model, tmp_path / "file")


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"keep": 0}, {"seconds": -1}, {"keep": 1.5}])
def test_impossible_numbers_are_refused(wrong, tmp_path):
    with pytest.raises(ConfigError, match=f"Checkpoints: {next(iter(wrong))} is "):
        Checkpoints(tmp_path, **wrong)


# -- beside training ----------------------------------------------------------------------------


def test_one_job_at_a_time_and_errors_come_out():
    background, done = Background(), []
    background.start(lambda: done.append(1))
    background.start(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        background.start(lambda: done.append(2))
    background.start(lambda: done.append(3))
    background.wait()
    assert done == [1, 3]
    assert not background.busy
    background.wait()
