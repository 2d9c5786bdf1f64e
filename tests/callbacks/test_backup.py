"""`BackupAndRestore`, which is ``fit(resume=...)`` under Keras' name."""

import numpy as np
import pytest

import plait
from plait import callbacks
from plait.errors import ConfigError

X, Y = np.random.default_rng(0).normal(size=(2, 20, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    model = plait.Sequential([plait.Input((3,)), plait.layers.Dense(3)])
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    return model


class Failing(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2 and self.model.history.epoch == [0]:
            raise RuntimeError("as if killed")


def fit(model, backup, *more, epochs=3):
    return model.fit(X, Y, 5, epochs=epochs, verbose=0, callbacks=[backup, *more])


@pytest.mark.parametrize("freq", ["epoch", 2])
def test_a_killed_run_goes_on(model, tmp_path, freq):
    def backup():
        return callbacks.BackupAndRestore(tmp_path, freq, double_checkpoint=True)

    with pytest.raises(RuntimeError, match="as if killed"):
        fit(model, backup(), Failing())
    newest = max(path.stem for path in tmp_path.glob("*.safetensors"))
    epoch, done = (int(number) for number in newest.split("-")[1:])
    assert freq != "epoch" or (epoch, done) == (1, 0)
    steps = []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    assert fit(model, backup(), count).epoch == [0, 1, 2]
    assert steps == [*range(done, 4), *([0, 1, 2, 3] * (2 - epoch))]
    assert not tmp_path.exists()  # taken away: training is over


def test_states_can_stay(model, tmp_path):
    backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    fit(model, backup)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [
        "checkpoint-00003-00000000.safetensors"
    ]
    assert fit(model, backup, epochs=4).epoch == [0, 1, 2, 3]


def test_a_folder_with_other_files_stays(model, tmp_path):
    (tmp_path / "mine").write_text("mine")
    fit(model, callbacks.BackupAndRestore(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_errors(model, tmp_path):
    with pytest.raises(ConfigError, match="backup_dir is empty"):
        callbacks.BackupAndRestore("")
    for wrong in (False, "batch", 1.5):
        with pytest.raises(ConfigError, match="save_freq is 'epoch' or a number of batches"):
            callbacks.BackupAndRestore(tmp_path, save_freq=wrong)
    backup = callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(ConfigError, match="keeps its checkpoints in one place"):
        model.fit(X, Y, verbose=0, callbacks=[backup], resume=tmp_path)
