"""How fast the first touchstone imports, takes its first step, trains and predicts.

Every framework runs in a process of its own, rounds interleaved; the table shows medians and their
ratio to plait. Peers that are not installed are left out: ``python benchmarks/steps.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
BATCH, SAMPLES, EPOCHS = 32, 4000, 6


def data():
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.random((SAMPLES, 28, 28), dtype="float32")
    return x, rng.integers(0, 10, SAMPLES).astype("int32")


def through_keras_api(api):
    def build():
        model = api.Sequential(
            [
                api.Input((28, 28)),
                api.layers.Flatten(),
                api.layers.Dense(128, activation="relu"),
                api.layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    x, y = data()
    start = time.perf_counter()
    model = build()
    model.train_on_batch(x[:BATCH], y[:BATCH])
    first = time.perf_counter() - start
    model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
    start = time.perf_counter()
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    seconds = time.perf_counter() - start
    assert history.history["loss"][-1] < history.history["loss"][0]
    model.predict(x[:1], verbose=0)
    start = time.perf_counter()
    for _ in range(50):
        model.predict(x[:1], verbose=0)
    return first, EPOCHS * SAMPLES / BATCH / seconds, (time.perf_counter() - start) / 50


def plait():
    import plait as api

    return through_keras_api(api)


def keras():
    import keras as api

    return through_keras_api(api)


def jax():
    """Raw JAX and optax, one step a call."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    x, y = data()
    rng = np.random.default_rng(0)
    params = {
        "w": jnp.asarray(rng.normal(0, 0.05, (784, 128)), "float32"),
        "b": jnp.zeros(128),
        "v": jnp.asarray(rng.normal(0, 0.1, (128, 10)), "float32"),
        "c": jnp.zeros(10),
    }
    optimizer = optax.adam(1e-3)

    def forward(p, x):
        h = jax.nn.relu(x.reshape(x.shape[0], -1) @ p["w"] + p["b"])
        return h @ p["v"] + p["c"]

    def loss(p, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(forward(p, x), y).mean()

    @jax.jit
    def step(p, s, x, y):
        updates, s = optimizer.update(jax.grad(loss)(p, x, y), s)
        return optax.apply_updates(p, updates), s

    start = time.perf_counter()
    slots = optimizer.init(params)
    params, slots = jax.block_until_ready(step(params, slots, x[:BATCH], y[:BATCH]))
    first = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(EPOCHS):
        order = rng.permutation(SAMPLES)
        for i in range(0, SAMPLES, BATCH):
            rows = order[i : i + BATCH]
            params, slots = step(params, slots, x[rows], y[rows])
    jax.block_until_ready(params)
    rate = EPOCHS * SAMPLES / BATCH / (time.perf_counter() - start)
    predict = jax.jit(lambda p, x: jax.nn.softmax(forward(p, x)))
    np.asarray(predict(params, x[:1]))
    start = time.perf_counter()
    for _ in range(50):
        np.asarray(predict(params, x[:1]))
    return first, rate, (time.perf_counter() - start) / 50


PEERS = {"plait": plait, "keras": keras, "jax": jax}
ROWS = {
    "import, s": "lower",
    "first step, s": "lower",
    "train, steps/s": "higher",
    "predict of one sample, us": "lower",
}


def measure(name):
    start = time.perf_counter()
    __import__(name)
    imported = time.perf_counter() - start
    first, rate, one = PEERS[name]()
    print(json.dumps([imported, first, rate, one * 1e6]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=PEERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the medians there")
    options = parser.parse_args()
    if options.one:
        measure(options.one)
        return
    installed = [name for name in PEERS if importlib.util.find_spec(name)]
    results = {name: [] for name in installed}
    for _ in range(options.rounds):
        for name in installed:
            command = [sys.executable, __file__, "--one", name]
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results[name].append(json.loads(run.stdout.splitlines()[-1]))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in results.items()
    }
    print(f"{'':28}" + "".join(f"{name:>22}" for name in medians))
    for index, (row, better) in enumerate(ROWS.items()):
        cells = []
        for values in medians.values():
            ratio = medians["plait"][index] / values[index]
            ratio = ratio if better == "higher" else 1 / ratio
            cells.append(f"{values[index]:14,.3f} ({ratio:4.2f}x)")
        print(f"{row:28}" + "".join(f"{cell:>22}" for cell in cells))
    print("(in brackets: how many times better plait is)")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(medians, file, indent=1)


if __name__ == "__main__":
    main()
