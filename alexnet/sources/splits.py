"""Which folder names say "training", "validation" or "test", in the spellings that people use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from alexnet.base.names import one_form

TRAIN, VAL, TEST = "train", "val", "test"
EVAL = "eval"  # validation, or the test beside a validation split: speech and text say dev and eval

_ROLES = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "vali"), VAL),
    **dict.fromkeys(("dev", "devel", "development", "holdout", "heldout", "crossval"), VAL),
    **dict.fromkeys(("crossvalidation",), VAL),
    **dict.fromkeys(("test", "testing", "tst"), TEST),
    **dict.fromkeys(("eval", "evaluation", "evaluate"), EVAL),
}
# Words that say nothing: train_images, TrainSet, test-jpg-256.
_EMPTY_TEXT = """
    set sets image images img imgs data dataset datasets split splits folder dir directory
    photo photos pic pics picture pictures jpg jpeg png file files sample samples example
    examples part the my our new all full final original orig raw clean small resized
    cropped crops crop px x a b c v
"""
_EMPTY = frozenset(_EMPTY_TEXT.split())
_FILLED = re.compile(
    r"(?P<role>{})(?:{})".format(
        "|".join(sorted(_ROLES, key=len, reverse=True)),
        "|".join(sorted((word for word in _EMPTY if len(word) > 2), key=len, reverse=True)),
    )
)
# Folders inside a split, or a class, that hold all of its images and mean nothing.
_GENERIC_TEXT = """
    image images img imgs data dataset photo photos pic pics picture pictures jpg jpeg png
    jpegimages files classes all
"""
GENERIC = frozenset(_GENERIC_TEXT.split())


def words(name: str) -> list[str]:
    """The words of a name in small letters, without those that say nothing: "seg_trainSet" has two."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", one_form(name))
    found = []
    for word in re.findall(r"[^\W\d_]+", parted.casefold()):
        filled = _FILLED.fullmatch(word)
        found.append(filled["role"] if filled else word)
    return [word for word in found if word not in _EMPTY]


def role_of(name: str) -> str:
    """The split that a folder's whole name says, TRAIN, VAL, TEST or EVAL; "" where it says none."""
    return _ROLES.get("".join(words(name)), "")


def roles(names: Iterable[str]) -> Mapping[str, str]:
    """The split of each of the folders beside each other that has the name of one.

    "seg_train" is one only beside "seg_test": "bullet_train" and "test_tube" are things.
    """
    names = list(names)
    found = {name: role for name in names if (role := role_of(name))}
    families: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        if name not in found:
            own = words(name)
            inner = [n for n, word in enumerate(own) if word in _ROLES]
            if len(inner) == 1:
                rest = tuple(own[: inner[0]] + own[inner[0] + 1 :])
                families.setdefault(rest, {})[name] = _ROLES[own[inner[0]]]
    for family in families.values():
        if len(set(family.values())) > 1:
            found |= family
    return found


def settled(found: Mapping[str, str]) -> dict[str, str]:
    """`roles` without EVAL: that is the validation split, or the test where there is another."""
    other = TEST if VAL in found.values() else VAL
    return {name: other if role == EVAL else role for name, role in found.items()}
