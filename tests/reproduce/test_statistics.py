"""Intervals and p values against SciPy's, hand algebra, and each other; what is undefined is None."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reproduce.made import cell
from scipy import stats

from alexnet.reproduce import statistics
from alexnet.reproduce.experiments import study
from alexnet.reproduce.statistics import (
    bca_interval,
    effect,
    holm,
    seeds_and_images_interval,
    sign_flip_p,
    t_interval,
    t_p,
    welch_interval,
    widened_bca,
)

DOCS = Path(__file__).parents[2] / "docs" / "reproduce.md"


def two_arms(S: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Test errors in points with something in common, and of unequal spread."""
    draw = np.random.default_rng(S)
    common_S = draw.normal(20, 0.4, S)
    return common_S + draw.normal(shift, 0.3, S), common_S + draw.normal(0, 0.7, S)


@pytest.mark.parametrize("S", [2, 3, 6, 11])
def test_student_and_welch_are_scipys(S: int) -> None:
    with_S, without_S = two_arms(S, shift=0.5)
    paired = stats.ttest_rel(with_S, without_S)
    for confidence in (0.95, 0.9):
        wanted = paired.confidence_interval(confidence)
        assert np.allclose(t_interval(with_S - without_S, confidence), wanted, rtol=1e-12)
    assert np.isclose(t_p(with_S - without_S), paired.pvalue, rtol=1e-12)
    unpaired = stats.ttest_ind(with_S, without_S, equal_var=False).confidence_interval(0.95)
    assert np.allclose(welch_interval(with_S, without_S), unpaired, rtol=1e-12)


@pytest.mark.parametrize("S", [1, 2, 5, 6, 9])
def test_sign_flips_are_scipys(S: int) -> None:
    with_S, without_S = two_arms(S, shift=0.5)
    wanted = stats.permutation_test(
        (with_S - without_S,), np.mean, permutation_type="samples", n_resamples=np.inf
    ) if S > 1 else None  # fmt: skip
    assert np.isclose(sign_flip_p(with_S - without_S), wanted.pvalue if wanted else 1.0)


def test_of_five_seeds_no_sign_flip_is_significant_and_of_six_one_is() -> None:
    assert sign_flip_p(np.full(5, -1.0)) == 2 / 2**5 > statistics.LEVEL
    assert sign_flip_p(np.full(6, -1.0)) == 2 / 2**6 < statistics.LEVEL


def test_sums_that_are_equal_but_for_rounding_are_equal() -> None:
    """0.1 + 0.2 - 0.3 is not 0: of the flips of 0.1, 0.2, 0.3, those of sums 0 and 6 tenths."""
    assert 0.1 + 0.2 - 0.3 != 0
    assert sign_flip_p(np.array([0.1, 0.2, -0.3])) == 1
    assert sign_flip_p(np.array([0.1, 0.2, 0.3])) == 2 / 8


def test_beyond_twenty_seeds_sign_flips_are_drawn() -> None:
    d_S = np.random.default_rng(2).normal(0.4, 1, 20)
    exact = float(sign_flip_p(d_S))
    drawn = float(sign_flip_p(np.append(d_S, 0.0)))  # a zero has no sign to flip
    assert 0.01 < exact < 0.3 and abs(drawn - exact) < 4 * (exact / 100_000) ** 0.5
    assert 0 < sign_flip_p(np.ones(40)) < 1e-4


@pytest.mark.parametrize("S", [6, 8, 12])
def test_bca_is_scipys(S: int) -> None:
    d_S = np.random.default_rng(S).exponential(size=S)
    found = stats.bootstrap((d_S,), np.mean, n_resamples=200_000, method="BCa", rng=1, batch=20_000)
    wanted = found.confidence_interval
    low, high = bca_interval(d_S)
    assert np.allclose((low, high), wanted, atol=0.02 * (wanted.high - wanted.low))
    assert high - d_S.mean() > d_S.mean() - low  # the data are skewed


