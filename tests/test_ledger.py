"""Every choice of the ledger has its test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from alexnet import ledger

ROOT = Path(__file__).parent.parent


def test_topics_are_told_once() -> None:
    topics = [row.topic for row in ledger.LEDGER]
    assert len(topics) == len(set(topics))


@pytest.mark.parametrize("row", ledger.LEDGER, ids=lambda row: row.topic)
def test_every_deviation_is_pinned_by_a_test_that_exists(row: ledger.Deviation) -> None:
    file, _, function = row.test.partition("::")
    assert (ROOT / file).is_file(), f"{file} does not exist"
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert function in functions, f"{file} has no {function}"
