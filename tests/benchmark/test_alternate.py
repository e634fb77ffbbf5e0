"""Implementations take turns in processes of their own, and are timed there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import sleep

import pytest

from alexnet.base.errors import EnvironmentProblem
from alexnet.benchmark.alternate import Comparison, Implementation, alternate


def stepping(expression: str, name: str = "one") -> Implementation:
    """A implementation whose step evaluates an expression."""
    return Implementation(name, partial(eval, f"lambda: {expression}"), 1)


def test_turns_warm_up_and_times(tmp_path: Path) -> None:
    file = tmp_path / "turns"
    writers = [stepping(f"open({str(file)!r}, 'a').write({name!r})", name) for name in "ab"]
    ceiling = Implementation("ceiling", partial(partial, sleep, 0.05), 1)
    found = alternate(Comparison("turns", writers, ceiling), rounds=2, warmup=1)
    assert file.read_text() == "ababab"
    assert list(found) == ["a", "b", "ceiling"]
    assert all(len(measured.seconds) == 2 for measured in found.values())
    assert found["ceiling"].median == sum(found["ceiling"].seconds) / 2 >= 0.05
    assert found["a"].median < 0.05


def test_memory_is_that_of_the_implementations_own_process() -> None:
    fill = stepping("len(bytearray(300 * 2**20))", "filling")
    idle = stepping("None", "idle")
    found = alternate(Comparison("memory", [fill, idle]), rounds=1, warmup=0)
    assert found["idle"].peak_gib < 0.29 < found["filling"].peak_gib
    assert found["idle"].page_faults < found["filling"].page_faults


def test_one_core_each() -> None:
    alone = stepping("1 // (len(__import__('os').sched_getaffinity(0)) == 1)")
    alternate(Comparison("one core", [alone], one_core=True), rounds=1, warmup=0)


def test_a_dead_implementation_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EnvironmentProblem, match="'one' died"):
        alternate(Comparison("death", [stepping("1 / 0")]), rounds=1, warmup=0)
    assert "ZeroDivisionError" in capfd.readouterr().err
