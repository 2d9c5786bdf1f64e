"""Every operation gives what Keras gives, on arrays, and knows its shape before it has any."""

import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from cases import CASES, VALUE_DEPENDENT

from plait import ops
from plait.errors import ShapeError
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor

LEFT_OUT = {"affine_transform", "ctc_decode", "ctc_loss", "elastic_transform"}
LEFT_OUT |= {"perspective_transform"}


def find(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module


def tag(case):
    name, args, kwargs = case
    return "-".join([name, *(str(arg.shape) for arg in args if hasattr(arg, "shape")), *kwargs])


def leaves(result):
    result = tuple(result) if isinstance(result, tuple) else result
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result)]


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("space", ["", "image", "linalg", "nn", "numpy"])
def test_names_and_arguments_are_those_of_keras(space):
    ours, theirs = (getattr(module, space) if space else module for module in (ops, keras.ops))
    names = {name for name in dir(theirs) if callable(getattr(theirs, name)) and name[0] != "_"}
    assert names - LEFT_OUT <= set(dir(ours))
    for name in names - LEFT_OUT - {"multi_hot"}:
        arguments, expected = (
            [(p.name, p.default) for p in inspect.signature(getattr(m, name)).parameters.values()]
            for m in (ours, theirs)
        )
        assert arguments == expected, name
        assert getattr(ours, name).__doc__, name


def test_every_operation_has_a_case():
    tested = {name for name, _, _ in CASES}
    public = {f"image.{name}" for name in ops.image.__all__} | set(ops.__all__)
    assert public - tested - NOT_IN_THE_TABLE == set()


NOT_IN_THE_TABLE = {
    *("FUNCTIONS", "Op", "operation", "image", "linalg", "nn", "numpy"),
    *("convert_to_numpy", "convert_to_tensor", "dtype", "is_tensor", "ndim", "shape", "size"),
    *("associative_scan", "cond", "fori_loop", "map", "scan", "switch", "vectorized_map"),
    *("while_loop", "custom_gradient", "jvp", "vectorize", "sparsemax"),
}


@pytest.mark.parametrize("case", CASES, ids=tag)
def test_values_and_dtypes_are_those_of_keras(case):
    name, args, kwargs = case
    ours, theirs = (leaves(find(module, name)(*args, **kwargs)) for module in (ops, keras.ops))
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        assert mine.shape == other.shape
        if name not in ("eig", "empty"):
            np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-5)


def symbolic(batch):
    def convert(leaf):
        if isinstance(leaf, np.ndarray) and leaf.shape[:1] == (4,):
            return SymbolicTensor((batch, *leaf.shape[1:]), leaf.dtype.name)
        return leaf

    return convert


SYMBOLIC = [
    case
    for case in CASES
    if case[0] not in VALUE_DEPENDENT.split()
    and not (case[0] == "where" and len(case[1]) == 1)
    and any(symbolic(None)(leaf) is not leaf for leaf in tree.flatten((case[1], case[2])))
]
NEEDS_BATCH = {"broadcast_to", "vsplit"}


SQUARED = {"cdist", "corrcoef", "dot", "einsum", "inner", "matmul", "meshgrid", "qr", "tensordot"}


@pytest.mark.parametrize("case", SYMBOLIC, ids=tag)
@pytest.mark.parametrize("batch", [4, None])
def test_symbolic_shapes_and_dtypes_are_the_actual_ones(case, batch):
    name, args, kwargs = case
    function = find(ops, name)
    outputs = jax.tree.leaves(function(*args, **kwargs))
    inputs, named = tree.map_structure(symbolic(batch), (args, kwargs))
    try:
        specs = tree.flatten(function(*inputs, **named))
    except ShapeError:
        if batch is None and name in NEEDS_BATCH:
            pytest.skip("means something only for this batch")
        raise
    assert len(specs) == len(outputs)
    for spec, output in zip(specs, outputs, strict=True):
        assert isinstance(spec, SymbolicTensor)
        assert spec.dtype == jnp.asarray(output).dtype
        actual = jnp.shape(output)
        assert len(spec.shape) == len(actual)
        for known, size in zip(spec.shape, actual, strict=True):
            assert known == size or (known is None and batch is None)
        if batch is None and name not in SQUARED:
            assert sum(size is None for size in spec.shape) <= 1
