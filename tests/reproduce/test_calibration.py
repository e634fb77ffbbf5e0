"""Verdicts and intervals in simulated experiments, of which the truth is known.

The long ones are recorded for docs/reproduce.md:

    pytest -m "" tests/reproduce/test_calibration.py --record results/calibration/calibration.json
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import calibration
import numpy as np
import pytest

from alexnet.base.files import write_json
from alexnet.base.provenance import commit, environment
from alexnet.reproduce.statistics import (
    FEWEST,
    LEVEL,
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
from alexnet.reproduce.verdicts import Expected, is_absent, is_significant, judge

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results" / "calibration" / "calibration.json"
COMMAND = 'pytest -m "" tests/reproduce/test_calibration.py --record ' + str(
    RECORD.relative_to(ROOT)
)
EXPERIMENTS = 10_000
BOOTSTRAPPED = 4_000  # of these
PAGES, ON_A_PAGE = 10_000, 20
SEEDS = range(3, 11)
NOISES = [(noise, r) for noise in ("normal", "skewed", "discrete") for r in (0.0, 0.7)]
IMAGE_EXPERIMENTS, IMAGES = 2_000, 1_000
COVERED, FALSE = 0.93, 0.05
SLACK = 0.007  # three standard errors of a share of 5 % in 10,000 cases
SAYS = Expected("top1", -1, -1.0, same_images=True)


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """What the long tests measure; written to the file of `--record` at their end."""
    rows: dict[str, list[dict[str, Any]]] = {"effects": [], "images": [], "pages": [], "looks": []}
    yield rows
    path = request.config.getoption("--record")
    if path and all(rows.values()):
        about = {"command": COMMAND, "commit": commit(), "date": date.today().isoformat()}
        cases = {
            "experiments": EXPERIMENTS,
            "bootstrapped": BOOTSTRAPPED,
            "experiments with images": IMAGE_EXPERIMENTS,
            "images": IMAGES,
            "pages": PAGES,
            "effects on a page": ON_A_PAGE,
        }
        write_json(Path(path), {**about, "environment": environment(), "cases": cases, **rows})


def arms(noise: str, r: float, X: int, S: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors of two arms without any effect, that have a share `r` of their variance in common."""
    draw = np.random.default_rng([S, round(10 * r), *noise.encode()])
    if noise == "discrete":  # errors of 1,000 test images, in points
        shared, own = round(1000 * r), 1000 - round(1000 * r)
        common_XS, a_XS, b_XS = (draw.binomial(n, 0.12, (X, S)) for n in (shared, own, own))
        return (common_XS + a_XS) / 10, (common_XS + b_XS) / 10
    if noise == "normal":
        common_XS, a_XS, b_XS = draw.standard_normal((3, X, S))
    elif noise == "skewed":  # a skewness of 1
        common_XS, a_XS, b_XS = draw.gamma(4, 0.5, (3, X, S))
    else:  # all of it in one arm: a skewness of 2 in the difference
        return draw.exponential(size=(X, S)) - 1, np.zeros((X, S))
    return r**0.5 * common_XS + (1 - r) ** 0.5 * a_XS, r**0.5 * common_XS + (1 - r) ** 0.5 * b_XS


def covered(ends: tuple[np.ndarray, np.ndarray], truth: float = 0.0) -> float:
    return float(((ends[0] <= truth) & (truth <= ends[1])).mean())


def claims_something(with_S: np.ndarray, without_S: np.ndarray) -> bool:
    (verdict,) = judge([(effect(range(len(with_S)), list(with_S), list(without_S)), SAYS)])
    return verdict.word in ("reproduced", "direction holds", "contradicted")


def false_verdicts(with_XS: np.ndarray, without_XS: np.ndarray) -> float:
    """The share of experiments with a verdict that an effect is there.

    Only those are judged one by one that two tests, computed side by side, leave; of the others, some.
    """
    d_XS = with_XS - without_XS
    varies_X = np.ptp(d_XS, axis=-1) > 1e-9
    student_X = np.where(
        varies_X, t_p(np.where(varies_X[:, None], d_XS, np.arange(d_XS.shape[1]))), 0
    )
    left_X = (sign_flip_p(d_XS) <= LEVEL) & (student_X <= LEVEL)
    assert not any(map(claims_something, with_XS[~left_X][:50], without_XS[~left_X][:50]))
    return sum(map(claims_something, with_XS[left_X], without_XS[left_X])) / len(d_XS)


def false_absence(d_XS: np.ndarray) -> float:
    """The share of experiments in which an effect of the margin itself is said to be smaller."""
    margin = 4 * d_XS.std()
    low_X, high_X = t_interval(d_XS + margin, 1 - 2 * LEVEL)
    absent_X = (-margin < low_X) & (high_X < margin)
    for d_S, absent in list(zip(d_XS, absent_X, strict=True))[:50]:
        if np.ptp(d_S) > 1e-9:
            assert (
                is_absent(effect(range(len(d_S)), list(d_S + margin), [0.0] * len(d_S)), margin)
                == absent
            )
    return float(absent_X.mean())


def bootstrapped(
    d_XS: np.ndarray, interval: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> float | None:
    """How often a bootstrap interval covers, 500 experiments at a time."""
    if d_XS.shape[1] < FEWEST:
        return None
    parts = np.split(d_XS[:BOOTSTRAPPED], range(500, min(BOOTSTRAPPED, len(d_XS)), 500))
    hits = sum(covered(interval(part)) * len(part) for part in parts)
    return hits / sum(map(len, parts))


def measured(noise: str, r: float, S: int, X: int = EXPERIMENTS) -> dict[str, Any]:
    with_XS, without_XS = arms(noise, r, X, S)
    d_XS = with_XS - without_XS
    some_XS = d_XS[np.ptp(d_XS, axis=-1) > 1e-9]  # where all are the same there is no interval
    row = {
        "seeds": S,
        "noise": noise,
        "correlation": r,
        "false verdicts": false_verdicts(with_XS, without_XS),
        "false absence": false_absence(d_XS),
        "t": covered(t_interval(some_XS)),
        "welch": covered(welch_interval(with_XS, without_XS))
        if r == 0 and noise != "one-sided"
        else None,
        "bca": bootstrapped(some_XS, bca_interval),
        "widened bca": bootstrapped(some_XS, widened_bca),
    }
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()
    }


