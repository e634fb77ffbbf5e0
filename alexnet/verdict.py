"""What an error rate says: how sure it is, and whether the network is better than chance.

Intervals are Wilson's score intervals of a share: a closed formula, right for few images and near 0 and 1
as well (E. B. Wilson, "Probable inference", J. Am. Stat. Assoc. 22, 1927). They are for new images of the
same kind, not for other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from alexnet import paper

FEW = 100  # images: with fewer, errors are told as counts, and not compared with the paper's
_NORMAL = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
_COLLAPSED = 0.9  # from this share of all images on, one answer is worth a sentence
_ITS_OWN = 0.6  # unless so many images are of that class
_UNEQUAL = 1.25  # times its equal share: then the largest class alone is what has to be beaten


class Interval(NamedTuple):
    """A confidence interval of a share, 0 to 1."""

    low: float
    high: float


class Tally(NamedTuple):
    """What became of the images of a split; classes are places in the order of the output layer.

    `largest` is the class with most images, `answer` the one that was named most often.
    """

    images: int
    wrong: int
    classes: int  # that the network can name
    present: int  # that have images
    largest: int
    of_largest: int  # its images
    answer: int
    answered: int  # images that were taken for it
    of_answer: int  # images that are of it


def tally_of(per_class: Sequence[int], wrong: int, answer: int, answered: int) -> Tally:
    """The tally of a split with so many images of each class; `answer` was named `answered` times."""
    largest = max(range(len(per_class)), key=per_class.__getitem__)
    return Tally(
        images=sum(per_class),
        wrong=wrong,
        classes=len(per_class),
        present=sum(count > 0 for count in per_class),
        largest=largest,
        of_largest=per_class[largest],
        answer=answer,
        answered=answered,
        of_answer=per_class[answer],
    )


def has_top5(classes: int) -> bool:
    """Whether a top-5 error says anything: with five classes or fewer it is always zero."""
    return classes > paper.TOP


def interval(wrong: int, images: int) -> Interval:
    """Wilson's 95 % interval of the error rate, from how many of the images were wrong.

    Raises ValueError unless 0 <= wrong <= images, and there are images.
    """
    if not 0 <= wrong <= images or images == 0:
        raise ValueError(f"{wrong} of {images} images cannot be wrong.")
    share, squared = wrong / images, _NORMAL**2
    middle = share + squared / (2 * images)
    half = _NORMAL * sqrt(share * (1 - share) / images + squared / (4 * images**2))
    whole = 1 + squared / images
    low = 0.0 if wrong == 0 else (middle - half) / whole
    high = 1.0 if wrong == images else (middle + half) / whole
    return Interval(low, high)


def error_text(wrong: int, images: int) -> str:
    """An error with its interval: "20.6 %, 95 %: 16.7-25.0 %, n = 360"; of few images as counts:
    "8 of 11 wrong, 95 %: 43-90 %".
    """
    low, high = interval(wrong, images)
    if images < FEW:
        return f"{wrong} of {images} wrong, 95 %: {100 * low:.0f}-{100 * high:.0f} %"
    ends = f"{100 * low:.1f}-{100 * high:.1f} %"
    return f"{100 * wrong / images:.1f} %, 95 %: {ends}, n = {images:,}"


def judged(tally: Tally, titles: Sequence[str]) -> str:
    """Whether the network is better than chance, and whether it gives one answer to nearly all images.

    `titles` are the names of all classes, for people. Of very unequal classes what has to be beaten is
    the error of always naming the largest, which is less than that of chance.
    """
    low, high = interval(tally.wrong, tally.images)
    chance = 1 - 1 / tally.classes
    beaten = f"chance ({_percent(chance)})"
    always = 1 - tally.of_largest / tally.images
    is_unequal = tally.of_largest * tally.classes >= _UNEQUAL * tally.images
    if is_unequal and 1 < tally.present == tally.classes:
        chance = always
        beaten = f'always saying "{titles[tally.largest]}" ({_percent(always)})'
    if low > chance:
        found = f"Worse than {beaten}."
    elif high < chance:
        found = f"Better than {beaten}."
    elif tally.images < FEW:
        found = f"No better than {beaten}, as far as {_images(tally.images)} can tell."
    else:
        found = f"No better than {beaten}."
    return " ".join(part for part in (found, collapsed(tally, titles)) if part)


def collapsed(tally: Tally, titles: Sequence[str]) -> str:
    """A sentence where all images became one class, or nearly all one that few are of; else empty."""
    every = tally.answered == tally.images
    many = tally.answered >= _COLLAPSED * tally.images
    if tally.present < 2 or not (every or (many and tally.of_answer <= _ITS_OWN * tally.images)):
        return ""
    which = "Every image" if every else f"{tally.answered:,} of {_images(tally.images)}"
    return f'{which} became "{titles[tally.answer]}".'


def sentence(tally: Tally, titles: Sequence[str]) -> str:
    """The whole verdict: the error with its interval, then what `judged` says of it."""
    return f"Top-1 error: {error_text(tally.wrong, tally.images)}. {judged(tally, titles)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _images(count: int) -> str:
    return f"{count:,} image{'s' if count != 1 else ''}"
