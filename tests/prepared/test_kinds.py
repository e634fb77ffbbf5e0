"""Files are told by their first bytes: what is read, and what is named with what converts it."""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alexnet.prepared import kinds
from alexnet.prepared.pixels import Rejected, decode, examine

pillow_heif = pytest.importorskip("pillow_heif")


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo(mode: str = "RGB") -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(small).resize((90, 74)).convert(mode)


def boxes(*brands: bytes) -> bytes:
    """The first box of a file of boxes, and something after it."""
    content = brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I", 8 + len(content)) + b"ftyp" + content + bytes(100)


def directory(*tags: tuple[int, int], order: str = "<", magic: bytes = b"") -> bytes:
    """The head of a TIFF with such tags, each of one whole number."""
    start = (
        (b"II" if order == "<" else b"MM")
        + struct.pack(order + "HI", 42, 16)
        + magic.ljust(8, b"\0")
    )
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    return start + struct.pack(order + "H", len(tags)) + entries + bytes(40)


NAMED = {
    "AVIF": (boxes(b"avif", b"mif1", b"miaf"), "unsupported", "an AVIF image", "magick"),
    "AVIF of another first brand": (boxes(b"mif1", b"avif"), "unsupported", "an AVIF image", "magick"),
    "AVIF in frames": (boxes(b"avis", b"msf1"), "unsupported", "an AVIF image", "magick"),
    "JPEG 2000": (saved(photo(), "JPEG2000"), "unsupported", "a JPEG 2000 image", "magick"),
    "JPEG 2000 bare": (saved(photo(), "JPEG2000", no_jp2=True), "unsupported", "a JPEG 2000", "magick"),
    "JPEG XL": (b"\xff\x0a" + bytes(50), "unsupported", "a JPEG XL image", "djxl"),
    "Photoshop": (b"8BPS\0\1" + bytes(50), "unsupported", "a Photoshop image", "magick"),
    "CR2": (directory((256, 99), magic=b"CR\2\0"), "unsupported", "a camera's raw", "darktable-cli"),
    "CR3": (boxes(b"crx ", b"isom"), "unsupported", "a camera's raw image (Canon CR3)", "darktable-cli"),
    "DNG": (directory((254, 1), (50706, 1)), "unsupported", "a camera's raw image", "darktable-cli"),
    "NEF": (directory((254, 1), (271, 9), (330, 9), order=">"), "unsupported", "raw", "darktable-cli"),
    "RAF": (b"FUJIFILMCCD-RAW 0201", "unsupported", "Fujifilm RAF", "darktable-cli"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- a -->\n<svg>', "not an image", "an SVG drawing", "magick"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "not an image", "a PDF document", "pdftoppm"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0", "not an image", "a PostScript file", "magick"),
    "MOV": (boxes(b"qt  "), "not an image", "a film (MP4, MOV or alike)", ""),
    "MP4": (boxes(b"isom", b"iso2", b"mp41"), "not an image", "a film (MP4, MOV or alike)", ""),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "not an image", "a film (AVI)", ""),
    "HTML": (b"\xef\xbb\xbf\n<html>", "not an image", "like a page of HTML or XML", ""),
    "Git LFS": (b"version https://git-lfs.github.com/", "not an image", "Git LFS", "git lfs pull"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_read_is_named_with_what_converts_it(name: str) -> None:
    data, reason, what, command = NAMED[name]
    for length in (len(data), 32):
        if name in ("NEF", "DNG", "SVG") and length == 32:
            continue  # what says so is cut off
        with pytest.raises(Rejected) as error:
            decode(data[:length])
        assert error.value.reason == reason
        assert what in error.value.detail and command in error.value.detail


def test_a_tiff_of_a_camera_that_is_no_raw_image_is_read() -> None:
    exif = Image.Exif()
    exif[271], exif[254] = "A camera", 0
    assert (decode(saved(photo(), "TIFF", exif=exif)) == np.asarray(photo())).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_heic_is_read_where_its_reader_is_installed(mode: str) -> None:
    pillow_heif.register_heif_opener()
    found = examine(saved(photo(mode), "HEIF", quality=95))
    expected = np.asarray(photo(mode).convert("RGB")).astype(int)
    assert found.rgb_HWC.shape == (74, 90, 3)
    assert np.abs(found.rgb_HWC - expected).mean() < 6


def test_a_heic_that_is_cut_or_small_is_refused() -> None:
    pillow_heif.register_heif_opener()
    data = saved(photo(), "HEIF")
    for cut in (30, 300, len(data) // 2, len(data) - 5):
        with pytest.raises(Rejected) as error:
            decode(data[:cut])
        assert error.value.reason in ("truncated", "damaged") and "\n" not in error.value.detail
    with pytest.raises(Rejected, match="too small"):
        decode(saved(photo().resize((64, 12)), "HEIF"))


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"hevc"])
def test_where_the_reader_of_heic_is_missing_it_is_named(
    brand: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        kinds, "find_spec", lambda name: None if name == "pillow_heif" else find_spec(name)
    )
    with pytest.raises(Rejected) as error:
        decode(boxes(brand, b"mif1", b"heic"))
    assert error.value.reason == "unsupported" and "an HEIC image" in error.value.detail
    package = error.value.detail.partition("python -m pip install ")[2]
    root = Path(__file__).resolve().parents[2]
    assert f'heif = ["{package}>=' in (root / "pyproject.toml").read_text()
