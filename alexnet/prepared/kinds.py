"""What a file is, by its first bytes: a format that is read, or one that is told by its name."""

from __future__ import annotations

from importlib.util import find_spec

from alexnet.base.errors import DataError
from alexnet.prepared.exif import tags

_READ = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"P5": "PPM",
    b"P6": "PPM",
}

_MAGICK = "ImageMagick converts it: magick FILE FILE.png"
_RAW = "darktable converts it: darktable-cli FILE FILE.jpg"
_NOT_READ = {  # pictures, by their first bytes: what they are and what converts them
    b"\0\0\0\x0cjP  \r\n\x87\n": ("a JPEG 2000 image", _MAGICK),
    b"\xff\x4f\xff\x51": ("a JPEG 2000 image", _MAGICK),
    b"\0\0\0\x0cJXL \r\n\x87\n": ("a JPEG XL image", "libjxl converts it: djxl FILE FILE.png"),
    b"\xff\x0a": ("a JPEG XL image", "libjxl converts it: djxl FILE FILE.png"),
    b"8BPS": ("a Photoshop image", "ImageMagick converts it: magick 'FILE[0]' FILE.png"),
    b"gimp xcf": ("a GIMP image", "ImageMagick converts it: magick FILE -flatten FILE.png"),
    b"II+\0": ("a BigTIFF image", _MAGICK),
    b"MM\0+": ("a BigTIFF image", _MAGICK),
    b"II\xbc\x01": ("a JPEG XR image", _MAGICK),
    b"v/1\x01": ("an OpenEXR image", _MAGICK),
    b"#?RADIANCE": ("a Radiance HDR image", _MAGICK),
    b"DDS ": ("a DirectDraw texture", _MAGICK),
    b"\0\0\1\0": ("a Windows icon", _MAGICK),
    b"icns": ("an icon of macOS", _MAGICK),
    b"SIMPLE  =": ("a FITS image", _MAGICK),
    b"IIRO": ("a camera's raw image (Olympus ORF)", _RAW),
    b"IIRS": ("a camera's raw image (Olympus ORF)", _RAW),
    b"IIU\0": ("a camera's raw image (Panasonic RW2)", _RAW),
    b"FUJIFILMCCD-RAW": ("a camera's raw image (Fujifilm RAF)", _RAW),
    b"FOVb": ("a camera's raw image (Sigma X3F)", _RAW),
    b"\0MRM": ("a camera's raw image (Minolta MRW)", _RAW),
}
_NO_IMAGES = {  # what is no picture of pixels
    b"%PDF": ("a PDF document", "Poppler makes images of its pages: pdftoppm -png FILE FILE"),
    b"%!PS": ("a PostScript file", _MAGICK),
    b"\xc5\xd0\xd3\xc6": ("an EPS file", _MAGICK),
    b"\x1aE\xdf\xa3": ("a film (Matroska or WebM)", ""),
    b"PK\x03\x04": ("a zip file", ""),
    b"\x1f\x8b": ("a gzip file", ""),
    b"Rar!": ("a RAR file", ""),
    b"7z\xbc\xaf\x27\x1c": ("a 7z file", ""),
    b"version https://git-lfs": (
        "a place holder of Git LFS",
        "its repository has it: git lfs pull",
    ),
}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"} | {
    *(b"mif1", b"msf1", b"heif")
}
_MAKE, _SUBFILE, _SUB_IFDS, _DNG = 271, 254, 330, 50706  # tags of TIFF


class Rejected(DataError):
    """An image that cannot be used: `reason` is a stable word or two, `detail` a sentence."""

    def __init__(self, reason: str, detail: str = "") -> None:
        what = f"The image cannot be used: {reason}"
        super().__init__(f"{what} ({detail})." if detail else f"{what}.")
        self.reason = reason
        self.detail = detail


def sniff(data: bytes) -> str:
    """The format that the first bytes tell: one of those that are read; raises Rejected.

    HEIC is read where the package pillow-heif is installed.
    """
    if not data:
        raise Rejected("empty", "the file has no bytes")
    for magic, kind in _READ.items():
        if data.startswith(magic):
            if kind == "TIFF":
                _refuse_raw(data)
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and _brands(data) & _HEIC_BRANDS and not _is_avif(data):
        if find_spec("pillow_heif"):
            return "HEIF"
        what = "an HEIC image, as phones save them"
        raise Rejected("unsupported", f"{what}; to read it: python -m pip install pillow-heif")
    raise _not_read(data)


def _not_read(data: bytes) -> Rejected:
    """What a file is that is not read, and what converts it."""
    if data[4:8] == b"ftyp":
        return _of_boxes(data)
    for reason, known in (("unsupported", _NOT_READ), ("not an image", _NO_IMAGES)):
        for magic, (what, remedy) in known.items():
            if data.startswith(magic):
                return Rejected(reason, f"{what}; {remedy}" if remedy else what)
    if data[:4] == b"RIFF":
        what = "a film (AVI)" if data[8:12] == b"AVI " else "a RIFF file of another kind"
        return Rejected("not an image", what)
    if data[128:132] == b"DICM":
        return Rejected("unsupported", "a DICOM image; DCMTK converts it: dcm2img FILE FILE.png")
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"<" and b"<svg" in start:
        return Rejected("not an image", f"an SVG drawing; {_MAGICK}")
    if start[:1] == b"<":
        return Rejected("not an image", "it begins like a page of HTML or XML")
    return Rejected("not an image", f"it begins with {data[:8]!r}")


def _brands(data: bytes) -> set[bytes]:
    """What a file of boxes (HEIC, AVIF, MP4) says in its first box that it is."""
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}


def _is_avif(data: bytes) -> bool:
    return bool(_brands(data) & {b"avif", b"avis"})


def _of_boxes(data: bytes) -> Rejected:
    if _is_avif(data):
        return Rejected("unsupported", f"an AVIF image; {_MAGICK}")
    if data[8:11] == b"crx":
        return Rejected("unsupported", f"a camera's raw image (Canon CR3); {_RAW}")
    return Rejected("not an image", "a film (MP4, MOV or alike)")


def _refuse_raw(data: bytes) -> None:
    """Raise Rejected for a camera's raw image in a TIFF, whose first picture is a thumbnail."""
    found = tags(data)
    is_thumbnail = found.get(_SUBFILE, 0) & 1 and _SUB_IFDS in found and _MAKE in found
    if data[8:10] == b"CR" or _DNG in found or is_thumbnail:
        raise Rejected("unsupported", f"a camera's raw image (CR2, DNG, NEF, ARW or alike); {_RAW}")
