"""The figures of one run: curves, first-layer kernels (figure 3), eight images (figure 4, left),
confusion.

Shape letters: M kernels, H x W pixels, C colours, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alexnet import paper
from alexnet.evaluation import Prediction, Predictions
from alexnet.evaluation.scores import most_probable
from alexnet.figures.style import BLUE, GREY, INK, LINE, ORANGE, RED, SOFT, drawing

_MOST_NAMED_CLASSES = 40  # of a confusion table; more would not be legible
_MOST_COUNTED_CLASSES = 25
_MOST_DROPS = 12
_KERNELS_IN_A_ROW = 16  # figure 3: three rows of sixteen for each half
_ENLARGED = 6  # pixels of the image for each of a kernel's
_GAP = 4
_GAP_BETWEEN_HALVES = 20


@dataclass(frozen=True)
class Example:
    """An image with its label's name and the labels that a model finds most probable."""

    pixels_HWC: np.ndarray
    label: str
    title: str
    answer: tuple[Prediction, ...]

    @property
    def is_right(self) -> bool:
        """Whether the first choice is the correct label."""
        return self.answer[0].label == self.label


PANELS = {"loss": "Loss", "top1_error": "Top-1 error"}


def curves(rows: Sequence[Mapping[str, Any]], panels: Sequence[str] = tuple(PANELS)) -> Figure:
    """Loss and top-1 error against epochs, from the rows of `metrics.jsonl`; dotted lines stand
    where the rate was divided.
    """
    steps = [row for row in rows if row["kind"] == "step"]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    with drawing():
        figure = Figure(figsize=(4.3 * len(panels), 3.1), layout="constrained")
        for place, key in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1, title=PANELS[key], xlabel="epoch")
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if steps:
                at, value = _averaged(steps, key)
                axes.plot(at, value, color=ORANGE, label="training, augmented", zorder=2)
            if epochs:
                at = np.array([row["epoch"] for row in epochs])
                value = np.array([row[f"val_{key}"] for row in epochs])
                size = 3.5 if len(epochs) <= 30 else 0
                label = "validation, centre view"
                axes.plot(at, value, "o-", color=BLUE, markersize=size, label=label, zorder=3)
            for epoch in _drops(steps):
                axes.axvline(epoch, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            if key == "top1_error":
                axes.set_ylim(top=1)
                axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
            if steps or epochs:
                axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right")
    return figure


def first_layer_kernels(weights_MCHW: np.ndarray, columns: int = paper.COLUMNS) -> np.ndarray:
    """The first layer's kernels as an image: uint8 RGBA, transparent in between (figure 3).

    The kernels of the first column stand above those of the second, if there is one. Zero is middle
    grey, and each kernel's largest weight reaches black or white.
    """
    M, C, H, W = weights_MCHW.shape
    largest_M = np.abs(weights_MCHW).max(axis=(1, 2, 3))
    scaled = weights_MCHW / np.maximum(largest_M, np.finfo(np.float32).tiny)[:, None, None, None]
    pixels = np.round((scaled.transpose(0, 2, 3, 1) + 1) / 2 * paper.LARGEST_VALUE).astype(np.uint8)
    pixels = pixels.repeat(_ENLARGED, axis=1).repeat(_ENLARGED, axis=2)
    half = M // columns
    rows_in_half = -(-half // _KERNELS_IN_A_ROW)
    pitch = H * _ENLARGED + _GAP
    height = columns * (rows_in_half * pitch - _GAP) + (columns - 1) * _GAP_BETWEEN_HALVES
    image = np.zeros((height, min(half, _KERNELS_IN_A_ROW) * pitch - _GAP, 4), np.uint8)
    for m in range(M):
        column, place = divmod(m, half)
        row, across = divmod(place, _KERNELS_IN_A_ROW)
        top = column * (rows_in_half * pitch - _GAP + _GAP_BETWEEN_HALVES) + row * pitch
        cell = image[top:, across * pitch :][: H * _ENLARGED, : W * _ENLARGED]
        cell[..., :C], cell[..., 3] = pixels[m], paper.LARGEST_VALUE
    return image


def telling(predictions: Predictions, count: int) -> np.ndarray:
    """Images that show what a model can and cannot: int64, at most `count`, surest first.

    Evenly spread from the one whose correct class is most probable to the one where it is least,
    and of different classes as far as possible.
    """
    labels_N = predictions.labels_N
    N = len(labels_N)
    own_N = predictions.probs_NK[np.arange(N), labels_N]
    order_N = np.argsort(-own_N, kind="stable")
    within = 1 + N // (2 * count)
    chosen: list[int] = []
    for place in np.linspace(0, N - 1, min(count, N)).round():
        near = order_N[np.argsort(np.abs(np.arange(N) - place), kind="stable")[:within]].tolist()
        left = [n for n in near if n not in chosen]
        seen = {labels_N[n] for n in chosen}
        chosen += ([n for n in left if labels_N[n] not in seen] or left)[:1]
    return np.array(chosen, dtype=np.int64)


def answer_of(predictions: Predictions, n: int, top: int = paper.TOP) -> tuple[Prediction, ...]:
    """The most probable labels of image `n`."""
    probs_K = predictions.probs_NK[n]
    return tuple(
        Prediction(predictions.classes[k], predictions.titles[k], float(probs_K[k]))
        for k in most_probable(probs_K[None], top)[0]
    )


def predictions_with_bars(examples: Sequence[Example]) -> Figure:
    """Images with their most probable labels as bars, the correct one in red (figure 4, left)."""
    across = min(len(examples), 4)
    down = -(-len(examples) // across)
    with drawing():
        figure = Figure(figsize=(2.3 * across, 3.6 * down), layout="constrained")
        cells = figure.subplots(2 * down, across, height_ratios=[2.1, 1] * down, squeeze=False)
        for place, example in enumerate(examples):
            row, column = divmod(place, across)
            _image(cells[2 * row, column], example)
            _bars(cells[2 * row + 1, column], example)
        for place in range(len(examples), across * down):
            row, column = divmod(place, across)
            cells[2 * row, column].axis("off")
            cells[2 * row + 1, column].axis("off")
    return figure


def confusion(counts_KK: np.ndarray, titles: Sequence[str]) -> Figure:
    """What images of each class (rows) were taken for (columns), as shares of the class."""
    K = len(titles)
    shares_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    rgba = np.zeros((K, K, 4))
    rgba[..., :3] = _rgb(ORANGE)
    rgba[np.arange(K), np.arange(K), :3] = _rgb(BLUE)
    rgba[..., 3] = shares_KK**0.7  # a few mistakes are still seen
    with drawing():
        side = min(2.4 + 0.26 * K, 8.2)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(rgba, interpolation="none", extent=(0, K, K, 0))
        axes.set_xlabel("taken for")
        axes.set_ylabel("image of")
        axes.xaxis.set_label_position("top")
        axes.xaxis.tick_top()
        for spine in axes.spines.values():
            spine.set_visible(True)
        if K <= _MOST_NAMED_CLASSES:
            middles = np.arange(K) + 0.5
            axes.set_xticks(middles, titles, rotation=90, fontsize=8)
            axes.set_yticks(middles, titles, fontsize=8)
            axes.hlines(np.arange(1, K), 0, K, color=LINE, linewidth=0.5, zorder=0)
            axes.vlines(np.arange(1, K), 0, K, color=LINE, linewidth=0.5, zorder=0)
        if K <= _MOST_COUNTED_CLASSES:
            for row, column in np.argwhere(counts_KK).tolist():
                _count(axes, row, column, int(counts_KK[row, column]), shares_KK[row, column])
    return figure


def _count(axes: Axes, row: int, column: int, count: int, share: float) -> None:
    colour = "white" if row == column and share > 0.4 else INK
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    axes.text(column + 0.5, row + 0.53, str(count), fontsize=7, color=colour, **middle)


def _image(axes: Axes, example: Example) -> None:
    axes.imshow(example.pixels_HWC, interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(_shortened(example.title), color=INK, fontsize=10, fontweight="bold")


def _bars(axes: Axes, example: Example) -> None:
    at = np.arange(len(example.answer))
    colours = [RED if one.label == example.label else GREY for one in example.answer]
    axes.barh(
        at, [one.probability for one in example.answer], height=0.78, color=colours, alpha=0.6
    )
    for place, one in enumerate(example.answer):
        axes.text(0.02, place, _shortened(one.title), va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(paper.TOP - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.axvline(0, color=SOFT, linewidth=1)


def _shortened(title: str, most: int = 26) -> str:
    return title if len(title) <= most else title[: most - 1] + "…"


def _averaged(steps: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Averages of equal stretches of steps, at their middles; at most some two hundred of them."""
    at = np.array([row["epoch"] for row in steps], dtype=float)
    value = np.array([row[key] for row in steps], dtype=float)
    stretch = max(-(-len(at) // 200), min(8, -(-len(at) // 20)))
    starts = np.arange(0, len(at), stretch)
    counts = np.diff([*starts, len(at)])
    return np.add.reduceat(at, starts) / counts, np.add.reduceat(value, starts) / counts


def _drops(steps: Sequence[Mapping[str, Any]]) -> list[float]:
    """The epochs where the rate fell; none for a rate that always moves."""
    if len({row["rate"] for row in steps}) > _MOST_DROPS:
        return []
    pairs = itertools.pairwise(steps)
    return [float(after["epoch"]) for before, after in pairs if after["rate"] < before["rate"]]


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
