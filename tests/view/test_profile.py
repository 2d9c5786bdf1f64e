"""What each layer costs, as a table, an object and a trace."""

import itertools
import json

import numpy as np
import pytest

import plait
from plait import layers

X = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
Y = np.arange(8) % 3


@pytest.fixture(scope="module")
def model():
    x = plait.Input((6, 6, 2))
    h = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(x))
    h = layers.LSTM(5, name="lstm")(layers.Reshape((16, 4), name="steps")(h))
    inside = plait.Sequential([plait.Input((5,)), layers.Dense(7, name="dense")], name="inside")
    return plait.Model(x, layers.Dense(3, activation="softmax", name="out")(inside(h) + 1))


@pytest.fixture(scope="module")
def profile(model):
    return model.profile(X)


def test_forward(profile):
    names = [part.name for part in profile.parts]
    assert names[:5] == ["conv", "norm", "steps", "lstm", "inside/dense"]
    assert (len(names), names[-1], profile.samples, profile.trains) == (7, "out", 8, False)
    parts = {part.name: part for part in profile.parts}
    assert parts["inside/dense"].flops == 8 * 7 * (2 * 5 + 1)
    assert parts["conv"].output_shape == (8, 4, 4, 4)
    assert parts["out"].location.file.endswith("test_profile.py")
    assert all(part.forward > 0 and part.backward is None for part in profile.parts)
    assert parts["conv"].bytes >= X.nbytes
    assert parts["out"].memory >= 8 * 3 * 4


def test_a_training_step_changes_nothing_and_is_traced(tmp_path):
    model = plait.Sequential(
        [plait.Input((6, 6, 2)), layers.Flatten(name="flat"), layers.Dense(3, name="out")]
    )
    model.compile("adam", plait.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    profile = model.profile(X, Y, trace=tmp_path / "trace")
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert int(model.optimizer.iterations) == 0
    assert profile.trains
    assert all(part.backward >= 0 for part in profile.parts)
    trace = json.loads((tmp_path / "trace" / "layers.trace.json").read_text())
    events = trace["traceEvents"]
    assert [event["name"] for event in events] == ["flat", "out", "out", "flat"]
    assert [event["cat"] for event in events].count("backward") == len(profile.parts)
    for event, following in itertools.pairwise(events):
        assert event["ts"] + event["dur"] == pytest.approx(following["ts"])
    assert list((tmp_path / "trace").rglob("*.trace.json.gz"))
    model.fit(X, Y, verbose=0)


def test_a_table(profile):
    text = str(profile)
    first = text.splitlines()[0]
    assert "forward of 8 samples in" in first
    for word in ("inside/dense (Dense)", "test_profile.py:", "(8, 4, 4, 4)", "FLOP/s", "Memory"):
        assert word in text
    assert "Backward" not in text
    assert repr(profile) == text


def test_masks_dicts_and_models_of_ones_own():
    class Own(plait.Model):
        def __init__(self):
            super().__init__()
            self.embed = layers.Embedding(9, 4, mask_zero=True, name="embed")
            self.gru, self.out = layers.GRU(3, name="gru"), layers.Dense(1, name="out")

        def call(self, inputs):
            return self.out(self.gru(self.embed(inputs["words"])) + inputs["more"])

    inputs = {"words": np.array([[1, 2, 0], [3, 0, 0]]), "more": np.ones((2, 3), "float32")}
    own = Own()
    own.compile("sgd", "mse")
    parts = own.profile(inputs, np.ones((2, 1))).parts
    assert [part.name for part in parts] == ["embed", "gru", "out"]
    with pytest.raises(plait.NotCompiledError, match="cannot profile a training step"):
        Own().profile(inputs, np.ones((2, 1)))


def test_layers_with_native_kernels_are_counted_as_without():
    x = np.ones((64, 8, 8, 16), "float32")
    model = plait.Sequential(
        [
            plait.Input((8, 8, 16)),
            layers.Conv2D(32, 3, padding="same", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(128, name="dense"),
        ]
    )
    parts = {part.name: part for part in model.profile(x).parts}
    assert parts["conv"].flops == 64 * 8 * 8 * 32 * (2 * 9 * 16 + 1)
    assert parts["dense"].flops == 64 * 128 * (2 * 32 + 1)
    assert parts["dense"].bytes >= 4 * (64 * 32 + 32 * 128 + 64 * 128)
    with plait.kernels.using("xla"):
        assert {part.name: part.flops for part in model.profile(x).parts} == {
            name: part.flops for name, part in parts.items()
        }
