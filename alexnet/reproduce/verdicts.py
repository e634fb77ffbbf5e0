"""From an effect to a verdict, by written rules that come in order: the first that applies decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from alexnet.reproduce import wording
from alexnet.reproduce.power import FEWEST_FOR_ABSENCE, seeds_for_absence, seeds_needed
from alexnet.reproduce.statistics import FEWEST, LEVEL, Effect, Interval, holm, t_interval

Word = Literal["reproduced", "direction holds", "contradicted", "absent", "undecided"]

RULES: Mapping[Word, str] = {
    "reproduced": "The effect is significant and has the paper's sign, the paper's number lies in the "
    "95 % interval over seeds, and the images are the paper's.",
    "direction holds": "The effect is significant and has the paper's sign.",
    "contradicted": "The effect is significant and has the other sign, or the paper says that there is "
    "none.",
    "absent": "The effect is not significant, and its 90 % interval over at least three seeds lies "
    "within half of the paper's effect to either side of zero.",
    "undecided": "None of these.",
}
SIGNIFICANT = (
    "An effect is significant when, from at least six seeds, the exact sign-flip p is at most 0.05, the "
    "p of the paired t test is at most 0.05 after Holm's correction for all effects of the page, and "
    "the t interval and the BCa interval exclude zero."
)
_WAYS = {-1: "lower", 0: "no different", 1: "higher"}


class Expected(NamedTuple):
    """What the paper says of a metric: an effect in points or as a log2, or only its direction."""

    metric: str
    direction: Literal[-1, 0, 1]  # 0: that there is none
    effect: float | None = None
    same_images: bool = False  # whether ours are the paper's


@dataclass(frozen=True)
class Verdict:
    """What follows from an effect, why, and what would decide where nothing follows yet.

    `p` is the p of the paired t test, adjusted for the page; None below six seeds. `more_seeds` is how
    many are still needed, by the spread so far, where the verdict is undecided; None where that is
    unknown.
    """

    word: Word
    reason: str
    p: float | None
    more_seeds: int | None = None


def judge(page: Sequence[tuple[Effect, Expected]]) -> list[Verdict]:
    """The verdicts of all effects that stand on one page, in their order."""
    ps = holm([_tested(effect) for effect, _ in page])
    tests = sum(p is not None for p in ps)
    return [verdict(*row, p, tests) for row, p in zip(page, ps, strict=True)]


def verdict(effect: Effect, expected: Expected, p: float | None, tests: int) -> Verdict:
    """The verdict of one effect, its p already adjusted, on a page where so many are tested."""
    papers, sign = expected.effect, _sign(expected)
    if is_significant(effect, p):
        if effect.mean * sign <= 0:
            return Verdict("contradicted", _contradicted(effect, expected, p), p)
        if papers and expected.same_images and effect.t_interval and effect.t_interval.has(papers):
            return Verdict("reproduced", _reproduced(effect, expected, p), p)
        return Verdict("direction holds", _holds(effect, expected, p), p)
    if papers and is_absent(effect, abs(papers) / 2):
        return Verdict("absent", _absent(effect, expected), p)
    more = _more_seeds(effect, expected, tests)
    return Verdict("undecided", _undecided(effect, expected, p, more), p, more)


def is_significant(effect: Effect, p: float | None) -> bool:
    """Whether an effect is significant (`SIGNIFICANT`), by its p adjusted for the page.

    Where all differences are the same there is no interval, and the sign flips alone decide.
    """
    intervals = [one for one in (effect.t_interval, effect.bca) if one]
    return (
        len(effect.seeds) >= FEWEST
        and effect.sign_flip_p <= LEVEL
        and p is not None
        and p <= LEVEL
        and not any(one.has(0) for one in intervals)
    )


def is_absent(effect: Effect, margin: float) -> bool:
    """Whether the effect is shown to be within +-margin: two one-sided tests at 5 %."""
    if len(effect.seeds) < FEWEST_FOR_ABSENCE or not effect.spread:
        return False
    low, high = _ninety(effect)
    return -margin < low and high < margin


def _ninety(effect: Effect) -> Interval:
    low, high = t_interval(np.array(effect.differences), 1 - 2 * LEVEL)
    return Interval(float(low), float(high))


def _tested(effect: Effect) -> float | None:
    """The p that is adjusted; where all differences are the same, that of the sign flips."""
    if len(effect.seeds) < FEWEST:
        return None
    return effect.sign_flip_p if effect.t_p is None else effect.t_p


def _sign(expected: Expected) -> int:
    """The paper's: that of its number where there is one."""
    if expected.effect:
        return 1 if expected.effect > 0 else -1
    return expected.direction


