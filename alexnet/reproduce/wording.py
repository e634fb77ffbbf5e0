"""How numbers are written on the pages: with a true minus, their unit, and digits that mean something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alexnet.reproduce.claim import METRICS, Claim

_RAW = {  # what one run's value is counted in, where it is no error, and by what it is multiplied
    "epochs to 25 %": (1.0, "epochs"),
    "epochs": (1.0, "epochs"),
    "training time": (1000.0, "ms an image"),
    "search time": (1000.0, "ms"),
}


def signed(number: float, digits: int = 2) -> str:
    """ "+1.20", "−0.40", "0.00"."""
    text = f"{number:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def difference(metric: str, number: float) -> str:
    """A difference of a metric: in points, or, of a log2, as how many times: "−1.32 points"."""
    return f"{change(metric, number)} {METRICS[metric].unit}"


def change(metric: str, number: float) -> str:
    """The same without its unit."""
    return signed(number) if METRICS[metric].unit == "points" else times(2.0**number)


def times(ratio: float) -> str:
    """A ratio, or another number above zero, with three digits: "0.167", "1.02", "12.3"."""
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:,.0f}"


def interval(metric: str, ends: Sequence[float]) -> str:
    """The ends of an interval as `change` writes them: "[−1.80, −0.84]"."""
    return f"[{change(metric, ends[0])}, {change(metric, ends[1])}]"


def inverse(metric: str, number: float) -> str:
    """What a ratio below one is the inverse of, as the paper puts it: " (1/6.0)"; otherwise nothing."""
    ratio = 2.0**number
    if METRICS[metric].unit == "points" or not 0 < ratio < 0.8:
        return ""
    return f" (1/{1 / ratio:.1f})"


def raw(metric: str, number: float) -> float:
    """A run's own value, in the unit that `raw_unit` says."""
    return number * _RAW.get(metric, (1.0, ""))[0]


def raw_unit(metric: str) -> str:
    """What a run's own value is counted in: "%" for errors and shares."""
    return _RAW.get(metric, (1.0, "%"))[1]


def probability(p: float) -> str:
    """ "0.031", or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float, digits: int = 2) -> str:
    """A share as percent: "21.34 %"."""
    return f"{100 * share:.{digits}f} %"


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """The mean of errors in percent, and their standard deviation where there are several."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return plain(mean, digits)
    spread = (sum((one - mean) ** 2 for one in values) / (len(values) - 1)) ** 0.5
    return f"{plain(mean, digits)} ± {plain(spread, digits)}"


def numbers(found: Mapping[str, float]) -> list[tuple[str, str]]:
    """Numbers that compare nothing, by what they count; all at most one are shares."""
    shares = all(0 < number <= 1 for number in found.values())
    return [
        (name, f"{100 * number:.3g} %" if shares else count(number))
        for name, number in found.items()
    ]


def count(number: float) -> str:
    """ "650,000", "9.97"."""
    return f"{number:,.0f}" if number == round(number) or number >= 1000 else f"{number:.3g}"


def claimed(claim: Claim, metric: str) -> str:
    """The paper's effect on a metric: "−1.7 points", "0.167 times (1/6)", or only its direction."""
    effect = claim.effects[metric]
    if effect is None:
        return {-1: "lower", 0: "the same", 1: "higher"}[claim.direction]
    if METRICS[metric].unit == "points":
        return f"{signed(effect, 1)} points"
    inverted = f" (1/{1 / effect:.0f})" if effect < 0.8 else ""
    return f"{times(effect)} times{inverted}"


def plain(number: float, digits: int = 2) -> str:
    """ "1.20", "−0.40"."""
    return f"{number:.{digits}f}".replace("-", "−")


def plural(number: int, what: str) -> str:
    """ "1 seed", "6 seeds"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
