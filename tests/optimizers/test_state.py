"""What an optimizer holds, where it may run, and what it says when it cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from plait import optimizers
from plait.core.scope import Scope, value_and_grad
from plait.core.variable import Variable
from plait.errors import (
    ArgumentTypeError,
    ConfigError,
    DataError,
    NotBuiltError,
    PlaitError,
    ShapeError,
)
from plait.optimizers import SGD, Adam, LossScaleOptimizer, OptaxOptimizer, schedules


def variable(path, *shape, **kwargs):
    return Variable(np.ones(shape, "float32"), name=path.rsplit("/", 1)[-1], path=path, **kwargs)


def ones(*variables):
    return [np.ones(v.shape, "float32") for v in variables]


def test_slots_are_keyed_by_path():
    kernel, bias = variable("dense/kernel", 2, 3), variable("dense/bias", 3)
    adam = Adam(use_ema=True, amsgrad=True)
    adam.build([kernel, bias])
    fields = ("momentum", "velocity", "velocity_hat")
    assert list(adam.slots) == [
        "dense/kernel/average",
        "dense/bias/average",
        *(f"dense/{name}/{field}" for name in ("kernel", "bias") for field in fields),
    ]
    assert [v.path for v in adam.variables[2:]] == list(adam.slots)
    assert not any(v.trainable or v.autocast for v in adam.variables)


def test_clashing_paths_are_made_unique_by_position():
    sgd = SGD(momentum=0.9)
    sgd.build([variable("kernel", 2), variable("kernel", 3)])
    assert {k: v.shape for k, v in sgd.slots.items()} == {
        "kernel/momentum": (2,),
        "kernel_1/momentum": (3,),
    }


def test_build_again_keeps_what_survives():
    a, b, c = variable("a", 2), variable("b", 2), variable("c", 2)
    adam = Adam(0.1)
    adam.apply(ones(a, b), [a, b])
    before = dict(adam.slots)
    adam.build([a, b])
    assert adam.slots == before
    wider = variable("b", 3)
    adam.build({"a": a, "b": wider, "c": c})
    assert adam.slots["a/momentum"] is before["a/momentum"]
    assert adam.slots["b/momentum"].numpy().tolist() == [0, 0, 0]
    assert int(adam.iterations) == 1
    adam.apply(ones(a, wider, c))
    adam.build([c])
    assert list(adam.slots) == ["c/momentum", "c/velocity"]
    assert adam.slots["c/momentum"].numpy() == pytest.approx(0.1)


def test_a_new_average_starts_at_its_variable():
    a, b = variable("a", 2), variable("b", 2)
    sgd = SGD(0.0, use_ema=True)
    sgd.apply(ones(a), [a])
    sgd.build([a, b])
    sgd.apply(ones(a, b))
    assert sgd.slots["b/average"].numpy() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(0.1, weight_decay=0.1, clipnorm=0.5),
        lambda: optimizers.Nadam(0.1, use_ema=True, ema_overwrite_frequency=2),
        lambda: SGD(schedules.ExponentialDecay(0.1, 2, 0.5), gradient_accumulation_steps=2),
        lambda: LossScaleOptimizer(Adam(0.1, use_ema=True)),
        lambda: OptaxOptimizer(optax.adam(0.1), weight_decay=0.1),
    ],
)
def test_pure_under_scope_and_as_functions(make):
    def constraint(w):
        return jnp.clip(w, -0.9, 0.9)

    def start():
        kernel = variable("dense/kernel", 2, 3, constraint=constraint)
        optimizer, variables = make(), [kernel, variable("dense/bias", 3)]
        optimizer.build(variables)
        return optimizer, variables

    concrete, expected = start()
    optimizer, variables = start()
    functional, built = start()
    everything = [*variables, *optimizer.variables]

    @jax.jit
    def step(values, grads):
        with Scope(dict(zip(everything, values, strict=True))) as scope:
            optimizer.apply(grads)
            return [scope.read(v) for v in everything]

    values = [v.value for v in everything]
    params = {v.path: v.value for v in built}
    state = functional.init(params)
    assert set(state) == set(functional.state)
    update = jax.jit(functional.update)
    for scale in (1.0, -2.0, 0.5):
        grads = [scale * g for g in ones(*variables)]
        concrete.apply(grads, expected)
        values = step(values, grads)
        by_path = {v.path: g for v, g in zip(built, grads, strict=True)}
        params, state = update(by_path, state, params)
    assert all(np.all(v.numpy() == 1) for v in variables)
    assert int(optimizer.variables[0].value) == 0
    assert np.abs(expected[0].numpy()).max() <= 0.9
    wanted = [v.numpy() for v in [*expected, *concrete.variables]]
    for a, b in zip(wanted, values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for name, slot in concrete.state.items():
        np.testing.assert_allclose(slot.numpy(), state[name], rtol=1e-5, atol=1e-6)
    for v in expected:
        np.testing.assert_allclose(v.numpy(), params[v.path], rtol=1e-5, atol=1e-6)


def test_value_and_grad_in_a_scope():
    w, sgd = variable("w", 2), SGD(0.5)
    sgd.build([w])
    with Scope() as scope:
        _, grads = value_and_grad(lambda: jnp.sum(w.value**2), [w])
        sgd.apply(grads)
        assert scope.read(w).tolist() == [0, 0]
    assert w.numpy().tolist() == [1, 1]


def test_learning_rate_changes_without_a_compilation():
    w, sgd = variable("w", 1), SGD(0.5)
    sgd.apply(ones(w), [w])
    compiled = sgd._compiled
    for rate in (0.25, np.float32(0.125), Variable(0.125), 0):
        sgd.learning_rate = rate
        sgd.apply(ones(w))
    assert w.numpy() == pytest.approx(0)
    assert sgd._compiled is compiled
    assert compiled._cache_size() == 1
    sgd.learning_rate = 0.3
    assert sgd.get_config()["learning_rate"] == pytest.approx(0.3)
    assert float(sgd.clone().learning_rate) == pytest.approx(0.3)
    sgd.learning_rate = schedules.PiecewiseConstantDecay([5], [1.0, 0.5])
    assert float(sgd.learning_rate) == 1
    sgd.apply(ones(w))
    sgd.apply(ones(w))
    assert w.numpy() == pytest.approx(-1.5)
    with pytest.raises(ArgumentTypeError, match=r"follows a schedule \(Piecewise.*\n*Fix: make it"):
        sgd.learning_rate = 0.1


def test_changed_options_count():
    w, sgd = variable("w", 1), SGD(1.0)
    sgd.apply(ones(w), [w])
    sgd.clipvalue = 0.5
    sgd.apply(ones(w))
    assert w.numpy() == pytest.approx(-0.5)
    assert sgd.get_config()["clipvalue"] == 0.5


def test_functions_as_schedules():
    w = variable("w", 1)
    SGD(lambda step: 0.5 / (step + 1)).apply(ones(w), [w])
    SGD(lambda: 0.5).apply(ones(w), [w])
    SGD(optax.linear_schedule(0.25, 0.0, 10)).apply(ones(w), [w])
    assert w.numpy() == pytest.approx(-0.25)


@pytest.mark.parametrize(
    ("transformation", "slots"),
    [
        (optax.adam(0.1), ["a/mu", "a/nu", "b/mu", "b/nu", "count"]),
        (optax.sgd(0.1, momentum=0.9), ["a/trace", "b/trace"]),
        (
            optax.chain(optax.trace(0.9), optax.trace(0.5), optax.scale(-0.1)),
            ["a/0/trace", "a/1/trace", "b/0/trace", "b/1/trace"],
        ),
        (
            optax.masked(optax.sgd(0.1, momentum=0.9), lambda p: {k: k == "a" for k in p}),
            ["a/trace"],
        ),
    ],
)
def test_raw_optax(transformation, slots):
    a, b = variable("a", 2), variable("b", 3)
    optimizer = optimizers.get(transformation)
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    state = transformation.init(params)
    for _ in range(3):
        optimizer.apply(ones(a, b), [a, b])
        changes, state = transformation.update(jax.tree.map(jnp.ones_like, params), state, params)
        params = optax.apply_updates(params, changes)
    np.testing.assert_allclose(a.numpy(), params["a"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(b.numpy(), params["b"], rtol=1e-5, atol=1e-6)
    assert list(optimizer.slots) == slots
    with pytest.raises(ConfigError, match=r"cannot be written down(.|\n)*subclass Optimizer"):
        optimizer.get_config()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Lion", "Nadam", "Adagrad",
                                  "Adadelta", "Adamax", "Adafactor", "Ftrl", "Lamb"])  # fmt: skip
def test_configuration(name):
    import keras

    theirs = getattr(keras.optimizers, name)(learning_rate=0.25, weight_decay=0.5)
    ours = optimizers.deserialize(keras.optimizers.serialize(theirs))
    config, expected = ours.get_config(), theirs.get_config()
    assert {k: v for k, v in config.items() if expected[k] != v} == {}
    assert optimizers.get(optimizers.serialize(ours)).get_config() == config
    assert getattr(keras.optimizers, name).from_config(config).get_config() == expected
    assert type(optimizers.get(name.lower())) is type(optimizers.get(name)) is type(ours)
    assert optimizers.get(ours) is ours


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Adam(lr=0.1), ArgumentTypeError, "Adam has no argument 'lr'. Did you mean 'learn"),
        (lambda: SGD(clipnrm=1), ArgumentTypeError, "Did you mean 'clipnorm'"),
        (lambda: SGD("fast"), ArgumentTypeError, "learning_rate is a number, a LearningRateSched"),
        (lambda: SGD([0.1]), ArgumentTypeError, r"not \[0.1\]"),
        (lambda: SGD(clipnorm=1, clipvalue=2), ConfigError, "clipnorm=1, clipvalue=2.\nFix: keep"),
        (lambda: SGD(momentum=2), ConfigError, "momentum is a number from 0 to 1, not 2"),
        (lambda: SGD(use_ema=True, ema_momentum=-1), ConfigError, "ema_momentum is a number from"),
        (lambda: SGD(ema_overwrite_frequency=0.5), ConfigError, "whole number of at least 1"),
        (lambda: SGD(gradient_accumulation_steps=1), ConfigError, "whole number of at least 2"),
        (lambda: optimizers.Ftrl(learning_rate_power=1), ConfigError, "a number of at most 0"),
        (lambda: optimizers.Ftrl(initial_accumulator_value=-1), ConfigError, "of at least 0"),
        (lambda: optimizers.AdamW(weight_decay=None), ConfigError, "AdamW needs a weight_decay"),
        (lambda: optimizers.get("adm"), ConfigError, "no optimizer named 'adm'. Did you mean 'ad"),
        (
            lambda: optimizers.get(3),
            ArgumentTypeError,
            "an optimizer is a name, a function or an object, not int",
        ),
        (lambda: optimizers.get(len), ArgumentTypeError, "is no optimizer"),
        (lambda: SGD().apply(ones(variable("w", 1))), NotBuiltError, "knows no variables yet"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_errors_of_apply():
    a, b, sgd = variable("a", 2), variable("b", 2), SGD()
    sgd.build([a])
    for arguments, error, message in [
        ((ones(a, a),), DataError, "got 2 gradients for 1 variables"),
        (([None],), DataError, "no variable has a gradient"),
        ((ones(b), [b]), ConfigError, r"not built with variable 'b'.\nFix: optimizer.build"),
        (([np.ones(3)],), ShapeError, r"variable 'a' is \(2,\), but its gradient is \(3,\)"),
    ]:
        with pytest.raises(error, match=message):
            sgd.apply(*arguments)
    sgd.apply([])
    assert int(sgd.iterations) == 0
    with pytest.raises(PlaitError, match=r"inside a JAX transformation(.|\n)*optimizer.update"):
        jax.jit(lambda g: sgd.apply([g]))(jnp.ones(2))
    with pytest.raises(NotImplementedError, match="must define transformation"):
        optimizers.Optimizer(0.1).build([a])
