"""Everything about the GPU in one command: is it right, how fast is it, where does the time go.

A part that fails leaves its error in the file, and the next one begins; the file is written anew after
each part, so that what was found is there, whatever ends the run.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import torch

from alexnet.base.errors import EnvironmentProblem
from alexnet.base.provenance import environment
from alexnet.benchmark import gpu_checks, gpu_speed
from alexnet.benchmark.gpu_setup import FULL, QUICK, Report, Scale, random_split
from alexnet.loading import gpu as loading


def measure(path: Path, quick: bool) -> list[str]:
    """Check and measure the GPU, everything found into a JSON file; returns what failed, by name.

    With `quick` this program itself is tried, on a CPU, in Triton's interpreter; what is measured then
    means nothing. Raises EnvironmentProblem where there is no GPU.
    """
    if not (quick or torch.cuda.is_available()):
        raise EnvironmentProblem(
            "There is no GPU to measure.",
            remedy="To try the program without one: alexnet benchmark gpu --quick",
        )
    scale, report = QUICK if quick else FULL, Report(path)
    if quick:
        loading.PER_PROGRAM = 1 << 16  # one takes the interpreter a millisecond
    report.part("machine", lambda: report.found.update(machine=machine(scale)))
    _check(scale, report)
    _measure_training(scale, report)
    for batch in sorted({scale.batches[0], scale.batches[-1]}):
        report.part(f"parts {batch}", gpu_speed.measure_parts, scale, report, batch)
        report.part(f"convolutions {batch}", gpu_speed.measure_convolutions, scale, report, batch)
        report.part(f"blocks {batch}", gpu_speed.measure_blocks, scale, report, batch)
    report.part("ceiling", gpu_speed.measure_ceiling, scale, report)
    _measure_peers(scale, report)
    if not quick:
        report.part("machine", lambda: report.found.update(machine_afterwards=machine(scale)))
    return report.failures


def _check(scale: Scale, report: Report) -> None:
    for check in gpu_checks.CHECKS:
        report.part(check.__name__, check, scale, report)


def _measure_training(scale: Scale, report: Report) -> None:
    """Every batch with every input; float32 and tf32 at the paper's batch."""
    split, first = random_split(scale.images), scale.batches[0]
    precision = "fp32" if scale.is_quick else "bf16"
    inputs = ("synthetic", "streamed", "resident")
    plans = [(batch, precision, source) for source in inputs for batch in scale.batches]
    plans += [] if scale.is_quick else [(first, "tf32", "synthetic"), (first, "fp32", "synthetic")]
    for plan in plans:
        name = f"training {' '.join(map(str, plan))}"
        report.part(name, gpu_speed.measure_training, scale, report, split, *plan)


def _measure_peers(scale: Scale, report: Report) -> None:
    """PyTorch's own modules, run eagerly and compiled."""
    first, largest = scale.batches[0], scale.batches[-1]
    peers = [(first, False, "fp32")]
    if not scale.is_quick:
        peers += [(n, compiled, "bf16") for compiled in (False, True) for n in (first, largest)]
    for batch, compiled, precision in peers:
        name = f"pytorch {batch} {'compiled' if compiled else 'eager'} {precision}"
        report.part(name, gpu_speed.measure_peer, scale, report, batch, compiled, precision)


def machine(scale: Scale) -> dict[str, Any]:
    """What it ran on."""
    about = environment(str(scale.device), "")
    if not scale.is_quick:
        import triton

        fields = (
            "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"
        )
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        about |= {
            "nvidia_smi": answer.strip().splitlines(),
            "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "triton": triton.__version__,
        }
    return about
