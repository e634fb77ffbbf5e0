"""The tables of an experiment's page: arms, statistics, rates, and the conditions of the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from alexnet import paper
from alexnet.reproduce.arms import Arm
from alexnet.reproduce.cells import Cell
from alexnet.reproduce.claim import METRICS
from alexnet.reproduce.evidence import Evidence, Stale, epochs_to
from alexnet.reproduce.experiments import FASTEST, RATES, Experiment
from alexnet.reproduce.findings import Finding
from alexnet.reproduce.statistics import Effect, Interval
from alexnet.reproduce.wording import (
    claimed,
    difference,
    interval,
    inverse,
    mean_and_spread,
    plain,
    plural,
    probability,
    raw,
    raw_unit,
    signed,
    times,
)
from alexnet.settings import differences

NONLINEARITIES = {"relu": "ReLU", "tanh": "tanh"}
_NOTHING = "–"
_SHORT = 12  # characters of a commit


def base_of(experiment: Experiment) -> str:
    """The arm that most comparisons have."""
    names = [name for one in experiment.comparisons for name in (one.arm, one.without)]
    return Counter(names).most_common(1)[0][0]


def arms(
    evidence: Evidence, experiment: Experiment, cells: Mapping[str, Mapping[int, Cell]]
) -> list[dict[str, Any]]:
    """Each arm of the comparisons: what it is, and the errors of its runs."""
    base = base_of(experiment)
    names = [base, *(name for name in cells if name not in (base, *experiment.others))]
    return [
        {
            "name": name,
            "what": _what(evidence.study.arms[name], evidence.study.arms[base]),
            "errors": [
                _errors(cells[name].values(), error, views)
                for error in ("top1_error", "top5_error")
                for views in (paper.VIEWS, 1)
            ],
            "runs": len(cells[name]),
        }
        for name in names
    ]


def _what(arm: Arm, base: Arm) -> str:
    """The recipe, settings and images of the base; of another arm, in what it differs from it."""
    if arm.name == base.name:
        variant = [f"variant {arm.variant!r}"] if arm.variant else []
        settings = ", ".join([*variant, *arm.settings])
        with_ = f" with {settings}" if settings else ""
        return f"recipe {arm.recipe}{with_}; images: {arm.data.name}"
    parts = [
        f"{one.key} {one.second if one.second not in ('', None) else 'none'}"
        for one in differences(base.config(0), arm.config(0))
        if one.key != "recipe"
    ]
    if arm.members:
        parts.append(f"the average of {arm.members} runs of {arm.of}")
    if arm.start:
        parts.append(f"starts with the weights of {arm.start}")
    if arm.data.name != base.data.name:
        parts.append(f"images: {arm.data.name}")
    return f"as {base.name}, but {'; '.join(parts)}"


def _errors(cells: Iterable[Cell], error: str, views: int) -> str:
    several = [cell.errors[str(views)] for cell in cells]
    found = [100 * errors[error] for errors in several if error in errors]
    return mean_and_spread(found) if found else _NOTHING


def tested(cells: Mapping[str, Mapping[int, Cell]]) -> str:
    """How many test images there are, and of what."""
    data = [cell.address.data for some in cells.values() for cell in some.values()]
    counts = dict.fromkeys((one["test"], one["found"], one["split"]) for one in data)
    said = [f"{test:,} images ({found}, split {split})" for test, found, split in counts]
    return " or ".join(said) or "images not trained on"


def title(one: Finding) -> str:
    """The name of a finding's metric."""
    return METRICS[one.metric].title


def statistics(found: Sequence[Finding]) -> list[tuple[str, list[str]]]:
    """The numbers of each metric of one comparison, a row for each; rows without any are left out."""
    table = [
        (name, [text(one, one.effect) if one.effect else _NOTHING for one in found])
        for name, text in _STATISTICS.items()
    ]
    return [(name, values) for name, values in table if set(values) != {_NOTHING}]


def _mean(one: Finding, effect: Effect) -> str:
    return difference(one.metric, effect.mean) + inverse(one.metric, effect.mean)


def _arm(one: Finding, values: Sequence[float]) -> str:
    """The mean of one arm's paired runs, in their own unit: of ratios the geometric mean."""
    mean = sum(values) / len(values)
    if METRICS[one.metric].unit == "points":
        return f"{plain(mean)} {raw_unit(one.metric)}"
    return f"{times(raw(one.metric, 2.0**mean))} {raw_unit(one.metric)}"


def _ends(one: Finding, ends: Interval | None) -> str:
    return interval(one.metric, ends) if ends else _NOTHING


def _p(p: float | None) -> str:
    return _NOTHING if p is None else probability(p)


def _correlation(effect: Effect) -> str:
    return _NOTHING if effect.correlation is None else signed(effect.correlation)


