"""NumPy's .npz: all arrays in one file, with their keys, labels and what they are."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from alexnet.activations.arrays import (
    NOT_ARRAYS,
    Gathered,
    Output,
    Stored,
    Write,
    in_order,
    numbered,
)
from alexnet.base import files
from alexnet.base.files import drafts

_DAY = (1980, 1, 1, 0, 0, 0)  # of every member: the same arrays give the same bytes


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """The one file."""
    return [path]


def space(output: Output) -> int:
    """Bytes that the arrays come to, with the rows that are gathered beside the file."""
    return 2 * output.numbers * output.dtype.itemsize


def require_possible(output: Output) -> None:
    """Any array can be written."""


@contextmanager
def writing(output: Output) -> Iterator[Write]:
    """A function that takes the next rows of every array; the file is there after the block.

    A member of the archive begins with how many rows there are.
    """
    with drafts([output.path]) as (draft,), ExitStack() as stack:
        gathered = Gathered(output, draft, stack)
        yield gathered.write
        arrays = {
            "keys": np.array(gathered.keys),
            "about": np.array(json.dumps(output.described(len(gathered.keys)))),
        }
        if labels := gathered.labels():
            arrays["labels"] = np.array(labels)
        arrays |= gathered.arrays()
        files.step("create", draft)
        with zipfile.ZipFile(draft, "w") as file:
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy", _DAY)
                with file.open(member, "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, np.asarray(array), allow_pickle=False)


def read(path: Path, stack: ExitStack) -> Stored:
    """The arrays of a file."""
    file = stack.enter_context(open(path, "rb"))  # noqa: SIM115 - NumPy leaves a damaged one open
    found = np.load(file, allow_pickle=False)
    if not isinstance(found, np.lib.npyio.NpzFile):
        raise ValueError("it is one array, not a file of several")
    about = json.loads(str(found["about"])) if "about" in found else {}
    layers = {name: found[name] for name in found.files if name not in NOT_ARRAYS}
    keys = tuple(map(str, found["keys"])) if "keys" in found else numbered(layers)
    labels = tuple(map(str, found["labels"])) if "labels" in found else ()
    return Stored(keys, in_order(layers, about), about, labels)