def _more_seeds(effect: Effect, expected: Expected, tests: int) -> int | None:
    """How many more would show the paper's effect if it is there, or else that it is not."""
    n = len(effect.seeds)
    fewest = FEWEST - n if n < FEWEST else None
    if not expected.effect or not effect.spread:
        return fewest
    for needed in (
        seeds_needed(expected.effect, effect.spread, LEVEL / (tests + (n < FEWEST))),
        seeds_for_absence(abs(expected.effect) / 2, effect.spread),
    ):
        if needed and needed > n:
            return needed - n
    return fewest


# --- Reasons --------------------------------------------------------------------------------------


def _seen(effect: Effect, metric: str, p: float | None) -> str:
    """ "−1.32 points over 8 seeds, [−1.80, −0.84], adjusted p 0.004"."""
    parts = [
        f"{wording.difference(metric, effect.mean)} over {wording.plural(len(effect.seeds), 'seed')}"
    ]
    if effect.t_interval:
        parts.append(wording.interval(metric, effect.t_interval))
    if p is not None:
        parts.append(f"adjusted p {wording.probability(p)}")
    return ", ".join(parts)


def _papers(expected: Expected) -> str:
    """ "the paper's −1.40 points", where it has a number."""
    assert expected.effect
    return f"the paper's {wording.difference(expected.metric, expected.effect)}"


def _reproduced(effect: Effect, expected: Expected, p: float | None) -> str:
    return f"{_seen(effect, expected.metric, p)}: significant, and {_papers(expected)} lies inside."


def _holds(effect: Effect, expected: Expected, p: float | None) -> str:
    seen = f"{_seen(effect, expected.metric, p)}: significant"
    if not expected.effect:
        return f"{seen}, and {_WAYS[_sign(expected)]}, as the paper says."
    if abs(effect.mean) < abs(expected.effect) / 2:
        return f"{seen}, but less than half of {_papers(expected)}."
    if expected.same_images:
        return f"{seen}, with the sign of {_papers(expected)}, which lies outside."
    return f"{seen}, with the sign of {_papers(expected)}, on other images."


def _contradicted(effect: Effect, expected: Expected, p: float | None) -> str:
    seen = f"{_seen(effect, expected.metric, p)}: significant"
    if expected.effect:
        return f"{seen}, against {_papers(expected)}."
    return f"{seen}, where the paper says that it is {_WAYS[_sign(expected)]}."


def _absent(effect: Effect, expected: Expected) -> str:
    assert expected.effect
    half = abs(expected.effect) / 2
    within = wording.interval(expected.metric, (-half, half))
    ninety = wording.interval(expected.metric, _ninety(effect))
    seeds = wording.plural(len(effect.seeds), "seed")
    return (
        f"The 90 % interval over {seeds}, {ninety}, lies within {within}: no effect, or one that is "
        f"less than half of {_papers(expected)}."
    )


def _undecided(effect: Effect, expected: Expected, p: float | None, more: int | None) -> str:
    seen, n = _seen(effect, expected.metric, p), len(effect.seeds)
    if n < FEWEST:
        why = f"fewer than {FEWEST} seeds cannot be significant"
    elif not effect.spread:
        why = "all seeds agree, and their spread was not seen"
    elif _sign(expected) == 0:
        why = "no difference is shown, which does not prove that there is none"
    else:
        why = "not significant, and not shown to be small" if expected.effect else "not significant"
    if more is None:
        return f"{seen}: {why}."
    known = expected.effect and effect.spread
    needed = (
        f"about {more} more would decide by the spread so far" if known else f"{more} more at least"
    )
    return f"{seen}: {why}; {needed}."
