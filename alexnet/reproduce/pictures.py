"""The figures of an experiment's page, as SVG with a text for those who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alexnet import paper
from alexnet.figures.races import Line, Runs, learning, rates_tried
from alexnet.figures.seeds import Difference, paired_seeds
from alexnet.reproduce.cells import Cell
from alexnet.reproduce.claim import METRICS
from alexnet.reproduce.evidence import Evidence, epochs_to
from alexnet.reproduce.experiments import FASTEST, RATES, Experiment
from alexnet.reproduce.findings import Finding
from alexnet.reproduce.tables import NONLINEARITIES
from alexnet.reproduce.wording import percent, plural, raw, raw_unit

_COLOURS = {"ReLU": "blue", "tanh": "orange"}
_TRAINING, _VALIDATION = "train_top1_error", "val_top1_error"


class Picture(NamedTuple):
    """A figure as SVG, and what stands beneath it."""

    svg: str
    caption: str


def seeds(one: Finding) -> Picture | None:
    """Every run of both arms as a dot, those of one seed joined, and what they differ by."""
    if not (one.with_ or one.without):
        return None
    metric = METRICS[one.metric]
    names = [_label(one, place) for place in (1, 0)]
    arms = {
        name: {seed: raw(one.metric, value) for seed, value in values.items()}
        for name, values in zip(names, (one.without, one.with_), strict=True)
    }
    found, caption = None, "Each dot is a run."
    if one.effect:
        found = Difference(
            values=dict(zip(one.effect.seeds, one.effect.differences, strict=True)),
            mean=one.effect.mean,
            interval=one.effect.t_interval,
            paper=one.papers,
            ratios=metric.unit == "times",
        )
        caption = (
            f"Each dot is a run; those of one seed are joined ({plural(len(one.effect.seeds), 'pair')}). "
            "Right: what they differ by, and the mean"
        )
        caption += " with its 95 % interval over seeds." if one.effect.t_interval else "."
    said = [
        f"{name}: " + ", ".join(f"{value:.4g} with seed {seed}" for seed, value in values.items())
        for name, values in arms.items()
        if values
    ]
    described = f"{metric.title}. {'; '.join(said)}"
    return Picture(paired_seeds(arms, raw_unit(one.metric), found, described), caption)


def _label(one: Finding, place: int) -> str:
    """What stands below the dots of an arm: "with", or where both arms are one, its views."""
    comparison = one.comparison
    if comparison.arm == comparison.without:
        return plural(comparison.views[place], "view")
    return ("with", "without")[place]


def curves(experiment: Experiment, chosen: Mapping[str, Mapping[int, Cell]]) -> list[Picture]:
    """The curves of the arms of each comparison, once for each two of them; averages have none."""
    found = []
    pairs = dict.fromkeys((one.arm, one.without) for one in experiment.comparisons)
    for names in pairs:
        lines: list[Line] = []
        for name, colour in zip(names, ("blue", "orange"), strict=True):
            cells = [cell for cell in chosen[name].values() if cell.curve.get("epoch")]
            if cells and name not in [line.label for line in lines]:
                lines.append(Line(name, _runs(cells, _TRAINING), colour))
                lines.append(Line("", _runs(cells, _VALIDATION), colour, dashed=True))
        if lines:
            arms = ", ".join(line.label for line in lines if line.label)
            found.append(Picture(learning(lines, f"Top-1 error. {_ends(lines)}"), arms))
    return found


def races(evidence: Evidence) -> list[Picture]:
    """Figure 1 for both nets: ReLU solid, tanh dashed, and the error that they race to."""
    found = []
    for net in FASTEST:
        lines = []
        for kind, title in NONLINEARITIES.items():
            cells = evidence.cells[f"line-{net}-{kind}"]
            if cells:
                runs = _runs(cells, _TRAINING)
                lines.append(Line(title, runs, "ink", dashed=kind == "tanh"))
        if lines:
            figure = learning(lines, f"{net}. {_ends(lines)}", target=paper.RELU_TARGET / 100)
            caption = f"{net}: training error with ReLU (solid) and tanh (dashed); dotted: 25 %."
            found.append(Picture(figure, caption))
    return found


def sweeps(evidence: Evidence) -> list[Picture]:
    """For both nets, the epochs that each rate took, chosen or not."""
    found = []
    for net in FASTEST:
        tried = {
            title: {
                rate: epochs_to(cells[0]) for rate, cells in _tried(evidence, net, kind).items()
            }
            for kind, title in NONLINEARITIES.items()
        }
        if any(tried.values()):
            said = (
                f"{net}: epochs until {paper.RELU_TARGET:g} % training error, for each rate tried"
            )
            found.append(Picture(rates_tried(tried, _COLOURS, said), f"{said}."))
    return found


def _tried(evidence: Evidence, net: str, kind: str) -> Mapping[float, Sequence[Cell]]:
    """The cells of each rate that was tried, where there are any."""
    found = {rate: evidence.cells[f"rate-{net}-{kind}-{rate:g}"] for rate in RATES[kind]}
    return {rate: cells for rate, cells in found.items() if cells}


def _runs(cells: Sequence[Cell], what: str) -> Runs:
    return [(cell.curve["epoch"], cell.curve[what]) for cell in cells]


def _ends(lines: Sequence[Line]) -> str:
    """Where the lines end, in words."""
    return "; ".join(
        f"{line.label} ends at {', '.join(percent(shares[-1], 1) for _, shares in line.runs)}"
        for line in lines
        if line.label
    )
