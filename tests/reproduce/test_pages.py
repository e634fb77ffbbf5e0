"""The pages: every claim once, every seed a dot, numbers as computed by hand, nothing used silently."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reproduce.made import NUMERICS, cell
from scipy.stats import ttest_rel

from alexnet import paper
from alexnet.network import AlexNet
from alexnet.reproduce.cells import Cell, stored_array
from alexnet.reproduce.claims import CLAIMS
from alexnet.reproduce.experiments import FASTEST, RATES, study
from alexnet.reproduce.figure3 import kernels_of, start_of, updates
from alexnet.reproduce.pages import write_pages

SMALL = study("small")
NORM, NO_NORM = SMALL.arms["cifar"], SMALL.arms["cifar-no-norm"]
WITH = {0: 0.20, 1: 0.21, 2: 0.20, 3: 0.22, 4: 0.19, 5: 0.21}
WITHOUT = {0: 0.23, 1: 0.23, 2: 0.22, 3: 0.25, 4: 0.22, 5: 0.24, 6: 0.30}  # one has no partner
NORMALIZATION = [
    *(cell(NORM, seed, top1) for seed, top1 in WITH.items()),
    *(cell(NO_NORM, seed, top1) for seed, top1 in WITHOUT.items()),
]
OLD = replace(NO_NORM, settings=(*NO_NORM.settings, "optimizer.momentum=0.8"))
ELSEWHERE = {**NUMERICS, "threads": 16}

Written = Mapping[str, str]


def read(paths: Iterable[Path]) -> Written:
    """Pages by their names, with spaces that break."""
    return {path.stem: path.read_text().replace("\N{NO-BREAK SPACE}", " ") for path in paths}


def text_of(page: str) -> str:
    """What people read, in one line."""
    shown = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", shown)).split())


def row(page: str, name: str) -> list[str]:
    """The cells of the first table row of this name."""
    rows = re.findall(rf"<tr>\s*<t[hd][^>]*>(?:<code>)?{re.escape(name)}<.*?</tr>", page, re.DOTALL)
    return [text_of(one) for one in re.findall(r"<td[^>]*>.*?</td>", rows[0], re.DOTALL)]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Written]:
    """Pages by name, of cells of `small` unless another scale is asked for."""

    def written(cells: Iterable[Cell], scale: str = "small") -> Written:
        return read(write_pages(study(scale), cells, tmp_path))

    return written


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The pages of these cells, with a stale one and one from elsewhere."""
    cells = [
        *NORMALIZATION,
        cell(OLD, 9, 0.9),
        cell(NORM, 6, 0.2, numerics=ELSEWHERE, made={"machine": "<i>another</i>"}),
    ]
    folder = tmp_path_factory.mktemp("pages")
    return read(write_pages(SMALL, cells, folder))


def test_every_claim_is_there_once_in_the_papers_order(pages: Written) -> None:
    found = re.findall(r'id="claim-([^"]*)"', pages["index"])
    assert found == [one.name for one in CLAIMS]
    text = text_of(pages["index"])
    for one in CLAIMS:
        assert one.says in text and one.note in text
        assert not one.awaits or f"Awaits {one.awaits}." in text
    for reason in SMALL.left_out.values():
        assert reason in text


def test_the_tally_counts_every_claim_once(pages: Written) -> None:
    tally = re.search(r'<ul class="tally".*?</ul>', pages["index"], re.DOTALL)
    assert tally
    found = re.findall(r'<b>(\d+)</b><span class="verdict [^"]*">([^<]*)', tally.group())
    counts = {word: int(number) for number, word in found}
    assert sum(counts.values()) == len(CLAIMS)
    assert counts["known slip"] == sum(bool(one.slips) for one in CLAIMS)
    assert counts["awaits"] == sum(bool(one.awaits) for one in CLAIMS)
    assert counts["left out"] == len(SMALL.left_out)
    # Of the error, its distance from the training error, and of ten views against one.
    assert counts["direction holds"] == 3


def test_there_is_a_page_for_each_experiment_and_no_link_leads_astray(pages: Written) -> None:
    assert set(pages) == {"index", "architecture", *(one.name for one in SMALL.experiments)}
    for page in pages.values():
        for target in re.findall(r'(?:href|src)="([^"]*)"', page):
            if target.startswith("data:image/png;base64,"):
                continue
            name, _, place = target.partition("#")
            other = pages[name.removesuffix(".html")] if name else page
            assert not place or f'id="{place}"' in other


