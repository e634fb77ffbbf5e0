"""Which cells speak for what, and what is read off them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reproduce.made import NUMERICS, cell

from alexnet.reproduce.claims import CLAIMS, claim
from alexnet.reproduce.evidence import METRICS, epochs_to, evidence, metrics_of, value
from alexnet.reproduce.experiments import SCALES, Comparison, study

SMALL = study("small")
BASE, OTHER = SMALL.arms["cifar"], SMALL.arms["cifar-no-norm"]
WITHOUT_NORM = Comparison("response-normalization-cifar", BASE.name, OTHER.name)


@pytest.mark.parametrize("scale", SCALES)
def test_every_claim_that_awaits_nothing_is_tested_shown_or_left_out_with_a_reason(
    scale: str,
) -> None:
    found = study(scale)  # type: ignore[arg-type]
    tested = {two.claim for one in found.experiments for two in one.comparisons}
    shown = {name for one in found.experiments for name in one.shows}
    open_claims = {one.name for one in CLAIMS if not (one.awaits or one.kind == "exact")}
    assert not tested & set(found.left_out) and not shown & set(found.left_out)
    assert tested | shown | set(found.left_out) == open_claims
    for one in found.experiments:
        for two in one.comparisons:
            assert metrics_of(found, two, claim(two.claim).effects), two
            for name in (two.arm, two.without):
                assert found.arms[name].config(0).seed == 0
        assert all(name in found.arms for name in one.others)


def test_pairs_have_one_seed_the_same_images_and_the_same_arithmetic() -> None:
    elsewhere = {**NUMERICS, "threads": 4}
    cells = [
        *(cell(BASE, seed) for seed in (0, 1, 2, 5)),
        *(cell(OTHER, seed) for seed in (1, 2, 3)),
        cell(BASE, 0, numerics=elsewhere),
        cell(OTHER, 0, numerics=elsewhere),
        cell(OTHER, 5, images=99),
        *(
            cell(one, 1, numerics=elsewhere) for one in (BASE, OTHER)
        ),  # most have the other arithmetic
        cell(OTHER, 7, scale="smoke"),
    ]
    pairs = evidence(SMALL, cells).pairs(WITHOUT_NORM)
    assert [pair.seed for pair in pairs] == [0, 1, 2]
    used = [pair.arm.address.numerics["threads"] for pair in pairs]
    assert used in (
        [4, 2, 2],
        [4, 4, 2],
    )  # two seeds have either: the same choice whatever the order
    assert used == [
        pair.arm.address.numerics["threads"]
        for pair in evidence(SMALL, cells[::-1]).pairs(WITHOUT_NORM)
    ]
    assert {(pair.arm.arm, pair.without.arm) for pair in pairs} == {("cifar", "cifar-no-norm")}


def test_a_cell_of_another_definition_is_stale_and_says_why() -> None:
    before = replace(BASE, settings=(*BASE.settings, "optimizer.momentum=0.8"))
    of_version_2 = replace(BASE, version=2)
    gone = replace(BASE, name="cifar-of-old")
    renamed = replace(BASE, settings=(*BASE.settings, "checkpoint.every=7"))  # decides no number
    found = evidence(SMALL, [cell(one, 0) for one in (before, of_version_2, gone, renamed)])
    assert [one.address.what for one in found.cells["cifar"]] == [cell(BASE, 0).address.what]
    assert [stale.why for stale in found.stale] == [
        ("settings.optimizer.momentum: 0.8, not there",),
        ("version: 2, 1",),
        ("there is no arm cifar-of-old",),
    ]


def test_metrics_by_hand() -> None:
    one = cell(BASE, 0, 0.25, training=(0.8, 0.5, 0.4, 0.1), made={"images_per_second": 500.0})
    expected = {
        "top1": 25.0, "top5": 6.25, "training error": 10.0, "gap": 16.0, "training time": 1 / 500,
        "early training error": (80 + 50 + 40) / 3, "epochs to 25 %": 2.5 + 0.15 / 0.3,
    }  # fmt: skip
    assert {name: value(one, name) for name in expected} == pytest.approx(expected)
    assert value(one, "top1", views=1) == pytest.approx(26.0)
    assert set(METRICS) - set(expected) == {"colour"}
    assert epochs_to(cell(BASE, 0, training=(0.2, 0.1))) == 0.5
    assert epochs_to(cell(BASE, 0, training=(0.9, 0.26))) is None
