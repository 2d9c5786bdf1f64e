"""Dtype policies: what a layer computes in, and what it keeps its variables in."""

import numpy as np
import pytest

import plait
from plait import Input, Model, layers
from plait.core import dtypes
from plait.core.dtypes import DTypePolicy

X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")


@pytest.fixture
def policy():
    yield dtypes.set_dtype_policy
    dtypes.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("name", "compute", "variable"),
    [
        ("float32", "float32", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("mixed_bfloat16", "bfloat16", "float32"),
        ("mixed_float16", "float16", "float32"),
    ],
)
def test_layers_of_a_policy(name, compute, variable):
    dense = layers.Dense(3, dtype=name)
    assert dense(Input((5,))).dtype == compute
    assert dense(X).dtype == compute
    assert (dense.compute_dtype, dense.dtype, dense.kernel.dtype) == (compute, variable, variable)
    again = layers.Dense.from_config(dense.get_config())
    assert again.dtype_policy == DTypePolicy(name)
    expected = X @ dense.kernel.numpy().astype("float32")
    np.testing.assert_allclose(np.asarray(dense(X), "float32"), expected, rtol=0.05, atol=0.05)


def test_a_mixed_model_trains_in_float32(policy):
    policy("mixed_bfloat16")
    x = Input((5,))
    logits = layers.Dense(1, dtype="float32")(layers.BatchNormalization()(layers.Dense(8)(x)))
    model = Model(x, logits)
    assert {v.dtype for v in model.variables} == {"float32"}
    assert (model.layers[1].compute_dtype, model.outputs[0].dtype) == ("bfloat16", "float32")
    model.compile("adam", "mse")
    history = model.fit(X, X[:, :1], epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert {v.value.dtype.name for v in model.variables} == {"float32"}


def test_the_global_policy(policy):
    policy(DTypePolicy("bfloat16"))
    assert dtypes.dtype_policy().name == "bfloat16"
    assert (dtypes.floatx(), Input((3,)).dtype) == ("float32", "float32")
    ids = Input((1,))  # in bfloat16, 301 would be an even number
    odd = np.arange(400.0)[:, None] % 2
    found = Model(ids, layers.Embedding(400, 1, weights=[odd])(ids))(np.array([[301]]))
    assert (float(found[0, 0, 0]), found.dtype) == (1.0, "bfloat16")
    assert layers.Dense(2).compute_dtype == "bfloat16"
    assert layers.Dense(2, dtype="float32").compute_dtype == "float32"


def test_integers_pass_uncast_and_autocast_can_be_off():
    class Same(layers.Layer):
        def call(self, inputs):
            return inputs

    assert Same(dtype="bfloat16")(np.arange(3)).dtype == "int32"
    assert Same(dtype="bfloat16")(X).dtype == "bfloat16"
    assert Same(dtype="bfloat16", autocast=False)(X).dtype == "float32"
    assert layers.Embedding(9, 2, dtype="mixed_bfloat16")(np.array([1])).dtype == "bfloat16"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "float32"),
        (float, "float32"),
        ("float", "float32"),
        (int, "int32"),
        ("int", "int32"),
        (np.float16, "float16"),
        (np.dtype("int8"), "int8"),
        (bool, "bool"),
        ("bfloat16", "bfloat16"),
    ],
)
def test_names_of_dtypes(given, name):
    assert dtypes.standardize(given) == name


@pytest.mark.parametrize("bad", ["mixed_float32", "float33", "mixed_"])
def test_errors(bad):
    with pytest.raises(plait.ConfigError, match="is no dtype policy"):
        layers.Dense(2, dtype=bad)
    with pytest.raises(plait.ConfigError, match="is no dtype"):
        dtypes.standardize("flt")
