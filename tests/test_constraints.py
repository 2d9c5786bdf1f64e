import keras
import numpy as np
import pytest

from plait import constraints
from plait.core.variable import Variable

W = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype("float32")
W[..., 0] = 0.0
CASES = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 1.5, "axis": [0, 1, 2]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": (0, 1)}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 2.0, "max_value": 3.0, "rate": 0.7, "axis": -1}),
]


@pytest.mark.parametrize(("name", "config"), CASES)
def test_projection_equals_that_of_keras(name, config):
    ours, theirs = getattr(constraints, name)(**config), getattr(keras.constraints, name)(**config)
    expected = np.asarray(theirs(keras.ops.convert_to_tensor(W)))
    for w in (W, Variable(W)):
        np.testing.assert_allclose(ours(w), expected, rtol=1e-5, atol=1e-7)
    assert ours(W.astype("bfloat16")).dtype == "bfloat16"


@pytest.mark.parametrize(("name", "config"), CASES)
def test_configurations_pass_to_keras_and_back(name, config):
    config = {key: list(v) if isinstance(v, tuple) else v for key, v in config.items()}
    ours = getattr(constraints, name)(**config)
    theirs = keras.constraints.deserialize(constraints.serialize(ours))
    assert theirs.get_config() == ours.get_config()
    back = constraints.deserialize(keras.constraints.serialize(theirs))
    assert type(back) is type(ours)
    assert back.get_config() == ours.get_config()


@pytest.mark.parametrize("name", ["max_norm", "min_max_norm", "non_neg", "unit_norm"])
def test_get(name):
    cls = getattr(constraints, name)
    assert cls.__name__ == getattr(keras.constraints, name).__name__
    for identifier in (name, cls.__name__, cls, cls(), {"class_name": cls.__name__, "config": {}}):
        assert type(constraints.get(identifier)) is cls
    assert constraints.get(None) is None
    assert constraints.get(abs) is abs
    assert constraints.Constraint()(W) is W


@pytest.mark.parametrize(
    ("identifier", "error", "message"),
    [("max_nrom", ValueError, "Did you mean 'max_norm'"), (2.0, TypeError, "not float")],
)
def test_bad_input(identifier, error, message):
    with pytest.raises(error, match=message):
        constraints.get(identifier)