def test_bca_is_widened_for_what_few_seeds_leave_unknown() -> None:
    d_S = np.random.default_rng(1).normal(size=6)
    plain, wide = np.array(bca_interval(d_S)), np.array(widened_bca(d_S))
    factor = (6 / 5) ** 0.5 * stats.t(4).ppf(0.975) / stats.norm.ppf(0.975)
    assert np.allclose((wide - d_S.mean()) / (plain - d_S.mean()), factor)


def test_the_bootstrap_draws_the_same_everywhere() -> None:
    d_S = np.array([-1.4, -0.9, -1.1, -0.2, -1.6, -0.7, -1.3])
    statistics._resampled.cache_clear()
    first = bca_interval(d_S)
    statistics._resampled.cache_clear()
    assert bca_interval(d_S) == first
    assert np.allclose(first, (-1.3, -4.5 / 7), rtol=1e-12)


@pytest.mark.parametrize("S", [3, 6, 21])
def test_experiments_side_by_side_are_those_alone(S: int) -> None:
    a_XS, b_XS = np.random.default_rng(2).normal(size=(2, 4, S))
    d_XS = a_XS - b_XS
    for function in (t_interval, t_p, sign_flip_p, bca_interval, widened_bca):
        alone = [function(d_S) for d_S in d_XS]
        assert np.allclose(np.transpose(function(d_XS)), alone)
    assert np.allclose(np.transpose(welch_interval(a_XS, b_XS)), [*map(welch_interval, a_XS, b_XS)])


def right(errors_SN: np.ndarray) -> np.ndarray:
    return ~errors_SN.astype(bool)


def test_over_images_alone_it_is_students_interval_over_images() -> None:
    """What an arm changes is the same in every run: new seeds would change nothing."""
    draw = np.random.default_rng(3)
    with_N, without_N = draw.random((2, 50)) < 0.3
    arms = [right(np.tile(one_N, (4, 1))) for one_N in (with_N, without_N)]
    found = seeds_and_images_interval(*arms)
    assert np.allclose(found, t_interval(100.0 * (with_N.astype(float) - without_N)))


def test_over_seeds_alone_it_is_students_interval_over_seeds() -> None:
    """Each run errs on all images or none: new images would change nothing."""
    with_S, without_S = np.array([0, 0, 1, 0, 1]), np.array([1, 0, 1, 1, 1])
    arms = [right(np.tile(one_S[:, None], (1, 30))) for one_S in (with_S, without_S)]
    assert np.allclose(seeds_and_images_interval(*arms), t_interval(100.0 * (with_S - without_S)))


def test_over_seeds_and_images_by_hand() -> None:
    """Two seeds, three images; squares of a two-way table, summed on paper."""
    with_SN, without_SN = np.array([[1, 1, 0], [1, 0, 0]]), np.array([[0, 0, 0], [0, 1, 0]])
    # Differences: 1 1 0 / 1 -1 0. Means of rows 2/3, 0; of columns 1, 0, 0; of all 1/3.
    # Rows: 2 (1/3)^2 = 2/9. Columns: (2/3)^2 + 2 (1/3)^2 = 2/3, over 2. What is left of each number:
    # -1/3 2/3 -1/3 / 1/3 -2/3 1/3, squares 4/3, over 2.
    over_seeds, over_images, single = 2 / 9, 1 / 3, 2 / 3
    assert over_images - single / 2 == 0  # single decisions explain all that images differ in
    half = 100 * stats.t(1).ppf(0.975) * (over_seeds / 2) ** 0.5
    found = seeds_and_images_interval(right(with_SN), right(without_SN))
    assert np.allclose(found, (100 / 3 - half, 100 / 3 + half))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == [0.03, 0.06, None, 0.06, 0.02]
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([None]) == [None] and holm([]) == []


