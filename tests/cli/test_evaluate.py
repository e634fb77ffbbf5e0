"""The verbs that use a trained network, as typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from alexnet import api
from alexnet.cli.evaluate import described
from alexnet.cli.main import run
from alexnet.evaluation import Classifier, Evaluation, Predictions
from alexnet.evaluation.evaluate import ModelScores
from alexnet.evaluation.scores import score
from alexnet.prepared import PreparedDataset
from alexnet.verdict import error_text, interval


def test_evaluate_prints_errors_accuracies_chance_and_a_verdict(
    model: str, photo_set: PreparedDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", model, str(photo_set.folder)]) == 0
    out = capsys.readouterr().out
    assert "val: 12 images of 6 classes" in out
    assert "chance" in out
    assert "83.33 %" in out
    assert "of 12 wrong, 95 %: " in out and "as far as 12 images can tell" in out
    assert "in the paper" not in out, "twelve images are not compared with it"
    assert f"Wrote {model}" in out


def made(right: int, images: int, classes: int) -> Evaluation:
    """An evaluation of which so many images are right, and all others taken for the first class."""
    labels_N = np.arange(images) % classes
    answers_N = np.where(np.arange(images) < right, labels_N, 0)
    titles = tuple(f"class {k}" for k in range(classes))
    found = Predictions(
        keys=tuple(map(str, range(images))),
        labels_N=labels_N,
        probs_NK=np.eye(classes, dtype=np.float32)[answers_N],
        classes=titles,
        titles=titles,
        provenance={"split": "val"},
    )
    scores = score(found.probs_NK, found.labels_N)
    return Evaluation(tuple(ModelScores("it", views, scores) for views in (1, 10)), found, ())


def test_an_evaluation_of_many_images_as_text() -> None:
    out = described(made(280, 360, 10), "pets")  # of the last 80, the first class's are right
    assert "it      10      20.00 %     16.2-24.4 %   80.00 %" in out
    assert f"it, 10 views: Top-1 error: {error_text(72, 360)}. Better than chance (90.0 %)." in out
    assert "in the paper by -1.5 (39.0 to 37.5 % on ILSVRC-2010)" in out
    assert "precision  recall  F1" in out and "top-5 error" in out
    class_1 = next(line for line in out.splitlines() if line.startswith("class 1 "))
    assert class_1.split()[2:8] == ["36", "8", "100", "%", "78", "%"]


def test_an_evaluation_of_few_images_and_classes_has_counts_and_no_top_5() -> None:
    out = described(made(0, 11, 4), "pets")
    assert "it      10     8 of 11" in out and "43-90 %" in out and "3 of 11" in out
    assert "top-5" not in out and "in the paper" not in out
    assert 'as far as 11 images can tell. Every image became "class 0".' in out


def test_many_classes_have_no_row_each() -> None:
    out = described(made(300, 360, 60), "pets")
    assert "Highest top-1 error: class " in out and "precision" not in out


def test_evaluate_several_models_as_json(
    model: str, photo_set: PreparedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["evaluate", model, model, str(photo_set.folder), "--views", "1", "--json"]
    assert run([*typed, "--predictions", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    one, two, average = found["results"]
    assert average["model"] == "average of 2"
    assert average["top1_error"] == one["top1_error"] == two["top1_error"]
    assert found["chance"]["top1_error"] == pytest.approx(5 / 6)
    wrong = round(12 * one["top1_error"])
    assert one["top1_interval"] == pytest.approx(list(interval(wrong, 12)))
    assert found["verdict"].startswith(f"Top-1 error: {wrong} of 12 wrong")
    cat = found["per_class"][0]
    assert cat["recall"] == pytest.approx(1 - cat["top1_error"]) and "precision" in cat
    assert (tmp_path / "average" / "1-view.arrow").is_file()


@pytest.mark.parametrize("views", ["5", "1,2", "ten", ""])
def test_other_numbers_of_views_are_refused(
    model: str, views: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", model, "nothing", "--views", views]) == 2
    assert "--views 1,10" in capsys.readouterr().err


def test_other_classes_are_refused_with_both_lists(
    model: str, photo_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shutil.copytree(photo_folder, tmp_path / "photos")
    for split in ("train", "val"):
        (tmp_path / "photos" / split / "cat").rename(tmp_path / "photos" / split / "lynx")
    monkeypatch.chdir(tmp_path)
    assert run(["evaluate", model, "photos"]) == 6
    assert "only in the model: cat; only in the data: lynx" in capsys.readouterr().err


def test_predict_takes_a_flat_folder_and_names_what_it_skips(
    model: str, photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = (photo_folder / "val" / "coffee" / "4.png").read_bytes()
    (tmp_path / "a.png").write_bytes(image)
    (tmp_path / "b.jpg").write_bytes(image[:3000])
    (tmp_path / "c.jpg").write_bytes(b"<html>not found</html>")
    (tmp_path / "d.jpg").write_bytes(image)  # a PNG, whatever it is called
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    for name in ("film.mov", "labels.txt", "README"):
        (tmp_path / name).write_bytes(b"no image")
    assert run(["predict", model, str(tmp_path), "--views", "1"]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        str(tmp_path / "a.png"),
        str(tmp_path / "d.jpg"),
    ]
    assert len([line for line in out.splitlines() if line.startswith(" ")]) == 10
    assert "█" in out
    assert f"skipped {tmp_path / 'b.jpg'}: The image cannot be used: truncated" in err
    assert f"skipped {tmp_path / 'c.jpg'}: The image cannot be used: not an image" in err
    assert ".DS_Store" not in err
    assert "ignored, no images by their names: .mov 1, .txt 1, README 1" in err
    assert "Images: 4 = 2 used + 2 skipped." in err


def test_predict_as_json(
    model: str, photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(photo_folder / "val" / "coffee" / "4.png")
    assert run(["predict", model, image, "nothing.jpg", "--top", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["image"] for one in found["images"]] == [image]
    assert len(found["images"][0]["predictions"]) == 2
    assert found["rejected"] == [{"image": "nothing.jpg", "reason": "There is no such file."}]


def test_predict_prints_lines_of_json_as_they_come(
    model: str, photo_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    image = (photo_folder / "val" / "coffee" / "4.png").read_bytes()
    for name, content in (("a.jpg", b"none"), ("b.png", image), ("c.png", image)):
        (tmp_path / name).write_bytes(content)
    answers, printed = Classifier.answers, list[str]()

    def watched(*given: object) -> Iterator[object]:
        for answer in answers(*given):  # type: ignore[arg-type]
            yield answer
            printed.append(capsys.readouterr().out)

    monkeypatch.setattr(Classifier, "answers", watched)
    assert run(["predict", model, str(tmp_path), "--jsonl", "--top", "2"]) == 0
    found = [json.loads(line) for line in printed]  # one for each, before the next
    assert [Path(one["image"]).name for one in found] == ["a.jpg", "b.png", "c.png"]
    assert "not an image" in found[0]["reason"] and len(found[2]["predictions"]) == 2
    assert "Images: 3 = 2 used + 1 skipped." in capsys.readouterr().err
    assert run(["predict", model, str(tmp_path), "--jsonl", "--json"]) == 2


def test_one_image_is_predicted_without_what_only_many_need(
    model: str, photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loading it would take longer than the prediction."""
    image = str(photo_folder / "val" / "coffee" / "4.png")
    program = (
        "import sys; from alexnet.cli.main import run; assert run(sys.argv[1:]) == 0; "
        "print(*({'matplotlib', 'numba', 'pyarrow', 'scipy', 'sklearn', 'sympy'} & {*sys.modules}),"
        " file=sys.stderr)"
    )
    typed = ["predict", model, image, "--json"]
    # A process of its own: one that is forked has the modules of its parent.
    done = subprocess.run(
        [sys.executable, "-c", program, *typed], capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == []
    (alone,) = json.loads(done.stdout)["images"]
    assert run(["predict", model, image, image, "--json"]) == 0
    for other in json.loads(capsys.readouterr().out)["images"]:
        for one, same in zip(alone["predictions"], other["predictions"], strict=True):
            assert one["label"] == same["label"]
            assert one["probability"] == pytest.approx(same["probability"], rel=1e-3)


def test_predict_without_one_usable_image_is_a_data_error(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", model, str(tmp_path)]) == 3
    assert "None of the images could be used." in capsys.readouterr().err


def test_an_unknown_model_or_run_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    (tmp_path / "runs" / "photos" / "config.yaml").touch()
    assert run(["predict", "fotos", "x.jpg"]) == 2
    assert "Did you mean 'photos'?" in capsys.readouterr().err
    assert run(["report", "fotos"]) == 2
    assert "Did you mean 'photos'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layout", "split", "count"),
    [
        ("val", "val", 12),  # the split that is there, beside training images that are not touched
        ("only val", "val", 12),
        ("only test", "test", 12),
        ("none", "all", 36),
    ],
)
def test_a_folder_is_evaluated_on_all_labelled_images_of_its_split(
    model: str, photo_folder: Path, tmp_path: Path, layout: str, split: str, count: int,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if layout == "none":
        for part in ("train", "val"):
            shutil.copytree(photo_folder / part, "photos", dirs_exist_ok=True)
    else:
        shutil.copytree(photo_folder / "val", f"photos/{layout.removeprefix('only ')}")
    if layout == "val":
        shutil.copytree(photo_folder / "train", "photos/train")
        for path in Path("photos/train").rglob("*.png"):
            path.write_bytes(b"not read")
    assert run(["evaluate", model, "photos", "--views", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["images"]) == (split, count)
    (prepared,) = Path("prepared").iterdir()
    assert prepared.name == f"photos.{split}"
    whole = Predictions.load(Path(found["written"][0]) / "1-view.arrow")
    assert len(set(whole.keys)) == count


def test_some_of_the_models_classes_are_evaluated_among_all(
    model: str, photo_folder: Path, photo_set: PreparedDataset, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("rocket", "cat"):
        shutil.copytree(photo_folder / "val" / name, f"photos/val/{name}")
    typed = ["evaluate", model, "photos", "--views", "1", "--predictions"]
    assert run([*typed, "some"]) == 0
    assert "4 images of 2 of the model's 6 classes" in capsys.readouterr().out
    assert (
        run(["evaluate", model, str(photo_set.folder), "--views", "1", "--predictions", "all"]) == 0
    )
    some, every = (Predictions.load(Path(place) / "1-view.arrow") for place in ("some", "all"))
    assert sorted(some.classes) == sorted(every.classes) and some.classes[:2] == ("cat", "rocket")
    columns = [every.classes.index(name) for name in some.classes]
    for key, probs_K in zip(some.keys, some.probs_NK, strict=True):
        same_K = every.probs_NK[every.keys.index(key), columns]
        assert probs_K == pytest.approx(same_K, abs=1e-5)
    assert [some.classes[label] for label in some.labels_N] == ["cat", "cat", "rocket", "rocket"]


def test_classes_that_the_model_does_not_know_are_named_before_anything_is_prepared(
    model: str, photo_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "rocket"):
        shutil.copytree(photo_folder / "val" / name, f"photos/{name}")
    shutil.copytree(photo_folder / "val" / "coffee", "photos/tea")
    assert run(["evaluate", model, "photos"]) == 6
    assert "only in the data: tea" in capsys.readouterr().err
    assert not Path("prepared").exists()


def test_images_that_a_run_was_trained_on_are_not_evaluated(
    photo_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for part in ("train", "val"):
        shutil.copytree(photo_folder / part, "photos", dirs_exist_ok=True)
    trained = api.train("photos", recipe="cifar11", epochs=1, batch=12, name="pets")
    held_out = len(PreparedDataset.open(trained.data["folder"]).split("val"))
    capsys.readouterr()
    assert run(["evaluate", "pets", "photos", "--views", "1"]) == 0
    out = capsys.readouterr().out
    assert f"photos, val: {held_out} image" in out and "those that were held out" in out
    extra = photo_folder / "train" / "cat" / "0.png"
    Path("photos/cat/new.png").write_bytes(extra.read_bytes() + b"\0")  # the folder has grown
    assert run(["evaluate", "pets", "photos", "--views", "1"]) == 0
    out = capsys.readouterr().out
    assert "photos, all: 37 images" in out and "! Trained on some of the images of photos" in out
    Path("photos/cat/new.png").unlink()
    Path("photos").rename("pictures")
    Path("prepared/photos-32").rename("prepared/by-hand")  # neither is where the run has it
    assert run(["evaluate", "pets", "pictures", "--views", "1"]) == 0
    assert f"pictures, val: {held_out} image" in capsys.readouterr().out
