"""The pages about speed say what was recorded."""

from __future__ import annotations

from PIL import Image

from alexnet.benchmark import page
from alexnet.benchmark.picture import MADE_FROM

STALE = "run `make docs`"


def test_the_page_is_up_to_date() -> None:
    written = (page.FOLDER / "README.md").read_text(encoding="utf-8")
    assert written == page.page(page.recorded(), (page.FOLDER / "gpu.json").exists()), STALE


def test_the_readme_is_up_to_date() -> None:
    readme = (page.ROOT / "README.md").read_text(encoding="utf-8")
    table = page.summary(page.recorded())
    assert f"{page.BEGIN}{table}{page.END}" in readme, STALE
    assert page.with_summary(readme.replace(table, "old\n"), table) == readme


def test_the_picture_is_up_to_date() -> None:
    with Image.open(page.FOLDER / "speed.png") as image:
        assert image.info[MADE_FROM] == page.fingerprint(page.recorded()), STALE


def test_every_record_is_on_the_page() -> None:
    written = page.page(page.recorded(), gpu=False)
    for name, result in page.recorded().items():
        assert f"({name}.json)" in written
        assert all(part.title in written for part in result.parts)
        assert result.environment["processor"] in written and result.commit in written
    assert "No GPU was measured" in written
    assert "No GPU was measured" not in page.page(page.recorded(), gpu=True)
