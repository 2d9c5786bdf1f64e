import builtins
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from drawn import chain, hostile, nested, repeated, siamese

import plait
from plait import demo, layers
from plait.view.dot import dot
from plait.view.palette import COLORS
from plait.view.picture import Port, picture_of
from plait.view.plot import EngineError

SVG = "{http://www.w3.org/2000/svg}"


def texts(path):
    return ["".join(text.itertext()) for text in ET.parse(path).iter(f"{SVG}text")]


def test_a_shared_layer_is_one_box_with_a_wire_for_each_call():
    picture = picture_of(siamese())
    assert [box.name for box in picture.boxes] == ["left", "right", "tower", "minus", "same"]
    tower = picture.boxes[2]
    assert [call.name for call in tower.calls] == ["tower", "tower@1"]
    assert [call.arguments for call in tower.calls] == ["left", "right"]
    assert [(wire.source, wire.box, wire.call) for wire in picture.wires[:2]] == [
        (Port(0, 0, 0), 2, 0),
        (Port(1, 0, 0), 2, 1),
    ]
    assert [box.path for box in tower.inside.boxes][1:] == ["tower/dense", "tower/dense_1"]


def test_a_box_tells_what_is_known_of_its_layer():
    model = demo.residual()
    model.get_layer("conv2d").trainable = False
    box = next(box for box in picture_of(model).boxes if box.name == "conv2d")
    assert (box.kind, box.family, box.params, box.trainable) == (
        "Conv2D",
        "convolution",
        1792,
        False,
    )
    assert box.location.startswith("test_plot.py:")
    settings = {setting.name: (setting.value, setting.default) for setting in box.settings}
    assert settings["filters"] == ("64", False)
    assert settings["padding"] == ("'same'", False)
    assert settings["use_bias"] == ("True", True)
    assert [(w.name, w.shape, w.size) for w in box.weights] == [
        ("kernel", "(3, 3, 3, 64)", 1728),
        ("bias", "(64,)", 64),
    ]
    assert box.calls[0].flops > 0


def test_what_is_long_is_cut_and_what_is_large_is_named():
    x = plait.Input((3,))
    y = layers.Lambda(
        lambda t, **_: t, arguments={"table": np.zeros((50, 3)), "words": ["a"] * 200}
    )(x)
    values = {s.name: s.value for s in picture_of(plait.Model(x, y)).boxes[1].settings}
    assert values["arguments"].startswith("{'table': ndarray (50, 3) float64, 'words': ['a', 'a'")
    assert len(values["arguments"]) == 160


def test_a_model_cut_out_of_another_has_its_cut_as_input():
    inner = demo.sequential()
    part = plait.Model(inner.layers[0].output, inner.output)
    first = picture_of(part).boxes[0]
    assert (first.kind, first.calls[0].shapes) == ("Input", ["(None, 784)"])


@pytest.mark.parametrize("make", [siamese, repeated, nested, hostile, demo.residual])
@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("expand", [True, False])
def test_images_name_every_layer_and_shape(make, rankdir, expand, tmp_path):
    model = make()
    path = model.plot(tmp_path / "model.svg", rankdir=rankdir, nested=expand)
    shown = "\n".join(texts(path))
    for layer in model.layers:
        assert layer.name in shown
    picture = picture_of(model)
    for shape in [*(wire.shape for wire in picture.wires), *picture.output_shapes]:
        assert shape in shown
    for box in picture.boxes:
        for part in box.inside.boxes if box.inside and expand else ():
            assert part.name in shown


def test_an_svg_is_dark_where_dark_is_preferred(tmp_path):
    model = siamese()
    both = model.plot(tmp_path / "auto.svg").read_text()
    light = model.plot(tmp_path / "light.svg", theme="light").read_text()
    dark = model.plot(tmp_path / "dark.svg", theme="dark").read_text()
    assert "prefers-color-scheme" in both
    assert "<style>" not in light + dark
    assert COLORS["surface"][0] in light
    assert COLORS["surface"][1] in dark
    lights = [light for light, _ in COLORS.values()]
    assert len(set(lights)) == len(lights)


