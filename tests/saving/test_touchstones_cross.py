"""The touchstones and ResNet-20, trained, read by Keras, and as plain safetensors."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from crossing import close, cross
from safetensors.numpy import load_file

import plait

EXAMPLES = Path(__file__).parents[2] / "examples"
RNG = np.random.default_rng(0)


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SPARSE = "sparse_categorical_crossentropy"
NETWORKS = {
    "sequential": (plait.demo.sequential, 10, SPARSE),
    "residual": (plait.demo.residual, 10, SPARSE),
    "two_inputs": (plait.demo.two_inputs, 2, "binary_crossentropy"),
    "resnet20": (lambda: example("resnet20").make_resnet((16, 16, 3), 10), 10, SPARSE),
}


def trained(name):
    make, classes, loss = NETWORKS[name]
    model = make()
    x = [RNG.random((8, *tensor.shape[1:]), dtype="float32") for tensor in model.inputs]
    model.compile("adam", loss)
    model.fit(x, RNG.integers(0, classes, (8, 1)), epochs=1, verbose=0)
    return model, x


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trained_network_crosses(name, tmp_path):
    model, x = trained(name)
    expected = model.predict(x, verbose=0)
    for reader in cross(model, tmp_path):
        close(reader.predict(x, verbose=0), expected, rtol=1e-5, atol=2e-6)
        assert int(reader.optimizer.iterations) == 1
    model.save_weights(tmp_path / "m.safetensors")
    plain = load_file(tmp_path / "m.safetensors")
    for variable, value in zip(model.weights, model.get_weights(), strict=True):
        matches = [a for k, a in plain.items() if k.endswith(variable.path)]
        assert any(np.array_equal(value, array) for array in matches), variable.path