def test_a_sample_of_the_calibration() -> None:
    row = measured("normal", 0.7, 6, 1000)
    assert 0 < row["false verdicts"] < 0.05 and row["t"] > 0.93 and row["widened bca"] > 0.93


@pytest.mark.slow
@pytest.mark.parametrize("S", SEEDS)
@pytest.mark.parametrize(("noise", "r"), NOISES)
def test_without_an_effect(S: int, noise: str, r: float, found: dict[str, Any]) -> None:
    row = measured(noise, r, S)
    found["effects"].append(row)
    assert row["false verdicts"] <= FALSE
    assert row["false absence"] <= FALSE + SLACK
    for interval in ("t", "welch", "widened bca"):
        assert row[interval] is None or row[interval] >= COVERED, interval


@pytest.mark.slow
@pytest.mark.parametrize("S", SEEDS)
def test_the_limit_differences_that_are_skewed_themselves(S: int, found: dict[str, Any]) -> None:
    """Not promised, but measured: all that is random is in one arm, exponentially distributed."""
    row = measured("one-sided", 0.0, S)
    found["effects"].append(row)
    assert row["false verdicts"] <= 2 * FALSE and row["t"] > 0.85


def decisions(
    draw: np.random.Generator, S: int, X: int, of_images: float, of_seeds: float
) -> list[np.ndarray]:
    """Right or wrong, for each arm: images are easier or harder, to each arm in its own way; runs too."""
    base_XN = draw.normal(-1.6, 1.5, (X, 1, IMAGES))
    both = []
    for _ in range(2):
        by_images_XN = base_XN + draw.normal(0, of_images, (X, 1, IMAGES))
        by_seeds_XS = draw.normal(0, of_seeds, (X, S, 1))
        both.append(by_images_XN + by_seeds_XS + draw.standard_normal((X, S, IMAGES)) < 0)
    return both


@pytest.mark.slow
@pytest.mark.parametrize("S", SEEDS)
@pytest.mark.parametrize(
    ("of_images", "of_seeds"), [(0.0, 0.0), (1.0, 0.0), (0.5, 0.05), (0.0, 0.2)]
)
def test_new_seeds_and_new_images(
    S: int, of_images: float, of_seeds: float, found: dict[str, Any]
) -> None:
    draw = np.random.default_rng([S, round(10 * of_images), round(100 * of_seeds)])
    row = {"seeds": S, "of images": of_images, "of seeds": of_seeds}
    both, seeds = [], []
    for _ in range(IMAGE_EXPERIMENTS // 40):
        with_XSN, without_XSN = decisions(draw, S, 40, of_images, of_seeds)
        errors_XS = 100 * (without_XSN.mean(axis=-1) - with_XSN.mean(axis=-1))
        both.append(covered(seeds_and_images_interval(with_XSN, without_XSN)))
        seeds.append(covered(t_interval(errors_XS)))
    share = float(np.mean(both))
    found["images"].append(
        {**row, "covered": round(share, 4), "over seeds alone": round(float(np.mean(seeds)), 4)}
    )
    assert share >= COVERED


@pytest.mark.slow
@pytest.mark.parametrize("S", [6, 8, 10])
@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_a_page_without_any_effect(S: int, noise: str, found: dict[str, Any]) -> None:
    """On a page of twenty effects, none of them real, at most one page in twenty claims one."""
    with_XS, without_XS = arms(noise, 0.0, PAGES * ON_A_PAGE, S)
    ps_XM = t_p(with_XS - without_XS).reshape(PAGES, ON_A_PAGE)
    false = 0
    for page in np.flatnonzero(ps_XM.min(axis=1) <= LEVEL / ON_A_PAGE):  # Holm's first step
        rows = range(page * ON_A_PAGE, (page + 1) * ON_A_PAGE)
        small = [
            (row, p) for row, p in zip(rows, holm(list(ps_XM[page])), strict=True) if p <= LEVEL
        ]
        of = (effect(range(S), list(with_XS[row]), list(without_XS[row])) for row, _ in small)
        false += any(is_significant(one, p) for one, (_, p) in zip(of, small, strict=True))
    found["pages"].append({"seeds": S, "noise": noise, "false verdicts": false / PAGES})
    assert false / PAGES <= FALSE + SLACK


@pytest.mark.slow
def test_the_limit_looking_again_after_every_seed(found: dict[str, Any]) -> None:
    """Not promised, but measured: seeds are added until something is significant."""
    d_XS = np.subtract(*arms("normal", 0.0, EXPERIMENTS, max(SEEDS)))
    ever_X = np.zeros(EXPERIMENTS, bool)
    for S in range(FEWEST, max(SEEDS) + 1):
        seen_XS = d_XS[:, :S]
        ever_X |= (t_p(seen_XS) <= LEVEL) & (sign_flip_p(seen_XS) <= LEVEL)
        found["looks"].append({"up to": S, "false verdicts": float(ever_X.mean())})
    assert ever_X.mean() < 0.12


def test_the_docs_have_what_was_recorded() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    for name, table in calibration.tables(record).items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in page, f"run `make docs`: {name}"
