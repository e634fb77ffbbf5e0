"""What is worth knowing of a plan before it is trained: whether it can work at all, in plain sentences.

Each line says what is so and what to type or to bring instead. Nothing here stops a run; what does is in
`checks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from alexnet import paper
from alexnet.base.names import listed
from alexnet.config import RunConfig
from alexnet.conventions import CONVENTIONS
from alexnet.loading.order import Order
from alexnet.verdict import FEW, interval

FEW_IMAGES = 1000  # for a network that starts with random weights
FEW_OF_A_CLASS = 50  # on average
# Updates before a network can be expected to tell classes apart. From the paper's start its eight layers
# need thousands to leave the loss of chance (`recipes.small` says why).
UPDATES, FROM_THE_PAPERS_START = 200, 3000
UNEQUAL = 10  # times as many images
_NAMED = 5  # classes


def warnings(
    config: RunConfig, per_class: Mapping[str, Sequence[int]], titles: Sequence[str], again: str
) -> tuple[str, ...]:
    """What speaks against a plan, most important first; `per_class` has the images of "train" and "val".

    Titles are the classes' names for people; `again` is the command that prepares the images.
    """
    train, val = per_class["train"], per_class["val"]
    order = Order(sum(train), config.optimizer.batch.count, config.seed)
    starts_anew = not config.network.start.model
    return (
        *(_few_images(train) if starts_anew else ()),
        *(_few_updates(config, order) if starts_anew else ()),
        *_large_batch(order),
        *_few_to_validate(val, again),
        *_missing(train, val, titles),
        *_unequal(train, titles),
    )


def _few_images(train: Sequence[int]) -> Iterator[str]:
    images, classes = sum(train), len(train)
    if images < FEW_IMAGES or images < FEW_OF_A_CLASS * classes:
        yield (
            f"{images:,} training images of {classes:,} classes are few for a network that starts with "
            "random weights: it may learn little or nothing. Start with the weights of a trained one "
            "(--init MODEL), or bring more images"
        )


def _few_updates(config: RunConfig, order: Order) -> Iterator[str]:
    is_slow = config.network.start.rule == "gaussian" and (
        CONVENTIONS[config.network.convention].side == paper.SIDE
    )
    needed = FROM_THE_PAPERS_START if is_slow else UPDATES
    updates = order.steps(config.length.count)
    if updates >= needed:
        return
    epochs = math.ceil(needed * order.batch / order.count)
    says = (
        f"{config.length} in batches of {order.batch:,} are {updates:,} updates of the weights, and from "
        f"this start a network needs some {needed:,} to tell classes apart. "
    )
    if is_slow:
        yield f"{says}Use --recipe small, whose start learns from the first updates"
    else:
        yield f"{says}Train for longer: --epochs {epochs}"


def _large_batch(order: Order) -> Iterator[str]:
    if order.batch > order.count:
        smaller = max(1, order.count // 4)
        yield (
            f"a batch of {order.batch:,} is more than all {order.count:,} training images: each update "
            f"covers {order.batch / order.count:.3g} epochs, and epochs that end within one are not "
            f"validated by themselves. For smaller ones: --batch {smaller}"
        )


def _few_to_validate(val: Sequence[int], again: str) -> Iterator[str]:
    images = sum(val)
    if images < FEW:
        low, high = interval(images // 2, images)
        yield (
            f"{images} validation image{'s' * (images != 1)}: an error of a half would be known no "
            f"better than as {100 * low:.0f} to {100 * high:.0f} %. Put more images into val/, or hold "
            f"out more where there is none: {again} --val 0.3"
        )


def _missing(train: Sequence[int], val: Sequence[int], titles: Sequence[str]) -> Iterator[str]:
    for counts, split, so in (
        (train, "train", "they cannot be learned"),
        (val, "val", "what the network does with them is not measured"),
    ):
        if lacking := [title for title, count in zip(titles, counts, strict=True) if not count]:
            kind = "training" if split == "train" else "validation"
            yield (
                f"classes without {kind} images: {listed(lacking, _NAMED)}; {so}. "
                f"Put some into {split}/, or leave those classes out"
            )


def _unequal(train: Sequence[int], titles: Sequence[str]) -> Iterator[str]:
    there = [k for k, count in enumerate(train) if count]
    most, least = max(there, key=train.__getitem__), min(there, key=train.__getitem__)
    if train[most] >= UNEQUAL * train[least]:
        always = 100 * (1 - train[most] / sum(train))
        yield (
            f'very unequal classes: {train[most]:,} training images of "{titles[most]}", '
            f'{train[least]:,} of "{titles[least]}". The network will favour the large ones (to say '
            f'"{titles[most]}" always has an error of {always:.1f} % on them): bring more images of the '
            "small ones, or take fewer of the large ones"
        )
