import jax
import keras
import numpy as np
import pytest

from plait import optimizers
from plait.errors import ConfigError
from plait.optimizers import schedules

STEPS = [0, 1, 2, 3, 5, 7, 9, 10, 11, 13, 19, 20, 21, 29, 31, 50, 69, 71, 99, 101, 1000]
CASES = [
    ("ExponentialDecay", (0.1, 10, 0.9)),
    ("ExponentialDecay", (0.1, 10, 0.9, True)),
    ("ExponentialDecay", (0.1, 50.0 / 7, 0.9, True)),
    ("InverseTimeDecay", (0.1, 10, 0.9)),
    ("InverseTimeDecay", (0.1, 10, 0.9, True)),
    ("PiecewiseConstantDecay", ([10, 20], [1.0, 0.5, 0.1])),
    ("PiecewiseConstantDecay", ([7], [1, 2])),
    ("PolynomialDecay", (0.1, 10)),
    ("PolynomialDecay", (0.1, 10, 0.01, 0.5)),
    ("PolynomialDecay", (0.1, 10, 0.01, 2.0, True)),
    ("CosineDecay", (0.1, 20)),
    ("CosineDecay", (0.1, 20, 0.3)),
    ("CosineDecay", (0.1, 20, 0.3, "c", 0.5, 7)),
    ("CosineDecay", (0.1, 20, 0.3, "c", 0.5, 0)),
    ("CosineDecayRestarts", (0.1, 10)),
    ("CosineDecayRestarts", (0.1, 10, 1.0, 0.9, 0.2)),
    ("CosineDecayRestarts", (0.1, 10, 1.5, 0.5)),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_as_keras(name, arguments):
    ours = getattr(schedules, name)(*arguments)
    theirs = getattr(keras.optimizers.schedules, name)(*arguments)
    values = jax.jit(jax.vmap(ours))(np.array(STEPS, "int32"))
    call = jax.jit(theirs) if "Restarts" in name else theirs
    expected = [call(np.int32(step)) for step in STEPS]
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-8)
    assert values.dtype == "float32"
    again = schedules.deserialize(schedules.serialize(ours))
    assert again.get_config() == ours.get_config()
    config = keras.optimizers.schedules.serialize(theirs)
    assert float(schedules.deserialize(config)(5)) == float(ours(5))


def test_schedule_in_optimizer_config():
    adam = optimizers.Adam(schedules.CosineDecay(0.1, 20))
    again = optimizers.deserialize(optimizers.serialize(adam))
    assert float(again.learning_rate) == float(adam.learning_rate) == pytest.approx(0.1)
    theirs = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 20))
    read = optimizers.deserialize(keras.optimizers.serialize(theirs))
    assert isinstance(read.get_config()["learning_rate"], dict)


def test_boundaries_are_exact_when_compiled():
    for length in (3, 41, 47, 49, 55):
        schedule = schedules.ExponentialDecay(1.0, length, 0.5, staircase=True)
        assert float(jax.jit(schedule)(length)) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps must be more than 0, not 0"),
        (lambda: schedules.CosineDecayRestarts(0.1, -1), "first_decay_steps must be more than 0"),
        (lambda: schedules.PiecewiseConstantDecay([1], [1]), "got 1 boundaries, 1 values"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_base_says_what_to_define():
    with pytest.raises(NotImplementedError, match="must define __call__"):
        schedules.LearningRateSchedule()(0)
