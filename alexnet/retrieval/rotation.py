"""The directions in which vectors differ most, and what of every vector lies along them: its head.

Any orthonormal directions keep the search exact; these make it fast.

Legend: S rows of a sample, N rows, U numbers of a vector, D directions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alexnet.retrieval.kernels import head_of, sums

DIRECTIONS = 128
SAMPLE = 4096  # rows; more make the directions no better
_TURNS = 4  # of the subspace iteration; the directions need not be the very best
_ORTHONORMAL = 1e-12  # what `kernels` takes for granted
_AT_ONCE = 1024  # rows
_FEW = 4  # below it, threads that wait for each other take longer than the work


class Heads(NamedTuple):
    """Of N rows: their components along D directions, the length of all the rest (their tail), the
    squares of both together, and sums by which a damaged row is known."""

    head: np.ndarray  # float32, N x D
    tail: np.ndarray  # float32, N
    square: np.ndarray  # float64, N
    sum: np.ndarray  # uint64, N


def directions(sample_SU: np.ndarray) -> np.ndarray:
    """Orthonormal directions that hold most of the sample, by subspace iteration: float64, U x D."""
    U = sample_SU.shape[1]
    x_SU = np.ascontiguousarray(sample_SU, np.float32)
    scale = float(np.abs(x_SU).max(initial=0)) or 1.0
    x_SU = x_SU / np.float32(scale)  # squares of it are neither too large nor too small
    draw = np.random.default_rng(0)
    basis_UD, _ = np.linalg.qr(draw.standard_normal((U, min(DIRECTIONS, U))))
    for _ in range(_TURNS):
        basis_UD, _ = np.linalg.qr((x_SU.T @ (x_SU @ basis_UD.astype(np.float32))).astype(float))
    assert is_orthonormal(basis_UD)
    return basis_UD


def is_orthonormal(basis_UD: np.ndarray) -> bool:
    """Whether directions are at right angles and of length one, to rounding."""
    off_DD = basis_UD.T @ basis_UD - np.eye(basis_UD.shape[1])
    return bool(np.linalg.norm(off_DD) < _ORTHONORMAL)


def heads(rows_NU: np.ndarray, basis_UD: np.ndarray) -> Heads:
    """The heads of float32 vectors, computed in float64."""
    N, D = len(rows_NU), basis_UD.shape[1]
    found = Heads(
        np.empty((N, D), np.float32), np.empty(N, np.float32), np.empty(N), np.empty(N, np.uint64)
    )
    with np.errstate(over="ignore"):  # of float32: such heads bound nothing
        if N < _FEW:
            head_D = np.empty(D)
            for n in range(N):
                found.tail[n] = head_of(rows_NU[n], basis_UD, head_D)
                found.head[n] = head_D
        for first in range(0, N if N >= _FEW else 0, _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            x_NU = rows_NU[some].astype(np.float64)
            head_ND = x_NU @ basis_UD
            x_NU -= head_ND @ basis_UD.T
            found.head[some] = head_ND
            found.tail[some] = np.sqrt(np.einsum("nu,nu->n", x_NU, x_NU))
    head_ND = found.head.astype(np.float64)
    found.square[:] = np.einsum("nd,nd->n", head_ND, head_ND) + found.tail.astype(np.float64) ** 2
    sums(np.ascontiguousarray(rows_NU), found.sum)
    return found
