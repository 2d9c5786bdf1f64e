"""The command line on files of every format that is read, and on those that are none."""

import json
import re

import h5py
import numpy as np
import pytest

import plait
from plait import Input, Model, layers
from plait.cli import main


@plait.saving.register_serializable(package="cli_tests")
class Valve(layers.Layer):
    def build(self, input_shape):
        self.gain = self.add_weight(shape=input_shape[-1:], name="gain")

    def call(self, inputs):
        return inputs * self.gain


def chain(gate=False, activation=None):
    x = Input((4,), name="x")
    h = layers.Dense(8, activation="relu", name="hidden")(x)
    h = Valve(name="gate")(h) if gate else h
    return Model(x, layers.Dense(3, activation=activation, name="out")(h), name="m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of models, weights and exports, some of them damaged."""
    plait.utils.clear_session()
    path = tmp_path_factory.mktemp("files")
    model = chain()
    with pytest.warns(plait.errors.ModelWarning, match="logits-without-from-logits"):
        model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(path / "m.keras")
    model.save_weights(path / "m.weights.h5")
    model.save_weights(path / "m.safetensors")
    model.export(path / "m.onnx")
    model.export(path / "m.stablehlo")
    (path / "m.json").write_text(model.to_json())
    other = chain(activation="softmax")
    other.insert_after("hidden", layers.Dropout(0.1, name="drop"))
    other.save(path / "other.keras")
    chain(gate=True).save(path / "gate.keras")
    (path / "gate.json").write_text(chain(gate=True).to_json())
    legacy(path / "legacy.h5", model)
    for ending in ("keras", "h5", "json", "onnx", "stablehlo", "safetensors"):
        (path / f"bad.{ending}").write_bytes(b"PK\x03\x04 this is nothing")
    (path / "list.json").write_text("[1, 2]")
    return path


def legacy(path, model):
    """Write a model as Keras 2 did."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Functional", "config": json.loads(model.to_json())["config"]}
        )
        file.attrs["keras_version"] = "2.15.0"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = weights.create_group(layer.name)
            names = [f"{layer.name}/{v.name}:0" for v in layer.variables]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.variables, strict=True):
                group[name] = np.asarray(variable)


@pytest.fixture
def unknown(monkeypatch):
    """Forget the class of the tests, as in another process."""
    from plait.core import registry

    monkeypatch.setattr(registry, "_custom", {})


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Return the exit code, the output and the errors of a command in that folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")

    def run(line):
        with pytest.raises(SystemExit) as end:
            main(line.split())
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("m.keras", ["hidden (Dense)", "(None, 8)", "Trainable params: 67"]),
        ("m.json", ["hidden (Dense)", "Total params: 67"]),
        ("legacy.h5", ["hidden (Dense)", "Total params: 67"]),
        ("m.weights.h5", ["(4, 8)", "67 elements in 4 arrays"]),
        ("m.safetensors", ["hidden/kernel", "(4, 8)", "67 elements in 4 arrays"]),
        ("m.onnx", ["input", "(None, 4)", "output", "out", "float32"]),
        ("m.stablehlo", ["input", "(None, 4)", "output", "out", "float32"]),
    ],
)
def test_summary(run, file, words):
    code, out, err = run(f"summary {file}")
    assert (code, err) == (0, "")
    for word in words:
        assert word in out


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("file", ["gate.keras", "gate.json"])
def test_what_is_not_known_can_be_looked_at(run, folder, file):
    code, out, err = run(f"summary {file}")
    assert (code, err) == (0, "")
    assert "Valve (missing)" in out
    assert run(f"plot {file} gate.svg")[0] == 0
    assert "Valve (missing)" in (folder / "gate.svg").read_text()
    assert run(f"check {file}")[:2] == (0, "nothing found\n")
    code, out, _ = run(f"diff m.json {file}")
    assert "added      Valve (missing) 'gate' <- hidden" in out
    code, _, err = run(f"convert {file} never.keras")
    assert code == 2
    assert re.search(r"Valve.* Fix: ", err)
    assert err.count("\n") == 1


def test_plot(run, folder):
    assert run("plot m.keras")[:2] == (0, "m.html\n")
    assert "hidden" in (folder / "m.html").read_text()
    assert run("plot m.keras dark.svg --theme dark")[:2] == (0, "dark.svg\n")


def test_diff(run, folder):
    code, out, _ = run("diff m.keras other.keras --plot both.html")
    assert code == 0
    for line in ("added      Dropout 'drop' <- hidden", "units", "both.html"):
        assert (line in out) == (line != "units")
    assert "before: m" in (folder / "both.html").read_text()
    assert run("diff m.keras m.json")[:2] == (0, "no differences\n")


def test_check(run):
    code, out, _ = run("check m.keras")
    assert code == 1
    assert out.startswith("warning [logits-without-from-logits]: Dense 'out' returns scores")
    code, out, _ = run("check m.keras --ignore logits-without-from-logits")
    assert (code, out) == (0, "nothing found\n")
    assert run("check other.keras")[:2] == (0, "nothing found\n")
    assert run("check m.keras --ignore nonsense")[0] == 2


@pytest.mark.parametrize(
    "ending", ["keras", "json", "weights.h5", "safetensors", "stablehlo", "py"]
)
def test_convert(run, folder, ending):
    assert run(f"convert m.keras out.{ending}")[:2] == (0, f"out.{ending}\n")
    path, x = folder / f"out.{ending}", np.ones((2, 4), "float32")
    model = plait.saving.load_model(folder / "m.keras", compile=False)
    expected = np.asarray(model(x))
    if ending == "keras":
        again = plait.saving.load_model(path)(x)
    elif ending in ("weights.h5", "safetensors"):
        other = chain()
        other.load_weights(path)
        again = other(x)
    elif ending == "stablehlo":
        again = plait.saving.load_exported(path)(x)
    else:
        scope = {}
        if ending == "py":
            exec(path.read_text(), scope)
        assert ending == "json" or not plait.diff(model, scope["model"])
        assert ending == "py" or json.loads(path.read_text())["config"]["name"] == "m"
        return
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("summary gone.keras", "gone.keras"),
        ("summary m.txt", r"'m.txt' ends in none of .*\.keras.* Fix: "),
        ("plot m.onnx", "is a compiled program.* Fix: plait summary m.onnx"),
        ("check m.safetensors", "holds weights alone.* Fix: plait summary m.safetensors"),
        ("plot m.keras m.pdf", r"plot writes \.html.* Fix: "),
        ("convert m.keras out.txt", r"'out.txt' ends in none of"),
        ("convert m.json out.safetensors", "'m.json' holds no weights"),
        ("convert m.safetensors out.keras", r"'m.safetensors' ends in none of"),
        ("convert m.keras nowhere/out.keras", "nowhere"),
        ("convert m.keras nowhere/out.py", "nowhere.*No such file"),
        ("summary list.json", "holds no model"),
        *[
            (f"summary bad.{ending}", rf"bad\.{ending}")
            for ending in ("keras", "h5", "json", "onnx", "stablehlo", "safetensors")
        ],
    ],
)
def test_an_error_is_one_line(run, line, message):
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert err.startswith("plait: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err


def test_wrong_use_shows_the_usage(run):
    assert run("summary")[0] == 2
    code, _, err = run("frobnicate")
    assert code == 2
    assert "No such command" in err
    assert run("version")[:2] == (0, f"{plait.__version__}\n")