def _spread(one: Finding, effect: Effect) -> str:
    if effect.spread is None:
        return _NOTHING
    if METRICS[one.metric].unit == "points":
        return _points(effect.spread)
    return f"a factor of {times(2.0**effect.spread)}"


def _points(spread: float | None) -> str:
    return _NOTHING if spread is None else f"{plain(spread)} points"


_STATISTICS: Mapping[str, Callable[[Finding, Effect], str]] = {
    "The paper": lambda one, effect: claimed(one.claim, one.metric),
    "Mean difference": _mean,
    "With": lambda one, effect: _arm(one, effect.values_with),
    "Without": lambda one, effect: _arm(one, effect.values_without),
    "Pairs of seeds": lambda one, effect: f"{len(effect.seeds)}",
    "95 % over seeds (t)": lambda one, effect: _ends(one, effect.t_interval),
    "95 % over seeds (BCa)": lambda one, effect: _ends(one, effect.bca),
    "95 % over seeds and images": lambda one, effect: _ends(one, effect.seeds_and_images),
    "Sign flips, p": lambda one, effect: _p(effect.sign_flip_p),
    "Paired t test, p": lambda one, effect: _p(effect.t_p),
    "The same for all of this page (Holm)": lambda one, effect: _p(
        one.verdict.p if one.verdict else None
    ),
    "Correlation of the arms": lambda one, effect: _correlation(effect),
    "95 %, unpaired (Welch)": lambda one, effect: _ends(one, effect.welch),
    "Spread of the differences": _spread,
    "Spread predicted from the errors": lambda one, effect: _points(one.predicted_spread),
}


# --- Figure 1 -------------------------------------------------------------------------------------


def rates(evidence: Evidence) -> list[dict[str, str]]:
    """Every rate that was tried for figure 1, how fast it was, and whether it was chosen."""
    rows = []
    for net, fastest in FASTEST.items():
        for kind, title in NONLINEARITIES.items():
            took: dict[float, float | None] = {}
            for rate in RATES[kind]:
                cells = evidence.cells[f"rate-{net}-{kind}-{rate:g}"]
                if cells:
                    took[rate] = epochs_to(cells[0])
            reached = {rate: epochs for rate, epochs in took.items() if epochs is not None}
            best = min(reached, key=lambda rate: reached[rate], default=None)
            for rate in RATES[kind]:
                rows.append(
                    {
                        "net": net,
                        "kind": title,
                        "rate": f"{rate:g}",
                        "epochs": _epochs(rate, took),
                        "remark": _remark(rate, fastest[kind], best),
                    }
                )
    return rows


def _epochs(rate: float, took: Mapping[float, float | None]) -> str:
    if rate not in took:
        return "not run yet"
    epochs = took[rate]
    return "not reached" if epochs is None else f"{epochs:.1f}"


def _remark(rate: float, chosen: float, best: float | None) -> str:
    if rate == chosen and rate == best:
        return "chosen: the fastest found"
    if rate == chosen:
        return f"chosen, but {best:g} is faster" if best else "chosen before any got there"
    return "the fastest found, not chosen" if rate == best else ""


# --- Conditions -----------------------------------------------------------------------------------


def conditions(cells: Sequence[Cell], stale: Sequence[Stale]) -> dict[str, Any]:
    """Where, when and in which arithmetic cells were made, and the stale ones."""
    made = Counter(_machine(cell) for cell in cells)
    arithmetic = Counter(_arithmetic(cell.address.numerics) for cell in cells)
    commits = Counter(cell.made["commit"] for cell in cells)
    dates = sorted({cell.made["date"] for cell in cells})
    facts = [
        ("Cells", [f"{len(cells):,}; besides, {len(stale):,} stale, which are not used"]),
        ("Machines", _counted(made)),
        ("Arithmetic", _counted(arithmetic)),
        ("Commits", _counted(Counter({_short(one): n for one, n in commits.items()}))),
        ("Dates", [" to ".join(dict.fromkeys((dates[0], dates[-1])))] if dates else []),
    ]
    return {
        "facts": [(name, values) for name, values in facts if values],
        "stale": [{"file": one.cell.address.path().name, "why": one.why} for one in stale],
    }


def _machine(cell: Cell) -> str:
    return str(cell.made["machine"])


def _arithmetic(numerics: Mapping[str, Any]) -> str:
    """All that a cell's last bits hang on: "cpu, fp32, fused, 2 threads, torch 2.13.0"."""
    return ", ".join(f"{name} {value}" for name, value in sorted(numerics.items()))


def _short(commit: str) -> str:
    """A commit's first characters, and whether the program had changes besides."""
    number, _, dirty = commit.partition("-")
    return (number[:_SHORT] or "unknown") + (f"-{dirty}" if dirty else "")


def _counted(found: Counter[str]) -> list[str]:
    """Each with its number of cells, the most frequent first."""
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return [f"{what} ({plural(count, 'cell')})" for what, count in ordered]
