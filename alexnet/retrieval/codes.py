"""Short binary codes of vectors: which methods there are, and what they all come to (section 6.1).

    coder = Coder.fit(vectors, bits=64, seed=0)
    coder.encode(vectors)  # uint64, N x 1

Legend: N vectors, U numbers of a vector, D directions, B bits, W words of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from alexnet.base.errors import UsageError, did_you_mean
from alexnet.retrieval import projections
from alexnet.retrieval.vectors import Vectors

MOST_BITS = 256
WORD = 64
AUTOENCODER = "autoencoder"
_AT_ONCE = 2048  # vectors
_LINEAR: dict[str, Callable[[Vectors, int, int], tuple[np.ndarray, np.ndarray]]] = {
    "itq": projections.itq,
    "pca": projections.pca_signs,
    "random": projections.random_signs,
}
METHODS = (AUTOENCODER, *_LINEAR)
PRINCIPAL = ("itq", "pca")  # of which there are no more bits than vectors have numbers


@dataclass(frozen=True)
class Coder:
    """From vectors to bits: the mean is taken off, then components along directions are taken, then
    `layers` of weights and biases follow with ReLUs between them; each bit is a sign.

    All is computed in float64, so that a vector has the same code alone and among others.
    """

    mean_U: np.ndarray
    basis_UD: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @classmethod
    def fit(cls, vectors_NU: Vectors, bits: int, seed: int = 0, method: str = AUTOENCODER) -> Coder:
        """A coder for vectors like these, float32, N x U; the same seed gives the same coder.

        Raises UsageError for a method or a number of bits that there is not.
        """
        if not 1 <= bits <= MOST_BITS:
            raise UsageError(f"Codes have 1 to {MOST_BITS} bits, not {bits}.")
        if len(vectors_NU) < 2:
            raise UsageError("There are too few vectors to find codes for: two are the least.")
        if method in _LINEAR:
            return cls(*_LINEAR[method](vectors_NU, bits, seed))
        if method != AUTOENCODER:
            raise UsageError(
                f"There are no codes {method!r}.", remedy=did_you_mean(method, METHODS)
            )
        from alexnet.retrieval.autoencoder import fit

        return cls(*fit(vectors_NU, bits, seed))

    @property
    def bits(self) -> int:
        """Of a code."""
        return int((self.layers[-1][0] if self.layers else self.basis_UD).shape[1])

    def encode(self, vectors_NU: Vectors) -> np.ndarray:
        """The codes of vectors: uint64, N x W."""
        found = np.empty((len(vectors_NU), -(-self.bits // WORD)), np.uint64)
        for first in range(0, len(found), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            x_ND = (np.asarray(vectors_NU[some], np.float64) - self.mean_U) @ self.basis_UD
            for n, (weights, biases) in enumerate(self.layers):
                x_ND = (np.maximum(x_ND, 0) if n else x_ND) @ weights.astype(np.float64) + biases
            found[some] = packed(x_ND > 0)
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """What it consists of, by names."""
        found = {"mean": self.mean_U, "basis": self.basis_UD}
        for n, (weights, biases) in enumerate(self.layers):
            found |= {f"weights{n}": weights, f"biases{n}": biases}
        return found

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], numbers: int, bits: int) -> Coder:
        """The coder of vectors of so many `numbers` that consists of these arrays.

        Raises ValueError where there is no such coder.
        """
        mean_U, basis_UD = arrays["mean"], arrays["basis"]
        count = (len(arrays) - 2) // 2
        layers = tuple((arrays[f"weights{n}"], arrays[f"biases{n}"]) for n in range(count))
        found = cls(mean_U, basis_UD, layers)
        sizes = [basis_UD.shape, *(weights.shape for weights, _ in layers)]
        fits = mean_U.shape == (numbers,) and basis_UD.shape[0] == numbers and found.bits == bits
        fits &= all(one[1] == other[0] for one, other in pairwise(sizes))
        fits &= all(biases.shape == weights.shape[1:] for weights, biases in layers)
        if not fits or found.arrays().keys() != arrays.keys():
            raise ValueError(f"arrays {', '.join(sorted(arrays))} do not fit together")
        return found


def packed(bits_NB: np.ndarray) -> np.ndarray:
    """Bits as words, the first bit the lowest of the first word, the rest zeros: uint64, N x W."""
    N, B = bits_NB.shape
    padded = np.zeros((N, -(-B // WORD) * WORD), np.bool_)
    padded[:, :B] = bits_NB
    words: np.ndarray = np.packbits(padded, axis=1, bitorder="little").view("<u8")
    return words.astype(np.uint64, copy=False)


def unpacked(codes_NW: np.ndarray, bits: int) -> np.ndarray:
    """The bits of codes: bool, N x B."""
    octets = np.ascontiguousarray(codes_NW).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=1, count=bits, bitorder="little").astype(np.bool_)
