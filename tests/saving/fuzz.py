"""Read files whose bytes were changed: every case must end in a model or in a FileError.

    python tests/saving/fuzz.py --cases 5000 --seed 1

Cases run in a process of their own, whose memory is bounded and where each has ten seconds; the
process that waits names the case that killed it.
"""

import argparse
import collections
import io
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile

KINDS = ("keras", "config", "archive", "weights.h5", "h5", "safetensors", "json")
SECONDS = 10
HEADROOM = 2 << 30


def originals():
    """Return kind -> bytes of a real file."""
    import plait
    from plait import layers, ops

    x = plait.Input((6, 4), name="x")
    shared = layers.Dense(4, name="shared")
    y = layers.LSTM(3)(shared(shared(x)) * 2.0)
    z = layers.MultiHeadAttention(2, 2)(x, x)
    y = layers.concatenate([y, ops.mean(z, axis=1)])
    inner = plait.Sequential([plait.Input((7,)), layers.Dense(3), layers.BatchNormalization()])
    model = plait.Model(x, {"a": inner(y), "b": layers.Dense(1)(y)})
    model.compile("adam", {"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    found = {"json": model.to_json().encode(), "h5": legacy(model)}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("m.keras", "m.weights.h5", "m.safetensors"):
            path = pathlib.Path(folder) / name
            model.save(path) if name == "m.keras" else model.save_weights(path)
            found[name.partition(".")[2]] = path.read_bytes()
    found["config"] = found["archive"] = found["keras"]
    return model, found


def legacy(model):
    """Return a whole model in the form of Keras 2."""
    import h5py
    import numpy as np

    config = {"class_name": "Sequential", "config": {"name": "s", "layers": []}}
    for layer in model.layers:
        if layer.name == "shared":
            written = {"class_name": "Dense", "config": {"name": "shared", "units": 4}}
            written["config"]["batch_input_shape"] = [None, 6, 4]
            config["config"]["layers"].append(written)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"shared"]
        group = weights.create_group("shared")
        group.attrs["weight_names"] = [b"shared/kernel:0", b"shared/bias:0"]
        group["shared/kernel:0"] = np.ones((4, 4), "float32")
        group["shared/bias:0"] = np.ones(4, "float32")
    return buffer.getvalue()


def mutated(data, rng):
    """Return bytes with a few changes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        where, size = rng.randrange(len(data)), rng.choice((1, 2, 4, 8))
        how = rng.randrange(8)
        if how == 0:
            data[where] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[where : where + size] = rng.randbytes(size)
        elif how == 2:
            data[where : where + size] = rng.choice((b"\0", b"\xff", b"\x7f")) * size
        elif how == 3:
            del data[where : where + rng.choice((1, 8, 100))]
        elif how == 4:
            data[where:where] = rng.randbytes(size)
        elif how == 5:
            other = rng.randrange(len(data))
            data[where : where + size] = data[other : other + size]
        elif how == 6:
            number = rng.choice((0, 1, len(data), 2**31 - 1, 2**32, 2**63 - 1, 2**64 - 1))
            data[where : where + 8] = number.to_bytes(8, "little")
        else:
            del data[max(where, 1) :]
        if not data:
            return b"\0"
    return bytes(data)


def mutated_json(text, rng):
    """Return JSON with values replaced, removed or put elsewhere; or text with bytes changed."""
    if rng.random() < 0.3:
        return mutated(text, rng)
    value = json.loads(text)
    places = []
    stack = [value]
    while stack:
        item = stack.pop()
        keys = item if isinstance(item, dict) else range(len(item))
        for key in keys:
            places.append((item, key))
            if isinstance(item[key], dict | list):
                stack.append(item[key])
    odd = (None, -1, 0, 2**40, 1e308, "x", "", [], {}, True, [[]], "relu", {"class_name": "Dense"})
    for _ in range(rng.choice((1, 1, 2, 5))):
        container, key = rng.choice(places)
        how = rng.randrange(3)
        try:
            if how == 0:
                container[key] = rng.choice(odd)
            elif how == 1:
                del container[key]
            else:
                other, place = rng.choice(places)
                container[key] = json.loads(json.dumps(other[place]))
        except (KeyError, IndexError):
            continue
    return json.dumps(value).encode()


def case(kind, data, rng):
    """Return the bytes of one case."""
    if kind == "json":
        return mutated_json(data, rng)
    if kind not in ("config", "archive"):
        return mutated(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if kind == "config":
        members["config.json"] = mutated_json(members["config.json"], rng)
    else:
        members["model.weights.h5"] = mutated(members["model.weights.h5"], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read(model, kind, path, rng):
    """Read one case in the way that its kind is read."""
    import plait

    if kind == "json":
        plait.models.model_from_json(path.read_text("utf-8", "replace"))
    elif kind in ("keras", "config", "archive", "h5"):
        missing = rng.choice(("error", "placeholder"))
        plait.models.load_model(path, missing=missing)
    else:
        model.load_weights(path, strict=rng.random() < 0.5, verbose=False)


def child(cases, seed, limited):
    """Run all cases; print the number of each before it runs, and the counts at the end."""
    import plait

    warnings.simplefilter("ignore")
    model, files = originals()
    if limited:
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
            "SC_PAGESIZE"
        )
        resource.setrlimit(resource.RLIMIT_AS, (used + HEADROOM, used + HEADROOM))
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(cases):
            rng = random.Random(f"{seed}/{number}")
            kind = KINDS[number % len(KINDS)]
            print(number, kind, file=sys.stderr, flush=True)
            ending = "keras" if kind in ("config", "archive") else kind
            path = pathlib.Path(folder) / f"m.{ending}"
            path.write_bytes(case(kind, files[kind], rng))
            signal.alarm(SECONDS)
            try:
                read(model, kind, path, rng)
                counts[f"{kind}: read"] += 1
            except plait.FileError as error:
                if kind != "json" and str(path) not in str(error):
                    raise AssertionError(f"the file is not named: {error}") from error
                counts[f"{kind}: FileError"] += 1
            signal.alarm(0)
    print(json.dumps(counts))


def run(cases, seed, limited=True):
    """Run cases in a process; return the counts.

    Raises:
        AssertionError: a case ended in another error, killed the process or took too long.
    """
    arguments = [sys.executable, __file__, "--cases", str(cases), "--seed", str(seed), "--child"]
    done = subprocess.run(
        arguments + ([] if limited else ["--unlimited"]), capture_output=True, text=True
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true")
    parser.add_argument("--unlimited", action="store_true", help="no bound on memory")
    options = parser.parse_args()
    if options.child:
        child(options.cases, options.seed, not options.unlimited)
        return
    for name, count in sorted(run(options.cases, options.seed, not options.unlimited).items()):
        print(f"{name:24} {count}")


if __name__ == "__main__":
    main()
