"""The pages about speed say what was recorded."""

from __future__ import annotations

from PIL import Image

from alexnet.benchmark import page
from alexnet.benchmark.chart import MADE_FROM

STALE = "run `make docs`"


def test_the_page_is_up_to_date() -> None:
    written = (page.FOLDER / "README.md").read_text(encoding="utf-8")
    assert written == page.page(page.recorded(), page.recorded_gpu()), STALE


def test_the_readme_is_up_to_date() -> None:
    readme = (page.ROOT / "README.md").read_text(encoding="utf-8")
    table = page.summary(page.recorded())
    assert f"{page.BEGIN}{table}{page.END}" in readme, STALE
    assert page.with_summary(readme.replace(table, "old\n"), table) == readme


def test_the_image_is_up_to_date() -> None:
    with Image.open(page.FOLDER / "speed.png") as image:
        assert image.info[MADE_FROM] == page.fingerprint(page.recorded()), STALE


def test_every_record_is_on_the_page() -> None:
    written = page.page(page.recorded(), gpu={})
    for name, result in page.recorded().items():
        assert f"({name}.json)" in written
        assert all(part.title in written for part in result.parts)
        assert result.environment["processor"] in written and result.commit in written
    assert "No GPU was measured" in written


def test_what_was_found_on_a_gpu() -> None:
    rows = [{"batch": 128, "rate": 20123.4567}, {"batch": 256, "parts": {"input": 0.25}}]
    written = page.page({}, {"machine": {"device_name": "GPU 9"}, "errors": {}, "training": rows})
    assert "GPU 9" in written and "No GPU was measured" not in written
    assert "| batch | rate | parts |" in written
    assert "| 128 | 20,123 | |" in written and "| 256 | | input 0.25 |" in written
