"""Codes of straight lines: each bit says on which side of a plane a vector lies.

Random planes, those of the directions in which vectors differ most, and these turned so that vectors lie
far from the planes (iterative quantization, Gong and Lazebnik 2011): the autoencoder's baselines.

Legend: S vectors of a sample, N vectors, U numbers of a vector, B bits, D directions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alexnet.base.errors import UsageError
from alexnet.base.randomness import Purpose, stream
from alexnet.retrieval.vectors import Vectors

_SAMPLE = 2**14  # vectors that the directions are found from
_AT_ONCE = 4096  # vectors that are read
_TURNS = 6  # of the subspace iteration
_MORE = 16  # directions that are carried along, so that the last of those wanted are right too
ITQ_TURNS = 50


class Principal(NamedTuple):
    """The mean of vectors, and orthonormal directions, those first in which they differ most."""

    mean_U: np.ndarray  # float64
    basis_UD: np.ndarray  # float64
    variance_D: np.ndarray  # float64, along each direction
    variance: float  # along all directions there are

    def of_sample(self, vectors_NU: Vectors, most: int) -> np.ndarray:
        """The components of at most so many of the vectors, their mean taken off: float32, S x D."""
        rows_S = _evenly(len(vectors_NU), most)
        found = np.empty((len(rows_S), self.basis_UD.shape[1]), np.float32)
        for first in range(0, len(found), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            found[some] = (vectors_NU[rows_S[some]] - self.mean_U) @ self.basis_UD
        return found


def principal(vectors_NU: Vectors, count: int, seed: int) -> Principal:
    """At most `count` principal directions, by subspace iteration on a sample."""
    x_SU = vectors_NU[_evenly(len(vectors_NU), _SAMPLE)]
    mean_U = x_SU.mean(axis=0, dtype=np.float64)
    x_SU -= mean_U.astype(np.float32)
    S, U = x_SU.shape
    start = stream(seed, Purpose.CODES, "principal").standard_normal((U, min(count + _MORE, U)))
    basis_UD, _ = np.linalg.qr(start)
    for _ in range(_TURNS):
        basis_UD, _ = np.linalg.qr((x_SU.T @ (x_SU @ basis_UD.astype(np.float32))).astype(float))
    along_SD = x_SU @ basis_UD.astype(np.float32)
    variance_D, turn_DD = np.linalg.eigh((along_SD.T @ along_SD).astype(float) / S)
    order = np.argsort(-variance_D, kind="stable")[:count]
    whole = float(np.einsum("su,su->", x_SU, x_SU, dtype=np.float64)) / S
    return Principal(mean_U, basis_UD @ turn_DD[:, order], variance_D[order], whole)


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many rows of `count`, from everywhere among them."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def rotation(size: int, seed: int, name: str) -> np.ndarray:
    """A random rotation, any as likely as any other: float64, size x size."""
    turned, triangle = np.linalg.qr(stream(seed, Purpose.CODES, name).standard_normal((size, size)))
    found: np.ndarray = turned * np.sign(np.diag(triangle))
    return found


def random_signs(vectors_NU: Vectors, bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and B random directions at right angles to each other as long as there are such."""
    mean_U = vectors_NU[_evenly(len(vectors_NU), _SAMPLE)].mean(axis=0, dtype=np.float64)
    U = len(mean_U)
    draw = stream(seed, Purpose.CODES, "random")
    blocks = [
        np.linalg.qr(draw.standard_normal((U, min(U, bits - first))))[0]
        for first in range(0, bits, U)
    ]
    return mean_U, np.concatenate(blocks, axis=1)


def pca_signs(vectors_NU: Vectors, bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and the B principal directions."""
    found = principal(vectors_NU, bits, seed)
    return found.mean_U, _enough(found, bits)


def itq(vectors_NU: Vectors, bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and the B principal directions, turned by `quantizing_rotation`."""
    found = principal(vectors_NU, bits, seed)
    basis_UB = _enough(found, bits)
    along_SB = found.of_sample(vectors_NU, 2 * _SAMPLE).astype(np.float64)
    turn_BB, _ = quantizing_rotation(along_SB, rotation(bits, seed, "itq"))
    return found.mean_U, basis_UB @ turn_BB


def quantizing_rotation(
    along_SB: np.ndarray, turn_BB: np.ndarray, turns: int = ITQ_TURNS
) -> tuple[np.ndarray, list[float]]:
    """Turn vectors so that their signs are near to them: the rotation, and the mean squared distance of
    vectors from their signs before each turn.

    In turn, the best signs for a rotation, and the best rotation for signs (a Procrustes problem): the
    distance never grows.
    """
    losses = []
    for _ in range(turns):
        turned_SB = along_SB @ turn_BB
        signs_SB = np.where(turned_SB > 0, 1.0, -1.0)
        losses.append(float(((signs_SB - turned_SB) ** 2).sum(axis=1).mean()))
        left_BB, _, right_BB = np.linalg.svd(along_SB.T @ signs_SB)
        turn_BB = left_BB @ right_BB
    return turn_BB, losses


def _enough(found: Principal, bits: int) -> np.ndarray:
    if (there := found.basis_UD.shape[1]) < bits:
        raise UsageError(
            f"Vectors of {there:,} numbers have no {bits} principal directions.",
            remedy=f"Ask for at most {there} bits.",
        )
    return found.basis_UD
