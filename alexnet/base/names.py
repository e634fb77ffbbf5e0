"""Names of files and classes, as systems and archives have them: litter, no images, how to print them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

# What operating systems, network stores and editors leave; names that begin with a point are litter too.
_LITTER = {
    *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
    *("$recycle.bin", "recycler", "system volume information", "__macosx", "icon\r"),
    *("network trash folder", "temporary items", "thevolumesettingsfolder"),
    *("@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot", "@tmp", "~snapshot"),
    *("lost+found", "__pycache__", "picasa.ini", "zbthumbnail.info", "pspbrwse.jbf"),
}
_LITTER_ENDS = (":zone.identifier", "@synoresource", "@synoeastream")
# Files that are kept beside images. What is not listed here is opened: its bytes decide.
_NO_IMAGES_TEXT = """
    .txt .md .rst .rtf .doc .docx .odt .pdf .tex .html .htm .css .js
    .csv .tsv .json .jsonl .xml .yaml .yml .toml .ini .cfg .conf .log .xls .xlsx .ods .sql
    .sqlite .db .parquet .feather .arrow .npy .npz .mat .h5 .hdf5 .pkl .pickle .pt .pth
    .ckpt .onnx .safetensors .tfrecord .lmdb .mdb .py .pyc .ipynb .m .r .sh .bat .c .cpp .h
    .zip .tar .gz .tgz .bz2 .xz .zst .7z .rar
    .mov .mp4 .m4v .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp .mts .m2ts
    .mp3 .m4a .aac .wav .flac .ogg .opus .wma .aae .xmp .thm .lrv .srt
    .lnk .url .webloc .torrent .md5 .sha1 .sha256 .sum .bib
"""
_NO_IMAGES = frozenset(_NO_IMAGES_TEXT.split())
_NO_IMAGE_NAMES = {
    *("readme", "license", "licence", "copying", "notice", "authors", "changelog", "makefile"),
    *("md5sums", "md5sum", "sha1sums", "sha256sums", "checksums", "manifest"),
}


def is_hidden(name: str) -> bool:
    """Whether a file or folder is litter of an operating system, store or editor, by its name."""
    small = name.lower()
    return small.startswith((".", "~$")) or small in _LITTER or small.endswith(_LITTER_ENDS)


def kind_of_no_image(name: str) -> str:
    """ ".txt" or "README" of a file that is no image by its name; "" of one that may be."""
    stem, _, ending = name.rpartition(".")
    if not stem:
        return name.upper() if name.lower() in _NO_IMAGE_NAMES else ""
    suffix = f".{ending.lower()}"
    return suffix if suffix in _NO_IMAGES else ""


def one_form(name: str) -> str:
    """A name in Unicode's composed form: systems write "é" in one character or in two."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names for a sentence, safe to print: the first ones, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(printable(name) for name in names[:most]) + more


def printable(name: str) -> str:
    """A name that is safe to print: bytes that are no UTF-8 and control characters escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in name)


def distinct(titles: Sequence[str]) -> tuple[str, ...]:
    """Titles of classes, those that several classes have with the class's number: "crane #134"."""
    found = tuple(titles)
    while len(set(found)) < len(found):
        alike = Counter(found)
        found = tuple(f"{one} #{k}" if alike[one] > 1 else one for k, one in enumerate(found))
    return found


def _escaped(character: str) -> str:
    """As Python writes it, a byte that is no UTF-8 as that byte."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how the system's names come with such bytes
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
