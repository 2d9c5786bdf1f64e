import inspect

import jax
import keras
import numpy as np
import pytest

from plait import activations

X = np.concatenate(
    [np.linspace(-9, 9, 37), [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, -90.0, 90.0, 1e-6]]
)
X = X.astype("float32").reshape(4, 3, 4)
PLAIN = """
relu relu6 leaky_relu elu celu selu gelu silu swish hard_silu hard_swish mish glu sigmoid
log_sigmoid hard_sigmoid sparse_sigmoid softplus sparse_plus squareplus softsign tanh hard_tanh
tanh_shrink hard_shrink soft_shrink exponential softmax log_softmax linear
"""
CASES = [
    *[(name, {}) for name in PLAIN.split()],
    ("relu", {"negative_slope": 0.3}),
    ("relu", {"max_value": 6}),
    ("relu", {"max_value": 2.0, "negative_slope": 0.1}),
    ("relu", {"max_value": 6, "negative_slope": 0.1}),
    ("relu", {"threshold": 1.5}),
    ("relu", {"threshold": -1.5, "max_value": 2.0}),
    ("relu", {"threshold": -1.5, "max_value": 6}),
    ("relu", {"threshold": 1.0, "negative_slope": 0.2, "max_value": 4.0}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("elu", {"alpha": 0.5}),
    ("celu", {"alpha": 0.5}),
    ("gelu", {"approximate": True}),
    ("glu", {"axis": 0}),
    ("squareplus", {"b": 2}),
    ("hard_shrink", {"threshold": 2.0}),
    ("soft_shrink", {"threshold": 2.0}),
    ("threshold", {"threshold": 0.5, "default_value": -7.0}),
    ("softmax", {"axis": (0, 2)}),
    ("softmax", {"axis": 1}),
    ("log_softmax", {"axis": (1, 2)}),
]
PUBLIC = sorted(name for name in dir(keras.activations) if not name.startswith("_"))
FUNCTIONS = sorted(set(PUBLIC) - {"get", "serialize", "deserialize"})


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_values_and_gradients_equal_those_of_keras(name, arguments):
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)

    def value_and_gradient(function):
        value, pull = jax.vjp(lambda x: function(x, **arguments), jax.numpy.asarray(X))
        return value, *pull(value.at[0].set(1.0))

    for got, expected in zip(value_and_gradient(ours), value_and_gradient(theirs), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert ours(X.astype("bfloat16"), **arguments).dtype == "bfloat16"
    np.testing.assert_allclose(ours(X.tolist(), **arguments), value_and_gradient(ours)[0])


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_sparsemax_projects_onto_the_simplex(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    p = np.asarray(activations.sparsemax(x, axis))
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis), 1, rtol=1e-5, atol=1e-6)
    # The projection: x - p is one number where p > 0, and nowhere more than it elsewhere.
    tau = np.where(p > 0, x - p, -np.inf).max(axis, keepdims=True)
    np.testing.assert_allclose(
        np.where(p > 0, x - p, tau), np.broadcast_to(tau, x.shape), atol=1e-6
    )
    assert (np.where(p > 0, tau, x) <= tau).all()
    np.testing.assert_allclose(activations.sparsemax([[0.0, 0.5, 1.0]]), [[0.0, 0.25, 0.75]])


def test_sparsemax_equals_keras_where_one_entry_wins():
    x = np.arange(12.0, dtype="float32").reshape(3, 4)
    np.testing.assert_array_equal(activations.sparsemax(x), keras.activations.sparsemax(x))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_names_and_arguments_are_those_of_keras(name):
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    assert [(p.name, p.default) for p in inspect.signature(ours).parameters.values()] == [
        (p.name, p.default) for p in inspect.signature(theirs).parameters.values()
    ]
    assert activations.get(name) is ours
    assert activations.serialize(ours) == keras.activations.serialize(theirs)
    assert activations.deserialize(activations.serialize(ours)) is ours
    reference = {"class_name": "function", "config": name, "registered_name": name}
    assert activations.get(reference) is ours


def test_get_and_custom_functions():
    def cube(x):
        return x**3

    assert activations.get(None) is activations.linear
    assert activations.get(cube) is cube
    assert activations.linear(cube) is cube
    config = activations.serialize(cube)
    assert config["config"] == "cube"
    assert activations.deserialize(config, {"cube": cube}) is cube


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: activations.get("rleu"), ValueError, "Did you mean 'relu'"),
        (lambda: activations.get(3), TypeError, "not int"),
        (lambda: activations.glu(np.ones((2, 3))), ValueError, r"size is odd in shape \(2, 3\)"),
        (lambda: activations.serialize(lambda x: x), ValueError, "anonymous function"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
