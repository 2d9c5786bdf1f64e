"""Measure plait beside every installed peer, and print one table of medians and ratios.

Every framework is a process of its own, started once a row; rounds are interleaved, so that a
machine that slows down slows all of them. Compilation and warm-up are left out, except in the rows
that are about starting. Models and data are the same, which equal counts of parameters and falling
losses check.

    python benchmarks/run.py --rows lstm transformer --peers torch jax --rounds 5
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import table
from rows import ROWS
from worker import FRAMEWORKS

HERE = Path(__file__).parent
LATENCY, BATCH, STARTS = "latency", "predict-resnet20", ["start", "start-resnet20"]
PACKAGES = ("plait", "plait-onednn", "numpy", "jax", "keras", "tensorflow-cpu", "torch")
DEFAULT_ROWS = [*ROWS, LATENCY, BATCH, "start"]
PATIENCE = 600  # seconds that a worker may take to warm up or for a round
SLOW = 4  # a peer whose round takes this many times longer than asked for gets no second one


class Failed(Exception):
    """A worker ended; the end of its log is the message."""


class Worker:
    """A process that measures one framework at one row when it is told to."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            # Installed packages have their bytecode, and sources that are worked on get it too.
            env={
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONDONTWRITEBYTECODE": "",
                **environment,
            },
        )

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            self.process.kill()
            raise Failed(f"no answer within {PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            lines = self.log.read().strip().splitlines() or ["it ended without a word"]
            raise Failed(lines[-1])
        return json.loads(line)

    def round(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended: the answer says how
            print(seconds, file=self.process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.log.close()


class Bench:
    """Everything measured so far: row -> framework -> the values of its rounds."""

    def __init__(self, peers: list[str], rounds: int, seconds: float) -> None:
        self.peers, self.rounds, self.seconds = peers, rounds, seconds
        self.values: dict[str, dict[str, list[float]]] = {}
        self.floors: dict[str, float] = {}
        self.remarks: list[str] = []
        self._rates: dict[str, float] = {}

    @property
    def rates(self) -> dict[str, float]:
        """What the machine can do, measured once."""
        if not self._rates:
            worker = Worker("floor", "jax", "touchstone-1")
            worker.answer()
            self._rates = worker.round(0)
            worker.close()
        return self._rates

    def run(self, name: str) -> None:
        """Measure one row."""
        if name in ROWS:
            self._interleave("train", name, self._training_peers(name))
            self._floor(name)
        elif name in (LATENCY, BATCH):
            peers = [peer for peer in self.peers if peer != "jax-epoch"]
            task, row = ("answer", "touchstone-1") if name == LATENCY else ("batch", "resnet20")
            self._interleave(task, row, peers)
        else:
            self._start(name.partition("-")[2] or "touchstone-1")

    def _training_peers(self, name: str) -> list[str]:
        if ROWS[name].convolutions:
            # XLA on CPU runs convolutions on one thread within a loop: minutes an epoch.
            return [peer for peer in self.peers if peer != "jax-epoch"]
        return self.peers

    def _interleave(self, task: str, name: str, peers: list[str]) -> None:
        workers, parameters = {}, {}
        for peer in peers:
            note(f"{name}: {peer} warms up")
            worker = Worker(task, peer, name)
            try:
                parameters[peer] = worker.answer()["parameters"]
                workers[peer] = worker
            except Failed as error:
                self._fail(name, peer, error)
                worker.close()
        if len(set(parameters.values())) > 1:
            raise SystemExit(f"{name}: these are not the same model: {parameters} parameters")
        for index in range(self.rounds):
            for peer, worker in list(workers.items()):
                note(f"{name}: round {index + 1} of {self.rounds}, {peer}")
                began = time.perf_counter()
                try:
                    for key, value in worker.round(self.seconds).items():
                        self._keep(f"{key} {name}", peer, value)
                except Failed as error:
                    self._fail(name, peer, error)
                    workers.pop(peer).close()
                    continue
                if time.perf_counter() - began > SLOW * self.seconds:
                    workers.pop(peer).close()
        for worker in workers.values():
            worker.close()

    def _start(self, name: str) -> None:
        """Run each framework in a new process, without and then with what it caches on disk."""
        peers = [peer for peer in self.peers if peer != "jax-epoch"]
        for index in range(self.rounds):
            for peer in peers:
                with tempfile.TemporaryDirectory() as cache:
                    keep = {"XDG_CACHE_HOME": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/torch"}
                    for state in ("cold", "warm"):
                        note(f"start of {name}: round {index + 1} of {self.rounds}, {peer} {state}")
                        worker = Worker("start", peer, name, str(time.time()), **keep)
                        try:
                            measured = worker.answer()
                        except Failed as error:
                            self._fail(f"start of {name}", peer, error)
                            break
                        finally:
                            worker.close()
                        self._keep(f"first-{state} {name}", peer, measured["first"])
                        self._keep(f"lengths-{state} {name}", peer, measured["lengths"])
                        if state == "warm":
                            self._keep("import", peer, measured["import"])

    def _floor(self, name: str) -> None:
        from floor import seconds

        worker = Worker("floor", "jax", name)
        try:
            work = worker.answer()["work"]
            self.floors[f"train {name}"] = ROWS[name].batch / seconds(*work, self.rates)
        except Failed as error:
            self._fail(f"floor of {name}", "jax", error)
        finally:
            worker.close()

    def _keep(self, row: str, peer: str, value: float) -> None:
        self.values.setdefault(row, {}).setdefault(peer, []).append(value)

    def _fail(self, name: str, peer: str, error: Failed) -> None:
        self.remarks.append(f"{name}, {peer}: {error}")

    def record(self, seconds: float) -> dict[str, Any]:
        """Return all that is known so far, for JSON and the table."""
        return {
            "machine": {"processor": platform.processor(), "cores": os.cpu_count(), **self.rates},
            "versions": versions(),
            "seconds": seconds,
            "rounds": self.values,
            "medians": self.medians(),
            "floors": self.floors,
            "remarks": self.remarks,
        }

    def medians(self) -> dict[str, dict[str, float]]:
        """Return row -> framework -> median."""
        return {
            row: {peer: statistics.median(values) for peer, values in peers.items()}
            for row, peers in self.values.items()
        }


@functools.cache
def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def installed() -> list[str]:
    """Return the frameworks that can be imported here."""
    return [
        name
        for name, (modules, *_) in FRAMEWORKS.items()
        if all(importlib.util.find_spec(module) for module in modules)
    ]


def note(text: str) -> None:
    print(f"\r\033[K{text}" if sys.stderr.isatty() else text, end="", file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        print(file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=[*DEFAULT_ROWS, *STARTS], default=DEFAULT_ROWS)
    parser.add_argument("--peers", nargs="+", choices=[*FRAMEWORKS], default=installed())
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--seconds", type=float, default=2.0, help="a round, at least")
    parser.add_argument("--json", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    peers = [name for name in FRAMEWORKS if name in {"plait", *options.peers}]
    bench = Bench(peers, options.rounds, options.seconds)
    began = time.perf_counter()
    for row in options.rows:
        bench.run(row)
        record = bench.record(time.perf_counter() - began)
        options.json.write_text(json.dumps(record, indent=1))
    note("")
    table.show(record)


if __name__ == "__main__":
    main()
