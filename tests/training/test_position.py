"""A source that goes on where another stood gives the batches that the other would have given."""

import numpy as np
import pytest

import plait
from plait.core import random
from plait.errors import DataError
from plait.training.data import make_source

X = np.arange(10, dtype="float32")[:, None]


class Shuffled(plait.utils.PyDataset):
    """Batches whose order the data set draws itself after every pass."""

    def __init__(self):
        super().__init__()
        self.order, self.rng = list(range(5)), np.random.default_rng(3)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[2 * self.order[index] :][:2], X[:2]

    def on_epoch_end(self):
        self.rng.shuffle(self.order)

    def get_state(self):
        return {"order": list(self.order), "rng": self.rng.bit_generator.state}

    def set_state(self, state):
        self.order, self.rng.bit_generator.state = list(state["order"]), state["rng"]


def generator():
    for number in range(100):
        yield np.full((2, 1), number, "float32"), X[:2]


def batches():
    return [(X[start : start + 3], X[start : start + 3]) for start in range(0, 9, 3)]


class Items:
    """Only a length and an index."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return batches()[index]


SOURCES = {
    "arrays": lambda: make_source(X, X, batch_size=4, shuffle=True),
    "arrays in order": lambda: make_source(X, X, batch_size=4),
    "short epochs": lambda: make_source(X, X, batch_size=2, steps=3, shuffle=True),
    "long epochs": lambda: make_source(X, X, batch_size=4, steps=3, shuffle=True),
    "data set": lambda: make_source(Shuffled(), shuffle=True),
    "data set in short epochs": lambda: make_source(Shuffled(), shuffle=True, steps=2),
    "list": lambda: make_source(batches()),
    "items": lambda: make_source(Items(), steps=2),
    "generator": lambda: make_source(generator(), steps=4),
}


def rows(batch):
    return [float(value) for value in np.ravel(batch[0])]


@pytest.mark.filterwarnings("ignore:the data ended after")
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_go_on_anywhere(make):
    random.set_random_seed(5)
    source, marks, seen = make(), [], []
    for epoch in range(4):
        for step, batch in enumerate(source.epoch()):
            seen.append((epoch, rows(batch)))
            marks.append(
                (len(seen), epoch, step + 1, source.position(step + 1), random.get_state())
            )
        marks.append((len(seen), epoch + 1, 0, source.position(), random.get_state()))
    for count, epoch, done, position, state in marks:
        other = make()
        other.resume(position, done)
        if position.taken:
            other.peek()
        random.set_state(state)
        rest = [(number, rows(batch)) for number in range(epoch, 4) for batch in other.epoch()]
        assert rest == seen[count:], (epoch, done)
    assert source.describe() == make().describe()


def test_a_look_takes_nothing():
    for make in SOURCES.values():
        random.set_random_seed(5)
        source, untouched = make(), make()
        source.peek()
        first = [rows(batch) for batch in source.epoch()]
        random.set_random_seed(5)
        assert first == [rows(batch) for batch in untouched.epoch()]


def test_a_look_at_nothing():
    with pytest.raises(DataError, match="the generator gave no batch"):
        make_source((batch for batch in []), steps=2).peek()


def test_random_state_goes_on():
    import random as python_random

    def draw():
        return (
            random.next_seed(),
            random.base_seed(),
            random.call_counter(),
            np.random.normal(),
            python_random.random(),
        )

    random.set_random_seed(1)
    draw()
    state = random.get_state()
    drawn = [draw() for _ in range(3)]
    random.set_random_seed(2)
    random.set_state(state)
    assert [draw() for _ in range(3)] == drawn
