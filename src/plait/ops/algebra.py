"""Products, decompositions and solvers of linear algebra."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as scipy

from plait.errors import ConfigError, ShapeError
from plait.ops.arguments import Function, Table


def _product(function: Function) -> Function:
    return lambda x1, x2: function(x1, x2)


def _of_matrix(function: Function) -> Function:
    return lambda x: function(x)


def _eight_bits(*operands: Any) -> Any:
    """Return int32 for int8 operands, which hardware multiplies into that."""
    eight = all(getattr(operand, "dtype", None) == jnp.int8 for operand in operands)
    return jnp.int32 if eight else None


def _matmul(x1: Any, x2: Any) -> jax.Array:
    return jnp.matmul(x1, x2, preferred_element_type=_eight_bits(x1, x2))


def _einsum(subscripts: str, *operands: Any, **kwargs: Any) -> jax.Array:
    return jnp.einsum(
        subscripts, *operands, preferred_element_type=_eight_bits(*operands), **kwargs
    )


def _cdist(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the Euclidean distance of every row of `x` from every row of `y`."""
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"expects rows of equal length, received {x.shape} and {y.shape}.")
    return jnp.sqrt(jnp.sum(jnp.square(x[..., :, None, :] - y[..., None, :, :]), axis=-1))


def _cholesky(x: jax.Array, upper: bool = False) -> jax.Array:
    factor = jnp.linalg.cholesky(x, upper=upper)
    if not isinstance(factor, jax.core.Tracer) and jnp.isnan(factor).any():
        raise ConfigError("failed: the matrix is not positive definite.")
    return factor


def _cholesky_inverse(x: jax.Array, upper: bool = False) -> jax.Array:
    """Return the inverse of the matrix whose Cholesky factor is `x`."""
    inverse = scipy.solve_triangular(x, jnp.eye(x.shape[-1], dtype=x.dtype), lower=not upper)
    return inverse @ inverse.T if upper else inverse.T @ inverse


def _lu_factor(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return tuple(scipy.lu_factor(x))


def _norm(x: jax.Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> jax.Array:
    return jnp.linalg.norm(x.astype(jnp.result_type(x, float)), ord, axis, keepdims)


def _qr(x: jax.Array, mode: str = "reduced") -> tuple[jax.Array, jax.Array]:
    if mode not in ("reduced", "complete"):
        raise ConfigError(f"has no mode {mode!r}.", fix="mode='reduced' or mode='complete'")
    return tuple(jnp.linalg.qr(x, mode))


def _svd(x: jax.Array, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    result = jnp.linalg.svd(x, full_matrices, compute_uv)
    return tuple(result) if compute_uv else result


def _at_least_matrix(x: jax.Array) -> jax.Array:
    if x.ndim < 2:
        raise ShapeError(f"expects a matrix, received {x.shape}.")
    return x


LINALG: Table = {
    **{name: _of_matrix(getattr(jnp.linalg, name)) for name in ("det", "inv")},
    "cholesky": _cholesky,
    "cholesky_inverse": _cholesky_inverse,
    "eig": lambda x: tuple(jnp.linalg.eig(x)),
    "eigh": lambda x: tuple(jnp.linalg.eigh(x)),
    "lstsq": lambda a, b, rcond=None: jnp.linalg.lstsq(a, b, rcond)[0],
    "lu_factor": _lu_factor,
    "matrix_rank": lambda x, tol=None: jnp.linalg.matrix_rank(_at_least_matrix(x), tol=tol).astype(
        jnp.int32
    ),
    "norm": _norm,
    "pinv": lambda x, rcond=None: jnp.linalg.pinv(_at_least_matrix(x), rcond),
    "qr": _qr,
    "solve": lambda a, b: jnp.linalg.solve(a, b),
    "solve_triangular": lambda a, b, lower=False: scipy.solve_triangular(a, b, lower=lower),
    "svd": _svd,
}

TABLE: Table = {
    **{name: _product(getattr(jnp, name)) for name in ("dot", "inner", "kron", "outer", "vdot")},
    **LINALG,
    "cdist": _cdist,
    "corrcoef": lambda x: jnp.corrcoef(x),
    "correlate": lambda x1, x2, mode="valid": jnp.correlate(x1, x2, mode),
    "cross": lambda x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None: jnp.cross(
        x1, x2, axisa, axisb, axisc, axis
    ),
    "einsum": _einsum,
    "logdet": lambda x: jnp.linalg.slogdet(x)[1],
    "matmul": _matmul,
    "slogdet": lambda x: tuple(jnp.linalg.slogdet(x)),
    "tensordot": lambda x1, x2, axes=2: jnp.tensordot(x1, x2, axes),
    "trace": lambda x, offset=0, axis1=0, axis2=1: jnp.trace(x, offset, axis1, axis2),
}
