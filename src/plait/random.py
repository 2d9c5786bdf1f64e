"""Random numbers, for layers and for use on their own."""

from plait.core.random import (
    SeedGenerator,
    bernoulli,
    categorical,
    dropout,
    normal,
    randint,
    set_random_seed,
    shuffle,
    truncated_normal,
    uniform,
)

set_seed = set_random_seed  # the name in TensorFlow

__all__ = [
    "SeedGenerator",
    "bernoulli",
    "categorical",
    "dropout",
    "normal",
    "randint",
    "set_random_seed",
    "set_seed",
    "shuffle",
    "truncated_normal",
    "uniform",
]