def test_pages_need_nothing_from_outside(pages: Written) -> None:
    for page in pages.values():
        assert "http://" not in page and "https://" not in page and "@import" not in page
        assert not re.search(r"<(script|link|iframe|object|embed|base|form)\b|\son\w+=", page)
        assert "default-src 'none'" in page
        assert page.count("<svg") == page.count('role="img" aria-label="')


def test_the_same_cells_in_any_order_give_the_same_bytes(
    pages: Written, write: Callable[..., Written]
) -> None:
    cells = [cell(NORM, 6, 0.2, numerics=ELSEWHERE, made={"machine": "<i>another</i>"})]
    cells += [cell(OLD, 9, 0.9), *NORMALIZATION[::-1]]
    assert write(cells) == pages


def test_every_seed_is_a_dot_and_pairs_are_joined(pages: Written) -> None:
    figure = next(
        one
        for one in re.findall(r"<svg.*?</svg>", pages["normalization"], re.DOTALL)
        if "top-1 error." in one
    )
    dots = re.findall(r"<circle[^>]*><title>([^<]*)</title>", figure)
    left = {one for one in dots if "%" in one}
    assert left == {
        *(f"with, seed {seed}: {100 * top1:.4g} %" for seed, top1 in {**WITH, 6: 0.2}.items()),
        *(f"without, seed {seed}: {100 * top1:.4g} %" for seed, top1 in WITHOUT.items()),
    }
    assert len(dots) == len(left) + len(WITH)  # and the differences
    assert figure.count('stroke="var(--grey)"') == len(WITH) + 1  # and where the difference is zero


def test_the_numbers_are_those_of_the_formulas(pages: Written) -> None:
    page = pages["normalization"]
    mine, other = (100 * np.array([one[seed] for seed in WITH]) for one in (WITH, WITHOUT))
    test = ttest_rel(mine, other)
    low, high = test.confidence_interval(0.95)
    ends = f"[{low:+.2f}, {high:+.2f}]".replace("-", "−")
    mean = f"{(mine - other).mean():+.2f} points".replace("-", "−")
    assert row(page, "Mean difference") == [mean]
    assert row(page, "95 % over seeds (t)") == [ends]
    assert row(page, "Pairs of seeds") == ["6"]
    assert row(page, "Sign flips, p") == ["0.031"]  # all of one sign: 2 / 2^6
    assert row(page, "With") == [f"{mine.mean():.2f} %"]
    assert row(page, "Correlation of the arms") == [f"{np.corrcoef(mine, other)[0, 1]:+.2f}"]
    predicted = 100 * (2 * (mine.mean() + other.mean()) / 200 / (2 * 100)) ** 0.5
    assert row(page, "Spread predicted from the errors") == [f"{predicted:.2f} points"]
    claim = re.search(
        r'id="claim-response-normalization-cifar".*?</tbody>', pages["index"], re.DOTALL
    )
    assert claim
    said = text_of(claim.group())
    assert f"{mean} {ends} normalization , 6 seeds direction holds" in said
    assert "top-1 error: −2.0 points" in said  # the paper's 11 and 13 %


def test_errors_of_an_arm_are_the_mean_and_spread_of_its_runs(pages: Written) -> None:
    runs = 100 * np.array(list(WITHOUT.values()))
    _, what, ten, one, *_, count = row(pages["normalization"], "cifar-no-norm")
    assert what == "as cifar, but network.variant no norm"
    assert ten == f"{runs.mean():.2f} ± {runs.std(ddof=1):.2f}"
    assert one == f"{runs.mean() + 1:.2f} ± {runs.std(ddof=1):.2f}"
    assert count == "7"


def test_stale_cells_are_listed_with_what_differs_and_not_used(pages: Written) -> None:
    stale = cell(OLD, 9).address.path().name
    for name in ("index", "normalization"):
        text = text_of(pages[name])
        assert f"{stale} : settings.optimizer.momentum: 0.8, not there" in text
        assert "1 stale, which are not used" in text
    used = re.search(
        r"cells are used on this page</summary>.*?</ul>", pages["normalization"], re.DOTALL
    )
    assert used and stale not in used.group()
    assert used.group().count("<code>") == len(NORMALIZATION) + 1
    assert stale not in pages["pooling"] + pages["figure1"]


def test_cells_without_a_partner_are_named_and_arithmetics_counted(pages: Written) -> None:
    page = pages["normalization"]
    alone = re.search(r"<h3>Cells without a partner</h3>.*?</ul>", page, re.DOTALL)
    assert alone
    found = set(re.findall(r"<code>([^<]*)</code>", alone.group()))
    assert found == {
        cell(NO_NORM, 6).address.path().name,
        cell(NORM, 6, numerics=ELSEWHERE).address.path().name,
    }
    text = text_of(page)
    assert "a machine (13 cells)" in text and "threads 16, torch 2.13.0 (1 cell)" in text


