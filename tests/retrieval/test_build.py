"""From a model and images to an index, and back: what is computed, what is known, what is found."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import alexnet
from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.evaluation import classifier
from alexnet.loading.files import pixels_of
from alexnet.models import find_model
from alexnet.prepared import PreparedDataset
from alexnet.retrieval import build_index, open_collection, open_vectors
from alexnet.retrieval.build import Built, Vectors
from alexnet.retrieval.duplicates import duplicates
from alexnet.retrieval.index import Index
from alexnet.retrieval.pixels import nearest_by_pixels


def build(
    model: Path, source: Path, folder: Path, add: bool = False, layer: str = "fc7", views: int = 1
) -> Built:
    vectors = open_vectors(find_model(model), layer, views, "cpu")
    return build_index(vectors, open_collection(str(source), vectors.about.side), folder, add)


def counts(built: Built) -> tuple[int, int, int, int, int, int]:
    """New, known, copies, skipped; all vectors, removed ones among them."""
    skipped = len(built.skipped)
    assert built.inputs == built.new + built.known + built.copies + skipped
    return built.new, built.known, built.copies, skipped, built.rows, built.removed


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def photos(photo_folder: Path, tmp_path: Path) -> Path:
    """A copy of the photographs: 24 for training, 12 for validation."""
    return Path(shutil.copytree(photo_folder, tmp_path / "photos"))


def test_vectors_are_the_features_of_their_images(
    narrow_model: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "train" / "cat" / "0b.jpg").write_bytes(b"\xff\xd8 a broken image")
    (photos / "val" / "dahlia" / "broken.png").write_bytes(b"")
    built = build(narrow_model, photos, tmp_path / "index")
    assert counts(built) == (36, 0, 0, 2, 36, 0)
    assert [one.image for one in built.skipped] == ["train/cat/0b.jpg", "val/dahlia/broken.png"]
    assert "empty" in built.skipped[1].reason
    index = alexnet.Index.open(tmp_path / "index")
    model = classifier.load(narrow_model, "cpu")
    for path in (photos / "train" / "cat" / "1.png", photos / "val" / "rocket" / "5.png"):
        (row,) = (n for n in range(36) if index.neighbour(n, 0).key == sha256(path))
        one = index.neighbour(row, 0)
        assert (one.label, one.split) == (path.parent.name, path.parent.parent.name)
        assert Path(one.path) == path
        expected = model.features(path, "fc7")[0]
        assert index.vectors[row] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_an_image_is_found_by_itself_and_by_what_it_looks_like(
    narrow_model: Path, photos: Path, tmp_path: Path
) -> None:
    build(narrow_model, photos, tmp_path / "index")
    index = Index.open(tmp_path / "index")
    path = photos / "val" / "coffee" / "4.png"
    answer = index.search(path)
    assert len(answer) == 6 and answer[0].distance == 0 and Path(answer[0].path) == path
    assert answer.rows == 36 and [one.distance for one in answer] == sorted(
        one.distance for one in answer
    )
    pixels_HWC = pixels_of(path)  # no file of the index: its vector is computed
    again, other = index.search([pixels_HWC, photos / "train" / "grass" / "0.png"], top=3)
    assert again[0].key == sha256(path) and again[0].distance < 1e-3
    assert other[0].label == "grass"
    trained = index.search(path, split="train")
    assert {one.split for one in trained} == {"train"}


def test_moved_renamed_and_copied_images_cost_nothing(
    narrow_model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    assert counts(build(narrow_model, photos, folder)) == (36, 0, 0, 0, 36, 0)

    def of(self: Vectors, x_NHWC: np.ndarray) -> np.ndarray:
        raise AssertionError("a vector is computed that is known")

    monkeypatch.setattr(Vectors, "of", of)
    before = np.asarray(Index.open(folder).vectors).copy()
    (photos / "val" / "cat" / "4.png").rename(photos / "val" / "cat" / "renamed.png")
    (photos / "val" / "cat" / "5.png").rename(photos / "train" / "cat" / "5.png")
    shutil.copy(photos / "train" / "grass" / "0.png", photos / "val" / "grass" / "copy.png")
    (photos / "train" / "dahlia" / "0.png").unlink()
    assert counts(build(narrow_model, photos, folder)) == (0, 35, 1, 0, 36, 1)
    index = Index.open(folder)
    assert np.array_equal(np.asarray(index.vectors), before)
    places = {
        (place.split, place.path): index.neighbour(row, 0).key
        for row in range(36)
        for place in index.neighbour(row, 0).places
    }
    assert len(places) == 36
    assert ("val", "val/cat/renamed.png") in places and ("train", "train/cat/5.png") in places
    grass = sha256(photos / "train" / "grass" / "0.png")
    assert places["val", "val/grass/copy.png"] == places["train", "train/grass/0.png"] == grass
    # The whole folder moves; then a file of it comes back.
    moved = photos.rename(tmp_path / "elsewhere")
    assert counts(build(narrow_model, moved, folder)) == (0, 35, 1, 0, 36, 1)
    assert Path(Index.open(folder).neighbour(0, 0).path).is_file()
    # Among the duplicates are files of the same bytes, those between splits first.
    found = duplicates(Index.open(folder), 0.0)
    first = found.pairs[0]
    assert first.same_bytes and first.is_across and first.distance == 0
    assert {Path(first.first.file).name, Path(first.second.file).name} == {"0.png", "copy.png"}


def test_images_are_added_whatever_they_come_from(
    narrow_model: Path, photos: Path, photo_set: PreparedDataset, tmp_path: Path
) -> None:
    """A prepared set, the folder that it was made from, an archive of the half of it, one new image."""
    folder = tmp_path / "index"
    assert counts(build(narrow_model, photo_set.folder, folder)) == (36, 0, 0, 0, 36, 0)
    prepared = np.asarray(Index.open(folder).vectors).copy()
    assert counts(build(narrow_model, photos, folder, add=True)) == (0, 36, 0, 0, 36, 0)
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        tar.add(photos / "train", "photos")
    assert counts(build(narrow_model, tmp_path / "train.tar", folder, add=True))[:3] == (0, 24, 0)
    new = tmp_path / "new.png"
    new.write_bytes((photos / "train" / "cat" / "0.png").read_bytes() + b"\0")
    assert counts(build(narrow_model, new, folder, add=True)) == (1, 0, 0, 0, 37, 0)
    index = Index.open(folder)
    assert np.array_equal(index.vectors[:36], prepared)
    places = index.neighbour(0, 0).places
    assert [place.source for place in places] == [0, 1, 2]
    assert index.search(new)[0].path == str(new)
    files = build(narrow_model, photos, tmp_path / "files")
    assert counts(files) == (36, 0, 0, 0, 36, 0)
    of_files = Index.open(tmp_path / "files")
    keys = [of_files.neighbour(row, 0).key for row in range(36)]
    mine = [keys.index(index.neighbour(row, 0).key) for row in range(36)]
    assert np.asarray(of_files.vectors)[mine] == pytest.approx(prepared, rel=1e-4, abs=1e-4)


def test_another_model_is_refused(
    narrow_model: Path, other_model: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    build(narrow_model, photos, folder)
    hashes = [sha256(model / "model.safetensors") for model in (narrow_model, other_model)]
    image = np.zeros((300, 300, 3), np.uint8)
    with pytest.raises(IncompatibleError) as caught:
        Index.open(folder, other_model).search(image)
    assert all(one in str(caught.value) for one in hashes)
    with pytest.raises(IncompatibleError) as caught:
        build(other_model, photos, folder, add=True)
    assert all(one in str(caught.value) for one in hashes)
    away = Path(shutil.copytree(narrow_model, tmp_path / "away"))
    index = Index.open(folder)
    index.description.about.__dict__["model_folder"] = str(tmp_path / "gone")
    with pytest.raises(UsageError, match="not where it was"):
        index.search(image)
    assert len(Index.open(folder, away).search(image)) == 6


def test_other_layers_and_ten_views(narrow_model: Path, photos: Path, tmp_path: Path) -> None:
    build(narrow_model, photos / "val", tmp_path / "pool5", layer="pool5")
    index = Index.open(tmp_path / "pool5")
    assert index.vectors.shape == (12, 8 * 6 * 6) and index.splits == ()
    build(narrow_model, photos / "val", tmp_path / "ten", views=10)
    path = photos / "val" / "cat" / "4.png"
    expected = classifier.load(narrow_model, "cpu").features(path, "fc7", views=10)[0]
    (found,) = Index.open(tmp_path / "ten").vectors_of([path])
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_neighbours_by_pixels_are_those_of_all_images(
    narrow_model: Path, photos: Path, tmp_path: Path
) -> None:
    build(narrow_model, photos, tmp_path / "index")
    index = Index.open(tmp_path / "index")
    query = str(photos / "val" / "rocket" / "4.png")
    (photos / "train" / "coffee" / "0.png").unlink()
    (photos / "train" / "coffee" / "1.png").write_bytes(Path(query).read_bytes())
    found, (nearest,) = nearest_by_pixels(index, [query], 4, "train")
    assert sorted(found.missing) == ["train/coffee/0.png", "train/coffee/1.png"]
    left = sorted((photos / "train").rglob("*.png"))
    left.remove(photos / "train" / "coffee" / "1.png")
    mine = pixels_of(query).astype(float)
    away = {str(path): float(np.sqrt(((pixels_of(path) - mine) ** 2).sum())) for path in left}
    expected = sorted(away, key=lambda path: away[path])[:4]
    assert [one.path for one in nearest] == expected
    assert [one.distance for one in nearest] == pytest.approx([away[path] for path in expected])
    in_all = index.search(query, top=36)
    assert found.rank(0, in_all[0].row) == 1


def test_images_that_cannot_be_used_make_no_index(narrow_model: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match="None of the images could be used"):
        build(narrow_model, tmp_path / "photos", tmp_path / "index")
    with pytest.raises(UsageError, match="not an index"):
        Index.open(tmp_path / "index")
    with pytest.raises(UsageError, match="fc77"):
        build(narrow_model, tmp_path / "photos", tmp_path / "index", layer="fc77")
