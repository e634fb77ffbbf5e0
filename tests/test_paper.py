"""The paper's numbers agree with each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet import paper

ROOT = Path(__file__).parent.parent


def test_normalization_constants() -> None:
    assert paper.LRN.k == 2
    assert paper.LRN.n == 5
    assert paper.LRN.alpha == 1e-4
    assert paper.LRN.beta == 0.75


def test_the_sums_are_the_sums() -> None:
    assert sum(paper.PARAMETERS.values()) == paper.PARAMETERS_TOTAL
    assert paper.NEURONS_CONV1 + sum(paper.NEURONS_PRINTED[1:]) == paper.NEURONS
    total = sum(paper.MULTIPLY_ADDS_MILLIONS.values())
    assert total == pytest.approx(paper.MULTIPLY_ADDS_TOTAL_MILLIONS, abs=0.5)
    assert paper.CHANNELS * paper.CROP**2 == paper.INPUT_NUMBERS
    assert 2 * (paper.SIDE - paper.CROP) ** 2 == paper.AUGMENTATION_FACTOR


def test_printed_sizes_multiply_to_the_printed_neurons_but_for_conv1() -> None:
    neurons = [layer.kernels * layer.output**2 for layer in paper.LAYERS]
    assert neurons[1:] == list(paper.NEURONS_PRINTED[1:])
    assert neurons[0] == paper.NEURONS_CONV1 != paper.NEURONS_PRINTED[0]


def test_error_rates_agree_between_text_and_tables() -> None:
    one_view, ten_views = paper.ONE_VIEW_2010, paper.TABLE_1[-1]
    assert one_view.top1 is not None
    assert ten_views.top1 is not None
    assert one_view.top1 > ten_views.top1
    for row in (*paper.TABLE_1, *paper.PROGRAM_ABLATIONS, paper.FALL_2009_RESULT):
        assert row.top1 is not None
        assert row.top5 is not None
        assert 0 < row.top5 < row.top1 < 100
