"""Who owns the values while a model trains, and steps of one's own."""

import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import plait
from plait import layers
from plait.callbacks import LambdaCallback

rng = np.random.default_rng(0)
X = rng.normal(size=(12, 4)).astype("float32")
Y = rng.normal(size=(12, 2)).astype("float32")


def make(optimizer=None, **compiled):
    model = plait.Sequential(
        [plait.Input((4,)), layers.Dense(3, name="hidden"), layers.Dense(2, name="out")]
    )
    model.compile(optimizer or plait.optimizers.SGD(0.1), "mse", **compiled)
    return model


@pytest.fixture(scope="module")
def model():
    model = make(plait.optimizers.SGD(0.1, momentum=0.9), metrics=["mae"])
    model.start = model.get_weights()
    return model


@pytest.fixture
def fresh(model):
    """The shared model at its start: compiled steps stay, values do not."""
    model.set_weights(model.start)
    model.get_layer("hidden").trainable = True
    for variable in model.optimizer.slots.values():
        variable.assign(np.zeros(variable.shape))
    model.optimizer.learning_rate = 0.1
    return model


def fit(model, *callbacks, epochs=1, **kwargs):
    arguments = {"batch_size": 6, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **arguments).history


def same(ours, theirs, **tolerance):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-6, "atol": 1e-7} | tolerance))


# -- values in the middle of training -----------------------------------------------------------


def test_callbacks_read_and_assign_the_values_that_train(fresh):
    kernel = fresh.get_layer("out").kernel
    seen = []

    def look(batch, logs):
        seen.append(kernel.numpy())
        if batch == 0:
            kernel.assign(np.zeros(kernel.shape))
        else:
            fresh.set_weights([np.ones(w.shape) for w in fresh.get_weights()])

    fit(fresh, LambdaCallback(on_train_batch_end=look))
    assert not np.allclose(seen[0], fresh.start[2])
    assert np.abs(seen[1]).max() < 1  # one step away from the zeros that were assigned
    same(fresh.get_weights(), [np.ones(w.shape) for w in fresh.start])


def test_the_model_runs_in_the_middle_of_training(fresh):
    seen = []

    def look(batch, logs):
        seen.append((fresh(X), fresh.predict(X, verbose=0), fresh.evaluate(X, Y, verbose=0)))

    fit(fresh, LambdaCallback(on_epoch_end=look), epochs=2)
    for called, predicted, _ in seen:
        np.testing.assert_allclose(called, predicted, rtol=1e-5, atol=1e-6)
    same(fresh.predict(X, verbose=0), seen[1][1])
    weights = fresh.get_weights()
    fresh.set_weights(fresh.start)
    for variable in fresh.optimizer.slots.values():
        variable.assign(np.zeros(variable.shape))
    fit(fresh, epochs=2)
    same(fresh.get_weights(), weights)


def test_arrays_that_a_user_holds_stay_valid(fresh):
    held = [variable.value for variable in fresh.variables]
    during = []
    fit(fresh, LambdaCallback(on_epoch_end=lambda *_: during.append(fresh.variables[0].value)))
    after = [variable.value for variable in fresh.variables]
    fit(fresh)
    same(held, fresh.start)
    same(during, after[:1])
    assert all(np.isfinite(np.asarray(value)).all() for value in after)


def test_an_exception_leaves_the_model_with_its_current_weights(fresh):
    seen = []

    def fail(batch, logs):
        seen.append(fresh.get_weights())
        if batch == 1:
            raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        fit(fresh, LambdaCallback(on_train_batch_end=fail), epochs=3)
    same(fresh.get_weights(), seen[1])
    assert np.isfinite(fit(fresh)["loss"][0])


def test_an_interrupt_anywhere_loses_no_weights(fresh):
    def interrupt(*_):
        raise KeyboardInterrupt

    fit(fresh)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for delay in np.linspace(0.002, 0.03, 15):
            signal.setitimer(signal.ITIMER_REAL, delay, 2.0)
            with pytest.raises(KeyboardInterrupt):
                fit(fresh, epochs=1_000_000)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert all(np.isfinite(w).all() for w in fresh.get_weights())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.isfinite(fit(fresh)["loss"][0])


def test_freezing_between_epochs_takes_effect_at_once(fresh):
    seen = []

    def freeze(epoch, logs):
        seen.append(fresh.get_weights())
        fresh.get_layer("hidden").trainable = epoch != 0

    fit(fresh, LambdaCallback(on_epoch_end=freeze), epochs=3)
    same(seen[1][:2], seen[0][:2])
    assert not np.allclose(seen[1][2], seen[0][2])
    assert not np.allclose(seen[2][0], seen[1][0])


