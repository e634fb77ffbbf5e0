"""Whether a file computes what this network computes: both look at the same images.

Shape letters: N images, K classes, H x W pixels, C colours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from alexnet import paper
from alexnet.base.errors import IncompatibleError, NumericsError
from alexnet.conventions import Convention
from alexnet.models.card import ModelCard
from alexnet.network.alexnet import AlexNet, evaluating

TOLERANCE = 1e-4  # of probabilities; of logits as a share of the largest
_GRAINS = (1, 7, 32)  # pixels that have one colour, an image for each
_SEED = 2012


class Outputs(NamedTuple):
    """What a program says of images."""

    logits_NK: np.ndarray
    probs_NK: np.ndarray


class OutputDifference(NamedTuple):
    """The largest, of a probability and of a logit, the latter as a share of the largest logit."""

    probability: float
    logit: float


def check_images(about: Convention) -> np.ndarray:
    """Patches of random colours, fine and coarse, always the same: float32 N x 3 x H x W, 0-255."""
    generator = np.random.default_rng(_SEED)
    images = []
    for grain in _GRAINS:
        places = -(-about.crop // grain)
        patches = generator.integers(paper.LARGEST_VALUE + 1, size=(paper.CHANNELS, places, places))
        whole = patches.repeat(grain, axis=1).repeat(grain, axis=2)
        images.append(whole[:, : about.crop, : about.crop])
    return np.stack(images).astype(np.float32)


def outputs(network: AlexNet, card: ModelCard, images_NCHW: np.ndarray) -> Outputs:
    """What the test network says of images on the scale 0-255."""
    about, weights = network.convention, next(network.parameters())
    first = (about.side - about.crop) // 2
    centre_HWC = card.mean_HWC[first : first + about.crop, first : first + about.crop]
    x_NCHW = torch.from_numpy(images_NCHW - centre_HWC.transpose(2, 0, 1))
    with evaluating(network), torch.inference_mode():
        logits_NK = network(x_NCHW.to(weights.device, weights.dtype)).float()
        probs_NK = torch.softmax(logits_NK, dim=1)
    return Outputs(logits_NK.cpu().numpy(), probs_NK.cpu().numpy())


def require_same(theirs: Outputs, ours: Outputs, what: str, where: object) -> OutputDifference:
    """How far the two are apart; raises IncompatibleError where that is more than rounding.

    Logits are compared as well: probabilities that are all alike, or all 0 and 1, hide what differs.
    """
    if not np.isfinite(ours.logits_NK).all():
        raise NumericsError(
            "The network's outputs are not finite numbers: it cannot be checked.",
            where=where,
            remedy="The weights are broken: use an earlier checkpoint or another model.",
        )
    scale = float(np.abs(ours.logits_NK).max()) or 1.0
    apart = OutputDifference(
        float(np.abs(theirs.probs_NK - ours.probs_NK).max()),
        float(np.abs(theirs.logits_NK - ours.logits_NK).max()) / scale,
    )
    is_near = np.allclose(theirs.probs_NK, ours.probs_NK, rtol=TOLERANCE, atol=TOLERANCE)
    if not is_near or not apart.logit <= TOLERANCE:
        raise IncompatibleError(
            f"{what} does not compute what this network computes: probabilities differ by up to "
            f"{apart.probability:.1e}, logits by {apart.logit:.1e} of the largest. "
            "The file was not kept.",
            where=where,
            remedy=f"At most {TOLERANCE:g} is rounding. Try other versions of the packages.",
        )
    return apart
