"""The report: one file that needs no other, and says what the run's folder holds."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support
from torture.narrow_run import KERNELS

from alexnet import recipes
from alexnet.base.files import read_json, write_json
from alexnet.config import Epochs, StartConfig
from alexnet.conventions import PAPER
from alexnet.evaluation.evaluate import evaluate_models
from alexnet.evaluation.predictions import Predictions
from alexnet.models import ModelCard, save_model
from alexnet.models.found import FoundModel
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.report.course import course_of
from alexnet.report.page import write_report
from alexnet.runs import Run
from alexnet.settings import with_settings
from alexnet.training.checks import describe

HOSTILE = 'dahlia <script>alert("1")</script> & co'


class Page(HTMLParser):
    """Every tag with its attributes, and the text people see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("style", "svg"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module")
def run(photo_set: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose network was not trained at all, with metrics, a model and an evaluation."""
    folder = tmp_path_factory.mktemp("here")
    config = with_settings(recipes.small().config, ["optimizer.learning_rate=0.02"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["/usr/bin/alexnet", "train", "my photos", "--recipe", "small"])
        run = Run.create("first", config, describe(photo_set))
    run = Run(folder / "runs" / "first")
    for n in range(1, 9):
        step = {"kind": "step", "step": n, "epoch": n / 4, "loss": 2.0, "top1_error": 0.8}
        run.record(run.metrics_path, {**step, "rate": 0.01})
    for n in (1, 2):
        errors = {"val_loss": 1.5, "val_top1_error": 0.7, "val_top5_error": 0.1}
        run.record(run.metrics_path, {"kind": "epoch", "step": 4 * n, "epoch": n, **errors})
    run.record(run.metrics_path, {"kind": "event", "step": 8, "text": "rate was <lowered>"})
    network = AlexNet(6, PAPER.with_kernels(KERNELS), StartConfig(rule="he", bias=0.0), seed=1)
    card = ModelCard(photo_set.classes, photo_set.titles, {"mean": photo_set.statistics.mean_HWC})
    save_model(run.model, network, card)
    found = FoundModel(run.model, "first", run.folder / "evaluation")
    evaluate_models([found], photo_set, "val", [1, 10])
    return run


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    path = write_report(run)
    assert path == run.folder / "report.html"
    return Page(path.read_text())


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Run:
    """The same run, to be changed; its weights are linked, not copied."""
    target = tmp_path / "first"
    shutil.copytree(run.folder, target, ignore=shutil.ignore_patterns("model.safetensors"))
    (target / "model" / "model.safetensors").symlink_to(run.model / "model.safetensors")
    return Run(target)


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                assert value and value.startswith(("data:image/", "#")), f"{tag} {name}={value}"
            assert "url(" not in (value or "") or re.fullmatch(r".*url\(#\w+\).*", value or "")


def test_the_page_forbids_what_it_does_not_use(page: Page, run: Run) -> None:
    policies = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    text = (run.folder / "report.html").read_text()
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert str(run.folder) not in text  # a page that is handed on names no folder of its maker


def test_headline_numbers_are_those_of_the_evaluation(page: Page, run: Run) -> None:
    (path,) = (run.folder / "evaluation").glob("*/scores.json")
    views = read_json(path)["views"]
    for errors in views.values():
        assert f"{round(12 * errors['top1_error'])} of 12 wrong" in page.text
    assert f"accuracy {100 * (1 - views['10']['top1_error']):.1f} %" in page.text
    assert "n = 12; chance error 83.3 %" in page.text
    assert "12 images of 6 classes" in page.text
    assert "as far as 12 images can tell" in page.text
    assert "in the paper by" not in page.text  # nothing that twelve images could be compared with


def larger(run: Run, answers: np.ndarray, labels: np.ndarray) -> Page:
    """The report where the run's network had answered so on so many images, whose pixels are gone."""
    for path in (run.folder / "evaluation").glob("*/*.arrow"):
        found = Predictions.load(path)
        probs_NK = np.full((len(labels), 6), 0.1, np.float32)
        probs_NK[np.arange(len(labels)), answers] = 0.5
        keys = tuple(map(str, range(len(labels))))
        replace(found, keys=keys, labels_N=labels, probs_NK=probs_NK).save(path)
    (path,) = (run.folder / "evaluation").glob("*/scores.json")
    scores, error = read_json(path), float(np.mean(answers != labels))
    views = {views: {"top1_error": error, "top5_error": 0.0} for views in scores["views"]}
    write_json(path, {**scores, "images": len(labels), "views": views})
    data = read_json(run.folder / "data.json")
    write_json(run.folder / "data.json", {**data, "folder": "gone"})
    return Page(write_report(run).read_text())


def test_an_error_has_its_interval_and_stands_beside_the_papers(copy: Run) -> None:
    labels = np.arange(600) % 6
    answers = np.where(np.arange(600) < 120, (labels + 1) % 6, labels)
    page = larger(copy, answers, labels)
    low, high = binomtest(120, 600).proportion_ci(method="wilson")
    assert f"20.0 %95 %: {100 * low:.1f}–{100 * high:.1f} %, n = 600" in page.text
    assert "Better than chance (83.3 %)." in page.text
    assert "by +0.0 points; in the paper by −1.5" in page.text


def test_a_run_at_chance_is_said_to_be_one(copy: Run) -> None:
    page = larger(copy, np.full(600, 2), np.arange(600) % 6)
    assert 'No better than chance (83.3 %). Every image became "dahlia".' in page.text
    text = (copy.folder / "report.html").read_text()
    assert re.search(r"\.tile[^}]*color: var\(--(blue|red|orange)\)", text) is None


def test_precision_recall_and_f1_stand_beside_the_confusions(copy: Run) -> None:
    labels, answers = np.repeat(np.arange(6), 100), np.repeat(np.arange(6), 100)
    answers[:40] = 1  # 40 of 100 cats became coffee
    page = larger(copy, answers, labels)
    expected = precision_recall_fscore_support(labels, answers)[:3]
    for k, title in ((0, "cat"), (1, "coffee")):
        wrong = 40 if k == 0 else 0
        cells = [title, "100", str(wrong), *(f"{100 * one[k]:.1f} %" for one in expected)]
        assert "".join(cells) in page.text
    assert "coffee (40×)" in page.text


def log_of(run: Run, *lines: str) -> None:
    (run.folder / "log.txt").write_text("".join(f"2026-11-{line}\n" for line in lines))


def test_a_stopped_run_says_how_far_it_got_and_what_goes_on_with_it(copy: Run) -> None:
    rows = [
        {"kind": "step", "step": n, "epoch": n / 4, "loss": 2.0, "top1_error": 0.8}
        | {"rate": 0.01 if n < 6 else 0.001}
        for n in range(1, 10)
    ]
    copy.metrics_path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    log_of(
        copy,
        *("28 23:59:00  data", "28 23:59:00  ! few images", "29 00:09:00  epoch 1"),
        *("29 08:00:00  resumed at step 4", "29 08:05:30  epoch 2"),
        "30 10:00:00  runs/first has done 6 epochs already",
    )
    page = Page(write_report(copy).read_text())
    assert f"Stopped at 2.25 of {copy.config.length}. To go on: alexnet resume first" in page.text
    assert "2026-11-28 23:59 to 2026-11-29 08:05 (15m30s)" in page.text
    assert "Dotted: where the learning rate was divided by 10." in page.text
    assert "Remarkfew images" in page.text
    copy.lock()
    assert "Still being trained: 2.25 of" in Page(write_report(copy).read_text()).text
    copy.unlock()


def test_a_finished_run_is_not_called_stopped(copy: Run) -> None:
    copy.set_config(replace(copy.config, length=Epochs(2)))
    assert course_of(copy, copy.metrics()).is_done
    text = Page(write_report(copy).read_text()).text
    assert "Stopped" not in text and "Dotted" not in text
    assert "alexnet resume" not in text
    copy.set_config(replace(copy.config, length=Epochs(2.3)))  # 9.2 steps: ten
    assert course_of(copy, copy.metrics()).is_stopped


def test_eight_images_with_five_bars_each(page: Page) -> None:
    assert page.count("article") == 8
    assert page.count("li") == 40
    correct = [a for tag, a in page.tags if tag == "li" and a.get("class") == "correct"]
    assert len(correct) <= 8
    shares = [
        float((a["style"] or "").removeprefix("--share: ")) for tag, a in page.tags if tag == "i"
    ]
    assert len(shares) == 40
    for first in range(0, 40, 5):  # five of six classes
        five = shares[first : first + 5]
        assert five == sorted(five, reverse=True)
        assert 5 / 6 <= sum(five) <= 1.003


def test_curves_confusion_and_kernels_are_there_and_on_disk(page: Page, run: Run) -> None:
    assert page.count("svg") == 3
    kernels = [a for tag, a in page.tags if tag == "img" and "kernels" in (a["alt"] or "")]
    assert len(kernels) == 1
    names = sorted(path.name for path in (run.folder / "plots").iterdir())
    assert names == ["confusion.png", "conv1.png", "curves.png", "predictions.png"]


def test_departures_name_their_reasons(page: Page) -> None:
    departures = recipes.small().departures
    assert "optimizer.batch" in page.text
    assert departures["optimizer.batch"] in page.text
    row = page.text[page.text.index("optimizer.learning_rate") :][:80]
    assert "0.01" in row
    assert "0.02" in row
    assert "set by hand" in row
    assert "schedule.patience" not in page.text  # the other schedule has no such setting


def test_what_to_type_and_where_it_ran(page: Page, run: Run) -> None:
    assert "alexnet train 'my photos' --recipe small" in page.text
    assert "alexnet evaluate first 'my photos'" in page.text
    assert "/usr/bin" not in page.text
    assert read_json(run.folder / "environment.json")["versions"]["torch"] in page.text
    assert "rate was <lowered>" in page.text


def test_the_command_that_evaluates_names_the_set_with_its_splits(copy: Run) -> None:
    prepared = copy.folder.parents[1] / "prepared" / "my photos-256"
    copy.set_data(copy.data | {"folder": str(prepared)})
    text = html.unescape(write_report(copy).read_text())
    assert "alexnet evaluate first 'prepared/my photos-256'" in text
    assert str(prepared) not in text


def test_names_of_classes_are_never_markup(copy: Run) -> None:
    (path,) = (copy.folder / "evaluation").glob("*/10-views.arrow")
    found = Predictions.load(path)
    titles = tuple(HOSTILE if title == "dahlia" else title for title in found.titles)
    Predictions(
        found.keys, found.labels_N, found.probs_NK, found.classes, titles, found.provenance
    ).save(path)
    text = write_report(copy).read_text()
    assert "<script>" not in text
    assert (
        html.escape('dahlia <script>alert("1")</script>', quote=False).replace('"', "&#34;") in text
    )


def test_a_run_that_was_not_evaluated_says_so(copy: Run) -> None:
    shutil.rmtree(copy.folder / "evaluation")
    page = Page(write_report(copy).read_text())
    assert "has not been evaluated" in page.text
    assert page.count("article") == 0
    assert page.count("svg") == 2


def test_an_evaluation_of_other_weights_is_not_shown(copy: Run) -> None:
    (path,) = (copy.folder / "evaluation").glob("*/scores.json")
    scores = read_json(path)
    scores["provenance"]["model"]["weights_sha256"] = "0" * 64
    write_json(path, scores)
    assert "has not been evaluated" in Page(write_report(copy).read_text()).text


def test_damaged_lines_are_passed_over(run: Run, tmp_path: Path) -> None:
    copy = Run(tmp_path / "first")
    shutil.copytree(run.folder, copy.folder)
    whole = write_report(copy, tmp_path / "whole.html").read_text()
    for path in (copy.metrics_path, copy.timing_path):
        before = path.read_bytes() if path.exists() else b""
        path.write_bytes(b"{}\n3\n\xff\n" + before + b'{"kind": "st')
    assert write_report(copy, tmp_path / "again.html").read_text() == whole
    (copy.folder / "command.txt").write_bytes(b"alexnet train 'pets \xff")
    assert "alexnet train" in write_report(copy).read_text()


def test_without_the_data_the_rest_is_shown(copy: Run, tmp_path: Path) -> None:
    data = read_json(copy.folder / "data.json")
    write_json(copy.folder / "data.json", {**data, "folder": str(tmp_path / "gone")})
    page = Page(write_report(copy).read_text())
    assert page.count("article") == 0
    assert "the prepared data are no longer where they were" in page.text
    assert "12 images of 6 classes" in page.text


def test_a_run_that_still_trains_shows_its_curves(copy: Run, tmp_path: Path) -> None:
    shutil.rmtree(copy.model)
    text = json.dumps(
        {"kind": "step", "step": 1, "epoch": 0.1, "loss": 2, "top1_error": 1, "rate": 1}
    )
    copy.metrics_path.write_text(f'{text}\n{{"kind": "st')  # its last line is only half written
    path = write_report(copy, tmp_path / "elsewhere.html")
    assert path == tmp_path / "elsewhere.html"
    assert Page(path.read_text()).count("svg") == 2
