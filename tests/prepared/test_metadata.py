"""What decides no pixels decides nothing: broken text, profiles and EXIF around whole images.

PNGs are built chunk by chunk, JPEGs of unusual sampling from the scans of grey ones.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alexnet.prepared.jpeg import END_MARK, read_header
from alexnet.prepared.pixels import ODD_SAMPLING, TURNED, Rejected, decode, decode_image, examine

RNG = np.random.default_rng(0)


def reason(data: bytes) -> str:
    with pytest.raises(Rejected) as error:
        decode(data)
    return error.value.reason


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# --- PNG ------------------------------------------------------------------------------------------

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(name: bytes, content: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(name + content) if crc is None else crc
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def rows_of(samples_HWC: np.ndarray, depth: int) -> bytes:
    """The rows as a PNG packs them, every second one as differences to the pixel on its left."""
    step = max(1, depth * samples_HWC.shape[2] // 8)
    rows = []
    for y, row in enumerate(samples_HWC.reshape(len(samples_HWC), -1)):
        bits = row[:, None] >> np.arange(depth)[::-1] & 1
        packed = np.packbits(bits.astype(np.uint8).reshape(-1))
        left = np.concatenate([np.zeros(step, np.uint8), packed])[: len(packed)]
        rows.append(bytes([y % 2]) + (packed - left if y % 2 else packed).tobytes())
    return b"".join(rows)


def png(
    samples_HWC: np.ndarray,
    colour: int,
    depth: int,
    before: bytes = b"",
    after: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """A PNG of such samples, with chunks before and after its pixels."""
    height, width, _ = samples_HWC.shape
    parts = [samples_HWC[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples_HWC]
    packed = zlib.compress(b"".join(rows_of(part, depth) for part in parts if part.size))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    pixels = b"".join(chunk(b"IDAT", packed[at : at + 500]) for at in range(0, len(packed), 500))
    return SIGNATURE + chunk(b"IHDR", header) + before + pixels + after + chunk(b"IEND", b"")


def by_the_rule(samples_HWC: np.ndarray, depth: int) -> np.ndarray:
    value = samples_HWC >> 8 if depth == 16 else samples_HWC * 255 // (2**depth - 1)
    return np.broadcast_to(value, (*value.shape[:2], 3)).astype(np.uint8)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("colour", "depth"), [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)]
)
def test_a_transparent_colour_is_white_where_all_bits_are_its(
    colour: int, depth: int, interlaced: bool
) -> None:
    most, channels = 2**depth - 1, SAMPLES[colour]
    samples = RNG.integers(0, most + 1, (37, 45, channels))
    key = [40 * most // 100 + n for n in range(channels)]
    samples[::4, ::4] = key
    for n in range(channels):  # one more or less in one sample is another colour
        samples[1::4, n::4] = np.add(key, (np.arange(channels) == n) * (1 if depth > 1 else 0))
    expected = by_the_rule(samples, depth).copy()
    is_clear = (samples == key).all(axis=2)
    expected[is_clear] = 255
    # Bits above those of a sample do not count.
    above = 0 if depth == 16 else 0x5A << 8 | (0xFF << depth & 0xFF)
    clear = struct.pack(f">{channels}H", *(above | one for one in key))
    data = png(samples, colour, depth, chunk(b"tRNS", clear), interlaced=interlaced)
    found = examine(data)
    assert 0 < is_clear.sum() < is_clear.size
    assert (found.rgb_HWC == expected).all() and found.kinds == ("transparent",)
    with Image.open(io.BytesIO(data)) as opened:
        assert (decode_image(opened) == expected).all()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_entries_of_a_palette_are_transparent_by_their_share(depth: int, interlaced: bool) -> None:
    entries = 2**depth
    palette = RNG.integers(0, 256, (entries, 3), np.uint8)
    alpha = RNG.integers(0, 256, entries // 2, np.uint8)  # the others are whole
    samples = RNG.integers(0, entries, (37, 45, 1))
    chunks = chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", alpha.tobytes())
    found = decode(png(samples, 3, depth, chunks, interlaced=interlaced)).astype(float)
    share = np.concatenate([alpha, np.full(entries - len(alpha), 255)])[samples] / 255
    assert np.abs(found - (palette[samples[..., 0]] * share + 255 * (1 - share))).max() <= 1


@pytest.mark.parametrize(("colour", "depth"), [(0, 16), (2, 16), (4, 16), (6, 16), (0, 2), (0, 4)])
def test_without_a_transparent_colour_the_rule_is_the_same(colour: int, depth: int) -> None:
    samples = RNG.integers(0, 2**depth, (37, 45, SAMPLES[colour]))
    expected = by_the_rule(
        samples[..., :3] if colour in (2, 6) else samples[..., :1], depth
    ).astype(float)
    if colour in (4, 6):
        share = (samples[..., -1:] >> 8) / 255
        expected = expected * share + 255 * (1 - share)
    stray = chunk(b"tRNS", bytes(6)) if colour in (4, 6) else b""  # has no meaning there
    assert np.abs(decode(png(samples, colour, depth, stray)) - expected).max() <= 1


PIXELS = RNG.integers(0, 256, (32, 32, 3), np.uint8)
TEXT = zlib.compress(b"steps 30, " * 200_000)
FAULTY = {
    "long packed text": chunk(b"zTXt", b"parameters\0\0" + TEXT),
    "many packed texts": b"".join(chunk(b"zTXt", b"key\0\0" + TEXT) for _ in range(40)),
    "long international text": chunk(b"iTXt", b"key\0\1\0en\0key\0" + TEXT),
    "text of another coding": chunk(b"iTXt", b"key\0\0\0\xff\0\xff\0\xff"),
    "cut text": chunk(b"zTXt", b"key\0\0" + TEXT[:50]),
    "empty text": chunk(b"tEXt", b"") + chunk(b"zTXt", b"") + chunk(b"iTXt", b""),
    "long profile": chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000))),
    "no profile": chunk(b"iCCP", b"") + chunk(b"iCCP", b"name") + chunk(b"iCCP", b"name\0\1"),
    "wrong checksum": chunk(b"iCCP", b"name\0\0", crc=7) + chunk(b"tEXt", b"a\0b", crc=7),
    "empty numbers": b"".join(chunk(name, b"") for name in (b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"tIME")),
    "wrong numbers": chunk(b"gAMA", b"\0\0\0\0") + chunk(b"pHYs", b"\xff") + chunk(b"cHRM", b"12345"),
    "broken EXIF": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff") + chunk(b"eXIf", b""),
    "unknown chunks": chunk(b"prVt", bytes(10**6)) + chunk(b"abCd", b"", crc=1),
    "a palette that nobody asked for": chunk(b"PLTE", b"12") + chunk(b"sPLT", b"") + chunk(b"hIST", b"1"),
    "frames of an animation": chunk(b"acTL", b"") + chunk(b"fcTL", b"\0") + chunk(b"fdAT", b""),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
def test_only_what_decides_the_pixels_of_a_png_is_read(name: str) -> None:
    for before, after in ((FAULTY[name], b""), (b"", FAULTY[name])):
        data = png(PIXELS, 2, 8, before, after)
        assert (decode(data) == PIXELS).all()
        assert reason(data[:-1]) == reason(data[:-13]) == "truncated"
        with Image.open(io.BytesIO(png(PIXELS, 2, 8, after=after))) as opened:
            assert (decode_image(opened) == PIXELS).all()


def test_a_png_whose_pixels_are_damaged_or_missing_is_refused() -> None:
    whole = png(PIXELS, 2, 8)
    packed = zlib.compress(rows_of(PIXELS, 8))
    header = whole[8:33]
    end = chunk(b"IEND", b"")
    assert reason(SIGNATURE + header + chunk(b"IDAT", packed[:900]) + end) == "truncated"
    assert reason(SIGNATURE + header + end) in ("truncated", "damaged")
    assert reason(
        SIGNATURE + header + chunk(b"IDAT", packed[:99] + bytes(99) + packed[198:]) + end
    ) in (*("truncated", "damaged"),)
    assert reason(SIGNATURE + chunk(b"IHDR", whole[16:29], crc=1) + whole[33:]) == "damaged"
    for clear in (chunk(b"tRNS", b"\0\1"), chunk(b"tRNS", bytes(6), crc=1)):
        assert reason(png(PIXELS, 2, 8, clear)) == "damaged"


# --- JPEG -----------------------------------------------------------------------------------------

Factors = Sequence[tuple[int, int]]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def planes(size: tuple[int, int], factors: Factors) -> list[Image.Image]:
    """Y, Cb and Cr of an image, each at its part of the whole size."""
    most_x, most_y = (max(one) for one in zip(*factors, strict=True))
    return [
        smooth(-(-size[0] * x // most_x), -(-size[1] * y // most_y), n).convert("L")
        for n, (x, y) in enumerate(factors)
    ]


def jpeg_of(size: tuple[int, int], factors: Factors, **options: Any) -> bytes:
    """A JPEG of any sampling factors, whose scans are those of a grey JPEG for each plane."""
    files = [saved(plane, "JPEG", quality=95, **options) for plane in planes(size, factors)]
    frame = b"".join(bytes([n + 1, x << 4 | y, 0]) for n, (x, y) in enumerate(factors))
    at = next(at for at in map(files[0].find, (b"\xff\xc0", b"\xff\xc2")) if at > 0)
    head = files[0][:at]  # and what comes after the frame, table by table, with the scans
    found = [head, segment(files[0][at + 1], struct.pack(">BHHB", 8, *size[::-1], 3) + frame)]
    for n, file in enumerate(files):
        rest = bytearray(file[at + 13 : -2])
        start = 0
        while (start := rest.find(b"\xff\xda\0\x08\1", start)) >= 0:
            rest[start + 5] = n + 1
            start += 8
        found.append(bytes(rest))
    return b"".join([*found, b"\xff\xd9"])


def upsampled(size: tuple[int, int], factors: Factors) -> np.ndarray:
    """The colours of those planes, each stretched to the whole size: H x W x 3."""
    stretched = [plane.resize(size, Image.Resampling.BILINEAR) for plane in planes(size, factors)]
    return np.asarray(Image.merge("YCbCr", stretched).convert("RGB")).astype(int)


ODD = [
    [(4, 1), (2, 1), (2, 1)],
    [(4, 2), (1, 1), (1, 1)],
    [(1, 4), (1, 1), (1, 1)],
    [(2, 2), (1, 1), (2, 1)],
    [(2, 2), (1, 2), (2, 1)],
    [(1, 1), (2, 1), (1, 1)],
    [(1, 1), (2, 2), (2, 2)],
    [(2, 1), (1, 1), (2, 1)],
    [(4, 4), (1, 1), (2, 4)],
]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("factors", ODD)
def test_jpegs_of_any_sampling_are_decoded(factors: Factors, options: dict[str, Any]) -> None:
    data = jpeg_of((90, 74), factors, **options)
    found = examine(data)
    assert (found.width, found.height) == (90, 74)
    assert np.abs(found.rgb_HWC - upsampled((90, 74), factors)).mean() < 6
    for cut in (len(data) - 2, len(data) * 3 // 4, len(data) // 2):
        assert reason(data[:cut]) == "truncated"
    # A missing end is missing too where somebody has put the end mark behind it.
    assert reason(data[: len(data) * 3 // 4] + END_MARK) == "truncated"
    if ODD_SAMPLING in found.kinds:  # where a stretch begins too; of others libjpeg says "damaged"
        for restart in list(re.finditer(rb"\xff[\xd0-\xd7]", data))[-3:]:
            assert reason(data[: restart.start()] + END_MARK) == "truncated"


def test_a_progressive_jpeg_cut_in_a_table_between_its_scans_is_refused() -> None:
    data = saved(smooth(60, 50), "JPEG", progressive=True)
    tables = [table.start() for table in re.finditer(rb"\xff\xc4", data)][1:]
    assert len(tables) > 3
    for at in tables:
        for cut in (at, at + 3, at + 10, at + 30):
            assert reason(data[:cut]) in ("truncated", "damaged")


def test_unusual_sampling_is_counted_and_large_jpegs_of_it_are_decoded_at_a_half() -> None:
    found = examine(jpeg_of((1200, 1030), ODD[0]))
    assert found.kinds == (ODD_SAMPLING,)
    assert (found.width, found.height) == (1200, 1030) and found.rgb_HWC.shape == (515, 600, 3)
    whole = Image.fromarray(upsampled((1200, 1030), ODD[0]).astype(np.uint8))
    assert np.abs(found.rgb_HWC - np.asarray(whole.resize((600, 515))).astype(int)).mean() < 6
    assert reason(jpeg_of((40, 12), ODD[0])) == "too small"


def with_segments(data: bytes, *segments: bytes) -> bytes:
    """A JPEG with these right after its first marker."""
    return data[:2] + b"".join(segments) + data[2:]


def profile(number: int, of: int, body: bytes) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, of]) + body)


BODY = bytes(range(256))
BROKEN = {
    "a part is missing": [profile(1, 2, BODY)],
    "a part is there twice": [profile(1, 1, BODY)] * 2,
    "parts out of count": [profile(3, 2, BODY), profile(1, 2, BODY)],
    "part 0 of 0": [profile(0, 0, BODY)],
    "parts that do not agree": [profile(1, 2, BODY), profile(2, 3, BODY)],
    "an empty part": [profile(1, 1, b"")],
    "a profile without numbers": [segment(0xE2, b"ICC_PROFILE\0")],
    "broken further images": [segment(0xE2, b"MPF\0MM\0*\xff\xff\xff\xff")],
    "broken EXIF": [segment(0xE1, b"Exif\0\0" + more) for more in (b"MM\0*\0\0\xff\xff", b"")],
    "nothing but names": [segment(marker, b"") for marker in range(0xE0, 0xF0)],
    "broken Photoshop parts": [segment(0xED, b"Photoshop 3.0\x008BIM\xff")],
    "a short mark of JFIF or Adobe": [segment(0xE0, b"JFIF\0"), segment(0xEE, b"Adobe")],
    "megabytes of comments": [segment(0xFE, bytes(65_000)), segment(0xE9, bytes(65_000))] * 20,
    "an unknown mark that fills": [b"\xff\xff\xff" + segment(0xEB, b"1234")[1:]],
}  # fmt: skip
BASES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: saved(smooth(60, 50), "JPEG"),
    "grey": lambda: saved(smooth(60, 50).convert("L"), "JPEG"),
    "CMYK": lambda: saved(smooth(60, 50).convert("CMYK"), "JPEG"),
    "progressive": lambda: saved(smooth(60, 50), "JPEG", progressive=True),
    "unusual": lambda: jpeg_of((60, 50), ODD[4]),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", BROKEN)
def test_only_what_decides_the_pixels_of_a_jpeg_is_read(name: str, base: str) -> None:
    plain = BASES[base]()
    data = with_segments(plain, *BROKEN[name])
    expected, found = examine(plain), examine(data)
    assert (found.rgb_HWC == expected.rgb_HWC).all() and found.kinds == expected.kinds
    assert reason(data[: -len(plain) // 3]) == "truncated"
    assert reason(data[:-2]) == "truncated"


@pytest.mark.parametrize("base", BASES)
def test_bytes_between_the_segments_of_a_jpeg_are_passed_over(base: str) -> None:
    plain = BASES[base]()
    for marker in (b"\xff\xdb", b"\xff\xda"):
        at = plain.index(marker)
        assert (decode(plain[:at] + b"\0ab" + plain[at:]) == decode(plain)).all()


def test_a_jpeg_of_more_bits_is_told() -> None:
    data = BASES["RGB"]()
    at = data.index(b"\xff\xc0")
    with pytest.raises(Rejected, match=r"unsupported \(a JPEG of 12 bits\)"):
        decode(data[: at + 4] + b"\x0c" + data[at + 5 :])
    header = read_header(data)
    assert header and (header.width, header.height, header.bits, header.colours) == (60, 50, 8, 3)


# --- EXIF -----------------------------------------------------------------------------------------


def exif(value: int, order: str = ">", kind: int = 3) -> bytes:
    """A directory whose last entry of two says how the camera was held."""
    start = struct.pack(order + "2sHI", b"MM" if order == ">" else b"II", 42, 8)
    field = struct.pack(
        order + ("HH" if kind == 3 else "I"), *([value, 0] if kind == 3 else [value])
    )
    other = struct.pack(order + "HHI", 271, 2, 1) + b"X\0\0\0"
    entry = struct.pack(order + "HHI", 274, kind, 1) + field
    return start + struct.pack(order + "H", 2) + other + entry + bytes(4)


def carrying(kind: str, directory: bytes) -> bytes:
    if kind == "JPEG":
        return with_segments(BASES["RGB"](), segment(0xE1, b"Exif\0\0" + directory))
    if kind == "PNG":
        return png(PIXELS, 2, 8, after=chunk(b"eXIf", directory))
    return saved(smooth(60, 50), kind, exif=directory, lossless=True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_rotation_in_exif_is_counted_and_not_carried_out(kind: str) -> None:
    plain = decode(carrying(kind, exif(1)))
    for value in range(10):
        for order, form in ((">", 3), ("<", 3), ("<", 4)):
            found = examine(carrying(kind, exif(value, order, form)))
            assert found.kinds == ((TURNED,) if 2 <= value <= 8 else ())
            assert (found.rgb_HWC == plain).all()
    whole = exif(6)
    for cut in range(len(whole)):
        assert (decode(carrying(kind, whole[:cut])) == plain).all()
    for _ in range(50):
        broken = np.frombuffer(whole, np.uint8).copy()
        broken[RNG.integers(len(broken), size=4)] = RNG.integers(256, size=4)
        assert (decode(carrying(kind, broken.tobytes())) == plain).all()
