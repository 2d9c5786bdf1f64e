"""Variables: made when first read, assigned with care, read through scopes."""

import copy
import operator
import pickle
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait import Variable
from plait.core import random
from plait.core.scope import Scope
from plait.core.variable import values_as_of


def test_a_value_is_made_when_first_read_and_once():
    calls = []

    def initializer(shape, dtype):
        calls.append(shape)
        return random.generator(None).normal(size=shape)

    plait.utils.set_random_seed(1)
    first, second = (Variable(initializer, (3,), name=n) for n in "ab")
    assert calls == []
    late = second.numpy()
    early = first.numpy()
    assert calls == [(3,), (3,)]
    assert first.numpy() is not None
    assert len(calls) == 2
    plait.utils.set_random_seed(1)
    again = [Variable(initializer, (3,)) for _ in range(2)]
    np.testing.assert_array_equal(again[0], early)  # the order of use does not matter
    np.testing.assert_array_equal(again[1], late)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([1, 2], None, "int32"),
        ([1.0], None, "float32"),
        (np.float64(1), None, "float32"),
        (True, None, "bool"),
        (np.ones(2, "float16"), None, "float32"),
        (jnp.ones(2, "bfloat16"), None, "bfloat16"),
        ([1, 2], "float32", "float32"),
        ([1, 2], "int8", "int8"),
        (lambda shape, dtype: np.ones(shape), None, "float32"),
        (lambda shape, dtype: np.ones(shape), "float64", "float32"),
    ],
)
def test_dtypes(value, dtype, expected):
    variable = Variable(value, (2,) if callable(value) else None, dtype)
    assert variable.dtype == expected
    assert variable.value.dtype == expected


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Variable(lambda shape, dtype: 1), plait.ShapeError, "no shape"),
        (
            lambda: Variable(lambda shape, dtype: np.ones(3), (2,), name="v").value,
            plait.ShapeError,
            r"'v' made \(3,\)",
        ),
        (lambda: Variable([1.0], dtype="flaot"), plait.ConfigError, "is no dtype"),
        (lambda: Variable([1.0, 2.0], name="v").assign([1.0]), plait.ShapeError, "'v' is"),
        (lambda: Variable([1.0, 2.0]).assign_add(np.ones((2, 2))), plait.ShapeError, "cannot take"),
        (lambda: len(Variable(1.0)), TypeError, "no length"),
        (lambda: iter(Variable(1.0)), TypeError, "no length"),
        (lambda: bool(Variable([1.0, 2.0])), ValueError, "ambiguous|more than one"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()


BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("name", BINARY)
def test_operators_are_those_of_arrays(name):
    function = getattr(operator, name)
    a, b = np.array([[5.0, 2.0], [3.0, 4.0]], "float32"), np.array([2.0, 3.0], "float32")
    for left, right in [
        (Variable(a), Variable(b)),
        (Variable(a), jnp.asarray(b)),
        (jnp.asarray(a), Variable(b)),
    ]:
        np.testing.assert_allclose(function(left, right), function(a, b), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(function(Variable(a), 2), function(a, 2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(function(2, Variable(a)), function(2, a), rtol=1e-5, atol=1e-6)


def test_as_an_array():
    a = np.array([[1.0, -2.0], [3.0, 4.0]], "float32")
    v = Variable(a, name="v")
    np.testing.assert_array_equal(v @ v, a @ a)
    np.testing.assert_array_equal(-v, -a)
    np.testing.assert_array_equal(abs(v), abs(a))
    np.testing.assert_array_equal(v[:, 1], a[:, 1])
    np.testing.assert_array_equal([*v], a)
    assert (v.ndim, v.size, len(v), v.shape) == (2, 4, 2, (2, 2))
    assert (float(Variable(2.5)), int(Variable(2)), bool(Variable(1))) == (2.5, 2, True)
    assert np.asarray(v, "int32").dtype == "int32"
    assert {v: 1}[v] == 1
    assert repr(Variable([1], trainable=False, name="n")) == "<Variable n (1,) int32 non-trainable>"


def test_assignment_casts_and_copies():
    source = np.array([1.7, 2.2], "float32")
    v = Variable([1, 2])
    v.assign(source)
    assert v.numpy().tolist() == [1, 2]
    w = Variable(source)
    source[0] = 99
    assert float(w[0]) == pytest.approx(1.7)
    w.assign_add([1, 1])
    w.assign_sub(Variable([0.5, 0.5]))
    np.testing.assert_allclose(w, [2.2, 2.7], rtol=1e-5, atol=1e-6)
    w.assign(v)
    assert w.numpy().tolist() == [1.0, 2.0]


def test_a_scope_keeps_assignments():
    v, other = Variable([1.0]), Variable([7.0])
    with Scope({v: jnp.array([5.0])}) as scope:
        assert float(v[0]) == 5
        assert float(other[0]) == 7
        v.assign_add([1.0])
        with Scope() as inner:
            assert float(v[0]) == 1  # a scope sees nothing of the one around it
            other.assign([0.0])
        assert list(inner.changed) == [other]
        assert float(v[0]) == 6
    assert list(scope.changed) == [v]
    assert (float(v[0]), float(other[0])) == (1, 7)


def test_reads_follow_the_compute_dtype_and_assignments_the_own():
    v, exact = Variable([1.0]), Variable([1.0], autocast=False)
    with Scope() as scope:
        scope.compute_dtype = "bfloat16"
        assert (v.value.dtype, exact.value.dtype) == ("bfloat16", "float32")
        v.assign_add([0.001])
        assert scope.changed[v].dtype == "float32"
        np.testing.assert_allclose(scope.changed[v], [1.001])


class Owner:
    def __init__(self, variable, value):
        self.values, variable.owner = {variable: value}, self

    def read(self, variable):
        return jnp.asarray(self.values[variable])

    def write(self, variable, value):
        self.values[variable] = value

    def release(self):
        for variable, value in self.values.items():
            variable.owner = None
            variable.store(jnp.asarray(value, variable.dtype))


def test_an_owner_is_asked():
    v = Variable([1.0])
    owner = Owner(v, np.array([3.0], "float32"))
    assert float(v[0]) == 3
    v.assign([4.0])
    assert owner.values[v] == [4.0]
    assert float(copy.deepcopy(v)[0]) == 4
    owner.release()
    assert v.owner is None
    assert float(v[0]) == 4


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies(copied):
    made = Variable([1.0, 2.0], name="m")
    lazy = Variable(plait.initializers.GlorotUniform(), (3, 2))
    twins = copied(made), copied(lazy)
    np.testing.assert_array_equal(twins[1], lazy)
    twins[0].assign([0.0, 0.0])
    assert made.numpy().tolist() == [1.0, 2.0]
    assert twins[0].name == "m"


def test_each_thread_draws_its_own_initial_values():
    def slow(shape, dtype):
        draw = random.generator(None).normal(size=shape)
        barrier.wait(timeout=10)
        return draw + random.generator(None).normal(size=shape)

    def values(parties):
        nonlocal barrier
        barrier = threading.Barrier(parties)
        plait.utils.set_random_seed(3)
        variables = [Variable(slow, (4,)) for _ in range(2)]
        if parties == 1:
            return [v.numpy() for v in variables], random.next_seed()
        threads = [threading.Thread(target=v.numpy) for v in variables]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [v.numpy() for v in variables], random.next_seed()

    barrier = None
    alone, together = values(1), values(2)
    np.testing.assert_array_equal(alone[0], together[0])
    assert alone[1] == together[1]


def test_values_made_inside_a_trace_do_not_leak():
    v = Variable(plait.initializers.GlorotUniform(), (3, 2))
    jax.jit(lambda x: x @ v.value)(np.ones((1, 3), "float32"))
    assert isinstance(v.value, jax.Array)
    assert v.numpy().shape == (3, 2)


def test_values_of_an_earlier_moment():
    changed, other = plait.Variable([1.0]), plait.Variable([5.0])
    moment = {changed: changed.value}
    changed.assign([2.0])
    elsewhere = []
    with values_as_of(moment):
        assert changed.numpy() == [1.0]
        assert other.numpy() == [5.0]
        thread = threading.Thread(target=lambda: elsewhere.append(changed.numpy()))
        thread.start()
        thread.join()
    assert elsewhere == [[2.0]]
    assert changed.numpy() == [2.0]
