"""From a folder of stimuli to dissimilarity matrices of four layers, to be compared with areas.

    python examples/neuroscience.py MODEL STIMULI OUT [MEASURED]

MODEL is a run or a model folder; STIMULI is a folder of images; MEASURED is a matrix of the same
stimuli, say from recordings: .npy, .csv, .h5 or .mat, with their keys (paths inside STIMULI) or,
where it has none, in their order.

Every matrix is one of the network's layers, and is named so. Which area a layer is compared with is a
hypothesis, here the one from which most comparisons of this network start; the table that is printed is
the evidence for or against it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import alexnet
from alexnet.activations import dissimilarities, extract, of_files, spearman, stored
from alexnet.figures.heatmaps import heat_maps
from alexnet.figures.style import write_png

AREAS = {"pool1": "V1", "pool2": "V2", "conv3": "V4", "fc7": "IT"}  # what layers are compared with
SHOWN = 5  # keys of other stimuli


def matrices(model: str, stimuli: str, out: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Each layer's matrix, N x N, and the keys of the N stimuli; activations go to OUT/features.npz, and
    a picture to OUT/layers.png.
    """
    classifier = alexnet.load(model)
    path, layers = out / "features.npz", list(AREAS)
    images = of_files([stimuli])
    found = extract(classifier.network, classifier.card, images, layers, path, force=True)
    for one in found.skipped:
        print(f"skipped {one.image}: {one.reason}", file=sys.stderr)
    with stored(path) as features:
        rdms = {name: dissimilarities(features.layer(name)) for name in layers}
    titled = {f"{name} (compared with {AREAS[name]})": rdm for name, rdm in rdms.items()}
    write_png(heat_maps(titled, found.keys, "1 - Pearson correlation"), out / "layers.png")
    return rdms, found.keys


def measured(path: Path, keys: tuple[str, ...]) -> np.ndarray:
    """A given matrix with its rows and columns in the order of `keys`; without keys of its own, as it is.

    Stops where it has the keys of other stimuli.
    """
    with stored(path) as given:
        (rdm_NN,) = (np.array(layer[:], np.float64) for layer in given.layers.values())
        if rdm_NN.shape != (len(keys), len(keys)):
            raise SystemExit(f"{path} is not {len(keys)} x {len(keys)}, as there are stimuli.")
        if set(given.keys) == set(keys):
            order = [given.keys.index(key) for key in keys]
            rdm_NN = rdm_NN[np.ix_(order, order)]
        elif given.keys != tuple(map(str, range(len(keys)))):  # what rows without keys are given
            raise SystemExit(
                f"{path} is not of these stimuli.\n"
                f"Only there: {_named(set(given.keys) - set(keys))}\n"
                f"Only among the stimuli: {_named(set(keys) - set(given.keys))}"
            )
    return rdm_NN


def _named(keys: set[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return (", ".join(sorted(keys)[:SHOWN]) or "none") + more


def main(model: str, stimuli: str, out: str, given: str = "") -> None:
    """Print the correlations between the layers' matrices, and of each with the given one."""
    rdms, keys = matrices(model, stimuli, Path(out))
    if given:
        rdms["measured"] = measured(Path(given), keys)
    print(f"Spearman's correlation between matrices of {len(keys)} stimuli")
    print("            " + "".join(f"{name:>10}" for name in rdms))
    for name, row in zip(rdms, spearman(rdms), strict=True):
        area = f" ({AREAS[name]})" if name in AREAS else ""
        print(f"{name + area:<12}" + "".join(f"{value:10.3f}" for value in row))
    print("In brackets: the area that a layer of the network is compared with.")


if __name__ == "__main__":
    main(*sys.argv[1:])
