"""`alexnet doctor`: versions, devices, and how fast this machine decodes and trains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from alexnet import __version__, paper
from alexnet.cli.options import AsJson
from alexnet.cli.tables import table


@dataclass(frozen=True)
class _Finding:
    """One line of `doctor`."""

    about: str
    found: str


def doctor(as_json: AsJson = False) -> None:
    """Show versions, devices, and how fast this machine decodes images and trains."""
    findings = [*_software(), *_hardware(), _decoding(), _training()]
    if as_json:
        print(json.dumps({finding.about: finding.found for finding in findings}, indent=1))
    else:
        print(table([(finding.about, finding.found) for finding in findings]))


def _software() -> list[_Finding]:
    import platform

    from alexnet.base.provenance import environment

    about = environment()
    versions = {"python": platform.python_version(), **about["versions"], "alexnet": __version__}
    findings = [_Finding(name, version) for name, version in versions.items()]
    return [*findings, *_extras()]


def _extras() -> list[_Finding]:
    """The optional parts the package declares, and what of each is missing."""
    import re
    from importlib import metadata

    missing: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires("alexnet") or []
    except metadata.PackageNotFoundError:
        return [_Finding("extras", "unknown: the package itself is not installed")]
    for requirement in requirements:
        extra = re.search(r"extra == ['\"](.+?)['\"]", requirement)
        name = re.match(r"[\w.-]+", requirement)
        if extra and name:
            lacks = missing.setdefault(extra[1], [])
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                lacks.append(name[0])
    return [
        _Finding(f"extra {extra}", f"missing: {', '.join(lacks)}" if lacks else "present")
        for extra, lacks in missing.items()
    ]


def _hardware() -> list[_Finding]:
    import os
    import shutil

    import torch

    from alexnet.base.provenance import environment, memory_bytes
    from alexnet.base.ranks import cores

    about = environment()
    devices = [
        f"{torch.cuda.get_device_name(number)}, "
        f"{torch.cuda.get_device_properties(number).total_memory / 2**30:.0f} GiB"
        for number in range(torch.cuda.device_count())
    ]
    return [
        _Finding("system", about["system"]),
        _Finding("processor", about["processor"]),
        _Finding("cores", f"{cores()} usable, {about['threads']} PyTorch threads"),
        _Finding("memory", f"{memory_bytes() / 2**30:.1f} GiB"),
        _Finding("devices", "; ".join(devices) or "no GPU: training runs on the CPU"),
        _Finding("free disk here", f"{shutil.disk_usage('.').free / 2**30:.0f} GiB"),
        _Finding("ALEXNET_DATA", os.environ.get("ALEXNET_DATA", "not set")),
    ]


def _decoding(seconds: float = 1.0) -> _Finding:
    """A photograph that scikit-learn installs, through the one pixel path, in one thread."""
    import time
    from importlib.util import find_spec

    from alexnet.prepared.pixels import prepare_image

    package = find_spec("sklearn")
    if package is None or package.origin is None:
        return _Finding("decoding", "not measured: scikit-learn is not installed")
    image = (Path(package.origin).parent / "datasets" / "images" / "china.jpg").read_bytes()
    prepare_image(image)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        prepare_image(image)
        done += 1
    rate = done / (time.perf_counter() - start)
    return _Finding("decoding", f"{rate:,.0f} img/s on one core (JPEG of 640×427 to 256×256)")


def _training(batch: int = 16) -> _Finding:
    """A few whole steps of the paper's network and update rule on random pixels."""
    from alexnet.config import Images, OptimizerConfig, RunConfig
    from alexnet.training.placement import place
    from alexnet.training.speed import images_per_second

    placement = place("auto", "fp32")
    config = RunConfig(optimizer=OptimizerConfig(batch=Images(batch)))
    rate = images_per_second(config, paper.CLASSES, placement, warm=1, timed=3)
    return _Finding("training", f"{rate:,.0f} img/s at batch {batch} on {placement.device}")
