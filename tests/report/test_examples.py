"""Which images a report shows, and their bars, read back from the drawing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from alexnet.evaluation import Predictions
from alexnet.figures.examples import Bar, Example, predictions_with_bars
from alexnet.figures.style import GREY, RED
from alexnet.report.examples import bars_of, telling


def predictions(own: list[float], labels: list[int], K: int = 10) -> Predictions:
    """Images whose label has the probability `own`; the others share the rest."""
    probs_NK = np.empty((len(own), K), np.float32)
    probs_NK[:] = (1 - np.array(own))[:, None] / (K - 1)
    probs_NK[np.arange(len(own)), labels] = own
    names = tuple(f"n{k}" for k in range(K))
    keys = tuple(map(str, range(len(own))))
    return Predictions(keys, np.array(labels), probs_NK, names, names, {})


def test_telling_images_go_from_the_surest_to_the_furthest_and_differ_in_class() -> None:
    generator = np.random.default_rng(3)
    own = generator.uniform(size=100).tolist()
    labels = generator.integers(0, 10, 100).tolist()
    chosen = telling(predictions(own, labels), 8).tolist()
    assert chosen[0] == int(np.argmax(own))
    assert chosen[-1] == int(np.argmin(own)) or labels[int(np.argmin(own))] in {
        labels[n] for n in chosen[:-1]
    }
    assert all(own[a] > own[b] for a, b in itertools.pairwise(chosen))
    assert len({labels[n] for n in chosen}) >= 7


def test_fewer_images_than_asked_for_are_all_shown() -> None:
    assert sorted(telling(predictions([0.1, 0.9, 0.5], [1, 1, 1]), 8).tolist()) == [0, 1, 2]


def test_bars_are_the_answers_probabilities_and_the_correct_one_is_red() -> None:
    found = predictions([0.6, 0.05, 0.2], [3, 4, 9])
    pixels = np.zeros((256, 256, 3), np.uint8)
    examples = [
        Example(pixels, f"n{label}", bars_of(found, n)) for n, label in enumerate(found.labels_N)
    ]
    figure = predictions_with_bars(examples)
    bars = [axes.patches for axes in figure.axes if axes.patches]
    assert [len(one) for one in bars] == [5, 5, 5]
    colours = [[to_hex(bar.get_facecolor()) for bar in one] for one in bars]
    assert colours[0] == [RED, GREY, GREY, GREY, GREY]
    assert colours[1] == [GREY] * 5  # 0.05 is below the nine others
    assert colours[2][0] == RED
    assert bars[0][0].get_width() == pytest.approx(0.6)
    assert [example.is_right for example in examples] == [True, False, True]
    written = [text.get_text() for text in next(axes for axes in figure.axes if axes.patches).texts]
    assert written[1::2] == ["60 %", "4 %", "4 %", "4 %", "4 %"]


def test_answers_of_fewer_than_five_classes() -> None:
    bars = bars_of(predictions([0.9], [1], K=2), 0)
    assert bars == (
        Bar("n1", pytest.approx(0.9), True),
        Bar("n0", pytest.approx(0.1), False),
    )
    assert predictions_with_bars([Example(np.zeros((8, 8, 3), np.uint8), "n1", bars)])
