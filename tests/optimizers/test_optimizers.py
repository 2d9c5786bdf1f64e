"""Every optimizer and option against Keras: the same gradients, the same variables."""

import jax
import keras
import numpy as np
import pytest

from plait import optimizers
from plait.core.variable import Variable

SHAPES = {"dense/kernel": (4, 3), "dense/bias": (3,), "conv/kernel": (2, 2, 3), "scale": ()}
SIZES = {"tiny/kernel": 1e-10, "zero/bias": 0.0}
SHAPES |= {"tiny/kernel": (3, 2), "zero/bias": (5,)}
STEPS = 20

COMMON = [
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"clipvalue": 0.1},
    {"global_clipnorm": 0.5},
    {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    {"use_ema": True, "ema_momentum": 0.7},
    {"loss_scale_factor": 8.0},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 3, "clipnorm": 0.5, "weight_decay": 0.1},
    {
        "gradient_accumulation_steps": 2,
        "use_ema": True,
        "ema_momentum": 0.5,
        "ema_overwrite_frequency": 2,
    },
]
OWN = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "Adam": [{}, {"amsgrad": True}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}],
    "AdamW": [{}, {"weight_decay": 0.3, "amsgrad": True}],
    "RMSprop": [{}, {"momentum": 0.9}, {"centered": True, "epsilon": 1e-3}, {"rho": 0.5}],
    "Lion": [{}, {"beta_1": 0.5, "beta_2": 0.5}],
    "Nadam": [{}, {"beta_1": 0.5, "epsilon": 1e-3}],
    "Adagrad": [{}, {"initial_accumulator_value": 1.0}],
    "Adadelta": [{}, {"rho": 0.5, "learning_rate": 1.0, "epsilon": 1e-4}],
    "Adamax": [{}, {"beta_2": 0.5}],
    "Adafactor": [{}, {"learning_rate": 0.5, "clip_threshold": 0.5}, {"relative_step": False}],
    "Ftrl": [
        {},
        {"l1_regularization_strength": 0.05, "beta": 0.1, "learning_rate_power": -0.7},
        {"l2_regularization_strength": 0.1, "l2_shrinkage_regularization_strength": 0.1},
    ],
    "Lamb": [{}, {"beta_1": 0.5}],
}
CASES = [("SGD", options) for options in COMMON]
CASES += [(name, options) for name in OWN for options in OWN[name]]
CASES += [(name, COMMON[-2]) for name in ("Adam", "Nadam", "Adafactor")]


def gradients(scale=1.0):
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        yield [
            (scale * SIZES.get(path, 1.0) * rng.normal(size=shape)).astype("float32")
            for path, shape in SHAPES.items()
        ]


def start():
    rng = np.random.default_rng(0)
    return {path: rng.normal(size=shape).astype("float32") for path, shape in SHAPES.items()}


def keras_run(optimizer, steps):
    variables = [
        keras.Variable(value, name=path.rsplit("/")[-1]) for path, value in start().items()
    ]
    optimizer.build(variables)
    step = jax.jit(optimizer.stateless_apply)
    values, state = ([v.value for v in vs] for vs in (variables, optimizer.variables))
    for grads in steps:
        values, state = step(state, grads, values)
    for variable, value in zip([*variables, *optimizer.variables], [*values, *state], strict=True):
        variable.assign(value)
    return variables


def plait_run(optimizer, steps):
    values = start()
    variables = [Variable(v, name=p.rsplit("/", 1)[-1], path=p) for p, v in values.items()]
    optimizer.build(variables)
    for grads in steps:
        optimizer.apply(grads, variables)
    return variables


def close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{o}" for n, o in CASES])
def test_as_keras(name, options):
    theirs, ours = getattr(keras.optimizers, name)(**options), optimizers.get(name).clone(**options)
    expected = keras_run(theirs, gradients())
    variables = plait_run(ours, gradients())
    close(variables, expected)
    assert int(ours.iterations) == int(theirs.iterations)
    theirs.finalize_variable_values(expected)
    ours.finalize_variable_values(variables)
    close(variables, expected)
    if name != "Adafactor":
        mine, its = ([np.asarray(v) for v in o.variables] for o in (ours, theirs))
        if options.get("amsgrad") or name == "RMSprop":  # Keras keeps these slots apart
            mine, its = ([*sorted(o, key=lambda x: (x.size, x.sum()))] for o in (mine, its))
        close(mine, its)


@pytest.mark.parametrize("name", ["SGD", "Adafactor"])
def test_schedule_as_keras(name):
    options = {"weight_decay": 0.1, "gradient_accumulation_steps": 2}

    def make(module):
        schedule = module.schedules.ExponentialDecay(0.1, 5, 0.5)
        return getattr(module, name)(schedule, **options)

    close(
        plait_run(make(optimizers), gradients()),
        keras_run(make(keras.optimizers), gradients()),
    )


def test_exclusion_from_decay_as_keras():
    def make(module):
        optimizer = module.SGD(0.1, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=["bias", "scale"])
        return optimizer

    close(
        plait_run(make(optimizers), gradients(0)),
        keras_run(make(keras.optimizers), gradients(0)),
    )


@pytest.mark.parametrize("options", [{}, {"use_ema": True, "gradient_accumulation_steps": 2}])
def test_missing_gradients_as_keras(options):
    def steps():
        for i, (kernel, *others) in enumerate(gradients()):
            yield [kernel, None if i % 3 else others[0], *others[1:]]

    with pytest.warns(UserWarning, match="do"):
        close(
            plait_run(optimizers.Nadam(0.1, **options), steps()),
            keras_run(keras.optimizers.Nadam(0.1, **options), steps()),
        )


def test_loss_scale_as_keras():
    def steps():
        for i, grads in enumerate(gradients()):
            yield [(g + 0.1) * (np.inf if i in (3, 4, 9) else 16.0) for g in grads]

    def make(module):
        return module.LossScaleOptimizer(
            module.Adam(0.1), initial_scale=16.0, dynamic_growth_steps=3
        )

    ours = make(optimizers)
    close(plait_run(ours, steps()), keras_run(make(keras.optimizers), steps()))
    assert float(ours.scale_loss(1.0)) == float(ours.dynamic_scale)
    again = optimizers.deserialize(optimizers.serialize(ours))
    assert again.get_config() == ours.get_config()
