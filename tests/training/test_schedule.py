"""The learning rate through a run."""

import math

import pytest

from alexnet.config import Anneal, Epochs, Milestones, Plateau, RunConfig
from alexnet.training.schedule import AnnealSchedule, PlateauSchedule, schedule_of


def rates(errors: list[float], patience: int = 2) -> list[float]:
    schedule = PlateauSchedule(0.01, Plateau(patience=Epochs(patience)))
    found = []
    for epoch, error in enumerate(errors, start=1):
        found.append(schedule.rate(epoch))
        schedule.observe(epoch, error)
    return found


def test_drops_after_patience_at_most_three_times() -> None:
    found = rates([0.9] + [0.8] * 12)
    expected = [0.01] * 4 + [0.001] * 2 + [0.0001] * 2 + [0.00001] * 5
    assert found == pytest.approx(expected)


def test_no_drop_while_the_error_falls() -> None:
    assert rates([1 / epoch for epoch in range(1, 30)]) == pytest.approx([0.01] * 29)


def test_state_goes_on_where_it_was() -> None:
    errors = [0.9, 0.8, 0.85, 0.85, 0.7, 0.7, 0.7, 0.7]
    whole, first = (PlateauSchedule(0.01, Plateau(patience=Epochs(2))) for _ in range(2))
    events = [whole.observe(epoch, error) for epoch, error in enumerate(errors, start=1)]
    for epoch in range(1, 4):
        first.observe(epoch, errors[epoch - 1])
    second = PlateauSchedule(0.01, Plateau(patience=Epochs(2)))
    second.state.update(first.state)
    assert [second.observe(epoch, errors[epoch - 1]) for epoch in range(4, 9)] == events[3:]
    assert second.rate(9) == whole.rate(9)


def test_anneal_rises_then_falls_to_nothing() -> None:
    schedule = AnnealSchedule(0.1, Anneal(warmup=Epochs(2)), length=10)
    assert schedule.rate(0) == 0
    assert schedule.rate(1) == pytest.approx(0.05)
    assert schedule.rate(2) == pytest.approx(0.1)
    assert schedule.rate(6) == pytest.approx(0.05)  # half way down the cosine
    assert schedule.rate(8) == pytest.approx(0.1 * (1 + math.cos(0.75 * math.pi)) / 2)
    assert schedule.rate(10) == pytest.approx(0, abs=1e-12)
    assert schedule.observe(3, 0.5) is None


def test_configuration_chooses() -> None:
    assert isinstance(schedule_of(RunConfig()), PlateauSchedule)
    assert isinstance(schedule_of(RunConfig(schedule=Anneal())), AnnealSchedule)


def test_milestones_are_those_of_the_run_behind_table_1() -> None:
    schedule = schedule_of(RunConfig(schedule=Milestones()))
    found = [schedule.rate(epoch) for epoch in (0, 22.9, 23, 50.9, 51, 77, 78, 93)]
    expected = [0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001, 0.00001, 0.00001]
    assert found == pytest.approx(expected)
    assert schedule.observe(30, 0.9) is None


def test_the_most_that_is_allowed_leaves_a_rate() -> None:
    often = Milestones(factor=1000, epochs=", ".join("0" * 100))
    assert schedule_of(RunConfig(schedule=often)).rate(1) > 0
