"""From a file's bytes to 256x256 pixels, against Pillow's plain steps and arithmetic by hand."""

from __future__ import annotations

import io
import struct
import tarfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from alexnet.prepared import pixels, resample_kernel, with_pillow
from alexnet.prepared.pixels import Rejected, decode, examine, prepare_image, to_square
from alexnet.prepared.resample import plain_central_square
from alexnet.sources.photos import locate


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def reason(data: bytes) -> str:
    with pytest.raises(Rejected) as error:
        prepare_image(data)
    return error.value.reason


# --- Geometry -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(512, 768), (1024, 512), (128, 192), (32, 32), (256, 384)])
def test_shorter_side_to_256_then_the_centre(size: tuple[int, int]) -> None:
    """The paper's two steps one after the other, where the longer side comes out whole and even."""
    image = smooth(*size)
    scale = 256 / min(size)
    width, height = (round(side * scale) for side in size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 256) // 2, (height - 256) // 2
    expected = np.asarray(resized.crop((left, top, left + 256, top + 256)))
    found = to_square(np.asarray(image))
    assert found.shape == (256, 256, 3) and found.dtype == np.uint8
    difference = np.abs(
        found.astype(int) - expected
    )  # Pillow rounds between the two directions too
    assert difference.max() <= 2 and difference.mean() < 0.4


def weights_of_bicubic(length: int, side: int) -> np.ndarray:
    """256 x length: what each pixel of a line adds to each place of its central part, by formula."""
    scale = side / 256
    centres = (length - side) / 2 + (np.arange(256)[:, None] + 0.5) * scale
    x = np.abs(np.arange(length) + 0.5 - centres) / max(scale, 1)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(501, 333), (16, 40), (257, 256), (900, 1300), (375, 500)])