def test_a_learning_rate_set_by_a_callback_counts_and_compiles_nothing(fresh):
    fit(fresh)
    fresh.optimizer.learning_rate = 0.1
    programs = dict(fresh._engine._programs)
    seen = []

    def stop_learning(epoch, logs):
        seen.append(fresh.get_weights())
        fresh.optimizer.learning_rate = 0.0
        for slot in fresh.optimizer.slots.values():
            slot.assign(np.zeros(slot.shape))

    fit(fresh, LambdaCallback(on_epoch_end=stop_learning), epochs=2)
    same(seen[0], seen[1])
    assert fresh._engine._programs == programs


def test_stop_training_ends_it_after_the_batch(fresh):
    batches = []

    def stop(batch, logs):
        batches.append(batch)
        fresh.stop_training = batch == 0

    history = fit(fresh, LambdaCallback(on_train_batch_end=stop), epochs=3)
    assert batches == [0]
    assert len(history["loss"]) == 1


# -- runs ---------------------------------------------------------------------------------------


def test_fit_twice_goes_on(fresh):
    both = fit(fresh)["loss"] + fit(fresh)["loss"]
    weights = fresh.get_weights()
    fresh.set_weights(fresh.start)
    for slot in fresh.optimizer.slots.values():
        slot.assign(np.zeros(slot.shape))
    same([fit(fresh, epochs=2)["loss"]], [both])
    same(fresh.get_weights(), weights)


def test_compile_again_begins_with_a_new_optimizer():
    model = make("adam")
    start = model.get_weights()
    first = fit(model)["loss"]
    assert int(model.optimizer.iterations) == 2
    model.compile("adam", "mse")
    model.set_weights(start)
    assert int(model.optimizer.iterations) == 0
    assert fit(model)["loss"] == first


def test_the_same_seed_gives_the_same_bits():
    def run():
        plait.utils.set_random_seed(7)
        model = plait.Sequential(
            [plait.Input((4,)), layers.Dense(8), layers.Dropout(0.5), layers.Dense(2)]
        )
        model.compile("adam", "mse")
        history = fit(model, epochs=2, shuffle=True)
        return [np.array(history["loss"]), *model.get_weights()]

    for a, b in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_that_share_layers_train_by_turns():
    shared = layers.Dense(3, name="shared")
    models = []
    for name in ("first", "second"):
        x = plait.Input((4,))
        models.append(plait.Model(x, layers.Dense(2, name=name)(shared(x))))
        models[-1].compile(plait.optimizers.SGD(0.1), "mse")
    start = [model.get_weights() for model in models]

    def by_turns(step):
        for model, weights in zip(models, start, strict=True):
            model.set_weights(weights)
        for _ in range(2):
            for model in models:
                step(model)
        return [w for model in models for w in model.get_weights()]

    expected = by_turns(lambda model: model.fit(X, Y, batch_size=12, verbose=0))
    same(by_turns(lambda model: model.train_on_batch(X, Y)), expected, rtol=1e-5, atol=1e-6)
    same([models[0].get_weights()[0]], [models[1].get_weights()[0]])
    assert np.isfinite(models[0].evaluate(X, Y, verbose=0))


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1), optax.chain(optax.sgd(0.1))])
def test_optax_as_it_is(optimizer):
    model, plain = make(optimizer), make()
    plain.set_weights(model.get_weights())
    assert fit(model, epochs=2)["loss"] == pytest.approx(fit(plain, epochs=2)["loss"], rel=1e-5)


def test_run_eagerly_gives_values_to_look_at():
    seen = []

    def loss(y_true, y_pred):
        seen.append(float(jnp.max(y_true)))
        return jnp.mean((y_true - y_pred) ** 2, -1)

    eager, plain = make(run_eagerly=True), make()
    plain.set_weights(eager.get_weights())
    eager.compile(plait.optimizers.SGD(0.1), loss, metrics=["mae"], run_eagerly=True)
    history = fit(eager, epochs=2)
    assert history["loss"] == pytest.approx(fit(plain, epochs=2)["loss"], rel=1e-5)
    assert len(seen) == 4


def test_one_batch_at_a_time(fresh):
    logs = fresh.train_on_batch(X, Y, return_dict=True)
    assert list(logs) == ["loss", "mae"]
    assert fresh.train_on_batch(X, Y)[0] != logs["loss"]
    tested = fresh.test_on_batch(X, Y)
    assert tested == pytest.approx(fresh.evaluate(X, Y, verbose=0), rel=1e-6)
    assert fresh.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(
        dict(zip(["loss", "mae"], tested, strict=True))
    )
    same([fresh.predict_on_batch(X)], [fresh.predict(X, batch_size=5, verbose=0)])


# -- steps of one's own -------------------------------------------------------------------------


