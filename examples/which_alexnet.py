"""The same weights read as each network that has their shapes: why a file must say which it is for.

    python examples/which_alexnet.py MODEL DATA

MODEL is a run or a model folder, DATA a prepared data set or its source, with MODEL's classes.
"""

from __future__ import annotations

import sys

from alexnet.conventions import CONVENTIONS
from alexnet.evaluation import predict_split
from alexnet.evaluation.scores import score
from alexnet.models import find_model, load_model
from alexnet.models.arrays import parameters_of, set_parameters
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset, open_or_prepare


def errors(model: str, dataset: PreparedDataset) -> dict[str, float]:
    """The top-1 error on the validation split, centre view, of every network the weights fit: a share."""
    network, card = load_model(find_model(model).folder)
    kernels = {layer.name: layer.kernels for layer in network.layers}
    shapes = [w.shape for w in network.parameters()]
    found = {}
    for name, about in CONVENTIONS.items():
        if about.side != dataset.side or kernels.keys() != {one.name for one in about.layers}:
            continue
        about = about.varied(network.convention.variant).with_kernels(kernels)
        other = AlexNet(network.classes, about).eval()
        if [w.shape for w in other.parameters()] == shapes:
            set_parameters(other, parameters_of(network), model)
            predictions = predict_split(other, card, dataset, "val", views=1)
            found[name] = score(predictions.probs_NK, predictions.labels_N).top1_error
    return found


def main(model: str, data: str) -> None:
    """Print the errors, the network that was trained first."""
    dataset = open_or_prepare(data)
    trained = load_model(find_model(model).folder)[0].convention.name
    for name, error in sorted(errors(model, dataset).items(), key=lambda one: one[0] != trained):
        print(f"{name:<13}{100 * error:6.1f} %{'  (trained as this)' if name == trained else ''}")


if __name__ == "__main__":
    main(*sys.argv[1:])
