"""The verbs that use a trained network, as typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet.cli.main import run
from alexnet.prepared import PreparedDataset


def test_evaluate_prints_errors_accuracies_chance_and_the_papers_gain(
    model: str, photo_set: PreparedDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", model, str(photo_set.folder)]) == 0
    out = capsys.readouterr().out
    assert "val: 12 images of 6 classes" in out
    assert "chance" in out
    assert "83.33 %" in out
    assert "in the paper by -1.5 (39.0 to 37.5 % on ILSVRC-2010)" in out
    assert f"Wrote {model}" in out


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


def test_predict_as_json(
    model: str, photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(photo_folder / "val" / "coffee" / "4.png")
    assert run(["predict", model, image, "nothing.jpg", "--top", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["image"] for one in found["images"]] == [image]
    assert len(found["images"][0]["predictions"]) == 2
    assert found["rejected"] == [{"image": "nothing.jpg", "reason": "There is no such file."}]


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
