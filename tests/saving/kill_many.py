"""Kill training runs at random moments, let them go on, and compare bit for bit.

    python tests/saving/kill_many.py 100 [--seed 0] [--runs stack residual "two inputs" resnet20]

Each round trains a network, by default one with dropout and batch normalization on scikit-learn's
digits, with validation, shuffling, early stopping, a falling learning rate and a table of logs. A
process that trains gets SIGKILL at a random moment, a new one goes on, and so on, until one
finishes. Its weights, optimizer state, history and table are to be those of a run that nobody
killed. Checkpoints are written all the time, so that many kills come during a write.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # XLA warns of every program that it finds compiled

import jax
import numpy as np
from jax._src import xla_bridge
from sklearn.datasets import load_digits

import plait
from plait import callbacks, datasets, demo, layers
from plait.saving import Checkpoints

EPOCHS = 20


class Digits(plait.utils.PyDataset):
    """Batches in an order that is drawn after every epoch."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.order = x, y, np.arange(len(x))
        self.rng = np.random.default_rng(1)

    def __len__(self):
        return len(self.x) // 32

    def __getitem__(self, index):
        rows = self.order[32 * index :][:32]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        self.rng.shuffle(self.order)

    def get_state(self):
        return {"order": self.order, "rng": self.rng.bit_generator.state}

    def set_state(self, state):
        self.order, self.rng.bit_generator.state = np.array(state["order"]), state["rng"]


def endless(x, y):
    while True:
        for start in range(0, len(x) - 31, 32):
            yield x[start : start + 32], y[start : start + 32]


def digits_run(given):
    """Return a small network and what to train it on, given as in `given(x, y)`."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    model = plait.Sequential(
        [
            plait.Input((64,)),
            layers.Dense(32, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = plait.optimizers.Adam(0.03)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    more = {"epochs": EPOCHS, "validation_data": (x[500:700], y[500:700])}
    return model, given(x[:500], y[:500]) | more


def network_run(model, data, count, loss="sparse_categorical_crossentropy"):
    (x, y), (x_test, y_test) = data

    def part(arrays, count):
        if isinstance(arrays, dict):
            return {name: array[:count] for name, array in arrays.items()}
        return arrays[:count]

    model.compile("adam", loss, metrics=["accuracy"])
    test = part(x_test, 64), part(y_test, 64)
    return model, {"x": part(x, count), "y": part(y, count), "epochs": 3, "validation_data": test}


def tiled():
    (x, y), (x_test, y_test) = datasets.load_digits()
    return (demo.digit_tiles(x), y), (demo.digit_tiles(x_test), y_test)


def resnet20():
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
    from resnet20 import make_resnet, small

    (x, y), (x_test, y_test) = datasets.load_mnist_sample()
    model = plait.Sequential([make_resnet((16, 16, 1), 10), layers.Softmax()])
    return network_run(model, ((small(x), y), (small(x_test), y_test)), 320)


RUNS = {
    "arrays": lambda: digits_run(lambda x, y: {"x": x, "y": y}),
    "short epochs": lambda: digits_run(lambda x, y: {"x": x, "y": y, "steps_per_epoch": 8}),
    "data set": lambda: digits_run(lambda x, y: {"x": Digits(x, y)}),
    "generator": lambda: digits_run(lambda x, y: {"x": endless(x, y), "steps_per_epoch": 11}),
    "stack": lambda: network_run(demo.sequential(), datasets.load_mnist_sample(), 4000),
    "residual": lambda: network_run(demo.residual(), tiled(), 320),
    "two inputs": lambda: network_run(
        demo.two_inputs(), datasets.load_photos_and_texts(640, 64), 640, "binary_crossentropy"
    ),
    "resnet20": resnet20,
}
DIGITS = [*RUNS][:4]


def train(kind, folder, checkpoints, began):
    """Train in this process, and leave what came of it in a folder."""
    plait.utils.set_random_seed(3)
    model, given = RUNS[kind]()
    start = model.get_weights()
    model.fit(**given | {"epochs": 1}, verbose=0)  # compiles
    plait.utils.set_random_seed(3)
    model.set_weights(start)
    os.write(began, b".")
    stop = callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    slower = callbacks.ReduceLROnPlateau(patience=2, min_delta=0.01)
    table = callbacks.CSVLogger(folder / "log.csv")
    history = model.fit(
        **RUNS[kind]()[1], verbose=0, callbacks=[stop, slower, table], resume=checkpoints
    )
    variables = [*model.variables, *model.optimizer.variables]
    values = {str(index): variable.numpy() for index, variable in enumerate(variables)}
    np.savez(folder / "values.npz", **values)
    (folder / "history.json").write_text(json.dumps([history.history, history.epoch]))


def process(kind, folder, checkpoints, lifetime=None):
    """Train in a process of its own; kill it so many seconds after all is compiled.

    Returns:
        Whether it ended by itself, and how long it trained.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reads)
            train(kind, folder, checkpoints, writes)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(writes)
    os.read(reads, 1)
    began = time.monotonic()
    if lifetime is not None:
        time.sleep(lifetime)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reads)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"a training process ended with {code}")
    return code == 0, time.monotonic() - began


def result(folder):
    with np.load(folder / "values.npz") as values:
        arrays = [values[str(index)].tobytes() for index in range(len(values))]
    return arrays, (folder / "history.json").read_text(), (folder / "log.csv").read_text()


def main(count, seed, kinds):
    """Run so many rounds; return how often what was seen."""
    assert not xla_bridge.backends_are_initialized(), "the processes to come are forks of this one"
    work = pathlib.Path(tempfile.mkdtemp(prefix="plait-kill-"))
    jax.config.update("jax_compilation_cache_dir", str(work / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    draw = random.Random(seed)
    seen = collections.Counter()
    try:
        whole = {}
        for number in range(count):
            kind = kinds[number % len(kinds)]
            if kind not in whole:
                folder = work / kind
                folder.mkdir()
                _, duration = process(kind, folder, None)
                whole[kind] = result(folder), duration
            expected, duration = whole[kind]
            folder = work / f"round-{number}"
            folder.mkdir()
            checkpoints = Checkpoints(folder / "checkpoints", steps=draw.choice([1, 1, 5, 1000]))
            finished, kills = False, 0
            while not finished:
                longest = 1.5 * duration if kills else 0.8 * duration
                lifetime = draw.uniform(0, longest) if kills < 3 else None
                finished, _ = process(kind, folder, checkpoints, lifetime)
                if not finished:
                    kills += 1
                    seen["kills"] += 1
                    files = [file.name for file in (folder / "checkpoints").glob("*")]
                    seen["kills with a checkpoint to go on from"] += any(
                        name.endswith(".safetensors") for name in files
                    )
                    seen["kills during a write"] += any(name.endswith(".tmp") for name in files)
            names = ("values", "history", "table")
            pairs = zip(names, result(folder), expected, strict=True)
            differ = [name for name, ours, theirs in pairs if ours != theirs]
            seen["rounds"] += 1
            seen["rounds that differ"] += bool(differ)
            outcome = f"other {', '.join(differ)}" if differ else "equal"
            print(f"round {number + 1}: {kind}, {kills} kills, {outcome}", flush=True)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(work)
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--runs", nargs="*", choices=[*RUNS], default=DIGITS)
    given = parser.parse_args()
    counted = main(given.count, given.seed, given.runs)
    print(", ".join(f"{number} {what}" for what, number in counted.items()))
    sys.exit(bool(counted["rounds that differ"]) or not counted["kills"])
