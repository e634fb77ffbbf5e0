"""What a result came from: this program, the machine it ran on, and the names it is about."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from alexnet import __version__
from alexnet.base import ranks
from alexnet.base.files import sha256_of

LIBRARIES = ("torch", "numpy", "numba", "pyarrow", "pillow", "simplejpeg")
PACKAGE = Path(__file__).resolve().parents[1]


def names_hash(names: Sequence[str]) -> str:
    """A SHA-256 of names in order: what binds labels and weights to classes, and rows to images."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def program_hash() -> str:
    """The SHA-256 of this package's source files: which program this is, down to the last change."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE)}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()


def commit() -> str:
    """The commit this package was run from; empty where it does not lie in a checkout of its own."""
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return ""
    dirty = _git("status", "--porcelain", "--", ".")
    return f"{_git('rev-parse', 'HEAD')}{'-dirty' if dirty else ''}"


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def environment(
    device: str = "cpu", precision: str = "fp32", layout: str = "fused"
) -> dict[str, Any]:
    """Versions and hardware, to stand beside every result computed on `device` in `precision`."""
    import torch

    versions = {"alexnet": __version__}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = "not installed"
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "processes": ranks.world(),
        "layout": layout,
        "device": device,
        "precision": precision,
        "device_name": torch.cuda.get_device_name(device) if "cuda" in device else processor(),
        "versions": versions,
    }


def processor() -> str:
    """The processor's name, and how many cores it shows: "16 x AMD EPYC 7R13"."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.machine()


def memory_bytes() -> int:
    """The machine's memory; without a bound where the system does not say."""
    if not hasattr(os, "sysconf"):
        return 2**63
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
