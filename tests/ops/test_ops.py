"""Every operation gives what Keras gives, on arrays, and knows its shape before it has any."""

import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from cases import CASES, IMAGES, SQUARE, VALUE_DEPENDENT, X, Z

from plait import ops
from plait.core.variable import Variable
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor
from plait.ops.operation import FUNCTIONS

LEFT_OUT = {"ctc_decode", "ctc_loss", "affine_transform", "elastic_transform", "perspective_transform"}
NAMESPACES = ["ops", "ops.image", "ops.linalg", "ops.nn", "ops.numpy"]


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
