"""What is to do, how long it takes, and where a budget goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reproduce.conftest import BASE, study_of
from reproduce.made import NUMERICS, cell

from alexnet.reproduce.cells import Cell
from alexnet.reproduce.evidence import evidence
from alexnet.reproduce.experiments import Comparison, Experiment, Study
from alexnet.reproduce.plan import Job, Planner
from alexnet.training.placement import Placement

OTHER = BASE.varied("pool-2", "pool 2/2")


def smoke(arm: object, seed: int, top1: float = 0.2, seconds: float = 60.0, **more: object) -> Cell:
    return cell(arm, seed, top1, scale="smoke", made={"seconds": seconds}, **more)  # type: ignore[arg-type]


def planner(study: Study, cells: list[Cell]) -> Planner:
    return Planner(evidence(study, cells), NUMERICS, Placement())


def test_what_is_done_is_not_to_do_and_hours_are_those_of_cells_made_before(study: Study) -> None:
    cells = [
        *(smoke(BASE, seed, seconds=100.0 + seed) for seed in (0, 1, 2)),
        smoke(OTHER, 0, seconds=40.0),
    ]
    (row,) = planner(study, cells).rows(study.experiments, seeds=3)
    assert row.todo == (Job("cifar-pool-2", 1), Job("cifar-pool-2", 2))
    assert (row.done, row.elsewhere, row.seconds) == (4, 0, 80.0)
    (row,) = planner(study, cells).rows(study.experiments, seeds=1)
    assert not row.todo and row.seconds == 0


def test_pairs_made_elsewhere_count_and_halves_of_pairs_do_not(study: Study) -> None:
    elsewhere = {**NUMERICS, "threads": 64}
    cells = [smoke(one, 0, numerics=elsewhere) for one in (BASE, OTHER)]
    cells += [smoke(BASE, 1, numerics=elsewhere)]
    (row,) = planner(study, cells).rows(study.experiments, seeds=2)
    assert row.todo == (Job("cifar", 1), Job("cifar-pool-2", 1))
    assert (row.done, row.elsewhere) == (2, 1)


def test_what_an_arm_needs_comes_before_it(study: Study) -> None:
    comparison = Comparison("pre-training", "tuned", "cifar-two")
    study = replace(study, experiments=(Experiment("both", "", "", (comparison,), 1),))
    (row,) = planner(study, []).rows(study.experiments)
    assert row.todo == (Job("cifar", 0), Job("tuned", 0), Job("cifar", 1), Job("cifar-two", 0))
    assert row.seconds > 0


def test_a_job_of_two_experiments_is_counted_once(study: Study) -> None:
    (one,) = study.experiments
    rows = planner(study, []).rows([one, replace(one, name="again")])
    assert [len(row.todo) for row in rows] == [4, 0]


def test_a_budget_goes_where_an_interval_shrinks_most_for_its_time() -> None:
    """Three pairs each. By hand: (t(2) / sqrt(3) - t(3) / sqrt(4)) s / effect = 0.8932 s / effect."""
    third = BASE.varied("tanh", "tanh")
    # Of the same spread; the effect of pooling is 0.4 points, of normalization 2, and that is cheaper.
    comparisons = [
        Comparison("overlapping-pooling", "cifar", "cifar-pool-2"),
        Comparison("response-normalization-cifar", "cifar", "cifar-tanh"),
    ]
    experiments = tuple(Experiment(two.claim, "", "", (two,), seeds=3) for two in comparisons)
    study = replace(study_of(BASE, OTHER, third), experiments=experiments)
    cells = [smoke(BASE, seed, seconds=100.0) for seed in range(8)]
    cells += [smoke(OTHER, seed, 0.2 + 0.01 * (seed - 1), seconds=300.0) for seed in range(3)]
    cells += [smoke(third, seed, 0.2 + 0.01 * (seed - 1), seconds=100.0) for seed in range(3)]
    plan = planner(study, cells)
    gains = 0.8932 / np.array([0.4 * 300, 2.0 * 100])
    assert gains[0] > gains[1]
    assert plan.in_order(experiments, budget=350)[0] == Job("cifar-pool-2", 3)
    cheap = [*cells[:-6], *(smoke(OTHER, s, 0.2 + 0.01 * (s - 1), seconds=600.0) for s in range(3))]
    cheap += cells[-3:]
    assert planner(study, cheap).in_order(experiments, budget=350)[0] == Job("cifar-tanh", 3)
    jobs = plan.in_order(experiments, budget=2000)
    assert len(set(jobs)) == len(jobs)
    spent = sum(plan.seconds(study.arms[job.arm]) for job in jobs)
    assert 2000 <= spent < 2000 + 400  # the pair that it ends within


def test_a_speed_is_measured_where_no_cell_tells_it(study: Study) -> None:
    plan = planner(study, [])
    images = 2 * 24 + (2 * 8 + 11 * 9) / 3  # two epochs; validation, one view and ten of each image
    assert plan.seconds(BASE) == pytest.approx(5 + images / plan._rate(BASE))
    assert plan.seconds(study.arms["cifar-two"]) == 5
