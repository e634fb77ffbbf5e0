"""The mean image and the colour PCA of the training split (paper, sections 2 and 4.1).

Legend: H height, W width, C colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from alexnet.base.errors import DataError
from alexnet.base.files import write_atomically
from alexnet.prepared.sums import Sums

FILE = "statistics.safetensors"
_KINDS = {  # and the mean, of the side of the images
    "eigenvectors": ("float32", (3, 3)),
    "deviations": ("float32", (3,)),
    "pixels": ("int64", (1,)),
}


@dataclass(frozen=True)
class Statistics:
    """Of the training images, on the scale 0-255.

    `mean_HWC` float32 (side, side, 3); the columns of `eigenvectors_33` are the principal components
    of the colours, strongest first; `deviations_3` are the square roots of their eigenvalues;
    `pixels` is how many pixels they come from.
    """

    mean_HWC: np.ndarray
    eigenvectors_33: np.ndarray
    deviations_3: np.ndarray
    pixels: int

    @classmethod
    def from_sums(cls, sums: Sums) -> Statistics:
        """The covariance is exact up to one division: its sums are integers of any size."""
        count = sums.images * sums.pixels_HWC[:, :, 0].size
        total_C = [int(value) for value in sums.pixels_HWC.sum(axis=(0, 1))]
        covariance_CC = np.array(
            [
                [(count * int(sums.products_CC[i, j]) - total_C[i] * total_C[j]) / count**2
                 for j in range(3)]
                for i in range(3)
            ]
        )  # fmt: skip
        eigenvalues_3, vectors_CC = np.linalg.eigh(covariance_CC)
        eigenvalues_3, vectors_CC = eigenvalues_3[::-1], vectors_CC[:, ::-1]
        largest_3 = np.abs(vectors_CC).argmax(axis=0)
        signs_3 = np.sign(vectors_CC[largest_3, range(3)])  # the largest part is positive
        return cls(
            mean_HWC=(sums.pixels_HWC / sums.images).astype(np.float32),
            eigenvectors_33=(vectors_CC * signs_3).astype(np.float32),
            deviations_3=np.sqrt(np.maximum(eigenvalues_3, 0)).astype(np.float32),
            pixels=count,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """The statistics by the names they have in files."""
        return {
            "mean": self.mean_HWC,
            "eigenvectors": np.ascontiguousarray(self.eigenvectors_33),
            "deviations": self.deviations_3,
            "pixels": np.array([self.pixels], np.int64),
        }

    def save(self, path: Path) -> None:
        """Write the safetensors file."""
        write_atomically(path, save(self.arrays()))

    @classmethod
    def load(cls, path: Path, side: int) -> Statistics:
        """Those of images of side x side pixels, from a safetensors file.

        Raises DataError where it is not one of ours, or not finite.
        """
        try:
            tensors = load_file(path)
        except Exception as error:  # the library raises many kinds
            raise DataError(f"Not readable statistics: {error}.", where=path) from None
        kinds = {**_KINDS, "mean": ("float32", (side, side, 3))}
        if {name: (array.dtype.name, array.shape) for name, array in tensors.items()} != kinds:
            raise DataError("Not the statistics of a prepared set.", where=path)
        for name, array in tensors.items():
            if not np.isfinite(array).all():
                raise DataError(f"The statistics are not finite: {name}.", where=path)
        return cls(
            tensors["mean"],
            tensors["eigenvectors"],
            tensors["deviations"],
            int(tensors["pixels"][0]),
        )