def test_png_and_dot(tmp_path):
    small = siamese().plot(tmp_path / "small.png", dpi=72).read_bytes()
    large = siamese().plot(tmp_path / "large.png", dpi=144).read_bytes()
    width = [int.from_bytes(image[16:20], "big") for image in (small, large)]
    assert small[:8] == large[:8] == b"\x89PNG\r\n\x1a\n"
    assert width[1] == pytest.approx(2 * width[0], rel=0.05)
    assert siamese().plot(tmp_path / "model.dot").read_text().startswith('digraph "siamese" {')


def test_plot_model_shows_what_keras_shows(tmp_path):
    model = siamese()
    bare = texts(plait.utils.plot_model(model, tmp_path / "bare.svg"))
    assert bare.count("Dense") == 1
    assert not {"same", "(None, 4)", "relu"} & set(bare)
    full = texts(
        plait.utils.plot_model(
            model,
            tmp_path / "full.svg",
            show_shapes=True,
            show_dtype=True,
            show_layer_names=True,
            expand_nested=True,
            show_layer_activations=True,
            show_trainable=True,
        )
    )
    shown = " ".join(full)
    for text in ("same", "(None, 4)", "float32", "relu", "trainable", "tower", "dense_1"):
        assert text in shown
    assert plait.utils.plot_model(model, tmp_path / "page.html").read_text().startswith("<!doctype")


def test_what_a_comparison_says_is_coloured():
    picture = picture_of(siamese())
    picture.boxes[3].mark = "added"
    picture.wires[0].mark = "removed"
    source = dot(picture)
    assert COLORS["added"][0] in source
    assert COLORS["removed"][0] in source
    assert COLORS["changed"][0] not in source
    assert source.count("->") == 8


def test_long_chains_are_drawn(tmp_path):
    assert len(texts(chain(300).plot(tmp_path / "long.svg"))) > 600


class Subclassed(plait.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("model", "name", "show", "message"),
    [
        (siamese, "m.gif", {}, r"plot writes \.html, \.svg, \.png, \.dot; received .*m\.gif"),
        (siamese, "m", {}, r"Fix: model\.plot\('m\.html'\)"),
        (siamese, "m.svg", {"shape": True}, r"no argument 'shape'.*Did you mean 'shapes'"),
        (siamese, "m.html", {"rankdir": "LR"}, r"rankdir is for images"),
        (siamese, "m.svg", {"rankdir": "up"}, r"rankdir is one of 'TB', .*received 'up'"),
        (siamese, "m.html", {"theme": "blue"}, r"theme is one of 'light', 'dark'; received 'blue'"),
        (Subclassed, "m.svg", {}, r"has no graph: it is a subclass with its own call"),
        (Subclassed, "m.html", {}, r"has no graph"),
        (lambda: plait.Sequential([layers.Dense(1)]), "m.svg", {}, r"shape of its input"),
    ],
)
def test_errors(model, name, show, message, tmp_path):
    with pytest.raises(plait.errors.PlaitError, match=message):
        model().plot(tmp_path / name, **show)
    assert not list(tmp_path.iterdir())


def test_without_graphviz_the_error_says_what_to_install(tmp_path, monkeypatch):
    import_module = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "pygraphviz":
            raise ImportError(name)
        return import_module(name, *args, **kwargs)

    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"Fix: pip install 'plait\[plot\]'"):
        siamese().plot(tmp_path / "m.svg")
    assert siamese().plot(tmp_path / "m.html").exists()


def test_the_reason_why_graphviz_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("plait.view.dot._boxes", lambda *args: ["{"])
    with pytest.raises(EngineError, match=r"cannot draw this model: .*syntax error"):
        siamese().plot(tmp_path / "m.svg")