def test_resampling_is_bicubic_to_the_last_bit_but_rounding(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    side = min(size)
    down, across = (weights_of_bicubic(length, side) for length in size)
    expected = np.einsum("yh,hwc,xw->yxc", down, image.astype(float), across, optimize=True)
    expected = expected.clip(0, 255)
    assert np.abs(to_square(image) - expected).max() < 0.502


@pytest.mark.parametrize("side", [32, 256])
@pytest.mark.parametrize("size", [(501, 333), (16, 40), (257, 256), (900, 1300), (17, 170)])
def test_the_kernel_and_numpy_come_to_the_same_bytes(size: tuple[int, int], side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    compiled = np.empty((side, side, 3), np.uint8)
    resample_kernel.central_square(image, compiled)
    assert (plain_central_square(image, side) == compiled).all()


@pytest.mark.parametrize("size", [(501, 333), (333, 501), (17, 170), (1000, 16), (255, 257)])
def test_the_cut_is_central_to_a_fraction_of_a_pixel(size: tuple[int, int]) -> None:
    """An image that is its own mirror image stays so."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    value = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) * (255 / max(size))
    found = to_square(np.repeat(value.astype(np.uint8)[:, :, None], 3, axis=2)).astype(int)
    assert np.abs(found - found[::-1]).max() <= 2
    assert np.abs(found - found[:, ::-1]).max() <= 2


def test_fine_stripes_shrink_to_grey_not_to_other_stripes() -> None:
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    found = to_square(stripes)[4:-4, 4:-4].astype(int)
    assert np.abs(found - 127.5).max() < 8


def test_256_pixels_square_pass_unchanged() -> None:
    square = np.asarray(smooth(256, 256))
    assert (prepare_image(saved(Image.fromarray(square), "PNG")) == square).all()


@pytest.mark.parametrize("size", [(2400, 2000), (1100, 4000), (5000, 3000)])
def test_large_jpegs_decoded_at_a_fraction_agree_with_a_full_decode(size: tuple[int, int]) -> None:
    with Image.open(locate("skimage/data/retina.jpg")) as photo:
        data = saved(photo.convert("RGB").resize(size), "JPEG", quality=90)
    scaled = decode(data)
    assert 512 <= min(scaled.shape[:2]) < min(size)
    full = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(to_square(scaled).astype(int) - to_square(full)).mean() < 1


# --- Colours: the written rule --------------------------------------------------------------------


def test_grey_is_repeated() -> None:
    grey = smooth(40, 40).convert("L")
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "PPM"):
        data = saved(grey, kind)
        found = examine(data)
        expected = np.asarray(Image.open(io.BytesIO(data)))
        assert found.kinds == ("grey",)
        assert (found.rgb_HWC == expected[:, :, None]).all()


def test_palettes_are_looked_up_and_one_bit_is_black_and_white() -> None:
    image = smooth(40, 40).quantize(16)
    colours = np.array(image.getpalette()).reshape(-1, 3)
    for kind in ("PNG", "GIF", "BMP"):
        found = examine(saved(image, kind))
        assert found.kinds == ("palette",)
        assert (found.rgb_HWC == colours[np.asarray(image)]).all()
    found = examine(saved(smooth(40, 40).convert("1"), "PNG"))
    assert found.kinds == ("1-bit",) and set(np.unique(found.rgb_HWC)) == {0, 255}


def test_16_bit_values_keep_their_high_byte() -> None:
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    for kind in ("PNG", "TIFF"):
        found = examine(saved(Image.fromarray(values), kind))
        assert found.kinds == ("16-bit",)
        assert (found.rgb_HWC == (values >> 8)[:, :, None]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    image = smooth(40, 40).convert(mode)
    alpha = np.linspace(0, 255, 1600).astype(np.uint8).reshape(40, 40)
    image.putalpha(Image.fromarray(alpha))
    found = examine(saved(image, "PNG"))
    colour = np.asarray(image.convert("RGBA"))[:, :, :3]
    share = alpha[:, :, None] / 255
    assert found.kinds == ("transparent",)
    assert np.abs(found.rgb_HWC - (colour * share + 255 * (1 - share))).max() <= 1


def test_a_transparent_palette_entry_is_white() -> None:
    image = smooth(40, 40).quantize(16)
    found = examine(saved(image, "PNG", transparency=3)).rgb_HWC
    assert (found[np.asarray(image) == 3] == 255).all()


def with_adobe_transform(data: bytes, transform: int | None) -> bytes:
    """The JPEG with the colour transform in its Adobe marker replaced, or without the marker."""
    at = data.index(b"Adobe") - 4
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    if transform is None:
        return data[:at] + data[at + 2 + length :]
    return data[: at + 1 + length] + bytes([transform]) + data[at + 2 + length :]


def test_cmyk_jpegs_with_and_without_adobes_inversion() -> None:
    """(255 - ink)(255 - black) / 255, computed here by hand."""
    ink = np.asarray(smooth(64, 64).convert("CMYK")).copy()
    ink[..., 3] = np.linspace(0, 128, 64).astype(np.uint8)
    expected = (255.0 - ink[..., :3]) * (255.0 - ink[..., 3:]) / 255
    inverted = saved(
        Image.fromarray(ink, "CMYK"), "JPEG", quality=100
    )  # Pillow writes Adobe's form
    found = examine(inverted)
    assert found.kinds == ("CMYK",)
    assert np.abs(found.rgb_HWC - expected).mean() < 3
    plain = with_adobe_transform(
        saved(Image.fromarray(255 - ink, "CMYK"), "JPEG", quality=100), None
    )
    assert np.abs(examine(plain).rgb_HWC - expected).mean() < 3


def test_ycck_jpegs() -> None:
    """Adobe stores 255 - ink; YCbCr is made from 255 minus that, which is the ink again."""
    ink = np.asarray(smooth(64, 64).convert("CMYK")).copy()
    ink[..., 3] = 40
    ycc = np.asarray(Image.fromarray(ink[..., :3]).convert("YCbCr"))
    stored = np.concatenate([ycc, 255 - ink[..., 3:]], axis=2)
    data = saved(Image.fromarray(255 - stored, "CMYK"), "JPEG", quality=100)
    found = examine(with_adobe_transform(data, 2))
    expected = (255.0 - ink[..., :3]) * (255.0 - ink[..., 3:]) / 255
    assert found.kinds == ("CMYK",)
    assert np.abs(found.rgb_HWC - expected).mean() < 3


def test_colour_profiles_are_not_applied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = smooth(40, 40)
    assert (decode(saved(image, "PNG", icc_profile=profile)) == np.asarray(image)).all()


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_other_kinds_of_pixels_are_refused(mode: str) -> None:
    assert reason(saved(Image.new(mode, (40, 40)), "TIFF")) == "unsupported"


# --- Formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_formats_are_told_by_their_bytes(kind: str) -> None:
    image = smooth(300, 280)
    data = saved(image, kind)
    found = prepare_image(data)
    assert (
        np.abs(found.astype(int) - to_square(np.asarray(image))).mean() < 12
    )  # GIF has 256 colours


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>photo unavailable</html>", "not an image"),
        (b"  \n<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not an image"),
        (b"8BPS\0\1" + bytes(50), "unsupported"),
        (b"just text", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "damaged"),
        (b"BM" + bytes(10), "damaged"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(data: bytes, why: str) -> None:
    assert reason(data) == why


def test_only_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        lossless = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
        assert (decode(data) == [255, 0, 0]).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_images_cut_anywhere_are_refused(kind: str) -> None:
    data = saved(smooth(200, 150), kind)
    for cut in np.linspace(1, len(data) * 0.95, 25).astype(int):
        assert reason(data[:cut]) in ("truncated", "damaged", "not an image")
    assert reason(data[: len(data) * 3 // 4]) in ("truncated", "damaged")


def test_a_jpeg_with_a_harmless_fault_is_used_and_counted() -> None:
    data = saved(smooth(200, 150), "JPEG")
    middle = data.index(b"\xff\xda") + 400
    faulty = data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]
    extra = data[:-2] + b"\x00\x00\x00\x00" + data[-2:]  # bytes before the end mark
    assert examine(extra).kinds in ((), ("damaged JPEG",))
    assert examine(faulty).rgb_HWC.shape == (150, 200, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def test_bombs_are_refused_from_their_header() -> None:
    jpeg = bytearray(saved(smooth(64, 64), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    for bomb in (png_header(50_000, 50_000), png_header(8001, 8000), bytes(jpeg)):
        assert reason(bomb) == "too large"
    assert reason(png_header(8000, 8000)) in ("truncated", "damaged")  # 64 million may pass


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif"}])
def test_the_canvas_of_a_webp_is_judged_before_pillow_makes_room_for_it(options: Any) -> None:
    data = bytearray(saved(smooth(64, 48), "WEBP", **options))
    assert with_pillow._webp_size(bytes(data)) == (64, 48)
    place = {b"VP8X": 24, b"VP8 ": 26, b"VP8L": 21}[bytes(data[12:16])]
    data[place : place + 4] = b"\xff\x3f\xff\x0f"
    assert reason(bytes(data)) == "too large"


def test_a_large_image_is_converted_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    image = smooth(70, 60)
    image.putalpha(image.convert("L"))
    forms = [
        saved(image, "PNG"),
        saved(image, "TIFF"),
        saved(image.convert("P"), "GIF", transparency=3),
        saved(smooth(70, 60).convert("CMYK"), "JPEG"),
        saved(smooth(70, 60).convert("L"), "PNG", transparency=100),
        saved(Image.fromarray(np.arange(4200, dtype=np.uint16).reshape(60, 70) * 15), "PNG"),
    ]
    whole = [examine(data) for data in forms]
    monkeypatch.setattr(with_pillow, "STRIP", 1000)
    monkeypatch.setattr(pixels, "STRIP", 1000)
    for data, expected in zip(forms, whole, strict=True):
        found = examine(data)
        assert (found.rgb_HWC == expected.rgb_HWC).all() and found.kinds == expected.kinds


def test_under_16_pixels_is_refused_and_over_ten_to_one_is_flagged() -> None:
    assert reason(saved(smooth(400, 15), "PNG")) == "too small"
    assert prepare_image(saved(smooth(400, 16), "PNG")).shape == (256, 256, 3)
    assert pixels.is_extreme(401, 40) and not pixels.is_extreme(400, 40)
    assert pixels.is_extreme(40, 401)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_not_read(orientation: int) -> None:
    image = smooth(300, 200)
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = prepare_image(saved(image, "JPEG"))
    assert (prepare_image(saved(image, "JPEG", exif=exif)) == plain).all()


def test_corrupt_exif_does_no_harm_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "a description", {0x9003: "2012:12:03"}
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in ("RGB", "CMYK"):
            image = smooth(60, 50).convert(mode)
            data = saved(image, "JPEG", exif=exif)
            expected = decode(data)
            start = data.index(b"Exif\0\0") + 6
            for _ in range(100):
                mutated = bytearray(data)
                for at in rng.integers(start, start + 80, 6):
                    mutated[at] = rng.integers(256)
                assert (decode(bytes(mutated)) == expected).all()
    assert capfd.readouterr() == ("", "")


def test_random_damage_never_raises_anything_but_rejected() -> None:
    rng = np.random.default_rng(1)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        data = saved(smooth(60, 50), kind)
        for _ in range(60):
            mutated = bytearray(data)
            for at in rng.integers(0, len(data), 4):
                mutated[at] = rng.integers(256)
            try:
                assert prepare_image(bytes(mutated)).shape == (256, 256, 3)
            except Rejected as error:
                assert error.reason and error.exit_code == 3


def test_real_images_of_every_size(shared_data: Path) -> None:
    with tarfile.open(shared_data / "imagenet-fullsize-100.tar") as archive:
        contents = [archive.extractfile(m) for m in archive.getmembers() if m.isfile()]
        for file in contents[::7]:
            assert file is not None
            data = file.read()
            with Image.open(io.BytesIO(data)) as image:
                expected = to_square(np.asarray(image.convert("RGB")))
            assert np.abs(prepare_image(data).astype(int) - expected).mean() < 1
