"""Giving an index codes, and searching by them.

Legend: N rows, U numbers of a vector, Q queries, K of the nearest rows, B bits, W words of 64 bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alexnet.base.errors import UsageError
from alexnet.retrieval.building import changing
from alexnet.retrieval.codes import AUTOENCODER, Coder
from alexnet.retrieval.description import CodesOf, read_description
from alexnet.retrieval.vectors import VectorArray


def add_codes(folder: Path, bits: int, seed: int = 0, method: str = AUTOENCODER) -> CodesOf:
    """Give every vector of an index a code of so many bits, in place of codes that it has.

    The coder is found from the index's vectors. One that it has, of the same bits, method and seed,
    stays, unless there are twice as many vectors as when it was found. Until the end the index is as it
    was.

    Raises UsageError for a folder that is no index, for bits and methods that there are not, and where an
    interrupted change of the index has to be finished first; DataError for damaged files.
    """
    about = read_description(folder).about
    with changing(folder, about) as building:
        there, published = building.description, read_description(folder)
        if there != published:
            raise UsageError(
                "Vectors were being computed for the index when that was stopped.",
                where=folder,
                remedy="Finish it first: the same `alexnet index` as then.",
            )
        codes = there.codes
        if (
            codes
            and (codes.method, codes.bits, codes.seed) == (method, bits, seed)
            and there.rows < 2 * codes.rows
        ):
            return codes
        parts = [part.vectors_NU for part in building.parts]
        coder = Coder.fit(VectorArray(parts, int(np.prod(about.shape))), bits, seed, method)
        after = building.recode(coder, method, seed)
        assert after.codes is not None
        return after.codes
