"""Arguments of constructors are captured as `inspect` binds them."""

import inspect

import numpy as np
import pytest

from plait.core.registry import Configurable, captured
from plait.errors import ArgumentTypeError


class Plain(Configurable):
    def __init__(self, a, b=2, *, c=3):
        pass


class Open(Configurable):
    def __init__(self, a=1, *, c, **kwargs):
        pass


class Listing(Configurable):
    def __init__(self, a, *rest, c=3, **kwargs):
        pass


class Positional(Configurable):
    def __init__(self, a, /, b=2, **kwargs):
        pass


CALLS = [
    ((1,), {}),
    ((1, 5), {}),
    ((1, 5, 6), {}),
    ((), {}),
    ((), {"a": 1}),
    ((), {"a": 1, "c": 4}),
    ((1,), {"c": 4}),
    ((1,), {"a": 2, "c": 4}),
    ((1, 2), {"b": 4, "c": 1}),
    ((1,), {"more": 7, "c": None}),
    ((np.zeros(2),), {"c": np.ones(3)}),
]


@pytest.mark.parametrize("cls", [Plain, Open, Listing, Positional])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_arguments_are_captured_as_python_binds_them(cls, call):
    args, kwargs = call
    try:
        bound = inspect.signature(cls).bind(*args, **kwargs)
    except TypeError:
        with pytest.raises(ArgumentTypeError, match=cls.__name__):
            cls(*args, **kwargs)
        return
    bound.apply_defaults()
    expected = {k: v for k, v in bound.arguments.items() if k not in ("rest", "kwargs")}
    expected |= bound.arguments.get("kwargs", {})
    found = captured(cls(*args, **kwargs))
    assert list(found) == list(expected)
    assert all(found[name] is expected[name] for name in expected)
