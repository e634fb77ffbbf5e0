"""How many threads compute is the user's to say, whichever kernel is the first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from forking import PATHS, Forked

FIRST = {
    "update": "w.grad = w.detach().clone(); PaperSGD([w], 0.1, 0.9, 0.0005).step()",
    "network": "AlexNet(10)(torch.randn(2, 3, 224, 224)).sum().backward()",
    "dropout": "relu_dropout(w.detach(), address(0, 0), 5)",
}
PROGRAM = """
import torch
from alexnet.network import AlexNet
from alexnet.network.dropout import address, relu_dropout
from alexnet.training.optimizer import PaperSGD
torch.set_num_threads({threads})
w = torch.nn.Parameter(torch.ones(300, 300))
{first}
print(torch.get_num_threads())
"""


@pytest.mark.parametrize("first", FIRST)
def test_the_first_kernel_leaves_pytorchs_threads_as_they_are(first: str) -> None:
    for threads in (1, 2):
        program = PROGRAM.format(threads=threads, first=FIRST[first])
        process = Forked(
            [sys.executable, "-c", program],
            env=os.environ | PATHS,
            text=True,
            stdout=subprocess.PIPE,
        )
        said, _ = process.communicate(timeout=120)
        assert said == f"{threads}\n"
