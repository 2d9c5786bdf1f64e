"""Weights in files of their own: what is loaded, and what is refused."""

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import plait
from plait import layers
from plait.saving.matching import renamed


def network(*names, width=4):
    stack = [layers.Dense(width, activation="relu", name=name) for name in names]
    return plait.Sequential([plait.Input((4,)), *stack, layers.Dense(2, name="out")])


def same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(params=["m.weights.h5", "m.safetensors", "m.keras"])
def written(request, tmp_path):
    model = network("a", "b")
    path = tmp_path / request.param
    model.save(path) if path.suffix == ".keras" else model.save_weights(path)
    return model, path


def test_a_full_match_is_reported(written, capsys):
    model, path = written
    again = network("a", "b")
    report = again.load_weights(path)
    same(again.get_weights(), model.get_weights())
    assert report.complete
    assert len(report.loaded) == 6
    assert f"loaded 6 of 6 weights from '{path}'" in capsys.readouterr().out
    again.load_weights(path, verbose=False)
    assert not capsys.readouterr().out


def test_automatic_names_do_not_matter(tmp_path):
    def unnamed():
        return plait.Sequential([plait.Input((4,)), layers.Dense(3), layers.Dense(4)])

    model = unnamed()
    for name in ("m.weights.h5", "m.safetensors"):
        again = unnamed()
        model.save_weights(tmp_path / name)
        again.load_weights(tmp_path / name, verbose=False)
        same(again.get_weights(), model.get_weights())


def test_anything_less_than_a_full_match_changes_nothing(written):
    _, path = written
    other = network("a", "c")
    before = other.get_weights()
    with pytest.raises(plait.FileError, match=r"does not fit Sequential .*4 of 6") as caught:
        other.load_weights(path)
    for text in ("missing in the file  c/kernel", "unused", "Nothing has changed", "strict=False"):
        assert text in str(caught.value)
    same(other.get_weights(), before)
    wider = network("a", "b", width=5)
    with pytest.raises(plait.FileError, match=r"another shape +a/kernel +\(4, 5\), in the file"):
        wider.load_weights(path)


def test_what_fits_is_loaded_when_asked(written, capsys):
    model, path = written
    other = network("a", "c")
    report = other.load_weights(path, strict=False)
    assert sorted(report.loaded) == ["a/bias", "a/kernel", "out/bias", "out/kernel"]
    assert sorted(report.missing) == ["c/bias", "c/kernel"]
    assert len(report.unused) == 2
    assert "missing in the file  c/kernel" in capsys.readouterr().out
    same(other.layers[0].get_weights(), model.layers[0].get_weights())
    wider = network("a", "b", width=5)
    report = wider.load_weights(path, skip_mismatch=True, verbose=False)
    assert sorted(report.loaded) == ["out/bias"]
    assert report.mismatched["b/kernel"] == ((5, 5), (4, 4))


def test_each_weight_finds_its_place_after_an_edit(written):
    model, path = written
    edited = model.copy()
    edited.set_weights([np.zeros_like(w) for w in edited.get_weights()])
    edited.insert_after("a", layers.Dense(4, name="new"))
    edited.insert_after("b", layers.Dropout(0.5))
    report = edited.load_weights(path, strict=False, verbose=False)
    assert report.missing == ["new/kernel", "new/bias"]
    assert not report.unused
    for name in ("a", "b", "out"):
        same(edited.get_layer(name).get_weights(), model.get_layer(name).get_weights())


def test_names_can_be_mapped(written):
    model, path = written
    other = network("first", "b")
    other.load_weights(path, rename={"a": "first"}, verbose=False)
    same(other.get_weights(), model.get_weights())


@pytest.mark.parametrize(
    ("path", "rename", "expected"),
    [
        ("a/b/kernel", {"a": "x"}, "x/b/kernel"),
        ("a/b/kernel", {"a": "x", "a/b": "y"}, "y/kernel"),
        ("ab/kernel", {"a": "x"}, "ab/kernel"),
        ("a/kernel", {"a": ""}, "kernel"),
        ("a/kernel", {"a/kernel": "b/bias"}, "b/bias"),
        ("a/kernel", None, "a/kernel"),
    ],
)
def test_beginnings_of_paths_are_mapped(path, rename, expected):
    assert renamed(path, rename) == expected


