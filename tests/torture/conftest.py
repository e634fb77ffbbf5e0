"""What the torture tests came to, for docs/reliability.md: `pytest -m "" tests/torture --record FILE`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.prepared import prepare
from alexnet.sources import open_source

Figure = Callable[[str, int], None]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """`figure(claim, cases)` at the end of a test: so many cases, all of which came out as claimed.

    Of a sample and the whole, which make the same claim, the page shows the one with more cases.
    """
    begun = time.monotonic()

    def note(claim: str, cases: int) -> None:
        row = {
            "claim": claim,
            "cases": cases,
            "seconds": round(time.monotonic() - begun),
            "test": request.node.nodeid.partition("[")[0],
        }
        request.config.stash.setdefault(FIGURES, []).append(row)

    return note


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of a few images."""
    folder = tmp_path_factory.mktemp("set") / "prepared"
    return prepare(open_source("synthetic:48x4", validation_share=0.25), folder).folder


FIGURES = pytest.StashKey[list[dict[str, object]]]()


FAILED = set[str]()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        FAILED.add(report.nodeid.partition("[")[0])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    path = session.config.getoption("--record")
    if path:
        from torture.records import record

        record(path, session.config.stash.get(FIGURES, []), FAILED)
