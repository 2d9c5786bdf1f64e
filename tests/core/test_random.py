"""Seeds: two runs alike, and draws of a layer that do not depend on its neighbours."""

import jax
import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, layers
from plait.core import random
from plait.core.scope import Scope

ONES = np.ones((4, 16), "float32")


def trained():
    plait.utils.set_random_seed(7)
    model = Sequential(
        [Input((16,)), layers.Dense(8, "relu"), layers.Dropout(0.3), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    x = np.random.normal(size=(64, 16))
    model.fit(x, x[:, :1], epochs=2, verbose=0)
    return [*model.get_weights(), np.asarray(model(ONES, training=True))]


def test_the_same_seed_gives_the_same_bits():
    for one, other in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_set_random_seed_covers_python_and_numpy():
    import random as python_random

    draws = []
    for _ in range(2):
        plait.utils.set_random_seed(2**33 + 1)
        draws.append((python_random.random(), np.random.rand(), random.next_seed()))
    assert draws[0] == draws[1]


def dropped(names, added=None):
    """Return where each Dropout of a chain drops, with the seed and the call fixed."""
    plait.utils.set_random_seed(1)
    x = h = Input((16,))
    outputs = {}
    for name in names:
        h = layers.Activation("linear")(h)
        if name == added:
            h = layers.GaussianNoise(1e-9, name=name)(h)
        else:
            outputs[name] = layers.Dropout(0.5, name=name)(h)
    model = Model(x, outputs)
    plait.utils.set_random_seed(1)
    return {name: np.asarray(y) == 0 for name, y in model(ONES, training=True).items()}


def test_a_layer_draws_the_same_whatever_is_inserted_elsewhere():
    before, after = dropped("ab"), dropped("axb", added="x")
    np.testing.assert_array_equal(before["a"], after["a"])
    np.testing.assert_array_equal(before["b"], after["b"])
    assert (before["a"] != before["b"]).any()


def test_draws_change_from_call_to_call_and_with_each_use():
    plait.utils.set_random_seed(1)
    drop = layers.Dropout(0.5)
    first, second = np.asarray(drop(ONES, training=True)), np.asarray(drop(ONES, training=True))
    assert (first != second).any()
    x = Input((16,))
    one, two = Model(x, [drop(x), drop(x)])(ONES, training=True)
    assert (np.asarray(one) != np.asarray(two)).any()


def test_keys_in_a_scope():
    keys = {}
    for step in (0, 1):
        with Scope(rng=jax.random.key(0), step=step):
            keys[step] = [random.key(), random.key(), random.key(5), random.key(5)]
    data = [jax.random.key_data(k).tolist() for step in keys for k in keys[step]]
    assert len({tuple(k) for k in data}) == len(data)
    with Scope(rng=jax.random.key(1)):
        seeded = random.key(5)
    with Scope(rng=jax.random.key(2)):
        assert seeded == random.key(5)  # depends on the seed alone
    with Scope(), pytest.raises(plait.ConfigError, match="given no key"):
        random.key()


def test_seed_generators():
    one, two = plait.random.SeedGenerator(3), plait.random.SeedGenerator(3)
    draws = [plait.random.normal((4,), seed=one) for _ in range(2)]
    assert (draws[0] != draws[1]).any()
    np.testing.assert_array_equal(draws[0], plait.random.normal((4,), seed=two))
    np.testing.assert_array_equal(
        plait.random.normal((4,), seed=3), plait.random.normal((4,), seed=3)
    )
    a = [random.generator(plait.random.SeedGenerator(1)).normal() for _ in range(2)]
    assert a[0] == a[1]


@pytest.mark.parametrize(
    ("draw", "check"),
    [
        (lambda: plait.random.normal((2000,), 3, 2), lambda x: abs(x.mean() - 3) < 0.3),
        (lambda: plait.random.uniform((2000,), -1, 1), lambda x: x.min() >= -1 and x.max() < 1),
        (lambda: plait.random.truncated_normal((2000,)), lambda x: abs(x).max() <= 2),
        (lambda: plait.random.randint((2000,), 2, 5), lambda x: set(x.tolist()) == {2, 3, 4}),
        (lambda: plait.random.bernoulli((2000,), 0.2), lambda x: abs(x.mean() - 0.2) < 0.05),
        (lambda: plait.random.categorical([[0.0, 9.0]], 50), lambda x: x.shape == (1, 50)),
        (lambda: plait.random.shuffle(np.arange(50)), lambda x: sorted(x) == list(range(50))),
        (lambda: plait.random.dropout(np.ones(2000), 0.25), lambda x: abs(x.mean() - 1) < 0.1),
        (lambda: plait.random.dropout(np.ones(5), 1.0), lambda x: (x == 0).all()),
        (
            lambda: plait.random.dropout(np.ones((40, 3)), 0.5, (None, 1)),
            lambda x: (x == x[:, :1]).all(),
        ),
    ],
)
def test_distributions(draw, check):
    plait.utils.set_random_seed(0)
    assert check(np.asarray(draw()))