def test_what_a_cell_says_is_text(pages: Written) -> None:
    assert "<i>another" not in "".join(pages.values())
    assert "&lt;i&gt;another&lt;/i&gt; (1 cell)" in pages["index"]


def test_without_cells_the_pages_say_what_to_run(write: Callable[..., Written]) -> None:
    found = write([])
    assert "run alexnet reproduce run --scale small" in text_of(found["index"])
    assert "parameters: 60,965,224" in text_of(
        found["index"]
    )  # what is counted is there all the same
    for one in SMALL.experiments:
        text = text_of(found[one.name])
        assert f"No cells yet. Run alexnet reproduce run {one.name} --scale small" in text
    assert "circle" not in "".join(found.values())


def test_of_one_seed_there_is_a_difference_and_no_interval(write: Callable[..., Written]) -> None:
    page = write([cell(NORM, 0, 0.2), cell(NO_NORM, 0, 0.22)])["normalization"]
    assert row(page, "Mean difference") == ["−2.00 points"]
    assert "95 % over seeds" not in page and "interval" not in text_of(page)
    assert "undecided" in page


def test_an_undecided_verdict_says_the_hours_that_it_takes(write: Callable[..., Written]) -> None:
    cells = [
        cell(arm, seed, top1) for arm, top1 in ((NORM, 0.2), (NO_NORM, 0.2)) for seed in (0, 1)
    ]
    of_cells = text_of(write(cells)["normalization"])
    assert "4 more at least. That takes 8 minutes." in of_cells  # two arms of a minute each


def test_the_scale_that_claims_nothing_gives_no_verdicts(write: Callable[..., Written]) -> None:
    arms = study("smoke").arms
    cells = [
        cell(arms[name], seed, top1, scale="smoke")
        for name, top1 in (("cifar", 0.2), ("cifar-no-norm", 0.4))
        for seed in range(6)
    ]
    found = write(cells, "smoke")
    assert "claims nothing" in text_of(found["index"])
    for page in found.values():
        words = set(re.findall(r'<span class="verdict [^"]*">([^<]*)', page))
        assert words <= {"no verdict", "not run yet", "agrees", "known slip", "awaits", "left out"}
    assert row(found["normalization"], "Mean difference") == ["−20.00 points"]


def test_an_average_has_errors_but_no_curve(write: Callable[..., Written]) -> None:
    five = replace(cell(SMALL.arms["cifar-five"], 0, 0.18), curve={})
    page = write([five, cell(NORM, 0, 0.2)])["ensembles"]
    assert row(page, "Mean difference") == ["−2.00 points", "−0.50 points"]  # top-1 and top-5
    curves = re.findall(r"<svg[^>]*Top-1 error\. [^>]*>.*?</svg>", page, re.DOTALL)
    assert (
        len(curves) == 1 and "cifar ends at 30.0 %" in curves[0] and "cifar-five" not in curves[0]
    )


# --- Figure 1 -------------------------------------------------------------------------------------


def falling(epochs: int, end: float = 0.2) -> list[float]:
    """A training error that falls by the same from epoch to epoch."""
    return np.linspace(0.7, end, epochs).tolist()


def line(net: str, kind: str, seed: int, epochs: int, end: float = 0.2) -> Cell:
    return cell(SMALL.arms[f"line-{net}-{kind}"], seed, training=falling(epochs, end))


def test_a_run_that_does_not_reach_the_error_is_left_out_and_named(
    write: Callable[..., Written],
) -> None:
    cells = [line("cifar18", "relu", seed, 5) for seed in range(3)]
    cells += [line("cifar18", "tanh", seed, 20, end=0.5 if seed == 2 else 0.2) for seed in range(3)]
    page = write(cells)["figure1"]
    assert row(page, "Pairs of seeds") == ["2"]
    assert "Left out: line-cifar18-tanh of seed 2" in text_of(page)
    steps = [0.9 * (number - 1) for number in (5, 20)]  # of what lies between the ends, to 25 %
    ratio = (steps[0] + 0.5) / (steps[1] + 0.5)  # an epoch's error counts in its middle
    assert row(page, "Mean difference") == [f"{ratio:.3g} times (1/{1 / ratio:.1f})"]
    assert row(page, "The paper") == [f"0.167 times (1/{paper.RELU_SPEEDUP:.0f})"]


