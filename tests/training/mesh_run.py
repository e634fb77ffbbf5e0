"""What `torchrun` starts in the tests of the mesh: `mesh_run.py PREPARED JOB...`, one after the other.

A job is FOLDER:LAYOUT:EPOCHS:DTYPE, or with :NETWORK, whose layers then do not all learn alike; its run
is begun or goes on. Each process writes FOLDER/sent-RANK.json: the bytes that the system has taken from
its exchanges in each step. In the environment, STEP=gpu takes a GPU's steps, interpreted; with DIE_AT=N
the last process kills itself in step N of its first life; SILENCE is how many seconds a process may be
silent.
"""

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torture.narrow_run import config_of, train_narrow

from alexnet import runs as store
from alexnet.base import ranks, watch
from alexnet.base.errors import AlexNetError
from alexnet.config import Images, OptimizerConfig, Plateau
from alexnet.training.eager import EagerStep
from alexnet.training.mesh import Placed
from alexnet.training.step import Step

BATCH = 4
UNLIKE = {"bias_rate": 2.0, "rates": "conv2: 0.5, fc6-fc7: 2 from 0.2", "freeze": "conv1, conv3"}
STEP = os.environ.get("STEP", "")
DIE_AT = int(os.environ.get("DIE_AT", -1))
watch.SILENCE = float(os.environ.get("SILENCE", watch.SILENCE))
sent: list[int] = []


class Counting(EagerStep):
    def take(self, batch: Any, rate: float, epoch: float = 0.0) -> Any:
        if ranks.restarts() == 0 and batch.step == DIE_AT and ranks.rank() == ranks.world() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        before = written()
        outcomes = super().take(batch, rate, epoch)
        sent.append(written() - before)
        return outcomes


def stepper(placed: Placed, seed: int) -> Step:
    if STEP != "gpu":
        return Counting(placed, seed)
    from alexnet.loading import gpu as loading
    from alexnet.training.gpu import GpuStep

    loading.PER_PROGRAM = 1 << 16  # the interpreter takes a millisecond for each program
    return GpuStep(placed, seed, "fp32")


def written() -> int:
    """Bytes that the threads of the exchanges have written: Python's own threads write checkpoints."""
    python = {str(thread.native_id) for thread in threading.enumerate()}
    count = 0
    for task in Path("/proc/self/task").iterdir():
        if task.name not in python:
            with suppress(FileNotFoundError):  # a thread that has just ended
                lines = (task / "io").read_text().splitlines()
                count += int(dict(line.split(": ") for line in lines)["wchar"])
    return count


def main(prepared: Path, jobs: list[str]) -> None:
    for job in jobs:
        folder, layout, epochs, dtype, *network = job.split(":")
        store.RUNS = Path(folder).parent
        sent.clear()
        config = replace(
            config_of(float(epochs), every=4),
            optimizer=replace(OptimizerConfig(batch=Images(BATCH)), **(UNLIKE if network else {})),
            schedule=Plateau(drops=0),
        )
        train_narrow(
            Path(folder),
            prepared,
            config,
            layout,
            getattr(torch, dtype),
            stepper,
            *network,  # type: ignore[arg-type]
        )
        Path(f"{folder}/sent-{ranks.rank()}.json").write_text(json.dumps(sent))


if __name__ == "__main__":
    try:
        with ranks.joined():
            main(Path(sys.argv[1]), sys.argv[2:])
    except AlexNetError as error:
        if ranks.first_to_say(str(error)):
            print(error, file=sys.stderr)
        sys.exit(error.exit_code)
