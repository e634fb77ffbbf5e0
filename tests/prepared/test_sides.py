"""Prepared sets with images of 32 pixels: by the same rule, and never taken for others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.prepared import PreparedDataset, open_or_prepare, prepare, prepare_image
from alexnet.prepared.verification import verify
from alexnet.sources import open_source


@pytest.mark.parametrize("storage", ["raw", "jpeg"])
def test_images_are_those_of_the_rule(photo_folder: Path, tmp_path: Path, storage: str) -> None:
    dataset = prepare(open_source(str(photo_folder)), tmp_path / "set", storage=storage, side=32)
    split = dataset.split("train")
    assert dataset.side == split.side == 32
    total = np.zeros((32, 32, 3))
    for n in range(len(split)):
        original = (photo_folder / "train" / split.key(n).removeprefix("train/")).read_bytes()
        expected = prepare_image(original, side=32)
        assert np.abs(split.pixels(n).astype(int) - expected).mean() < (
            0.1 if storage == "raw" else 4
        )
        total += split.pixels(n)
    mean = dataset.statistics.mean_HWC
    np.testing.assert_allclose(mean, total / len(split), rtol=1e-6)
    assert dataset.statistics.pixels == 32 * 32 * len(split)
    assert verify(tmp_path / "set").dataset.fingerprint == dataset.fingerprint
    if storage == "raw":
        assert split.pixels(1).ctypes.data == split.addresses(np.array([1]))[0]


def test_a_set_of_another_side_is_not_used(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = open_or_prepare(str(photo_folder), side=32)
    assert small.folder.name.endswith("-32")
    with pytest.raises(IncompatibleError, match="images of 32 pixels, and the network reads 256"):
        open_or_prepare(str(small.folder))
    with pytest.raises(UsageError, match=r"48 pixels are for no network"):
        prepare(open_source(str(photo_folder)), tmp_path / "other", side=48)
    description = small.folder / "dataset.json"
    changed = json.loads(description.read_text())
    changed["made"]["size"] = 256
    description.write_text(json.dumps(changed))
    with pytest.raises(DataError):
        PreparedDataset.open(small.folder)