def test_an_effect_has_what_its_parts_say() -> None:
    draw = np.random.default_rng(4)
    wrong = draw.random((2, 7, 200)) < np.array([0.2, 0.3])[:, None, None]
    errors = 100 * wrong.mean(axis=2)
    found = effect(range(7), errors[0].tolist(), errors[1].tolist(), (~wrong[0], ~wrong[1]))
    d_S = errors[0] - errors[1]
    assert found.mean == pytest.approx(d_S.mean()) and found.differences == tuple(d_S)
    assert found.spread == pytest.approx(d_S.std(ddof=1))
    assert found.t_interval == t_interval(d_S) and found.bca == widened_bca(d_S)
    assert found.seeds_and_images == seeds_and_images_interval(~wrong[0], ~wrong[1])
    assert found.correlation == pytest.approx(np.corrcoef(errors)[0, 1])
    assert (found.welch is None) == (found.correlation > 0)
    other = effect(range(7), errors[0].tolist(), (2 * errors[0].mean() - errors[0]).tolist())
    assert other.correlation == pytest.approx(-1) and other.welch and not other.welch.has(1e9)


def test_what_is_not_defined_is_none() -> None:
    one = effect(
        [3],
        [1.0],
        [2.0],
        (np.array([[True] * 99 + [False]]), np.array([[True] * 98 + [False] * 2])),
    )
    assert (one.mean, one.spread, one.sign_flip_p) == (-1.0, None, 1.0)
    for alone in (
        one.t_interval,
        one.t_p,
        one.bca,
        one.seeds_and_images,
        one.correlation,
        one.welch,
    ):
        assert alone is None
    # The same difference in all seeds, up to rounding: 0.3 - 0.1 is not 0.5 - 0.3.
    same = effect(range(6), [0.3, 0.5, 0.7, 0.9, 1.1, 1.3], [0.1, 0.3, 0.5, 0.7, 0.9, 1.1])
    assert np.ptp(same.differences) > 0
    assert (same.spread, same.t_interval, same.t_p, same.bca) == (0.0, None, None, None)
    assert same.sign_flip_p == 2 / 2**6 and same.correlation == 1
    nothing = effect(range(6), [1.0] * 6, [1.0] * 6)
    assert (nothing.mean, nothing.spread, nothing.sign_flip_p) == (0.0, 0.0, 1.0)
    assert nothing.correlation is None and nothing.welch is None
    constant = effect(range(3), [1.0, 2.0, 3.0], [1.0] * 3)  # one arm does not vary
    assert constant.t_interval and constant.correlation is None
    assert effect(range(2), [1.0, 2.0], [1.0, 3.0]).correlation is None


@pytest.mark.parametrize(
    ("seeds", "one", "other", "says"),
    [
        ([], [], [], "One value"),
        ([0, 1], [1.0], [1.0, 2.0], "One value"),
        ([0, 0], [1.0, 2.0], [1.0, 2.0], "One value"),
        ([0, 1], [1.0, float("nan")], [1.0, 2.0], "finite"),
    ],
)
def test_values_that_make_no_pairs_are_refused(
    seeds: list[int], one: list[float], other: list[float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        effect(seeds, one, other)


def test_errors_of_other_images_are_refused() -> None:
    right_SN = np.array([[True, False], [True, True]])
    assert effect([0, 1], [50.0, 0.0], [50.0, 0.0], (right_SN, right_SN)).mean == 0
    with pytest.raises(ValueError, match="in points"):
        effect([0, 1], [0.5, 0.0], [0.5, 0.0], (right_SN, right_SN))


def test_the_statistics_redone_in_the_docs_are_these(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text("utf-8"), re.M | re.S)
    assert len([line for line in block.splitlines() if line]) <= 20
    arms = study("small").arms
    names = re.findall(r'errors\("([\w-]+)"\)', block)
    draw = np.random.default_rng(6)
    values = [np.round(draw.normal(mean, 0.01, 7), 2) for mean in (0.2, 0.21)]
    folder = tmp_path / "results" / "experiments"
    for name, tops in zip(names, values, strict=True):
        for seed, top1 in enumerate(tops):
            cell(arms[name], seed, float(top1)).save(folder)
        cell(arms[name], 7 + names.index(name)).save(folder)  # without a partner: not counted
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = effect(range(7), *(list(100 * tops) for tops in values))
    assert found.t_interval
    wanted = [found.mean, *found.t_interval, found.sign_flip_p]
    assert np.allclose(
        [float(word) for word in re.findall(r"-?\d+\.\d+", done.stdout)], wanted, atol=1e-4
    )
    assert json.loads(next(folder.rglob("*.json")).read_text())["format"] == "alexnet-cell"