def test_by_order_and_by_shape(written):
    model, path = written
    other = network("x", "y")
    with pytest.raises(plait.ConfigError, match="rename and layout need match='path'"):
        other.load_weights(path, match="order", rename={"a": "x"})
    other.load_weights(path, match="order", verbose=False)
    same(other.get_weights(), model.get_weights())
    turned = plait.Sequential(
        [plait.Input((4,)), layers.Dense(2, name="p"), layers.Dense(4, use_bias=False)]
    )
    report = turned.load_weights(path, match="shape", strict=False, verbose=False)
    assert len(report.missing) == 1
    same(turned.get_layer("p").get_weights(), model.layers[-1].get_weights())


def test_keras_reads_and_writes_the_same(tmp_path):
    model = network("a", "b")
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    theirs = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(4), keras.layers.Dense(2)]
    )
    theirs.load_weights(path)
    same(theirs.get_weights(), model.get_weights())
    theirs.compile("adam", "mse")
    theirs.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    theirs.save_weights(path)
    model.load_weights(path, verbose=False)
    same(theirs.get_weights(), model.get_weights())


def test_a_plain_reader_of_safetensors_finds_paths(tmp_path):
    model = network("a")
    model.save_weights(tmp_path / "m.safetensors")
    arrays = load_file(tmp_path / "m.safetensors")
    assert sorted(arrays) == ["a/bias", "a/kernel", "out/bias", "out/kernel"]
    np.testing.assert_array_equal(arrays["a/kernel"], model.get_weights()[0])
    save_file({key: value + 1 for key, value in arrays.items()}, tmp_path / "n.safetensors")
    before = model.get_weights()
    model.load_weights(tmp_path / "n.safetensors", verbose=False)
    same(model.get_weights(), [value + 1 for value in before])


def test_half_width_weights(tmp_path):
    def half():
        dense = layers.Dense(3, dtype="bfloat16", name="d")
        return plait.Sequential([plait.Input((4,)), dense])

    model = half()
    for name in ("m.weights.h5", "m.safetensors"):
        again = half()
        model.save_weights(tmp_path / name)
        again.load_weights(tmp_path / name, verbose=False)
        same(again.get_weights(), model.get_weights())


def test_legacy_files(tmp_path):
    inputs = keras.Input((4,))
    inner = keras.Sequential(
        [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(3)]
    )
    x = inner(inputs)
    y = keras.layers.LSTM(2)(keras.layers.Reshape((3, 1))(x))
    y = keras.layers.Dense(2)(keras.layers.concatenate([x, y]))
    theirs = keras.Model(inputs, y)
    theirs.compile("adam", "mse", metrics=["mae"])
    data = np.random.default_rng(0).normal(size=(8, 4)), np.ones((8, 2))
    theirs.fit(*data, verbose=0)
    theirs.save(tmp_path / "m.h5")
    model = plait.models.load_model(tmp_path / "m.h5")
    np.testing.assert_allclose(
        model.predict(data[0], verbose=0), theirs.predict(data[0], verbose=0), rtol=1e-5, atol=1e-6
    )
    ours, expected = (
        m.fit(*data, verbose=0, shuffle=False, epochs=2).history["loss"] for m in (model, theirs)
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    report = model.load_weights(tmp_path / "m.h5", verbose=False)
    assert report.complete


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda m, p: m.save_weights(p / "m.npz"), "does not end in '.weights.h5'"),
        (lambda m, p: m.save(p / "m.h5"), "does not end in '.keras'"),
        (lambda m, p: m.save_weights(p / "old.safetensors", overwrite=False), "exists"),
        (lambda m, p: m.save(p / "old.keras", overwrite=False), "exists"),
        (lambda m, p: m.load_weights(p / "none.weights.h5"), "cannot read .*No such file"),
        (lambda m, p: m.load_weights(p / "m.npz"), "no file of weights"),
        (lambda m, p: m.load_weights(p / "old.safetensors", match="name"), "match is 'path'"),
        (lambda m, p: m.load_weights(p / "old.safetensors", layout="tf"), "layout is 'torch'"),
        (lambda m, p: plait.models.load_model(p / "none.keras"), "cannot read .*No such file"),
        (lambda m, p: plait.models.load_model(p / "old.keras"), "is empty|no archive"),
    ],
)
def test_errors(run, text, tmp_path):
    model = network("a")
    model.save_weights(tmp_path / "old.safetensors")
    (tmp_path / "old.keras").write_bytes(b"")
    with pytest.raises((plait.FileError, plait.ConfigError), match=text):
        run(model, tmp_path)


def test_a_model_without_weights_says_so(tmp_path):
    with pytest.raises(plait.NotBuiltError, match="has no weights yet"):
        plait.Sequential([layers.Dense(2)]).save_weights(tmp_path / "m.weights.h5")
