"""The peer is the same network: with the same weights it says the same."""

import torch

from alexnet.benchmark.contestants import pytorch_alexnet
from alexnet.benchmark.duel import duel
from alexnet.network import AlexNet


def test_pytorchs_network_with_our_weights_gives_our_logits() -> None:
    ours, theirs = AlexNet(10), pytorch_alexnet(10)
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(mine)
        theirs[-1].weight.div_(2)  # its dropout is the inverted form: halve what fc7 ...
        [m for m in theirs if isinstance(m, torch.nn.Linear)][1].weight.div_(
            2
        )  # ... and fc6 hand on
        x_NCHW = 60 * torch.randn(2, 3, 224, 224)
        torch.testing.assert_close(theirs.eval()(x_NCHW), ours(x_NCHW), rtol=1e-3, atol=1e-5)


def test_contestants_take_turns_and_are_timed() -> None:
    found = duel(["alexnet", "pytorch"], batch=1, rounds=2)
    assert list(found) == ["alexnet", "pytorch"]
    for measured in found.values():
        assert len(measured.seconds) == 2 and 0 < measured.median == sum(measured.seconds) / 2
