"""Processes of one run that are killed or stopped: the others end, say why, and the run goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from launch import ENDED_WITHIN, MESH_RUN, is_alive, torchrun, train, wait_for_rows
from torture.conftest import Figure

from alexnet.network.traffic import LAYOUTS


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_lost_process_ends_the_others_and_is_named(
    prepared: Path, tmp_path: Path, figure: Figure, cases: int
) -> None:
    """SIGKILL and SIGSTOP in turn, of each of two or four processes, at random moments."""
    for case in range(cases):
        random.seed(case)
        processes, layout = random.choice([2, 4]), random.choice(LAYOUTS)
        run, number = tmp_path / f"run-{case}", (signal.SIGKILL, signal.SIGSTOP)[case % 2]
        job = f"{run}:{layout}:2:float64"
        started = torchrun(processes, str(MESH_RUN), str(prepared), job, SILENCE="4")
        children = wait_for_rows(started, run, random.randint(1, 8))
        time.sleep(random.uniform(0, 0.3))
        victim = children[case // 2 % processes]
        os.kill(victim, number)
        begun = time.monotonic()
        said, _ = started.communicate(timeout=ENDED_WITHIN)
        told = f"case {case}, {number.name}, {processes} processes, {layout}: {said}"
        assert started.returncode != 0 and time.monotonic() - begun < ENDED_WITHIN, told
        assert not [pid for pid in children if is_alive(pid)], told
        if number == signal.SIGSTOP:
            assert f"({victim} on " in said and "no sign of life" in said, told
        else:
            assert f"({victim} on " in said or f"(pid: {victim})" in said, told
        if cases == 2:
            continue  # that a run goes on as it would have, the test above shows
        train(processes, prepared, job)
        alone = tmp_path / f"alone-{case}"
        train(processes, prepared, f"{alone}:{layout}:2:float64")
        assert (run / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes(), told
    if cases > 2:
        figure("one of two or four processes killed or stopped: all gone within a minute, it is "
               "named, and the run goes on bit for bit", cases)  # fmt: skip