class Doubling(plait.Model):
    """A model with every hook overridden."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.error = plait.metrics.Mean(name="error")
        self.seen = []

    def train_step(self, data):
        x, y = data

        def forward():
            return self.compute_loss(x, y, self(x, training=True), training=True)

        loss, gradients = plait.value_and_grad(forward, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.error.update_state(loss)
        self.seen.append("a step, traced")
        self.last = "an attribute set while tracing"
        return {"error": self.error.result(), "twice": 2 * loss}

    def test_step(self, data):
        x, y = data
        self.error.update_state(self.compute_loss(x, y, self(x), training=False))
        return {"error": self.error.result()}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2 * super().compute_loss(x, y, y_pred, sample_weight, training)


def test_steps_and_losses_of_ones_own():
    x = plait.Input((4,))
    model = Doubling(x, layers.Dense(2)(x))
    plain = plait.Sequential([plait.Input((4,)), layers.Dense(2)])
    plain.set_weights(model.get_weights())
    model.compile(plait.optimizers.SGD(0.05), "mse")
    plain.compile(plait.optimizers.SGD(0.1), "mse")
    history, expected = fit(model, epochs=3), fit(plain, epochs=3)
    assert list(history) == ["error", "twice"]
    same([np.array(history["error"])], [2 * np.array(expected["loss"])], rtol=1e-5, atol=1e-6)
    same(model.get_weights(), plain.get_weights(), rtol=1e-5, atol=1e-6)
    assert len(model.seen) == 2  # once for its shapes, once to compile: never again
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(2 * plain.evaluate(X, Y, verbose=0))


class Measuring(plait.Model):
    """Metrics in attributes, added to those of compile."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.largest = plait.metrics.Mean(name="largest")

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.largest.update_state(jnp.max(y_pred))
        return super().compute_metrics(x, y, y_pred, sample_weight)


def test_metrics_in_attributes_are_reset_and_reported():
    x = plait.Input((4,))
    model = Measuring(x, layers.Dense(2)(x))
    model.compile("sgd", "mse", metrics=["mae"])
    assert list(fit(model, epochs=2)) == ["loss", "mae", "largest"]
    assert [metric.name for metric in model.metrics] == ["loss", "mae", "largest"]
    by_name = model.evaluate(X, Y, batch_size=12, verbose=0, return_dict=True)
    assert by_name["largest"] == pytest.approx(model.predict(X, verbose=0).max())


class OnlySteps(plait.Model):
    """No call and no graph: its steps are all it has."""

    def __init__(self):
        super().__init__()
        self.net = layers.Dense(2)
        self.net.build((None, 4))

    def train_step(self, data):
        x, y = data
        loss, gradients = plait.value_and_grad(
            lambda: jnp.mean((self.net(x) - y) ** 2), self.trainable_variables
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


def test_a_model_may_have_steps_only():
    model = OnlySteps()
    model.compile(plait.optimizers.SGD(0.1))
    losses = fit(model, epochs=3)["loss"]
    assert losses[2] < losses[0]


class Receiving(OnlySteps):
    """Notes the structure of the batches that its step receives."""

    def train_step(self, data):
        self.received = jax.tree.structure(data)
        return {"loss": 0.0}


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"x": X}, X),
        ({"x": [X, X]}, ([X, X],)),
        ({"x": X, "y": Y}, (X, Y)),
        ({"x": [X, X], "y": Y}, ([X, X], Y)),
        ({"x": X, "y": Y, "sample_weight": X[:, 0]}, (X, Y, X[:, 0])),
    ],
)
def test_steps_receive_batches_without_what_was_not_given(given, received):
    model = Receiving()
    model.compile(plait.optimizers.SGD(0.1))
    model.fit(**given, verbose=0)
    assert model.received == jax.tree.structure(received)


class Subclassed(plait.Model):
    def __init__(self):
        super().__init__()
        self.left, self.right = layers.Dense(2), layers.Dense(1)

    def call(self, inputs, training=None):
        return {"right": self.right(inputs["x"]), "left": self.left(inputs["x"])}


def test_a_subclass_with_outputs_by_name():
    model = Subclassed()
    model.compile("sgd", {"left": "mse", "right": "mae"}, metrics={"left": ["mae"]})
    y = {"left": Y, "right": Y[:, :1]}
    history = model.fit({"x": X}, y, epochs=1, verbose=0).history
    assert list(history) == ["loss", "left_loss", "right_loss", "left_mae"]
    assert model.predict({"x": X}, verbose=0)["right"].shape == (12, 1)


def test_a_device_error_within_a_step_leaves_the_last_good_weights():
    def fail(x):
        if armed:
            raise RuntimeError("the device failed")
        return x

    def loss(y_true, y_pred):
        shape = jax.ShapeDtypeStruct(y_true.shape, y_true.dtype)
        y_true = jax.pure_callback(fail, shape, y_true)
        return jnp.mean((y_true - y_pred) ** 2, -1)

    armed = False
    model = make()
    model.compile("sgd", loss)
    fit(model)
    armed = True
    with pytest.raises(Exception, match="the device failed"):
        fit(model)
    armed = False
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(fit(model)["loss"][0])
