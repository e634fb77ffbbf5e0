"""The index: every claim of the paper in its order, with its number, ours and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alexnet.reproduce.claim import METRICS, SECTIONS, Claim
from alexnet.reproduce.claims import CLAIMS
from alexnet.reproduce.experiments import Study
from alexnet.reproduce.findings import Finding
from alexnet.reproduce.seen import Seen
from alexnet.reproduce.verdicts import RULES
from alexnet.reproduce.wording import claimed, difference, interval, inverse, numbers, plural

_TITLES: Mapping[str, str] = {
    **{"abstract": "Abstract", "1": "Introduction", "2": "The dataset", "3": "The architecture"},
    **{"3.1": "ReLU nonlinearity", "3.2": "Training on multiple GPUs"},
    **{"3.3": "Local response normalization", "3.4": "Overlapping pooling"},
    **{"3.5": "Overall architecture", "4": "Reducing overfitting", "4.1": "Data augmentation"},
    **{"4.2": "Dropout", "5": "Details of learning", "6": "Results"},
    **{"6.1": "Qualitative evaluations", "7": "Discussion"},
}
# The words of verdicts, with those for what no effect decides: each with its colour on the pages.
_KINDS: Mapping[str, str] = {
    **{"reproduced": "reproduced", "direction holds": "direction", "absent": "absent"},
    **{"contradicted": "contradicted", "undecided": "undecided"},
    **{"agrees": "agrees", "known slip": "slip", "differs": "contradicted", "measured": "measured"},
    **{"no verdict": "none", "not run yet": "none", "no pair": "none"},
    **{"awaits": "none", "left out": "none"},
}
MEANINGS: Mapping[str, str] = {
    **{str(word): rule for word, rule in RULES.items()},
    "agrees": "Counted from the tables of layers, it is the paper's number.",
    "known slip": "Counted, it is not the number printed; which one is wrong is known.",
    "differs": "Counted, it is not the number printed, and why is not known.",
    "measured": "It is seen rather than compared: the numbers stand here, and no rule judges them.",
    "no verdict": "This scale claims nothing.",
    "not run yet": "An experiment is defined, and has no two runs of one seed yet.",
    "no pair": "There are runs, and no two of one seed came to a number that could be compared.",
    "awaits": "Something has to be built before it can be tested.",
    "left out": "This scale has no experiment that could test it.",
}
_LEAST_FAVOURABLE = ("contradicted", "absent", "undecided", "direction holds", "reproduced")


@dataclass(frozen=True)
class Row:
    """One way in which a claim is tested: what the paper says, what came out, and the verdict.

    `paper` are what is counted and the number, `here` lines.
    """

    word: str
    reason: str
    paper: Sequence[tuple[str, str]] = ()
    here: Sequence[str] = ()
    experiment: str = ""
    about: str = ""
    seeds: str = ""

    @property
    def kind(self) -> str:
        """The class of its word in the page's style."""
        return _KINDS[self.word]


@dataclass(frozen=True)
class Entry:
    """A claim and its rows."""

    claim: Claim
    rows: Sequence[Row]

    @property
    def word(self) -> str:
        """What it is counted as: the least favourable of its rows' verdicts, if it has any."""
        words = [row.word for row in self.rows]
        return next((word for word in _LEAST_FAVOURABLE if word in words), words[0])


def entries(
    study: Study, found: Mapping[str, Sequence[Finding]], seen: Mapping[str, tuple[str, Seen]]
) -> list[Entry]:
    """Every claim once. `found` are the findings by experiment; `seen`, by claim, the experiment's name
    and what its cells show of claims that compare nothing.
    """
    return [Entry(claim, _rows(study, claim, found, seen)) for claim in CLAIMS]


def sections(found: Sequence[Entry]) -> list[dict[str, object]]:
    """The entries by section of the paper."""
    return [
        {
            "title": title if section == "abstract" else f"{section} {title}",
            "entries": [entry for entry in found if entry.claim.section == section],
        }
        for section, title in ((one, _TITLES[one]) for one in SECTIONS)
    ]


