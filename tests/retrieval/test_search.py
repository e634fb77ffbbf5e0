"""Exact search against comparing with every vector in float64: the same rows in the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from retrieval.made import keys_of, make_index, nearest, vectors

from alexnet.base.errors import UsageError
from alexnet.retrieval import building
from alexnet.retrieval.files import Place
from alexnet.retrieval.kernels import distances, halves, lower_bounds, sums
from alexnet.retrieval.pairs import near_pairs
from alexnet.retrieval.rotation import directions, heads


def near_ties(count: int) -> np.ndarray:
    """Vectors that differ from one another in the last place of one number."""
    draw = np.random.default_rng(1)
    rows_NU = np.repeat(draw.standard_normal((1, 60)).astype(np.float32), count, axis=0)
    places = np.arange(count), draw.integers(0, 60, count)
    rows_NU[places] = np.nextafter(rows_NU[places], np.float32(9))
    return rows_NU


def adversarial(name: str, count: int = 900) -> np.ndarray:
    draw = np.random.default_rng(2)
    normal = draw.standard_normal((count, 50))
    made = {
        "activations": vectors(count, 300),
        "random": normal,
        "all equal": np.full((count, 50), 3.7),
        "all zero": np.zeros((count, 50)),
        "many ties": draw.integers(0, 3, (count, 12)) / 3,
        "one number": draw.integers(0, 4, (count, 1)),
        "huge": normal * 1e30,
        "overflowing heads": normal * 3e37,
        "tiny": normal * 1e-25,
        "of all sizes": normal * 10.0 ** draw.integers(-20, 10, (count, 1)),
        "permuted": np.stack([draw.permutation(50) for _ in range(count)]) / 7,
        "near ties": near_ties(count),
    }
    return made[name].astype(np.float32)


@pytest.mark.parametrize(
    "name",
    [
        *("activations", "random", "all equal", "all zero", "many ties", "one number", "huge"),
        *("overflowing heads", "tiny", "of all sizes", "permuted", "near ties"),
    ],
)
def test_the_same_rows_in_the_same_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_NU = adversarial(name)
    monkeypatch.setattr(building, "PART_BYTES", 4 * rows_NU.shape[1] * 256)  # four parts
    index, keys = make_index(tmp_path / "index", rows_NU), keys_of(len(rows_NU))
    assert len(index.vectors.parts) == 4
    between = (rows_NU[:9] + rows_NU[9:18]) / np.float32(2)
    queries_QU = np.concatenate([rows_NU[::150], between])
    for query_U, answer in zip(queries_QU, index.nearest(queries_QU, 7), strict=True):
        expected = nearest(rows_NU, keys, query_U, 7)
        assert [one.row for one in answer] == expected
        apart = rows_NU[expected].astype(float) - query_U
        assert [one.distance for one in answer] == np.sqrt((apart**2).sum(axis=1)).tolist()
        assert answer.rows_read <= answer.rows == len(rows_NU)
    alone = [index.nearest(query_U[None], 7)[0] for query_U in queries_QU]
    assert alone == index.nearest(queries_QU, 7)


def test_few_rows_are_read_where_heads_decide_and_all_where_they_cannot(tmp_path: Path) -> None:
    few = make_index(tmp_path / "few", vectors(4000, 400))
    queries_QU = vectors(4040, 400)[4000:]
    answers = few.nearest(queries_QU)
    assert np.mean([one.rows_read for one in answers]) < 0.1 * 4000
    many = make_index(tmp_path / "many", np.random.default_rng(0).standard_normal((3000, 400)))
    answer = many.nearest(np.random.default_rng(1).standard_normal((1, 400)))[0]
    assert answer.rows_read == answer.rows == 3000


def test_images_that_were_removed_and_those_of_other_splits_are_not_found(tmp_path: Path) -> None:
    rows_NU = vectors(300)
    splits = ["train", "val", ""]  # nowhere any more, where there is none
    places = [[Place(0, str(n), splits[n % 3], "")] if splits[n % 3] else [] for n in range(300)]
    index = make_index(tmp_path, rows_NU, places=places)
    assert len(index) == 200 and index.splits == ("train", "val")
    for split, wanted in (("", {0, 1}), ("train", {0}), ("val", {1})):
        left = [n for n in range(300) if n % 3 in wanted]
        keys = [keys_of(300)[n] for n in left]
        expected = [left[n] for n in nearest(rows_NU[left], keys, rows_NU[7], 9)]
        assert [one.row for one in index.nearest(rows_NU[7:8], 9, split)[0]] == expected
    with pytest.raises(UsageError, match="Did you mean 'train'"):
        index.nearest(rows_NU[:1], 6, "trian")
    assert len(index.nearest(rows_NU[:1], 1000)[0]) == 200


def test_distances_are_those_of_numpy_to_the_last_bit() -> None:
    draw = np.random.default_rng(3)
    for numbers in (1, 7, 8, 9, 127, 128, 129, 300, 1000, 4096, 10_001):
        rows_NU = draw.standard_normal((20, numbers)).astype(np.float32)
        query_1U = draw.standard_normal((1, numbers)).astype(np.float32)
        sums_N, found_1N = np.empty(20, np.uint64), np.empty((1, 20))
        sums(rows_NU, sums_N)
        everything = np.arange(20)
        assert distances(rows_NU, everything, sums_N, query_1U, halves(numbers), found_1N) == -1
        expected = ((rows_NU.astype(float) - query_1U.astype(float)) ** 2).sum(axis=1)
        assert np.array_equal(found_1N[0], expected)


def test_a_bound_is_never_above_the_distance() -> None:
    """Where only rounding is between them: vectors that lie in the directions of the heads, near each
    other and far from the origin."""
    draw = np.random.default_rng(4)
    for scale in (1e-20, 1e-3, 1.0, 1e15):
        base = draw.standard_normal((1, 200)) * scale
        rows_NU = (base * (1 + 1e-6 * draw.standard_normal((400, 1)))).astype(np.float32)
        basis_UD = directions(rows_NU)
        of, query = heads(rows_NU, basis_UD), heads(rows_NU[:1], basis_UD)
        products_N = (of.head @ query.head.T)[:, 0].copy()
        bounds_N = np.empty(400, np.float32)
        wanted_N = np.ones(400, np.bool_)
        lower_bounds(
            products_N,
            basis_UD.shape[1],
            of.tail,
            of.square,
            query.tail[0],
            query.square[0],
            wanted_N,
            bounds_N,
        )
        apart = rows_NU.astype(float) - rows_NU[0].astype(float)
        assert (bounds_N.astype(float) <= (apart**2).sum(axis=1)).all()


@pytest.mark.parametrize("near", [0.0, 0.2, 0.5])
def test_all_pairs_that_are_near_and_no_others(near: float, tmp_path: Path) -> None:
    rows_NU = vectors(700)
    rows_NU[300:340] = rows_NU[:40] * np.float32(1.001)
    rows_NU[340:350] = rows_NU[:10]
    rows_NU[350:353] = 0
    index = make_index(tmp_path, rows_NU)
    found = near_pairs(index.rows, index.is_there_N, near)
    exact = rows_NU.astype(float)
    lengths_N = np.sqrt((exact**2).sum(axis=1))
    away_NN = np.sqrt(((exact[:, None] - exact[None]) ** 2).sum(axis=2))
    is_near_NN = away_NN <= near * (lengths_N[:, None] + lengths_N) / 2
    expected = {(a, b) for a, b in np.argwhere(is_near_NN).tolist() if a < b}
    assert {(one.first, one.second) for one in found.pairs} == expected
    assert found.is_all and len(found.pairs) == len(expected) >= 13
    some = near_pairs(index.rows, index.is_there_N, near, most=5)
    assert len(some.pairs) == 5 and not some.is_all


def test_what_cannot_be_searched_for_is_named(tmp_path: Path) -> None:
    index = make_index(tmp_path, vectors(30))
    with pytest.raises(UsageError, match=r"Expected vectors of 40 numbers, Q x 40; got 2 x 41"):
        index.nearest(np.zeros((2, 41)))
    with pytest.raises(UsageError, match="not finite"):
        index.nearest(np.full((1, 40), np.nan))
    with pytest.raises(UsageError, match="top is 0"):
        index.nearest(np.zeros((1, 40)), 0)


def test_vectors_are_numpy_arrays_that_share_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_NU = vectors(100)
    whole = make_index(tmp_path / "one", rows_NU).vectors
    assert np.shares_memory(np.asarray(whole), whole.parts[0])
    monkeypatch.setattr(building, "PART_BYTES", 4 * 40 * 30)
    index = make_index(tmp_path / "several", rows_NU)
    found = index.vectors
    assert found.shape == (100, 40) and found.dtype == np.float32 and len(found) == 100
    assert np.array_equal(np.asarray(found), rows_NU)
    assert np.shares_memory(found[31], found.parts[1])
    assert np.shares_memory(found[31:59], found.parts[1])
    for rows in (-1, slice(25, 70), slice(None, None, -7), [3, 99, -4], rows_NU[:, 0] > 0):
        assert np.array_equal(found[rows], rows_NU[rows])  # type: ignore[index]
    with pytest.raises(IndexError):
        found[100]
    with pytest.raises(ValueError, match="read-only"):
        found[31][0] = 1
