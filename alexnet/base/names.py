"""Names of files, as a system or an archive has them: which are litter, and how to print them."""

from __future__ import annotations

_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


def is_hidden(name: str) -> bool:
    """Whether a file or folder is litter of an operating system or editor, by its name."""
    return name.startswith(".") or name.lower() in _LITTER


def printable(name: str) -> str:
    """A name that is safe to print: bytes that are no UTF-8 and control characters escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in name)


def _escaped(character: str) -> str:
    """As Python writes it, a byte that is no UTF-8 as that byte."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how the system's names come with such bytes
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
