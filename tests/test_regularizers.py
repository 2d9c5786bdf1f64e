import keras
import numpy as np
import pytest

from plait import regularizers
from plait.core.variable import Variable

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
CASES = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": 2}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.3}),
    ("L1L2", {"l1": 0.3, "l2": 0.2}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.3, "mode": "columns"}),
]


@pytest.mark.parametrize(("name", "config"), CASES)
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_penalty_equals_that_of_keras(name, config, scale):
    ours, theirs = (
        getattr(regularizers, name)(**config),
        getattr(keras.regularizers, name)(**config),
    )
    expected = np.asarray(theirs(keras.ops.convert_to_tensor(X * scale)))
    for x in (X * scale, Variable(X * scale)):
        penalty = ours(x)
        assert penalty.shape == ()
        assert penalty.dtype == "float32"
        np.testing.assert_allclose(penalty, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "config"), CASES)
def test_configurations_pass_to_keras_and_back(name, config):
    ours = getattr(regularizers, name)(**config)
    theirs = keras.regularizers.deserialize(regularizers.serialize(ours))
    assert theirs.get_config() == pytest.approx(ours.get_config())
    back = regularizers.deserialize(keras.regularizers.serialize(theirs))
    assert type(back) is type(ours)
    np.testing.assert_allclose(back(X), ours(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["l1", "l2", "l1_l2", "orthogonal_regularizer"])
def test_get(name):
    cls = getattr(regularizers, name)
    assert cls.__name__ == getattr(keras.regularizers, name).__name__
    for identifier in (name, cls.__name__, cls, cls(), {"class_name": cls.__name__, "config": {}}):
        assert type(regularizers.get(identifier)) is cls
    assert regularizers.get(None) is None
    assert regularizers.get(np.sum) is np.sum


def test_bfloat16_stays():
    assert regularizers.L1L2(0.1, np.float32(0.1))(X.astype("bfloat16")).dtype == "bfloat16"


@pytest.mark.parametrize("factor", [-1.0, None, float("nan"), float("inf"), "0.1"])
@pytest.mark.parametrize("cls", ["L1", "L2", "L1L2", "OrthogonalRegularizer"])
def test_bad_factors(cls, factor):
    with pytest.raises(ValueError, match="finite number of at least 0"):
        getattr(regularizers, cls)(factor)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: regularizers.get("l3"), ValueError, "no regularizer named 'l3'"),
        (lambda: regularizers.get(0.01), TypeError, "not float"),
        (lambda: regularizers.OrthogonalRegularizer(mode="x"), ValueError, "no mode 'x'"),
        (lambda: regularizers.OrthogonalRegularizer()(X[0]), ValueError, r"matrices.*\(6,\)"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
