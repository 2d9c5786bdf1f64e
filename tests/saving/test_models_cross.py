"""Kinds of models in files: subclasses, nested and shared ones, several inputs, frozen layers."""

import json

import keras
import numpy as np
import pytest
from crossing import close, cross

import plait
from plait import layers

RNG = np.random.default_rng(0)


def network(lib):
    """Return a subclass of a library's Model with layers in all places where they may be."""

    class Network(lib.Model):
        def __init__(self, width=4, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.zoom = lib.layers.Dense(width)
            self._hidden = lib.layers.Dense(3)
            self.blocks = [lib.layers.Dense(3), [lib.layers.Dense(3), lib.layers.ReLU()]]
            self.heads = {"out": lib.layers.Dense(2), "other": lib.layers.LayerNormalization()}
            self.attend = lib.layers.MultiHeadAttention(2, 3)
            self.nested = lib.Sequential([lib.layers.Dense(5), lib.layers.BatchNormalization()])

        def call(self, inputs, training=None):
            x = self._hidden(self.zoom(inputs))
            x = self.blocks[1][1](self.blocks[1][0](self.blocks[0](x)))
            x = self.heads["other"](x)
            x = self.nested(x, training=training)
            x = x + self.attend(x[:, None], x[:, None])[:, 0]
            return self.heads["out"](x)

        def get_config(self):
            return {**super().get_config(), "width": self.width}

    return Network


def test_a_subclass_with_layers_everywhere(tmp_path):
    ours, theirs = network(plait), network(keras)
    x = RNG.normal(size=(8, 6)).astype("float32")
    model = ours(width=5)
    model.compile(plait.optimizers.SGD(0.01, momentum=0.9), "mse")
    model.fit(x, np.ones((8, 2)), verbose=0)
    model.save(tmp_path / "plait.keras")
    again = plait.models.load_model(tmp_path / "plait.keras", {"Network": ours})
    read = keras.models.load_model(tmp_path / "plait.keras", {"Network": theirs})
    read.save(tmp_path / "keras.keras")
    back = plait.models.load_model(tmp_path / "keras.keras", {"Network": ours})
    expected = model(x)
    for reader in (again, read, back):
        close(reader(x), expected)
        assert reader.width == 5
        reader.fit(x, np.ones((8, 2)), verbose=0)
    close(back.get_weights(), again.get_weights(), rtol=1e-4, atol=1e-5)


def test_a_missing_subclass_still_shows_its_weights(tmp_path, capsys):
    model = network(plait)()
    model(np.ones((2, 6), "float32"))
    model.save(tmp_path / "m.keras")
    looked = plait.models.load_model(tmp_path / "m.keras", missing="placeholder")
    assert sum(w.size for w in looked.get_weights()) == model.count_params()
    looked.summary()
    assert "Network (missing)" in capsys.readouterr().out


def test_structures_of_inputs_and_outputs(tmp_path):
    a, b = plait.Input((4,), name="a"), plait.Input((3,), name="b")
    encoder = plait.Sequential([plait.Input((4,)), layers.Dense(3)], name="encoder")
    both = plait.Model(
        {"p": a, "q": b}, [encoder(a) + b, {"deep": layers.Dense(2)(b)}], name="both"
    )
    x, y = plait.Input((4,), name="x"), plait.Input((3,), name="y")
    first, rest = both({"p": x, "q": y})
    second, _ = both({"p": layers.Dense(4)(x), "q": first})
    model = plait.Model([x, y], {"one": second, "two": rest["deep"]})
    data = [RNG.normal(size=(4, 4)).astype("float32"), RNG.normal(size=(4, 3)).astype("float32")]
    expected = model(data)
    for reader in cross(model, tmp_path):
        found = reader(data)
        assert sorted(found) == ["one", "two"]
        for name, output in expected.items():
            np.testing.assert_allclose(found[name], output, rtol=1e-5, atol=1e-6)


def test_keys_out_of_order_do_not_mix_up_weights(tmp_path):
    x = plait.Input((4,), name="x")
    model = plait.Model(x, {name: layers.Dense(4, name=f"to_{name}")(x) for name in "cab"})
    data = RNG.normal(size=(2, 4)).astype("float32")
    expected = model(data)
    for reader in cross(model, tmp_path):
        found = reader(data)
        for name, output in expected.items():
            np.testing.assert_allclose(found[name], output, rtol=1e-5, atol=1e-6)


def test_layers_shared_between_models_stay_shared(tmp_path):
    shared = layers.Dense(4, name="shared")
    models = []
    for name in ("left", "right"):
        x = plait.Input((4,))
        models.append(plait.Model(x, shared(x), name=name))
    x = plait.Input((4,))
    model = plait.Model(x, models[0](x) + models[1](x))
    model.save(tmp_path / "m.keras")  # Keras 3 cannot read such a file, its own neither
    again = plait.models.load_model(tmp_path / "m.keras")
    assert len(again.weights) == 2
    data = RNG.normal(size=(2, 4)).astype("float32")
    close(again(data), model(data))


def test_frozen_layers_dtypes_and_regularizers_stay(tmp_path):
    model = plait.Sequential(
        [
            plait.Input((4,)),
            layers.Dense(3, trainable=False, dtype="mixed_bfloat16", kernel_constraint="non_neg"),
            layers.BatchNormalization(),
            layers.Dense(2, kernel_regularizer=plait.regularizers.L1L2(0.1, 0.2)),
        ]
    )
    model.layers[1].trainable = False
    for reader in cross(model, tmp_path):
        assert len(reader.trainable_weights) == 2
        assert reader.layers[0].compute_dtype == "bfloat16"
        assert float(sum(reader.losses)) == pytest.approx(float(sum(model.losses)), rel=1e-5)
        close(reader(np.ones((2, 4), "float32")), model(np.ones((2, 4), "float32")), rtol=1e-2)


def test_part_of_a_graph(tmp_path):
    model = plait.Sequential(
        [plait.Input((4,)), layers.Dense(3, name="a"), layers.ReLU(name="r"), layers.Dense(2)]
    )
    _, tail = model.cut("a")
    again, theirs, _ = cross(tail, tmp_path)
    data = RNG.normal(size=(2, 3)).astype("float32")
    close(again(data), tail(data))
    close(theirs(data), tail(data))


def test_long_chains_are_saved(tmp_path):
    model = plait.Sequential([plait.Input((2,)), *(layers.ReLU() for _ in range(1500))])
    model.save(tmp_path / "m.keras")
    assert len(plait.models.load_model(tmp_path / "m.keras")) == 1500


def test_metrics_and_losses_are_compiled_again(tmp_path):
    x = plait.Input((4,), name="x")
    model = plait.Model(x, {"a": layers.Dense(3, "softmax")(x), "b": layers.Dense(1)(x)})
    metrics = {
        "a": ["accuracy", plait.metrics.TopKCategoricalAccuracy(2), plait.metrics.AUC()],
        "b": [plait.metrics.MeanAbsoluteError(name="m"), plait.metrics.R2Score()],
    }
    loss = {"a": plait.losses.CategoricalCrossentropy(label_smoothing=0.1), "b": "huber"}
    model.compile(
        "adam", loss, loss_weights={"b": 0.3}, metrics=metrics, weighted_metrics={"b": ["mse"]}
    )
    data = RNG.normal(size=(8, 4)).astype("float32")
    y = {"a": np.eye(3)[RNG.integers(0, 3, 8)].astype("float32"), "b": RNG.normal(size=(8, 1))}
    expected = model.evaluate(data, y, verbose=0, return_dict=True)
    for reader in cross(model, tmp_path):
        logs = reader.evaluate(data, y, verbose=0, return_dict=True)
        for name, value in expected.items():
            np.testing.assert_allclose(logs[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_saving_without_the_optimizer(tmp_path):
    model = plait.Sequential([plait.Input((4,)), layers.Dense(3)])
    model.compile("adam", "mse")
    model.save(tmp_path / "m.keras", include_optimizer=False)
    assert not plait.models.load_model(tmp_path / "m.keras").compiled
    model.save(tmp_path / "m.keras")
    assert plait.models.load_model(tmp_path / "m.keras").compiled
    assert not plait.models.load_model(tmp_path / "m.keras", compile=False).compiled


def test_json_and_configurations(tmp_path):
    model = plait.Sequential([plait.Input((4,)), layers.Dense(3, "relu", name="d")], name="s")
    again = plait.models.model_from_json(model.to_json(indent=1))
    assert again.to_json() == model.to_json()
    assert isinstance(again, plait.Sequential)
    theirs = keras.models.model_from_json(model.to_json())
    assert plait.models.model_from_json(theirs.to_json()).output_shape == (None, 3)
    assert plait.Sequential.from_config(model.get_config()).get_config() == model.get_config()
    whole = model.to_model()
    assert plait.Model.from_config(whole.get_config()).output_shape == (None, 3)
    for text, message in (("{", "JSON is damaged"), ("[]", "describes no model")):
        with pytest.raises(plait.FileError, match=message):
            plait.models.model_from_json(text)
    unknown = model.to_json().replace('"Dense"', '"Danse"')
    with pytest.raises(plait.FileError, match="Did you mean 'Dense'"):
        plait.models.model_from_json(unknown)
    assert json.loads(model.to_json())["class_name"] == "Sequential"


def test_clones():
    x = plait.Input((4,), name="x")
    shared = layers.Dense(4, "relu", name="shared")
    inner = plait.Sequential([plait.Input((4,)), layers.Dense(2, "relu", name="in")], name="inner")
    model = plait.Model(x, {"y": inner(shared(shared(x))) * 2})
    clone = plait.models.clone_model(model)
    assert clone.get_layer("shared") is not shared
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    clone.set_weights(model.get_weights())
    data = RNG.normal(size=(2, 4)).astype("float32")
    close(clone(data)["y"], model(data)["y"])

    def linear(layer):
        return layer.clone(activation=None) if isinstance(layer, layers.Dense) else layer.clone()

    plain = plait.models.clone_model(model, clone_function=linear, recursive=True)
    assert plain.get_layer("inner/in").get_config()["activation"] is None
    assert plain.get_layer("shared").get_config()["activation"] is None
    dropped = plait.models.clone_model(
        inner, call_function=lambda layer, *args: layers.Dropout(0.5)(layer(*args))
    )
    assert [type(layer).__name__ for layer in dropped.layers] == ["Dense", "Dropout"]
    given = plait.Input((4,), name="given")
    assert plait.models.clone_model(model, given).inputs[0] is given
    with pytest.raises(plait.ArgumentTypeError, match="has 1 inputs"):
        plait.models.clone_model(model, [given, given])
    with pytest.raises(plait.ArgumentTypeError, match="returned a NoneType"):
        plait.models.clone_model(model, clone_function=lambda layer: None)
