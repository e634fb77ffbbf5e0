"""One direction of flow: who may import whom, walked with `ast` through every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "alexnet"

# Stage 0, lowest first: each module may import those of the lines above it.
BASE = [
    {"errors"},
    {"files", "watch"},
    {"ranks"},
    {"progress", "randomness", "signals", "drawing"},
    {"paper", "ledger"},
    {"conventions"},
    {"config"},
    {"settings", "recipes"},
]
# Every stage may also import all of stage 0 and itself.
MAY_IMPORT = {
    "sources": set[str](),
    "prepared": {"sources"},
    "loading": {"prepared"},
    "network": set[str](),
    "training": {"loading", "network"},
    "evaluation": {"prepared", "loading", "network"},
    "baselines": {"prepared", "loading", "network"},
    "retrieval": {"prepared", "loading", "network", "evaluation"},
    "serving": {"prepared", "loading", "network", "evaluation"},
    "reproduce": {"prepared", "loading", "network", "evaluation", "training", "baselines"},
    "benchmark": {"sources", "prepared", "loading", "network", "training", "reproduce"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
NUMERICAL = {"torch", "numpy", "numba", "pyarrow", "matplotlib", "triton"}
# No numerical library at all.
PLAIN = {
    "errors",
    "files",
    "progress",
    "ranks",
    "signals",
    "watch",
    "paper",
    "ledger",
    "conventions",
    "config",
    "settings",
    "recipes",
}

MODULES = sorted(ROOT.rglob("*.py"))


def parts(path: Path) -> list[str]:
    """("network", "lrn") for alexnet/network/lrn.py."""
    return list(path.relative_to(ROOT).with_suffix("").parts)


def imported(tree: ast.AST) -> Iterator[list[str]]:
    """Every imported name as its dotted parts: ["alexnet", "network", "AlexNet"], ["torch"]."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            yield from ([*(node.module or "").split("."), alias.name] for alias in node.names)


def level(module: str) -> int:
    return next(place for place, names in enumerate(BASE) if module in names)


def problems(module: list[str], tree: ast.AST) -> list[str]:
    """What a module imports against the rules."""
    found = []
    stage = module[0]
    for name in imported(tree):
        ours = name[0] == "alexnet" and len(name) > 1 and not name[1].startswith("_")
        target = name[1] if ours else name[0]
        if any(stage in names for names in BASE):
            if ours and not any(target in names for names in BASE[: level(stage)]):
                found.append(f"{stage} is below {target}")
            if stage == "ranks" and not ours:
                continue  # inside its functions, and only where there are several processes
            if not ours and (target == "torch" or (stage in PLAIN and target in NUMERICAL)):
                found.append(f"{stage} does not need {target}")
        elif ours and not any(target in names for names in BASE):
            if module[-1] == "__init__" and target != stage:
                found.append(
                    f"the __init__ of {stage} hands on its own names, not those of {target}"
                )
            elif target != stage and target not in MAY_IMPORT[stage]:
                found.append(f"{stage} may not import {target}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(parts(path)))
def test_imports_follow_the_stages(path: Path) -> None:
    module = parts(path)
    if module in (["__init__"], ["__main__"]):
        return  # they hand on names lazily, and start the command line
    assert problems(module, ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("config", "from alexnet import recipes"),
        ("errors", "from alexnet.files import write_json"),
        ("config", "import numpy"),
        ("randomness", "from torch import Tensor"),
        ("loading.crops", "from alexnet.sources import open_source"),
        ("network.lrn", "import alexnet.training.train"),
        ("training.train", "from alexnet.evaluation import evaluate"),
        ("retrieval.index", "from alexnet.training import train"),
        ("evaluation.report", "from alexnet.cli import tables"),
        ("prepared.__init__", "from alexnet.sources import Picture"),
    ],
)
def test_the_walk_finds_what_it_looks_for(module: str, line: str) -> None:
    tree = ast.parse(f"def f():\n    {line}")  # inside functions too
    assert len(problems(module.split("."), tree)) == 1


@pytest.mark.parametrize("path", sorted((ROOT / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_verbs_import_the_stages_inside_their_functions(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for name in imported(ast.Module(top, type_ignores=[])):
        assert name[0] not in NUMERICAL
        if name[0] == "alexnet":
            assert name[1] in {"cli", "__version__"} | PLAIN
