"""Files that are damaged or hostile, and names that only the file knows."""

import io
import json
import stat
import zipfile

import h5py
import keras
import numpy as np
import pytest

import plait
from plait import layers


@pytest.fixture
def path(tmp_path):
    model = plait.Sequential([plait.Input((4,)), layers.Dense(3, name="d")])
    model.save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, changes, compression=zipfile.ZIP_STORED):
    found = {**members(path), **changes}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in found.items():
            archive.writestr(name, content)


def hdf5(fill):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def link(path):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")


def config(path, change):
    data = json.loads(members(path)["config.json"])
    change(data)
    rewrite(path, {"config.json": json.dumps(data)})


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
    file.create_virtual_dataset("layers/d/vars/0", layout)


HOSTILE = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-200]), "no archive, or is damaged"),
    "empty": (lambda p: p.write_bytes(b""), "no archive, or is damaged"),
    "text": (lambda p: p.write_text("hello"), "no archive, or is damaged"),
    "a changed byte": (
        lambda p: p.write_bytes(p.read_bytes().replace(b'"units": 3', b'"units": 4')),
        "Bad CRC-32",
    ),
    "no weights": (
        lambda p: p.write_bytes(_archive({"config.json": b"{}"})),
        "has no model.weights.h5",
    ),
    "two of one name": (lambda p: _append(p, "config.json"), "two members of one name"),
    "outside": (lambda p: _append(p, "../../x"), "lies outside of the archive"),
    "absolute": (lambda p: _append(p, "/etc/x"), "lies outside of the archive"),
    "link": (link, "is a link"),
    "unfolds": (
        lambda p: rewrite(p, {"config.json": b" " * (64 << 20)}, zipfile.ZIP_DEFLATED),
        "would unfold to",
    ),
    "deep": (lambda p: rewrite(p, {"config.json": "[" * 300 + "]" * 300}), "levels deep"),
    "very deep": (lambda p: rewrite(p, {"config.json": "[" * 10**6}), "JSON is damaged"),
    "no JSON": (lambda p: rewrite(p, {"config.json": b"\xff{"}), "JSON is damaged"),
    "another object": (lambda p: rewrite(p, {"config.json": "[1]"}), "holds no model"),
    "huge layer": (
        lambda p: config(p, lambda d: d["config"]["layers"][1]["config"].update(units=10**12)),
        "another shape",
    ),
    "circle": (
        lambda p: rewrite(p, {"config.json": json.dumps(_circle())}),
        "depend on each other in a circle",
    ),
    "imports": (
        lambda p: config(
            p, lambda d: d["config"]["layers"][1].update(module="os", class_name="system")
        ),
        "names 'system', which is neither",
    ),
    "lambda": (
        lambda p: config(
            p,
            lambda d: d["config"]["layers"][1]["config"].update(
                activation={
                    "class_name": "__lambda__",
                    "config": {"value": ["4wEAAA==", None, None]},
                }
            ),
        ),
        "code of an anonymous function",
    ),
    "huge array": (
        lambda p: rewrite(
            p,
            {
                "model.weights.h5": hdf5(
                    lambda f: f.create_dataset(
                        "layers/dense/vars/0", (10**6, 10**6), "f4", chunks=(100, 100)
                    )
                )
            },
        ),
        "not in one piece",
    ),
    "compressed array": (
        lambda p: rewrite(
            p,
            {
                "model.weights.h5": hdf5(
                    lambda f: f.create_dataset("x", data=np.zeros(1000), compression="gzip")
                )
            },
        ),
        "compression",
    ),
    "external link": (
        lambda p: rewrite(
            p,
            {
                "model.weights.h5": hdf5(
                    lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/x.h5", "/"))
                )
            },
        ),
        "does not read|damaged",
    ),
    "soft link": (
        lambda p: rewrite(
            p, {"model.weights.h5": hdf5(lambda f: f.__setitem__("x", h5py.SoftLink("/y")))}
        ),
        "links",
    ),
    "external data": (
        lambda p: rewrite(
            p,
            {
                "model.weights.h5": hdf5(
                    lambda f: f.create_dataset("x", (3,), "f4", external=[("/etc/passwd", 0, 12)])
                )
            },
        ),
        "data in other files",
    ),
    "virtual data": (
        lambda p: rewrite(p, {"model.weights.h5": hdf5(virtual)}),
        "not in one piece",
    ),
}


