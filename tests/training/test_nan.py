"""NaN while training: where it was made, by name."""

import warnings

import numpy as np
import pytest

import plait
from plait import layers, ops

rng = np.random.default_rng(0)
X = np.abs(rng.normal(size=(40, 4))).astype("float32") + 0.1
Y = X.sum(1, keepdims=True)


class Log(layers.Layer):
    def call(self, x):
        return ops.log(x)


class Root(layers.Layer):
    def call(self, x):
        return ops.sqrt(x)


def network(*inner, loss="mse", optimizer="sgd"):
    x = plait.Input((4,), name="features")
    h = x
    for layer in inner:
        h = layer(h)
    model = plait.Model(x, layers.Dense(1, name="out")(h))
    model.compile(optimizer, loss)
    return model


def located(model, x=X, y=Y, **options):
    options = {"batch_size": 10, "shuffle": False, "epochs": 3, "verbose": 0, **options}
    with pytest.raises(plait.NanError) as raised:
        model.fit(x, y, nan="locate", **options)
    return raised.value


def test_forward():
    x = X.copy()
    x[27, 2] = -1.0
    model = network(Log(name="log"))
    error = located(model, x)
    assert (error.epoch, error.batch, error.phase) == (1, 3, "forward")
    assert error.layer is model.get_layer("log")
    assert "NaN in epoch 1, batch 3: Log 'log' (test_nan.py:30), forward, makes NaN" in str(error)
    assert "1 NaN, first in row 7" in str(error)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_infinity_that_becomes_nan_later():
    huge = layers.Lambda(lambda x: ops.exp(x * 1e3), name="exp")
    error = located(network(huge, layers.Lambda(lambda x: x - x[::-1], name="minus")), X + 1)
    assert (error.phase, error.layer.name) == ("forward", "exp")
    assert "makes infinity, which then becomes NaN" in str(error)


def test_backward_within_a_nested_model():
    # The root of 0 is finite, its gradient is not.
    inside = plait.Sequential([plait.Input((4,)), Root(name="root")], name="inside")
    first = layers.Dense(4, name="first", kernel_initializer="zeros")
    error = located(network(first, inside), batch_size=None)
    assert (error.epoch, error.batch, error.phase) == (1, 1, "backward")
    assert error.layer.name == "root"
    assert "Root 'root'" in str(error)
    assert "its gradient with respect to its input is not finite" in str(error)


def test_data_and_weights():
    x = X.copy()
    x[5, 1] = np.nan
    error = located(network(), x)
    assert (error.batch, error.phase) == (1, "data")
    assert "input 'features' holds it" in str(error)
    assert "first in row 5" in str(error)
    model = network()
    model.set_weights([np.full((4, 1), np.nan), np.zeros(1)])
    assert "variable 'out/kernel' held it before the step" in str(located(model))


def test_the_loss():
    def relative(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred) / (y_true - y_true), -1)

    error = located(network(loss=lambda t, p: ops.log(0 * p - 1) * t))
    assert error.phase == "loss"
    assert "makes NaN of finite predictions" in str(error)
    assert located(network(loss=relative)).phase in ("loss", "backward")


def test_the_optimizer():
    error = located(network(optimizer=plait.optimizers.SGD(1e38)), epochs=20)
    assert error.phase in ("optimizer", "loss", "forward", "backward")
    assert error.fix


def test_a_train_step_of_the_users_own():
    class Own(plait.Model):
        def __init__(self):
            super().__init__()
            self.log, self.out = Log(name="log"), layers.Dense(1)

        def call(self, x):
            return self.out(self.log(x))

        def train_step(self, data):
            x, y = data
            value, gradients = plait.value_and_grad(
                lambda: ops.mean((self(x) - y) ** 2), self.trainable_variables
            )
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": value}

    model = Own()
    model.compile("sgd")
    x = X.copy()
    x[13] = -1.0
    error = located(model, x)
    assert (error.batch, error.phase, error.layer.name) == (2, "forward", "log")


def test_training_without_nan_is_the_same():
    def train(**options):
        plait.utils.set_random_seed(3)
        model = network(layers.Dropout(0.5, seed=1), optimizer="adam")
        model.get_layer("out").set_weights([np.ones((4, 1)), np.zeros(1)])
        history = model.fit(X, Y, epochs=3, batch_size=16, verbose=0, **options)
        return history.history["loss"], model.get_weights()

    (losses, weights), (plain_losses, plain_weights) = train(nan="locate"), train()
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(weights, plain_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_hint_once():
    x = X.copy()
    x[3] = -1.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network(Log()).fit(x, Y, epochs=3, verbose=0)
    hints = [w for w in caught if "nan='locate'" in str(w.message)]
    assert len(hints) == 1
    assert str(hints[0].message).startswith("the loss is NaN in epoch 1.")
    assert hints[0].filename == __file__
    with pytest.raises(plait.ConfigError, match="nan is None or 'locate'"):
        network().fit(X, Y, nan="find")
