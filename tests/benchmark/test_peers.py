"""Which peers are measured: those that are asked for, or all that can run here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from alexnet.base.errors import EnvironmentProblem, UsageError
from alexnet.benchmark.measure import BENCHMARKS
from alexnet.benchmark.peers import PEERS, choose

KNOWN = ("pytorch", "compile", "jax", "tensorflow")


def test_peers_by_commas() -> None:
    assert choose("pytorch, pytorch", KNOWN) == (["pytorch"], {})
    assert choose("", KNOWN) == ([], {})


def test_an_unknown_peer() -> None:
    with pytest.raises(UsageError, match="Did you mean 'pytorch'"):
        choose("pytroch", KNOWN)
    with pytest.raises(UsageError, match="no peer 'jax' here"):
        choose("jax", BENCHMARKS["data"].peers)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(EnvironmentProblem, match="install g\\+\\+"):
        choose("compile", KNOWN)
    names, left_out = choose(None, KNOWN)
    assert "pytorch" in names and "compile" not in names
    assert "C++ compiler" in left_out["compile"]


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_one_that_is_not_installed(name: str) -> None:
    if find_spec(name):
        assert choose(name, KNOWN) == ([name], {})
        return
    with pytest.raises(EnvironmentProblem, match=f"pip install {name}"):
        choose(name, KNOWN)
    assert f"pip install {name}" in choose(None, KNOWN)[1][name]


def test_every_peer_has_a_name_in_tables() -> None:
    for benchmark in BENCHMARKS.values():
        assert set(benchmark.peers) <= set(PEERS)
