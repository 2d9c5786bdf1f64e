"""Whole networks, exported and read back: touchstones and examples, with two batch sizes."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

import plait
from plait import layers, ops

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(*shape):
    return np.random.default_rng(0).random((5, *shape)).astype("float32")


def words():
    rows = np.random.default_rng(0).integers(1, 200, (5, 24)).astype("int32")
    rows[1:, -4:] = 0  # padding
    rows[0, 3] = 0
    return rows


def trained_stack():
    model = example("sequential_mnist").make_model()
    (x, y), _ = plait.datasets.load_mnist_sample()
    model.fit(x[:640], y[:640], epochs=1, verbose=0)
    return model


MODELS = {
    "stack": (trained_stack, [pictures(28, 28)]),
    "residual": (lambda: example("residual_block").make_block(True, True), [pictures(32, 32, 3)]),
    "two_inputs": (lambda: example("two_inputs").make_model(), None),
    "resnet20": (lambda: example("resnet20").make_resnet((16, 16, 3), 10), [pictures(16, 16, 3)]),
    "siamese": (lambda: example("siamese").make_model(), [pictures(8, 8), pictures(8, 8)[::-1]]),
    "text_attention": (lambda: example("text_attention").make_model(200), [words()]),
    "inception": (lambda: example("inception").make_model(), None),
    "multi_output": (lambda: example("multi_output").make_model(), None),
}


def randomized(model):
    """Move every weight a little, so that no bias is 0 and no variance is 1."""
    rng = np.random.default_rng(3)
    for variable in model.variables:
        if variable.dtype == "float32":
            variable.assign(variable.numpy() + 0.05 * rng.random(variable.shape))
    return model


@pytest.fixture(scope="module", params=MODELS)
def network(request):
    make, data = MODELS[request.param]
    model = randomized(make())
    if data is None:
        data = [pictures(*symbol.shape[1:]) for symbol in model.inputs]
    return model, data, [np.asarray(array) for array in plait.tree.flatten(model(data))]


def check(loaded, model, data, wanted):
    assert [spec.name for spec in loaded.inputs] == model.input_names
    assert [spec.name for spec in loaded.outputs] == model.output_names
    for count in (5, 2):
        result = loaded(*(array[:count] for array in data))
        got = list(result.values()) if isinstance(result, dict) else [result]
        for one, whole in zip(got, wanted, strict=True):
            atol = 1e-5 * max(1, np.abs(whole).max())
            np.testing.assert_allclose(one, whole[:count], rtol=1e-5, atol=atol)


def test_networks_in_onnx(network, tmp_path):
    model, data, wanted = network
    path = model.export(tmp_path / "model.onnx")
    check(plait.saving.load_exported(path), model, data, wanted)


@pytest.mark.parametrize(
    "network", ["stack", "two_inputs", "resnet20", "siamese", "text_attention"], indirect=True
)
def test_networks_in_stablehlo(network, tmp_path):
    model, data, wanted = network
    path = model.export(tmp_path / "model.stablehlo")
    check(plait.saving.load_exported(path), model, data, wanted)


def test_convolutions_need_one_transposition(tmp_path):
    model = example("resnet20").make_resnet((16, 16, 3), 10)
    proto = onnx.load(model.export(tmp_path / "resnet.onnx"))
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds.count("Conv") == 21
    assert kinds.count("Transpose") == 1  # of the image


def test_a_shared_layer_has_its_weights_once(tmp_path):
    model = example("siamese").make_model()
    proto = onnx.load(model.export(tmp_path / "siamese.onnx"))
    large = [item for item in proto.graph.initializer if np.prod(item.dims) > 200]
    assert len(large) == 2  # the kernels of the tower, which is called twice


def test_inputs_and_outputs_have_the_models_names_and_open_sizes(tmp_path):
    tokens = plait.Input((None,), dtype="int32", name="tokens")
    image = plait.Input((4, 4, 1), name="image")
    x = layers.concatenate(
        [layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(tokens)), layers.Flatten()(image)]
    )
    model = plait.Model(
        {"text": tokens, "picture": image},
        {"label": layers.Dense(3)(x), "score": layers.Dense(1)(x), "same": image},
    )
    given = {"text": np.array([[1, 2, 3]]), "picture": pictures(4, 4, 1)[:1]}
    for ending in ("onnx", "stablehlo"):
        loaded = plait.saving.load_exported(model.export(tmp_path / f"m.{ending}"))
        assert loaded.inputs == [
            ("text", (None, None), "int32"),
            ("picture", (None, 4, 4, 1), "float32"),
        ]
        assert [spec.name for spec in loaded.outputs] == ["label", "score", "same"]
        result = loaded(given)
        for name, array in model(given).items():
            np.testing.assert_allclose(result[name], array, rtol=1e-5, atol=1e-6)


def test_files_name_no_folder_of_this_machine(tmp_path):
    x = plait.Input((4,))
    model = plait.Model(x, layers.Dense(2)(x))
    for ending in ("onnx", "stablehlo"):
        assert b".py" not in model.export(tmp_path / f"m.{ending}").read_bytes()


def test_two_open_axes_that_must_agree_share_a_symbol_in_stablehlo(tmp_path):
    a, b = plait.Input((None, 3), name="a"), plait.Input((None, 3), name="b")
    model = plait.Model([a, b], layers.Add()([a, b]))
    loaded = plait.saving.load_exported(model.export(tmp_path / "m.stablehlo"))
    ones = np.ones((2, 5, 3), "float32")
    np.testing.assert_allclose(loaded(ones, ones), 2 * ones)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_computed_in_float32_in_onnx(policy, tmp_path):
    x = plait.Input((6,), name="x")
    y = layers.Dense(8, activation="relu", dtype=policy)(x)
    y = layers.BatchNormalization(dtype=policy)(y)
    model = plait.Model(x, layers.Dense(2, dtype=policy, name="y")(y))
    loaded = plait.saving.load_exported(model.export(tmp_path / "m.onnx"))
    assert loaded.outputs == [("y", (None, 2), "float32")]
    data = pictures(6)
    np.testing.assert_allclose(loaded(data), np.asarray(model(data), "float32"), atol=0.05)


def test_exporting_uses_up_no_automatic_names(tmp_path):
    class Twice(layers.Layer):
        def call(self, inputs):
            return ops.add(inputs, inputs)

    x = plait.Input((3,))
    model = plait.Model(x, Twice()(x))
    before = layers.Dense(1).name
    model.export(tmp_path / "m.onnx")
    number = int(before.rpartition("_")[2]) if "_" in before else 0
    assert layers.Dense(1).name == f"dense_{number + 1}"
