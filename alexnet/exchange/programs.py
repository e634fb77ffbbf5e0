"""Files of PyTorch that hold a program and not a dictionary of weights, named as what they are."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import NamedTuple

from alexnet.base.errors import DataError
from alexnet.exchange.torch_file import members

_TAR = (257, b"ustar")  # where a tar archive says that it is one
_OLD_TAR = {"pickle", "storages", "tensors"}  # files of torch.save before 2017


class _Program(NamedTuple):
    """A part that only such an archive has, what it is, and how the weights in it are saved."""

    part: str
    what: str
    remedy: str


_WEIGHTS = "torch.save(program.state_dict(), 'weights.pth')"
_PROGRAMS = (
    _Program(
        "bytecode.pkl",
        "a TorchScript program for PyTorch's lite interpreter",
        "Save the weights where it was made: torch.save(model.state_dict(), 'weights.pth')",
    ),
    _Program(
        "constants.pkl",
        "a TorchScript program (torch.jit.save)",
        f"In PyTorch: program = torch.jit.load(FILE); {_WEIGHTS}",
    ),
    _Program(
        "serialized_exported_program.json",
        "a program of torch.export, from PyTorch before 2.7",
        f"In that PyTorch: program = torch.export.load(FILE); {_WEIGHTS.replace('()', '', 1)}",
    ),
    _Program(
        "extern_modules",
        "a package of torch.package, code and all",
        "Save the weights where it was made: torch.save(model.state_dict(), 'weights.pth')",
    ),
)


def kind_of_zip(path: Path) -> str:
    """ "pt2" for a program of `torch.export`, which may be one of ours; "" for other archives.

    Raises DataError that names any other program of PyTorch's.
    """
    names = members(path)
    for program in _PROGRAMS:
        if any(name.rpartition("/")[2] == program.part for name in names):
            raise DataError(
                f"It is {program.what}, not a file of weights.", where=path, remedy=program.remedy
            )
    is_program = any(
        ("/models/" in f"/{name}" and name.endswith(".json")) or name.endswith("archive_format")
        for name in names
    )
    return "pt2" if is_program else ""


def require_no_old_tar(path: Path, head: bytes) -> None:
    """Raise DataError that names the tar archives that PyTorch wrote at first."""
    place, magic = _TAR
    if head[place : place + len(magic)] != magic:
        return
    with open(path, "rb") as file, tarfile.open(fileobj=io.BytesIO(file.read(2**20))) as archive:
        names = set[str]()
        try:
            while (one := archive.next()) is not None and len(names) < len(_OLD_TAR) + 2:
                names.add(one.name.removeprefix("./"))
        except (tarfile.TarError, OSError, EOFError):
            pass  # it is cut here
    if names & _OLD_TAR:
        raise DataError(
            "It is a file of torch.save from before PyTorch 0.1.10, a tar archive.",
            where=path,
            remedy="In PyTorch: torch.save(torch.load(FILE, weights_only=False), 'weights.pth')",
        )
    raise DataError(
        "It is a tar archive, not a file of weights.", where=path, remedy="Unpack it: tar xf"
    )
