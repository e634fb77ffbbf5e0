"""What the paper counts, counted again from the tables of layers.

Each function returns numbers by name: those of `stated` in `alexnet.reproduce.claims`, computed.
"""

from __future__ import annotations

import math
from dataclasses import replace

from alexnet import paper
from alexnet.conventions import ONE_COLUMN, PAPER
from alexnet.loading.crops import ROOM
from alexnet.network.table import is_connected, shapes
from alexnet.reproduce.claim import Numbers

_ROWS = shapes(PAPER)
_CONVOLUTIONS = [row for row in _ROWS if not is_connected(row.layer)]
_PARAMETERS = sum(row.parameters for row in _ROWS)


def parameters() -> Numbers:
    """Weights and biases of all layers."""
    return {"parameters": _PARAMETERS}


def neurons() -> Numbers:
    """Outputs of all layers for one image."""
    return {"neurons": sum(row.neurons for row in _ROWS)}


def neurons_by_layer() -> Numbers:
    """Outputs of each layer for one image."""
    return {row.layer.name: row.neurons for row in _ROWS}


def inputs() -> Numbers:
    """Numbers in one input image."""
    return {"numbers": math.prod(_ROWS[0].inputs)}


def layers() -> Numbers:
    """How many layers have weights, by their kind."""
    convolutional = len(_CONVOLUTIONS)
    return {"convolutional": convolutional, "fully connected": len(_ROWS) - convolutional}


def maps_seen() -> Numbers:
    """Input maps that one kernel of each convolutional layer sees."""
    return {row.layer.name: row.inputs_seen for row in _CONVOLUTIONS}


def sides() -> Numbers:
    """Height, and width, of each convolutional layer's maps."""
    return {row.layer.name: row.outputs[1] for row in _CONVOLUTIONS}


def pooled_sides_without_overlap() -> Numbers:
    """Height, and width, of what is handed on where pooling windows do not overlap."""
    rows = shapes(replace(PAPER, pool=paper.POOL_WITHOUT_OVERLAP))
    return {row.layer.name: row.pooled[1] for row in rows if "pool" in row.layer.followed_by}


def shares_of_convolutions() -> Numbers:
    """Share of all parameters that each convolutional layer has."""
    return {row.layer.name: row.parameters / _PARAMETERS for row in _CONVOLUTIONS}


def share_of_fc6() -> Numbers:
    """Share of all parameters that the first fully connected layer has."""
    first = _ROWS[len(_CONVOLUTIONS)]
    return {first.layer.name: first.parameters / _PARAMETERS}


def size_of_one_column() -> Numbers:
    """Parameters of the net with one column, as a part of those of the net with two."""
    return {"part": sum(row.parameters for row in shapes(ONE_COLUMN)) / _PARAMETERS}


def bits_of_a_label() -> Numbers:
    """Information in one of a thousand classes, all as probable."""
    return {"bits": math.log2(paper.CLASSES)}


def views_of_an_image() -> Numbers:
    """Different training views of one image: as many places as `random_views` draws, reflected or not."""
    return {"views": ROOM * ROOM * 2}


def ilsvrc_2010() -> Numbers:
    """What the release holds."""
    counted = paper.ILSVRC_2010_COUNTED
    return {
        "classes": counted.classes,
        **{"training": counted.train, "validation": counted.validation, "test": counted.test},
    }


def images_of_a_class() -> Numbers:
    """Training images in a class of ILSVRC-2010, on average."""
    return {"images": paper.ILSVRC_2010_COUNTED.train / paper.ILSVRC_2010_COUNTED.classes}


def imagenet() -> Numbers:
    """What the Fall 2011 release holds."""
    return {"images": paper.FALL_2011_COUNTED.train, "classes": paper.FALL_2011_COUNTED.classes}
