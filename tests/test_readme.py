"""The commands, links, paths and examples of README and docs are true."""

from __future__ import annotations

import ast
import inspect
import math
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import alexnet
from alexnet.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "results" / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
VERBS = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("alexnet ")]


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main.run([*words, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_verbs_and_options_exist(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    verb = words[:2] if words[0] in {"data", "benchmark", "reproduce"} else words[:1]
    text = help_of(verb, capsys)
    for option in (word for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(^|[\s,]){option}\b", text), f"{' '.join(verb)} has no {option}"


def test_every_verb_is_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^  ([a-z]+)  ", help_of([], capsys).partition("Commands")[2], re.M)
    assert len(listed) >= 11
    missing = [verb for verb in listed if f"alexnet {verb}" not in README and verb != "quickstart"]
    assert missing == []


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`?make ([a-z-]+)`?", README))
    assert {"run", "test", "test-long", "lint"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert "make test" in COMMANDS
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for named in re.findall(r"\b(?:alexnet|tests|docs|examples)/[\w/.-]+\.(?:py|md|json)\b", text):
        assert (ROOT / named).exists(), f"{page.name}: {named}"


def run_python(code: str, folder: Path) -> str:
    """What a program prints, started in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def example(words: str) -> str:
    (found,) = (block for block in blocks("python") if words in block)
    return found


def test_python_examples_compile_and_the_network_one_runs(tmp_path: Path) -> None:
    for code in blocks("python"):
        compile(code, "README.md", "exec")
    assert "torch.Size([1, 1000])" in run_python(example("AlexNet(classes=1000)"), tmp_path)


def test_calls_of_the_package_have_arguments_that_it_takes() -> None:
    called = set()
    for code in blocks("python"):
        for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
            match call.func:
                case ast.Attribute(value=ast.Name(id="alexnet"), attr=name):
                    words = {word.arg: None for word in call.keywords if word.arg}
                    inspect.signature(getattr(alexnet, name)).bind(*call.args, **words)
                    called.add(name)
    assert {"prepare", "train", "evaluate", "load", "AlexNet"} <= called


def test_the_loop_learns_as_it_is_printed(tmp_path: Path) -> None:
    printed = run_python(example("torch.optim.SGD"), tmp_path)
    loss, chance = (float(word) for word in re.findall(r"\d\.\d\d", printed))
    assert chance == round(math.log(10), 2)
    assert loss < chance / 2


def test_commands_that_read_only_run(tmp_path: Path) -> None:
    for command in ("alexnet data list", "alexnet --help"):
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == alexnet.__version__ == project["version"]
    assert cited["license"] == project["license"] and cited["title"] == project["name"]
    (paper,) = cited["references"]
    assert paper["title"] in " ".join(README.split())
    names = [f"{one['given-names']} {one['family-names']}" for one in paper["authors"]]
    assert f"{', '.join(names[:2])} and {names[2]}" in README


def test_bad_data_policy_is_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    from alexnet.prepared.preparation import DEFAULT_ALLOWED_REJECTED

    assert f"More than {DEFAULT_ALLOWED_REJECTED:.0%}".replace("%", " %") in README
    assert "--allowed-rejected" in help_of(["data", "prepare"], capsys)


def test_a_step_is_followed_through_at_most_eight_files() -> None:
    text = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| \[([\w/.]+)\]\(.*?\) \| `(\w+)` \|", text, re.MULTILINE)
    assert 1 <= len(rows) <= 8
    for file, function in rows:
        assert f"def {function}(" in (ROOT / "alexnet" / file).read_text(encoding="utf-8"), file