def _archive(contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _append(path, name):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")


def _circle():
    def layer(name, source):
        history = {"shape": [None, 4], "dtype": "float32", "keras_history": [source, 0, 0]}
        call = {"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}
        return {"module": "keras.layers", "class_name": "Dense", "name": name,
                "config": {"name": name, "units": 4}, "inbound_nodes": [call]}  # fmt: skip

    config = {"name": "m", "layers": [layer("a", "b"), layer("b", "a")],
              "input_layers": ["a", 0, 0], "output_layers": ["b", 0, 0]}  # fmt: skip
    return {"module": "keras", "class_name": "Functional", "config": config}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("spoil", "text"), HOSTILE.values(), ids=HOSTILE)
def test_one_error_names_the_file(spoil, text, path):
    spoil(path)
    with pytest.raises(plait.FileError, match=text) as caught:
        plait.models.load_model(path)
    assert str(path) in str(caught.value)


class Gate(layers.Layer):
    def __init__(self, scale=2.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), name="factor")

    def call(self, inputs):
        return inputs * self.factor * self.scale


def double(x):
    return 2 * x


@pytest.fixture
def custom(tmp_path):
    x = plait.Input((4,), name="x")
    y = Gate(3.0, name="gate")(layers.Dense(5, activation=double, name="d")(x))
    model = plait.Model(x, layers.Dense(2, name="out")(y))
    model.compile("adam", "mse")
    model.save(tmp_path / "custom.keras")
    return model, tmp_path / "custom.keras"


def test_custom_objects_come_from_the_caller(custom):
    model, path = custom
    with pytest.raises(plait.FileError, match=r"names .*'double'|names 'Gate'") as caught:
        plait.models.load_model(path)
    assert "custom_objects=" in str(caught.value)
    again = plait.models.load_model(path, {"Gate": Gate, "double": double})
    x = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(again(x), model(x))
    assert again.get_layer("gate").scale == 3.0


def test_registered_objects_are_found(tmp_path):
    @plait.saving.register_serializable(package="tests")
    class Registered(Gate):
        pass

    model = plait.Sequential([plait.Input((4,)), Registered()])
    model.save(tmp_path / "m.keras")
    assert type(plait.models.load_model(tmp_path / "m.keras").layers[0]) is Registered


def test_a_file_with_missing_parts_opens_to_be_looked_at(custom, tmp_path, capsys):
    model, path = custom
    looked = plait.models.load_model(path, missing="placeholder")
    looked.summary()
    assert "Gate (missing)" in capsys.readouterr().out
    looked.plot(tmp_path / "m.svg")
    assert looked.output_shape == (None, 2)
    for ours, theirs in zip(looked.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(plait.ConfigError, match=r"which stands for 'double'|stands for 'Gate'"):
        looked(np.ones((3, 4), "float32"))
    looked.save(tmp_path / "again.keras")
    again = plait.models.load_model(tmp_path / "again.keras", {"Gate": Gate, "double": double})
    x = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(again(x), model(x))


def test_an_anonymous_function_is_looked_at_and_replaced(tmp_path):
    theirs = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Lambda(lambda x: x * 2, name="twice"),
            keras.layers.Dense(2),
        ]
    )
    theirs.save(tmp_path / "m.keras")
    with pytest.raises(plait.FileError, match="anonymous function, which plait does not run"):
        plait.models.load_model(tmp_path / "m.keras")
    model = plait.models.load_model(tmp_path / "m.keras", missing="placeholder")
    model.replace("twice", layers.Lambda(double))
    x = np.ones((3, 4), "float32")
    np.testing.assert_allclose(model(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_an_anonymous_function_cannot_be_saved(tmp_path):
    model = plait.Sequential([plait.Input((4,)), layers.Lambda(lambda x: x * 2)])
    with pytest.raises(plait.ConfigError, match="anonymous function cannot be written") as caught:
        model.save(tmp_path / "m.keras")
    assert "@plait.saving.register_serializable()" in str(caught.value)
    assert not (tmp_path / "m.keras").exists()
    named = plait.Sequential([plait.Input((4,)), layers.Lambda(double)])
    named.save(tmp_path / "m.keras")
    again = plait.models.load_model(tmp_path / "m.keras", {"double": double})
    np.testing.assert_array_equal(again(np.ones((1, 4), "float32")), np.full((1, 4), 2.0))


def test_unsafe_mode_does_not_exist(path):
    with pytest.raises(plait.ConfigError, match="would run code from the file"):
        plait.models.load_model(path, safe_mode=False)
    with pytest.raises(plait.ConfigError, match="missing is 'error' or 'placeholder'"):
        plait.models.load_model(path, missing="ignore")