def tally(found: Sequence[Entry]) -> list[dict[str, object]]:
    """How many claims have which verdict."""
    counts = Counter(entry.word for entry in found)
    return [
        {"word": word, "count": counts[word], "kind": _KINDS[word], "meaning": meaning}
        for word, meaning in MEANINGS.items()
        if counts[word]
    ]


def _rows(
    study: Study,
    claim: Claim,
    found: Mapping[str, Sequence[Finding]],
    seen: Mapping[str, tuple[str, Seen]],
) -> list[Row]:
    if claim.kind == "exact":
        return [_exact(claim)]
    rows = [
        row_of(study, experiment, one)
        for experiment, all_of_it in found.items()
        for one in all_of_it
        if one.claim is claim
    ]
    if claim.name in seen:
        experiment, shown = seen[claim.name]
        word = "not run yet" if not shown.runs else "measured"
        seeds = plural(shown.runs, "run") if shown.runs else ""
        rows.append(Row(word, shown.text, here=shown.numbers, experiment=experiment, seeds=seeds))
    return rows or [_untested(study, claim)]


def row_of(study: Study, experiment: str, one: Finding) -> Row:
    """A finding as a row."""
    paper = [(METRICS[one.metric].title, claimed(one.claim, one.metric))]
    about = one.comparison.about
    if one.effect is None:
        if one.missed:
            return Row("no pair", _missing(one), paper, experiment=experiment, about=about)
        missing = "No two runs of one seed yet."
        return Row("not run yet", missing, paper, experiment=experiment, about=about)
    mean = difference(one.metric, one.effect.mean) + inverse(one.metric, one.effect.mean)
    here = [mean]
    if one.effect.t_interval:
        here.append(interval(one.metric, one.effect.t_interval))
    word = one.verdict.word if one.verdict else "no verdict"
    seeds = plural(len(one.effect.seeds), "seed")
    return Row(word, reason(one), paper, here, experiment, about, seeds)


def reason(one: Finding) -> str:
    """Why a finding has its verdict, what that leaves out, and the hours it still takes."""
    parts = [one.verdict.reason] if one.verdict else []
    if one.hours is not None:
        parts.append(f"That takes {_hours(one.hours)}.")
    return " ".join([*parts, _missing(one)]).strip()


def _missing(one: Finding) -> str:
    """Which runs have no such number, and so are left out."""
    if not one.missed:
        return ""
    runs = ", ".join(f"{run.arm} of seed {run.seed}" for run in one.missed)
    return f"Left out: {runs}, which did not get there ({METRICS[one.metric].title})."


def _hours(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else plural(max(1, round(60 * hours)), "minute")


def _exact(claim: Claim) -> Row:
    """A number that is counted again."""
    assert claim.computed
    wrong = claim.disagreements()
    computed = numbers(claim.computed())
    hedge = f"{claim.hedge} " if claim.hedge else ""
    paper = [(name, f"{hedge}{number}") for name, number in numbers(claim.stated)]
    here = [f"{name}: {number}" for name, number in computed]
    if not wrong:
        return Row("agrees", "", paper, here)
    which = ", ".join(wrong)
    if set(wrong) <= set(claim.slips):
        return Row("known slip", f"Not so for {which}.", paper, here)
    return Row("differs", f"Not so for {which}.", paper, here)


def _untested(study: Study, claim: Claim) -> Row:
    """Why nothing tests a claim here."""
    hedge = f"{claim.hedge} " if claim.hedge else ""
    paper = [
        (METRICS[name].title, f"{number:g} %") if name in METRICS else (name, f"{hedge}{number:g}")
        for name, number in claim.stated.items()
    ]
    paper += [(METRICS[metric].title, claimed(claim, metric)) for metric in claim.effects]
    if claim.awaits:
        return Row("awaits", f"Awaits {claim.awaits}.", paper)
    why = study.left_out.get(claim.name, "No experiment of this scale bears on it.")
    return Row("left out", why, paper)
