"""Training in every dtype policy: as Keras does where Keras trains."""

import keras
import numpy as np
import pytest

import plait
from plait.datasets import load_digits

(X, Y), _ = load_digits()
X, Y = X[:512].reshape(-1, 64), Y[:512]


@pytest.fixture(autouse=True)
def back_to_float32():
    yield
    for k in (keras, plait):
        k.config.set_dtype_policy("float32")


def network(k, policy):
    k.config.set_dtype_policy(policy)
    layers = k.layers
    return k.Sequential(
        [
            k.Input((64,)),
            layers.Dense(32, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def train(model, optimizer, epochs):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.fit(X, Y, batch_size=64, epochs=epochs, shuffle=False, verbose=0).history


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "mixed_float16"])
def test_losses_and_dtypes_are_those_of_keras(policy):
    ours, theirs = network(plait, policy), network(keras, policy)
    ours.set_weights([np.asarray(weight) for weight in theirs.get_weights()])
    histories = [train(m, k.optimizers.SGD(0.1), 2) for m, k in ((ours, plait), (theirs, keras))]
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(*(history[name] for history in histories), rtol=0.05)
    assert [v.dtype for v in ours.weights] == [v.dtype for v in theirs.weights]
    dtypes = [{str(v.dtype) for v in model.optimizer.variables} for model in (ours, theirs)]
    assert dtypes[0] == dtypes[1]
    assert type(ours.optimizer).__name__ == type(theirs.optimizer).__name__
    assert ours.predict(X[:2], verbose=0).dtype == theirs.predict(X[:2], verbose=0).dtype
    if policy == "mixed_float16":
        for name in ("dynamic_scale", "step_counter"):
            counts = [float(np.asarray(getattr(m.optimizer, name))) for m in (ours, theirs)]
            assert counts[0] == counts[1]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "mixed_float16", "float16"])
def test_adam_learns_in_every_policy(policy):
    history = train(network(plait, policy), plait.optimizers.Adam(0.003), 6)
    assert history["accuracy"][-1] > 0.8


def test_the_names_of_mixed_precision():
    plait.mixed_precision.set_global_policy("mixed_bfloat16")
    assert plait.mixed_precision.global_policy().name == plait.config.dtype_policy().name
    assert plait.layers.Dense(1).compute_dtype == "bfloat16"
    assert plait.mixed_precision.Policy("mixed_float16").variable_dtype == "float32"


def test_the_default_float():
    plait.config.set_dtype_policy("bfloat16")
    assert (plait.config.floatx(), plait.Input((2,)).dtype) == ("float32", "float32")
    with pytest.raises(plait.ConfigError, match="'float64' is no default float"):
        plait.config.set_floatx("float64")
