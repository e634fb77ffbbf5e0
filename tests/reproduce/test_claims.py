"""Claims: in the paper's order, with its numbers, and every count of the paper done again."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from alexnet import paper
from alexnet.base.errors import UsageError
from alexnet.conventions import PAPER
from alexnet.loading.crops import random_views
from alexnet.network import AlexNet
from alexnet.reproduce import counts
from alexnet.reproduce.claim import METRICS, SECTIONS, Claim, Row, errors
from alexnet.reproduce.claims import CLAIMS, claim

EXACT = [one for one in CLAIMS if one.kind == "exact"]


def numbers_in(value: object) -> Iterator[float]:
    """Every number in constants of any nesting."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from numbers_in(one)
    elif isinstance(value, tuple):
        for one in value:
            yield from numbers_in(one)


PAPERS = {
    number for name, value in vars(paper).items() if name.isupper() for number in numbers_in(value)
}


# What sentences name besides a claim's own numbers: the circumstances.
CIRCUMSTANCES = {
    *(paper.RELU_TARGET, paper.CROP, paper.LAYERS[0].stride, paper.WEIGHT_DECAY, paper.EPOCHS),
    *(paper.ILSVRC_2010.train, paper.FALL_2009.classes),
}


def is_one_of(numbers: Collection[float], number: float) -> bool:
    """Whether it is among them, or 1 % as 0.01, 60 (million) as 60,000,000, six times as a sixth."""
    forms = (number, number / 100, number * 1e6, 1 / number)
    return any(math.isclose(form, other) for form in forms for other in numbers)


def test_names_are_unique_and_fit_for_a_command_line() -> None:
    names = [one.name for one in CLAIMS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


def test_claims_stand_in_the_papers_order() -> None:
    places = [SECTIONS.index(one.section) for one in CLAIMS]
    assert places == sorted(places)
    assert set(places) == set(range(len(SECTIONS))), "no section is passed over"


@pytest.mark.parametrize("one", CLAIMS, ids=lambda one: one.name)
def test_every_number_is_one_of_the_papers(one: Claim) -> None:
    differences = set[float]()
    if len(one.rows) == 2:
        mine, theirs = (errors(row) for row in one.rows)
        differences = {round(abs(mine[each] - theirs[each]), 1) for each in mine.keys() & theirs}
    sizes = {abs(size) for size in one.effects.values() if size is not None}
    assert all(size in differences or is_one_of(PAPERS, size) for size in sizes)
    assert all(is_one_of(PAPERS, number) for number in one.stated.values())


@pytest.mark.parametrize("one", CLAIMS, ids=lambda one: one.name)
def test_a_sentence_has_the_numbers_of_its_claim(one: Claim) -> None:
    own = {*CIRCUMSTANCES, *one.stated.values()}
    own |= {abs(size) for size in one.effects.values() if size is not None}
    own |= {error for row in one.rows for error in errors(row).values()}
    text = re.sub(r"conv\d|fc\d|top-\d|GTX \d+|20\d\d|CIFAR-10|ILSVRC-", "", one.says)  # names
    for word in re.findall(r"\d[\d,]*(?:\.\d+)?", text):
        assert is_one_of(own, float(word.replace(",", ""))), word


@pytest.mark.parametrize("one", EXACT, ids=lambda one: one.name)
def test_what_can_be_counted_is_as_stated_but_for_the_known_slips(one: Claim) -> None:
    assert one.computed is not None
    assert one.computed().keys() == one.stated.keys()
    assert tuple(one.disagreements()) == one.slips
    assert bool(one.note) or not one.slips, "a slip is explained"


def test_the_slips_are_these() -> None:
    assert {one.name: one.slips for one in CLAIMS if one.slips} == {
        "convolutions-are-small": ("conv3", "conv4"),
        "images-of-a-class": ("images",),
        "neurons-by-layer": ("conv1",),
    }
    assert claim("neurons-by-layer").disagreements() == {"conv1": 290_400}


def test_counts_are_those_of_the_network_itself() -> None:
    network = AlexNet.without_weights(PAPER)
    held = {name: one.numel() for name, one in network.named_parameters()}
    assert counts.parameters() == {"parameters": sum(held.values())}
    fc6 = held["fc6.weight"] + held["fc6.bias"]
    assert counts.share_of_fc6()["fc6"] == pytest.approx(fc6 / sum(held.values()))
    assert counts.maps_seen()["conv4"] == network.conv4.weight.shape[1]


def test_as_many_views_are_drawn_as_are_counted() -> None:
    drawn_N3 = random_views(0, 0, np.arange(40_000), reflections=True)
    assert len(np.unique(drawn_N3, axis=0)) == counts.views_of_an_image()["views"]


@pytest.mark.parametrize(
    ("hedge", "agreeing"),
    [("", [10]), ("about", [9.1, 10, 10.9]), ("over", [10.9, 12]), ("at most", [8, 9.1, 10])],
)
def test_the_papers_hedge_decides_what_agrees(hedge: Any, agreeing: list[float]) -> None:
    def agrees(value: float) -> bool:
        one = Claim("n", "1", "n", stated={"n": 10}, computed=lambda: {"n": value}, hedge=hedge)
        return one.disagreements() == {}

    assert [value for value in (8, 9.1, 10, 10.9, 12) if agrees(value)] == agreeing


def test_every_row_of_the_tables_of_results_is_in_some_claim() -> None:
    told: list[Row] = [row for one in CLAIMS for row in one.rows]
    tables = {
        name: [value] if isinstance(value, Row) else list(value)
        for name, value in vars(paper).items()
        if name.isupper()
        and (isinstance(value, Row) or (isinstance(value, tuple) and isinstance(value[0], Row)))
    }
    assert {"TABLE_1", "TABLE_2", "PROGRAM_ABLATIONS", "ZEILER_FERGUS"} <= tables.keys()
    assert [row for rows in tables.values() for row in rows if row not in told] == []
    parts = {abs(size) for one in CLAIMS for size in one.effects.values() if size is not None}
    assert all({size for size in effect[1:] if size} <= parts for effect in paper.EFFECTS.values())


@pytest.mark.parametrize("one", [one for one in CLAIMS if one.effects], ids=lambda one: one.name)
def test_effects_go_the_way_that_is_claimed(one: Claim) -> None:
    units = {METRICS[metric].unit for metric in one.effects}
    assert len(units) == 1
    for size in one.effects.values():
        if size is not None and one.direction:
            assert (
                math.copysign(1, size if units == {"points"} else math.log(size)) == one.direction
            )


def test_what_the_text_says_agrees_with_the_tables_and_logs() -> None:
    checked = 0
    for one in CLAIMS:
        if len(one.rows) == 2:
            with_it, without = (errors(row) for row in one.rows)
            for metric, size in one.effects.items():
                assert size == pytest.approx(with_it[metric] - without[metric], abs=0.11)
                checked += 1
    assert checked > 20


def test_an_unknown_claim_is_refused_with_the_nearest() -> None:
    assert claim("ten-views").section == "4.1"
    with pytest.raises(UsageError, match="overlapping-pooling"):
        claim("overlaping-pooling")
