"""Figure 3: what is measured on a network's first-layer kernels when a cell is made (section 6.1)."""

from __future__ import annotations

import numpy as np

from alexnet.config import RunConfig
from alexnet.models.kernels import colour_share, correlation, smoothness, specialization
from alexnet.network import AlexNet


def measures_of(network: AlexNet, config: RunConfig) -> tuple[dict[str, float], np.ndarray]:
    """Means over the kernels of a trained network's first layer, and the kernels: M x C x H x W.

    `colour` is the difference between the columns' mean shares of colour, `colour p` how probable so
    large a one is where kernels are dealt to the columns at random.
    """
    begun = AlexNet(network.classes, network.convention, config.network.start, config.seed)
    name = network.layers[0].name
    now_MCHW, then_MCHW = (
        one.get_parameter(f"{name}.weight").detach().cpu().float().numpy()
        for one in (network, begun)
    )
    share_M = colour_share(now_MCHW)
    columns = specialization(share_M)
    found = {
        "correlation with the start": correlation(now_MCHW, then_MCHW).mean(),
        "smoothness": smoothness(now_MCHW).mean(),
        "smoothness of the start": smoothness(then_MCHW).mean(),
        "colour share": share_M.mean(),
        "colour": columns.difference,
        "colour p": columns.p,
        "deviation": now_MCHW.std(),
        "deviation of the change": (now_MCHW - then_MCHW).std(),
    }
    return {key: round(float(value), 6) for key, value in found.items()}, now_MCHW
