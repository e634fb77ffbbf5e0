"""One direction of flow: who may import whom, walked with `ast` through every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "alexnet"

# Stage 0, lowest first: each module may import those of the lines above it. The story, in reading
# order, stands on `base` and `formats`.
GROUND = [
    {"base.errors"},
    {"base.names", "base.watch"},
    {"base.walk"},
    {"base.files"},
    {"base.locks"},
    {"base.ranks"},
    {"base.progress", "base.signals", "base.provenance", "base.philox"},
    {"base.randomness"},
    {"formats.pickle_machine", "formats.protobuf", "formats.tar"},
    {"formats.pickle_operations"},
    {"formats.pickles"},
    {"paper", "ledger"},
    {"conventions", "verdict", "aliases"},
    {"config"},
    {"settings", "recipes"},
    {"runs"},
]
# Every stage may also import all of stage 0 and itself.
MAY_IMPORT = {
    "sources": set[str](),
    "prepared": {"sources"},
    "loading": {"prepared"},
    "network": set[str](),
    "models": {"network"},
    "exchange": {"network", "models"},
    "training": {"prepared", "loading", "network", "models"},
    "evaluation": {"prepared", "loading", "network", "models"},
    "activations": {"prepared", "loading", "network", "models"},
    "figures": {"prepared", "loading", "network", "models"},
}
_BELOW_7 = {"prepared", "loading", "network", "models", "exchange", "training"} | {
    *("evaluation", "activations", "figures")
}
MAY_IMPORT |= dict.fromkeys(("baselines", "explain"), _BELOW_7)
MAY_IMPORT["retrieval"] = _BELOW_7 | {"sources"}  # it reads files whose features it has already
_BELOW_8 = _BELOW_7 | {"sources", "baselines", "explain", "retrieval"}
MAY_IMPORT |= dict.fromkeys(("report", "serving", "benchmark"), _BELOW_8)
MAY_IMPORT["reproduce"] = _BELOW_8 | {"report"}
MAY_IMPORT["api"] = _BELOW_8 | {"report", "reproduce", "serving", "benchmark"}
MAY_IMPORT["cli"] = MAY_IMPORT["api"] | {"api"}
NUMERICAL = {"torch", "numpy", "numba", "pyarrow", "matplotlib", "triton"}
# No numerical library at all, so that `alexnet --help` loads none.
PLAIN = {name for names in GROUND for name in names} - {
    *("base.philox", "base.randomness", "formats.protobuf", "formats.pickle_machine")
}
# Numerical libraries inside functions only: where there are several processes, where versions are asked
# for, and where an archive is packed with Zstandard.
MAY_ASK = {"base.ranks", "base.provenance", "formats.tar"}
# The one step to the right, inside functions: `AlexNet.from_pretrained` and `save_pretrained`.
PRETRAINED = {("network.alexnet", "models.folder"), ("network.alexnet", "models.card")}

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


def room(name: list[str]) -> str:
    """What the table calls a module: its stage, in stage 0 itself: `network`, `base.files`."""
    return ".".join(name[:2]) if name[0] in ("base", "formats") else name[0]


def level(module: str) -> int | None:
    """The place of a module of stage 0 in its order; None for other stages."""
    return next((place for place, names in enumerate(GROUND) if module in names), None)


def imports_of(tree: ast.AST) -> list[ast.stmt]:
    """The imports that are carried out when a module is: not in functions, nor for types only."""
    body = tree.body if isinstance(tree, ast.Module) else []
    return [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]


def problems(module: list[str], tree: ast.AST) -> list[str]:
    """What a module imports against the rules."""
    found = []
    here = room(module)
    mine = level(here)
    at_once = list(imported(ast.Module(imports_of(tree), type_ignores=[])))
    for name in imported(tree):
        ours = name[0] == "alexnet" and len(name) > 1 and not name[1].startswith("_")
        if (".".join(module), ".".join(name[1:3])) in PRETRAINED and name not in at_once:
            continue
        target = room(name[1:]) if ours else name[0]
        theirs = level(target)
        if mine is not None:
            if ours and (theirs is None or theirs >= mine):
                found.append(f"{here} is below {target}")
            if here in MAY_ASK and name not in at_once:
                continue
            if not ours and (target == "torch" or (here in PLAIN and target in NUMERICAL)):
                found.append(f"{here} does not need {target}")
        elif ours and theirs is None:
            if module[-1] == "__init__" and target != here:
                found.append(
                    f"the __init__ of {here} hands on its own names, not those of {target}"
                )
            elif target != here and target not in MAY_IMPORT[here]:
                found.append(f"{here} may not import {target}")
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
        ("base.errors", "from alexnet.base.files import write_json"),
        ("base.files", "from alexnet import paper"),
        ("config", "import numpy"),
        ("base.randomness", "from torch import Tensor"),
        ("loading.crops", "from alexnet.sources import open_source"),
        ("network.lrn", "import alexnet.training.train"),
        ("network.alexnet", "from alexnet.training import train"),
        ("network.lrn", "from alexnet.models import folder"),
        ("training.session", "from alexnet.evaluation import evaluate"),
        ("retrieval.index", "from alexnet.reproduce import claims"),
        ("evaluation.report", "from alexnet.cli import tables"),
        ("prepared.__init__", "from alexnet.sources import LabelledImage"),
    ],
)
def test_the_walk_finds_what_it_looks_for(module: str, line: str) -> None:
    tree = ast.parse(f"def f():\n    {line}")  # inside functions too
    assert len(problems(module.split("."), tree)) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("network.alexnet", "from alexnet.models.folder import load_pretrained"),
        ("base.ranks", "import torch"),
    ],
)
def test_what_is_allowed_inside_functions_is_so_nowhere_else(module: str, line: str) -> None:
    assert problems(module.split("."), ast.parse(f"def f():\n    {line}")) == []
    assert len(problems(module.split("."), ast.parse(line))) == 1


@pytest.mark.parametrize("path", sorted((ROOT / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_verbs_import_the_stages_inside_their_functions(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name in imported(ast.Module(imports_of(tree), type_ignores=[])):
        assert name[0] not in NUMERICAL
        if name[0] == "alexnet":
            assert room(name[1:]) in {"cli", "__version__"} | PLAIN


def test_import_circles() -> None:
    """No module imports itself by way of others, but for `AlexNet.from_pretrained`."""
    names = {".".join(parts(path)).removesuffix(".__init__") for path in MODULES}
    arrows: dict[str, set[str]] = {}
    for path in MODULES:
        mine = ".".join(parts(path))
        if mine.endswith("__init__") or mine == "__main__":
            continue  # they hand on names
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            inside = [".".join(name[1:stop]) for stop in range(len(name), 1, -1)]
            target = (
                next((one for one in inside if one in names), None)
                if name[0] == "alexnet"
                else None
            )
            if target and target != mine and (mine, target) not in PRETRAINED:
                arrows.setdefault(mine, set()).add(target)

    def reachable(start: str) -> set[str]:
        seen, stack = set[str](), [start]
        while stack:
            for one in arrows.get(stack.pop(), ()):
                if one not in seen:
                    seen.add(one)
                    stack.append(one)
        return seen

    assert [one for one in sorted(arrows) if one in reachable(one)] == []
