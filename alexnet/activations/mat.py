"""MATLAB's .mat, version 5: all arrays in one file, with their keys and what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import __version__
from alexnet.activations.arrays import (
    NOT_ARRAYS,
    Gathered,
    Output,
    Stored,
    Write,
    in_order,
    names,
    numbered,
)
from alexnet.base import files
from alexnet.base.errors import UsageError
from alexnet.base.files import drafts

LARGEST = 2**31  # bytes: the format counts them in 32 bits, and MATLAB reads half of what that can
_TITLE_BYTES = 116  # where SciPy puts the time


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """The one file."""
    return [path]


def space(output: Output) -> int:
    """Bytes that the arrays come to, with the rows that are gathered beside the file."""
    return 2 * output.numbers * output.dtype.itemsize


def require_possible(output: Output) -> None:
    """Raise UsageError, before there is any work, for arrays that would be too large."""
    size = output.numbers * output.dtype.itemsize
    if size >= LARGEST:
        raise UsageError(
            f"The arrays are {size / 1e9:.1f} GB; a .mat file ends at {LARGEST / 1e9:.1f} GB.",
            where=output.path,
            remedy=f"Write {output.path.with_suffix('.h5').name}: MATLAB reads it with h5read.",
        )


@contextmanager
def writing(output: Output) -> Iterator[Write]:
    """A function that takes the next rows of every array; the file is there after the block.

    SciPy takes each array as a whole, in MATLAB's order.
    """
    import scipy.io

    with drafts([output.path]) as (draft,), ExitStack() as stack:
        gathered = Gathered(output, draft, stack)
        yield gathered.write
        variables: dict[str, Any] = {
            variable(name): array for name, array in gathered.arrays().items()
        }
        variables["keys"] = np.array(gathered.keys, object)[:, None]
        if labels := gathered.labels():
            variables["labels"] = np.array(labels, object)[:, None]
        variables["about"] = json.dumps(output.described(len(gathered.keys)))
        files.step("create", draft)
        with open(draft, "w+b") as file:
            scipy.io.savemat(file, variables, oned_as="column")
            file.seek(0)  # the same arrays give the same bytes
            title = f"MATLAB 5.0 MAT-file, by alexnet {__version__}"
            file.write(title.encode().ljust(_TITLE_BYTES))


def read(path: Path, stack: ExitStack) -> Stored:
    """The arrays of a file."""
    import scipy.io

    with open(path, "rb") as file:
        try:
            found = scipy.io.loadmat(file)
        except NotImplementedError:  # MATLAB's own version 7.3 is HDF5
            raise ValueError("it is of another version; save it with -v7") from None
    about = json.loads(found["about"][0]) if "about" in found else {}
    named = {variable(name): name for name in names(about)}
    layers = {
        named.get(name, name): value
        for name, value in found.items()
        if not name.startswith("__") and name not in NOT_ARRAYS
    }
    keys = _texts(found["keys"]) if "keys" in found else numbered(layers)
    labels = _texts(found["labels"]) if "labels" in found else ()
    return Stored(keys, in_order(layers, about), about, labels)


def _texts(cells: np.ndarray) -> tuple[str, ...]:
    """A column of cells of text, of which empty ones hold no array of characters."""
    return tuple(str(one[0]) if len(one) else "" for one in cells[:, 0])


def variable(name: str) -> str:
    """A layer's name as MATLAB may have it: fc7_pre of fc7.pre."""
    return name.replace(".", "_")
