"""How long a verb takes on a graph of 2,000 layers, and how long drawing it takes.

A row is one edit as a whole transaction: shapes inferred again, the graph verified, the model
given it. It is undone between rounds, which has a column of its own. Run it on a quiet machine:
``python benchmarks/edits.py``.
"""

from __future__ import annotations

import argparse
import gc
import pathlib
import statistics
import tempfile
import time

import plait
from plait import Input, Model, Sequential, layers


def residual(count):
    """Return `count` layers as blocks: Dense, LayerNormalization, Activation, Add."""
    x = h = Input((16,), name="x")
    for i in range(count // 4):
        y = layers.Dense(16, name=f"d{i}")(h)
        y = layers.LayerNormalization(name=f"n{i}")(y)
        y = layers.Activation("relu", name=f"r{i}")(y)
        h = layers.Add(name=f"s{i}")([y, h])
    return Model(x, h)


def chain(count):
    """Return a Sequential of `count` layers."""
    items = [
        layers.Dense(16, name=f"d{i}") if i % 2 else layers.ReLU(name=f"d{i}") for i in range(count)
    ]
    return Sequential([Input((16,), name="x"), *items])


def gelu(layer):
    return layer.clone(activation="gelu")


def anew(layer):
    return layer if layer.name == "x" else layer.clone()


def edits(count):
    """Return (label, model, edit) of every row."""
    model, sequence = residual(count), chain(count)
    for place, where in (("first", 1), ("middle", count // 8), ("last", count // 4 - 2)):
        near = {kind: f"{kind}{where}" for kind in "dnrs"}
        verbs = {
            "insert_after": lambda m, n=near: m.insert_after(n["r"], layers.Dropout(0.1)),
            "insert_before": lambda m, n=near: m.insert_before(n["r"], layers.Dropout(0.1)),
            "insert_between": lambda m, n=near: m.insert_between(
                n["n"], n["r"], layers.Dropout(0.1)
            ),
            "replace": lambda m, n=near: m.replace(n["r"], layers.Activation("gelu")),
            "remove": lambda m, n=near: m.remove(n["r"]),
            "rewire": lambda m, n=near: m.rewire(n["s"], [n["n"], n["d"]]),
            "replace_all_uses_with": lambda m, n=near: m.replace_all_uses_with(n["r"], n["n"]),
            "rename": lambda m, n=near: m.rename(n["r"], "renamed"),
            "add_output": lambda m, n=near: m.add_output("more", n["r"]),
        }
        for verb, edit in verbs.items():
            yield f"{verb}, {place}", model, edit
    every, some = f"{count:,} places", f"{count // 4} places"
    yield f"replace_layers, {some}", model, lambda m: m.replace_layers("*:Dense", gelu)
    yield f"replace_layers, {every}", model, lambda m: m.replace_layers("*", anew)
    yield f"insert_after, {some}", model, lambda m: m.insert_after("r*", layers.Dropout(0.1))
    yield f"insert_after, {every}", model, lambda m: m.insert_after("*", layers.Dropout(0.1))
    yield f"remove, {some}", model, lambda m: m.remove("n*")
    for place, index in (("first", 1), ("last", count - 2)):
        yield f"Sequential.insert, {place}", sequence, lambda m, i=index: m.insert(i, layers.ReLU())
        yield f"del Sequential[i], {place}", sequence, lambda m, i=index: m.__delitem__(i)
        yield (
            f"Sequential[i] = layer, {place}",
            sequence,
            lambda m, i=index: m.__setitem__(i, layers.Dense(16)),
        )


def timed(function, *args):
    """Return how many milliseconds a call takes."""
    start = time.perf_counter()
    function(*args)
    return 1000 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.layers:,} layers, ms, median and worst of {options.rounds}")
    print(f"{'edit':34} {'median':>8} {'worst':>8} {'undo':>8}")
    for label, model, edit in edits(options.layers):
        gc.collect()
        rounds = [(timed(edit, model), timed(model.undo)) for _ in range(options.rounds)]
        times, back = zip(*rounds, strict=True)
        median, undo = statistics.median(times), statistics.median(back)
        print(f"{label:34} {median:8.1f} {max(times):8.1f} {undo:8.1f}", flush=True)
    plait.utils.clear_session()
    model = residual(options.layers)
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".html", ".dot", ".svg"):
            path = pathlib.Path(folder) / f"model{ending}"
            print(f"{'plot ' + ending:34} {timed(model.plot, path):8.1f}", flush=True)


if __name__ == "__main__":
    main()