def test_figure_1_has_every_run_solid_or_dashed_and_the_error_they_race_to(
    write: Callable[..., Written],
) -> None:
    cells = [line(net, kind, seed, 9) for net in FASTEST for kind in RATES for seed in range(2)]
    page = write(cells)["figure1"]
    races = [one for one in re.findall(r"<svg.*?</svg>", page) if 'aria-label="cifar1' in one]
    assert len(races) == len(FASTEST)
    for one in races:
        thin = re.findall(r'<polyline[^>]*stroke-width="0.8"[^>]*>', one)
        assert len(thin) == 4 and sum("dasharray" in path for path in thin) == 2
        assert one.count('stroke-dasharray="1.5 3"') == 1


def test_each_rate_that_was_tried_stands_beside_the_one_that_was_chosen(
    write: Callable[..., Written],
) -> None:
    slow, chosen, fast = RATES["relu"][0], FASTEST["cifar18"]["relu"], RATES["relu"][-1]
    assert len({slow, chosen, fast}) == 3

    def tried(rate: float, epochs: int, end: float = 0.2) -> Cell:
        arm = SMALL.arms[f"rate-cifar18-relu-{rate:g}"]
        return cell(arm, 0, training=falling(epochs, end))

    page = write([tried(slow, 30, end=0.6), tried(chosen, 11), tried(fast, 6)])["figure1"]
    table = re.search(r'<table class="rates">.*?</table>', page, re.DOTALL)
    assert table
    text = text_of(table.group())
    assert f"cifar18 ReLU {slow:g} not reached" in text
    assert f"cifar18 ReLU {chosen:g} 9.5 chosen, but {fast:g} is faster" in text
    assert f"cifar18 ReLU {fast:g} 5.0 the fastest found, not chosen" in text
    assert f"cifar18 tanh {RATES['tanh'][0]:g} not run yet" in text


# --- Figure 3 -------------------------------------------------------------------------------------

NARROW = study("smoke").arms["net"]
MEASURES = {
    **{"colour": 0.021, "colour p": 0.034, "colour share": 0.6, "correlation with the start": 0.42},
    **{"smoothness": 0.71, "smoothness of the start": 0.17, "deviation": 0.02},
    **{"deviation of the change": 0.013},
}


def with_kernels(seed: int) -> Cell:
    """A cell whose kernels are what they started as, but for one weight."""
    config = NARROW.config(seed).network
    network = AlexNet(10, config.of(10), config.start, seed)
    weights = network.get_parameter("conv1.weight").detach().numpy().copy()
    weights[1, 0, 0, 0] += 8
    kernels = {"conv1": stored_array(weights)}
    return cell(NARROW, seed, scale="smoke", measures=MEASURES, arrays=kernels)


def test_what_training_changed_is_the_kernels_less_what_the_seed_drew() -> None:
    made = with_kernels(3)
    changed = made.array("conv1") - start_of(NARROW, made)
    assert changed[1, 0, 0, 0] == pytest.approx(8, rel=1e-3)
    changed[1, 0, 0, 0] = 0
    assert abs(changed).max() < 1e-4  # kernels are kept in half precision
    assert abs(start_of(NARROW, with_kernels(4)) - start_of(NARROW, made)).max() > 1e-2


def test_figure_3_shows_the_kernels_of_every_seed_and_their_measures(
    write: Callable[..., Written],
) -> None:
    cells = [with_kernels(seed) for seed in (0, 1)]
    page = write(cells, "smoke")["kernels"]
    images = re.findall(r'<img src="(data:[^"]*)" alt="([^"]*)"', page)
    assert len(images) == 4 and len({alt for _, alt in images}) == 4
    assert [src for src, _ in images[::2]] == [one.shown for one in kernels_of(NARROW, cells)]
    text = text_of(page)
    batch = NARROW.config(0).optimizer.batch.count
    count = -(
        -3 * NARROW.data.images // batch
    )  # three epochs; the last batch goes on into no other
    assert updates(NARROW, cells[0]) == count
    assert text.count(f"net , seed 1: {count} updates") == 1
    assert "Correlation with the start: 0.42 ± 0.00." in text
    assert "2.10 ± 0.00 points apart" in text and "In 2 of 2 runs." in text


# --- Figure 2 -------------------------------------------------------------------------------------


def test_figure_2_stands_beside_its_table(pages: Written) -> None:
    page = pages["architecture"]
    assert page.count("<svg") == 1
    for layer in paper.LAYERS:
        assert row(page, layer.name)[1] == f"{layer.kernels}"
    assert "659,272" in page and "60,965,224" in page
