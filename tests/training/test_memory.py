"""A thousand steps take no more memory than a hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

STEPS = """
import sys
from pathlib import Path
from alexnet.conventions import PAPER
from alexnet.config import AugmentationConfig, OptimizerConfig
from alexnet.loading.loader import Loader
from alexnet.network import AlexNet, keep_memory
from alexnet.prepared import PreparedDataset
from alexnet.training.mesh import Placed
from alexnet.training.placement import step_for

KERNELS = {"conv1": 32, "conv2": 32, "conv3": 32, "conv4": 32, "conv5": 32, "fc6": 64, "fc7": 64}


def resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


keep_memory()
dataset = PreparedDataset.open(sys.argv[1])
network = AlexNet(len(dataset.classes), PAPER.with_kernels(KERNELS))
loader = Loader(dataset.split("train"), dataset.statistics, AugmentationConfig(), 2, seed=0)
step = step_for(Placed(network, OptimizerConfig()), 0, "fp32")
for batch in loader.batches(0, 1000):
    step.take(batch, 1e-3)
    if batch.step in (99, 999):
        print(resident())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells resident memory")
def test_memory_is_flat_over_a_thousand_steps(prepared: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(prepared)], capture_output=True, text=True, check=True
    )
    early, late = map(int, done.stdout.split())  # kibibytes
    assert late - early < 16 * 1024
