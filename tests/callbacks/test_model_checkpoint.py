"""Models that are kept while they train: which, when and under which names, as Keras does."""

import re

import keras
import numpy as np
import pytest

import plait
from plait import callbacks
from plait.errors import ConfigError, FileError

rng = np.random.default_rng(0)
X = rng.normal(size=(20, 3)).astype("float32")
Y = rng.normal(size=(20, 1)).astype("float32")


def make(package):
    model = package.Sequential([package.layers.Input((3,)), package.layers.Dense(1, name="out")])
    model.compile(package.optimizers.SGD(0.3), "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def models():
    made = {package: make(package) for package in (plait, keras)}
    weights = [np.array([[0.5], [-1.0], [2.0]], "float32"), np.zeros(1, "float32")]
    return made, weights


def fit(models, package, *hooks, epochs=5):
    made, weights = models
    model = made[package]
    model.set_weights(weights)
    given = {"batch_size": 8, "shuffle": False, "validation_data": (X[:9], Y[:9] + 1)}
    model.fit(X, Y, epochs=epochs, verbose=0, callbacks=list(hooks), **given)
    return model


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("{epoch:02d}-{val_loss:.3f}", {}),
        ("best", {"save_best_only": True}),
        ("{epoch}", {"save_best_only": True}),
        ("{epoch}", {"save_best_only": True, "mode": "max", "monitor": "val_mae"}),
        ("{epoch}", {"save_best_only": True, "initial_value_threshold": 2.3}),
        ("{epoch}", {"save_best_only": True, "monitor": "mae"}),
        ("{epoch}-{batch}", {"save_freq": 4}),
        ("{epoch}-{batch}-{loss:.2f}", {"save_freq": 2, "save_best_only": True, "monitor": "loss",
                                        "mode": "min"}),
        ("in/folders/{epoch}", {}),
    ],
)  # fmt: skip
def test_files_are_those_of_keras(models, tmp_path, name, given):
    found = {}
    for package in (plait, keras):
        folder = tmp_path / package.__name__
        file = str(folder / f"{name}.keras")
        fit(models, package, package.callbacks.ModelCheckpoint(file, **given))
        found[package] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.keras"))
    assert found[plait] == found[keras]
    assert found[plait]


def test_what_is_kept_is_the_model_of_that_moment(models, tmp_path):
    seen = []
    look = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(models[0][plait].get_weights())
    )
    fit(models, plait, callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"), look)
    for epoch in (1, 3, 5):
        loaded = plait.models.load_model(tmp_path / f"{epoch}.keras")
        for ours, theirs in zip(loaded.get_weights(), seen[epoch - 1], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    theirs = keras.models.load_model(tmp_path / "2.keras")
    np.testing.assert_allclose(theirs.get_weights()[0], seen[1][0])


def test_weights_alone(models, tmp_path):
    for ending in (".weights.h5", ".safetensors"):
        file = tmp_path / ("{epoch}" + ending)
        save = callbacks.ModelCheckpoint(file, save_weights_only=True, every=2)
        model = fit(models, plait, save, epochs=4)
        names = sorted(path.name for path in tmp_path.glob(f"*{ending}"))
        assert names == [f"2{ending}", f"4{ending}"]
        after = model.get_weights()
        model.set_weights(models[1])
        model.load_weights(tmp_path / f"4{ending}")
        np.testing.assert_array_equal(model.get_weights()[0], after[0])


def test_the_newest_are_kept(models, tmp_path):
    (tmp_path / "mine.keras").write_text("not of this run")
    fit(models, plait, callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", keep=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "4.keras", "5.keras", "mine.keras",
    ]  # fmt: skip


def test_it_says_what_it_does(models, tmp_path, capsys):
    file = tmp_path / "m.keras"
    save = callbacks.ModelCheckpoint(file, verbose=1, save_best_only=True)
    fit(models, plait, save, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Epoch 1: val_loss improved to \d\.\d{5}\.", lines[0])
    assert lines[1] == f"Epoch 1: saving '{file}'."
    assert re.fullmatch(r"Epoch 2: val_loss improved from \d\.\d{5} to \d\.\d{5}\.", lines[2])


def test_a_run_that_goes_on_knows_its_best_and_its_files(models, tmp_path):
    def save():
        return callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", keep=1, save_best_only=True)

    model, arguments = models[0][plait], {"batch_size": 8, "verbose": 0, "resume": tmp_path / "run"}
    data = {"x": X, "y": Y, "validation_data": (X, Y)}
    model.set_weights(models[1])
    model.fit(**data, epochs=1, callbacks=[save()], **arguments)
    later = save()
    model.fit(**data, epochs=3, callbacks=[later], **arguments)
    assert later.best == min(model.history.history["val_loss"])
    assert len(list(tmp_path.glob("*.keras"))) == 1


def test_errors(models, tmp_path):
    with pytest.raises(ConfigError, match=r"filepath ends in \.keras .*; received 'm\.h5'"):
        callbacks.ModelCheckpoint("m.h5")
    with pytest.raises(ConfigError, match=r"ends in \.weights\.h5 or \.safetensors"):
        callbacks.ModelCheckpoint("m.keras", save_weights_only=True)
    for wrong in ({"save_freq": "batch"}, {"save_freq": 0}, {"every": 0}, {"keep": 0}):
        with pytest.raises(ConfigError, match=f"ModelCheckpoint: {next(iter(wrong))} is"):
            callbacks.ModelCheckpoint("m.keras", **wrong)
    unknown = callbacks.ModelCheckpoint(tmp_path / "{valid:.2f}.keras")
    with pytest.raises(ConfigError, match=r"names 'valid', which the logs do not have.*\n.*{loss}"):
        fit(models, plait, unknown)
    missing = callbacks.ModelCheckpoint(tmp_path / "m.keras", "val_acc", save_best_only=True)
    with pytest.warns(UserWarning, match="follows 'val_acc', which is not there"):
        fit(models, plait, missing, epochs=1)
    assert (tmp_path / "m.keras").exists()
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(FileError, match=r"folder\.keras': it is a folder"):
        fit(models, plait, callbacks.ModelCheckpoint(tmp_path / "folder.keras"))
