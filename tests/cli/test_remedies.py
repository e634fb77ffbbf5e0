"""Every command, option and setting that a message of the package names exists, and works as typed.

Messages are found in the source, whatever raises them: the texts of all modules, values in them as `{}`.
What follows "alexnet" in one is parsed by the command line itself, and not run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer import TyperException

import alexnet
from alexnet.cli.main import app
from alexnet.settings import meanings

PACKAGE = Path(alexnet.__file__).parent
VALUE = "1"  # stands for what a message fills in, and what its reader does: a number and a name
COMMAND = re.compile(r"(`?)(?<!from )(?<![\w/-])alexnet (?=[a-z])")
WORD_AT_END = re.compile(r"[.,;:`)\"'?]+$|\n.*", re.DOTALL)
OPTION = re.compile(r"(?<![\w<-])--[a-z][a-z-]*")
SETTING = re.compile(r"--set [\"']?([a-z_.]+)=")
# Of git, tar, torchrun and nvidia-smi; and what people try, which a message answers.
FOREIGN = {"--porcelain", "--error-unmatch", "--dereference", "--rdzv-endpoint", "--query-gpu"}
FOREIGN |= {"--nproc-per-node", "--batch-size"}


def messages(source: str) -> Iterator[str]:
    """The texts of a module; one that is put together of pieces is whole."""
    tree = ast.parse(source)
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    pieces = {id(piece) for node in joined for piece in node.values}
    for one in joined:
        yield "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in one.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in pieces:
            yield str(node.value)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb, with the words that it is called by."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        yield path, command
        waiting += [((*path, name), one) for name, one in getattr(command, "commands", {}).items()]


VERBS = dict(commands())
EVERY = {name for verb in VERBS.values() for one in verb.params for name in one.opts} | {"--help"}


def options_of(module: str) -> set[str]:
    """Those of the verbs that a module has; of one without verbs, which many use, those of all."""
    own = [one for one in VERBS.values() if getattr(one.callback, "__module__", "") == module]
    return (
        {name for verb in own for one in verb.params for name in one.opts} | {"--help"}
        if own
        else EVERY
    )


def faults_of(text: str, module: str = "") -> list[str]:
    """What a message of a module names and cannot be typed."""
    named = list(COMMAND.finditer(text))
    found = []
    for one in named:
        is_mention = bool(one[1]) or text in {"alexnet " + " ".join(path) for path in VERBS}
        found += _faults(_words(text[one.end() :]), is_mention)
    known = (EVERY if named else options_of(module)) | FOREIGN
    found += [f"no option {one}" for one in OPTION.findall(text) if one not in known]
    return found + [f"no setting {key}" for key in SETTING.findall(text) if key not in meanings()]


def _words(rest: str) -> list[str]:
    """The words of a command that stands in a sentence, up to the end of that or of a part of it."""
    words = []
    for word in rest.split(" "):
        plain = WORD_AT_END.sub("", word)
        words.append("..." if set(word) == {"."} else plain)
        if plain != word and set(word) != {"."}:
            break
    return [word.replace("{}", VALUE).replace("...", VALUE) for word in words if word]


def _faults(words: list[str], is_mention: bool) -> list[str]:
    length = 2 if getattr(VERBS.get((words[0],)), "commands", None) else 1
    path, arguments = tuple(words[:length]), words[length:]
    if path not in VERBS:
        return [f"no command alexnet {' '.join(path)}"]
    if is_mention and not arguments:  # `alexnet index` is spoken of
        return []
    while True:
        try:
            VERBS[path].make_context(" ".join(path), [*arguments])
            return []
        except TyperException as error:
            if not (arguments and arguments[-1].isalpha() and arguments[-1].islower()):
                return [f"alexnet {' '.join(words)}: {error.format_message()}"]
        arguments.pop()  # a word of the sentence


def test_what_messages_name_can_be_typed() -> None:
    wrong = {}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for text in messages(path.read_text()):
            if found := faults_of(text, module):
                wrong[module, text] = found
    assert not wrong


def test_messages_are_found_and_faults_in_them() -> None:
    found = [text for path in PACKAGE.rglob("*.py") for text in messages(path.read_text())]
    assert sum(len(COMMAND.findall(text)) for text in found) > 50
    assert sum(len(OPTION.findall(text)) for text in found) > 100
    source = 'raise DataError(f"It is {what}.", remedy="Anew: " f"alexnet {verb} {one!r} --side 3")'
    assert "Anew: alexnet {} {} --side 3" in [*messages(source)]


@pytest.mark.parametrize(
    "text",
    [
        "Say: alexnet explian {} -o FILE",
        "To go on: alexnet resume {} --epoch {}",
        "Name it: alexnet evaluate",
        "Prepare it: alexnet data preparation {}.",
        "Prepare it anew (alexnet data prepare SRC --side many).",
        "See alexnet runs, or alexnet runs show NAME OTHER --csv",
        "Train it on all: --every-image",
        "Go on with less: --set optimizer.lr=0.001",
        "`alexnet data look {}` names all. To use the others: alexnet data prepare {}",
    ],
)
def test_what_cannot_be_typed_is_a_fault(text: str) -> None:
    assert faults_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "alexnet summary NETWORK shows every layer; --from names another network or format.",
        "`alexnet data check {}` names all. To use the others: alexnet data prepare {}",
        "Made by `alexnet index`.",
        "Start them: torchrun -m alexnet train ... --hybrid",
        "See alexnet runs, or alexnet runs show NAME.",
    ],
)
def test_what_can_be_typed_is_none(text: str) -> None:
    assert not faults_of(text)
