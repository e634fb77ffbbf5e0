"""Codes by hand algebra: bits, rotations, a gradient straight through, the nearest by counted bits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from retrieval.made import vectors

from alexnet.base import ranks
from alexnet.base.errors import UsageError
from alexnet.retrieval import autoencoder, hamming
from alexnet.retrieval.autoencoder import Autoencoder, rounded
from alexnet.retrieval.codes import METHODS, Coder, packed, unpacked
from alexnet.retrieval.hamming import nearest_codes
from alexnet.retrieval.projections import principal, quantizing_rotation, rotation


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network, trained for a moment."""
    monkeypatch.setattr(autoencoder, "HIDDEN", (24, 16))
    monkeypatch.setattr(autoencoder, "EPOCHS", 3)


# --- Bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 28, 64, 65, 256])
def test_words_hold_bits_from_the_lowest(bits: int) -> None:
    bits_NB = np.random.default_rng(1).random((9, bits)) < 0.5
    codes_NW = packed(bits_NB)
    assert codes_NW.dtype == np.uint64 and codes_NW.shape == (9, -(-bits // 64))
    for row, words in zip(bits_NB, codes_NW.tolist(), strict=True):
        assert sum(word << (64 * w) for w, word in enumerate(words)) == sum(
            int(bit) << b for b, bit in enumerate(row)
        )
    assert np.array_equal(unpacked(codes_NW, bits), bits_NB)


@pytest.mark.parametrize("words", [1, 2, 4])
@pytest.mark.parametrize("alone", [True, False])
def test_nearest_codes_are_those_of_counted_bits(
    words: int, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few different codes, so that many are as near, over the borders of groups and of threads."""
    monkeypatch.setattr(hamming, "_ALONE", 10**9 if alone else 0)
    monkeypatch.setattr(ranks, "cores", lambda: 3)
    draw = np.random.default_rng(words)
    some_MW = draw.integers(0, 2**64, (40, words), np.uint64)
    codes_NW = some_MW[draw.integers(0, 40, 2500)]
    queries_QW = np.concatenate([some_MW[:2], draw.integers(0, 2**64, (2, words), np.uint64)])
    order_N, wanted_N = draw.permutation(2500), draw.random(2500) < 0.7
    ranks_N = np.argsort(order_N).astype(np.uint32)
    for top in (1, 6, 300, 5000):
        found = nearest_codes(codes_NW, order_N, ranks_N, wanted_N, queries_QW, top)
        for q, query_W in enumerate(queries_QW.tolist()):
            apart = [
                sum((mine ^ its).bit_count() for mine, its in zip(code, query_W, strict=True))
                for code in codes_NW.tolist()
            ]
            expected = sorted(np.flatnonzero(wanted_N), key=lambda n: (apart[n], ranks_N[n]))[:top]
            assert found.rows_QK[q].tolist() == expected
            assert found.bits_QK[q].tolist() == [apart[n] for n in expected]
    nothing = nearest_codes(codes_NW, order_N, ranks_N, wanted_N & False, queries_QW, 6)
    assert nothing.rows_QK.shape == (4, 0)


# --- Straight lines -------------------------------------------------------------------------------


def test_principal_directions_are_eigenvectors_of_the_covariance() -> None:
    rows_NU = vectors(300)
    found = principal(rows_NU, 5, 0)
    x_NU = rows_NU - rows_NU.mean(axis=0, dtype=np.float64)
    values_U, vectors_UU = np.linalg.eigh(x_NU.T @ x_NU / 300)
    assert found.variance_D == pytest.approx(values_U[::-1][:5], rel=1e-4)
    assert found.variance == pytest.approx(values_U.sum(), rel=1e-4)
    alike_DD = np.abs(found.basis_UD.T @ vectors_UU[:, ::-1][:, :5])
    assert alike_DD == pytest.approx(np.eye(5), abs=1e-3)


def test_itq_finds_a_rotation_that_brings_vectors_near_their_signs() -> None:
    """Vectors that are signs, turned: the rotation back is known but for the order and signs of bits."""
    draw = np.random.default_rng(3)
    signs_SB = np.where(draw.random((400, 6)) < 0.5, 1.0, -1.0)
    turned_SB = signs_SB @ rotation(6, 1, "away").T + 0.05 * draw.standard_normal((400, 6))
    turn_BB, losses = quantizing_rotation(turned_SB, rotation(6, 2, "start"))
    assert turn_BB.T @ turn_BB == pytest.approx(np.eye(6), abs=1e-12)
    assert all(after <= before + 1e-12 for before, after in pairwise(losses))
    assert losses[-1] < losses[0] / 4
    back_SB = turned_SB @ turn_BB
    assert np.mean((np.where(back_SB > 0, 1, -1) - back_SB) ** 2) < 0.01


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("small")
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(method: str) -> None:
    rows_NU = vectors(300)
    first, again, other = (Coder.fit(rows_NU, 28, seed, method) for seed in (0, 0, 1))
    codes_NW = first.encode(rows_NU)
    assert first.bits == 28 and codes_NW.shape == (300, 1) and len(np.unique(codes_NW)) > 100
    assert np.array_equal(codes_NW, again.encode(rows_NU))
    assert np.array_equal(codes_NW[7:8], first.encode(rows_NU[7:8]))
    is_pca = method == "pca"  # of principal directions there is one choice, but for signs
    assert is_pca or not np.array_equal(codes_NW, other.encode(rows_NU))
    kept = Coder.of(first.arrays(), 40, 28)
    assert np.array_equal(codes_NW, kept.encode(rows_NU))
    arrays = first.arrays()
    for changed in (arrays | {"mean": np.zeros(41)}, arrays | {"weights7": np.zeros((2, 2))}):
        with pytest.raises((ValueError, KeyError)):
            Coder.of(changed, 40, 28)


def test_what_codes_there_are_is_said() -> None:
    rows_NU = vectors(60)
    with pytest.raises(UsageError, match="1 to 256 bits, not 257"):
        Coder.fit(rows_NU, 257)
    with pytest.raises(UsageError, match="at most 40 bits"):
        Coder.fit(rows_NU, 64, 0, "itq")
    with pytest.raises(UsageError, match="'itq'"):
        Coder.fit(rows_NU, 8, 0, "itk")
    with pytest.raises(UsageError, match="two are the least"):
        Coder.fit(rows_NU[:1], 8)
    assert Coder.fit(rows_NU, 64, 0, "random").bits == 64  # more than there are right angles for


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("small")
def test_equal_vectors_have_equal_codes(method: str) -> None:
    for rows_NU in (np.zeros((20, 12), np.float32), np.full((2, 12), 1e30, np.float32)):
        codes_NW = Coder.fit(rows_NU, 12, 0, method).encode(rows_NU)
        assert len(np.unique(codes_NW)) == 1


# --- The autoencoder ------------------------------------------------------------------------------


def test_rounding_is_ignored_on_the_way_back() -> None:
    """Of two bits that a linear layer rebuilds two numbers from, by hand.

    p = 1/(1 + exp(-x)), b = [p > 1/2], y = w (2b - 1), error (y - t)^2 / 2 over two numbers:
    its derivative by x is (y - t) w * 2 * p (1 - p), with b in y and p in the slope.
    """
    x = torch.tensor([[0.5, -1.5]], dtype=torch.float64, requires_grad=True)
    w, t = torch.tensor([3.0, 0.5], dtype=torch.float64), torch.tensor([1.0, 1.0])
    y = w * (2 * rounded(torch.sigmoid(x)) - 1)
    assert y.tolist() == [[3.0, -0.5]]
    ((y - t) ** 2 / 2).sum().backward()
    p = 1 / (1 + np.exp(-np.array([0.5, -1.5])))
    expected = np.array([2.0, -1.5]) * np.array([3.0, 0.5]) * 2 * p * (1 - p)
    assert x.grad is not None and x.grad[0].numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("small")
def test_the_coder_has_the_bits_of_the_network_that_was_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NumPy's float64 against the network's own code layer."""
    made: list[Autoencoder] = []
    train = autoencoder.train

    def trained(network: Autoencoder, *settings: object) -> list[float]:
        made.append(network)
        return train(network, *settings)  # type: ignore[arg-type]

    monkeypatch.setattr(autoencoder, "train", trained)
    rows_NU = vectors(300)
    coder = Coder.fit(rows_NU, 20)
    x_ND = (rows_NU - coder.mean_U) @ coder.basis_UD
    assert (x_ND**2).sum(axis=1).mean() == pytest.approx(autoencoder.SQUARE, rel=1e-3)
    code_NB = made[0].double().code(torch.from_numpy(x_ND)).detach().numpy()
    assert np.array_equal(unpacked(coder.encode(rows_NU), 20), code_NB == 1)


def test_it_learns_to_rebuild_vectors_better_than_their_mean() -> None:
    """Clusters, of which bits can say the number: the variance is the error of the mean."""
    draw = np.random.default_rng(2)
    centres = draw.standard_normal((16, 12))
    x_SD = centres[draw.integers(0, 16, 1024)] + 0.05 * draw.standard_normal((1024, 12))
    x_SD *= np.sqrt(autoencoder.SQUARE / (x_SD**2).sum(axis=1).mean())
    network = Autoencoder(12, 8, 0)
    errors = autoencoder.train(network, torch.from_numpy(x_SD.astype(np.float32)), 12, 0)
    assert errors[-1] < 0.3 < errors[0]
