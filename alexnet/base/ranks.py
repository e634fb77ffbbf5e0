"""The processes that `torchrun` started, as one program: who is who, meeting, failing together.

Every process has a rank; rank 0 writes and prints what is there once. They are one program inside
`joined`; alone, without `torchrun`, everything here does nothing. `alexnet.base.watch` ends all of
them where one is lost.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from alexnet.base.errors import AlexNetError, EnvironmentProblem, IncompatibleError, Stopped
from alexnet.base.watch import Watch, lost

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

STUCK = timedelta(minutes=10)  # the longest that an exchange may wait for a process that is alive


def started() -> tuple[int, int]:
    """The number of this process among those that `torchrun` started, and how many those are."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """The number of this process among those that work together here."""
    return started()[0] if _together else 0


def world() -> int:
    """How many processes work together here: one outside `joined`."""
    return started()[1] if _together else 1


def is_rank_0() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def local_rank() -> int:
    """The number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0)) if _together else 0


def local_world() -> int:
    """How many of the processes that work together are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if _together else 1


def restarts() -> int:
    """How often `torchrun` has started all processes anew."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def cores() -> int:
    """Processor cores that this process may use: its share of those of the machine."""
    restricted = hasattr(os, "sched_getaffinity")  # on Linux
    count = len(os.sched_getaffinity(0)) if restricted else os.cpu_count() or 1
    return max(1, count // local_world())


def share(count: int, part: int, parts: int) -> slice:
    """Which of `count` things in a row are a part's: as many each, one more for the first few."""
    each, more = divmod(count, parts)
    start = part * each + min(part, more)
    return slice(start, start + each + (part < more))


@contextmanager
def joined() -> Iterator[None]:
    """Inside the block the processes are one program, over gloo and, on GPUs, NCCL.

    Raises EnvironmentProblem, with the first cause, where another process fails or is lost.
    """
    global _together
    if started()[1] == 1:
        yield
        return
    together = _Together()
    try:
        together.join()
        yield
        together.meet()  # nobody leaves while another needs it
    except BaseException as error:
        if (cause := together.explained(error)) is error:
            raise
        raise cause from error
    finally:
        together.leave()
        _together = None


def meet() -> None:
    """Wait until every process is here, however long that takes."""
    if _together:
        _together.meet()


def require_same(said: Mapping[str, object]) -> None:
    """Raise IncompatibleError, in every process, unless all say the same."""
    if _together:
        _together.require_same(said)


def from_rank_0(answer: bool) -> bool:
    """Rank 0's answer, in every process, however long it takes to find it."""
    return _together.from_rank_0(answer) if _together else answer


def any_of(answer: bool) -> bool:
    """Whether any process says yes."""
    return bool(total([float(answer)])[0]) if _together else answer


def total(numbers: list[float]) -> list[float]:
    """The sums over all processes, the same bits in each."""
    if not _together:
        return numbers
    import torch

    sums = torch.tensor(numbers, dtype=torch.float64)
    torch.distributed.all_reduce(sums)
    found: list[float] = sums.tolist()
    return found


def collected(rows: np.ndarray) -> np.ndarray:
    """The rows of all processes in their order, in every process."""
    if not _together:
        return rows
    import numpy as np
    import torch
    import torch.distributed as dist

    counts = total([len(rows) * float(rank() == n) for n in range(world())])
    parts = []
    for other, count in enumerate(counts):
        mine = torch.from_numpy(np.ascontiguousarray(rows))
        parts.append(mine if other == rank() else mine.new_empty((int(count), *mine.shape[1:])))
        dist.broadcast(parts[-1], other)
    return torch.cat(parts).numpy()


def gathered(things: list[T]) -> list[T]:
    """The things of all processes in their order, in every process."""
    if not _together:
        return things
    import torch.distributed as dist

    parts: list[list[T]] = [[]] * world()
    dist.all_gather_object(parts, things)
    return [thing for part in parts for thing in part]


def first_to_say(text: str) -> bool:
    """Whether no other process has said this, so that one message is not printed many times."""
    return _last.watch.is_first(text) if _last else started()[0] == 0


class _Together:
    """The processes' common store, their groups, and the thread that watches."""

    def __init__(self) -> None:
        global _last, _together
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]
        from torch.distributed.rendezvous import rendezvous

        try:
            store, _, _ = next(iter(rendezvous("env://", timeout=STUCK)))
        except RuntimeError as error:
            raise EnvironmentProblem(
                f"The processes do not find each other: {str(error).splitlines()[0]}",
                remedy="Start them with torchrun; on several machines, its --rdzv-endpoint.",
            ) from None
        number, _ = started()
        self._me = f"process {number} ({os.getpid()} on {platform.node()})"
        self._store = PrefixStore(_life(store), store)
        self._notes = PrefixStore("alexnet", self._store)
        self._meetings = 0
        self._notes.set(f"who/{number}", self._me)
        self._notes.set(f"beat/{number}", "0")
        self.watch = Watch(self._notes.clone(), *started())  # type: ignore[attr-defined]
        _last = _together = self

    def join(self) -> None:
        """Open the ways between all."""
        import torch
        import torch.distributed as dist

        self.meet()
        self.watch.start()
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=self._store,
            rank=rank(),
            world_size=world(),
            timeout=STUCK,
        )
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank() % torch.cuda.device_count())
        if os.environ.get("OMP_NUM_THREADS") == "1":  # as torchrun sets it where nobody has
            torch.set_num_threads(cores())

    def meet(self) -> None:
        self._meetings += 1
        place, pause = f"meet/{self._meetings}", 0.005
        self._notes.add(place, 1)
        while self._notes.add(place, 0) < world():
            if self._notes.check(["fault"]):
                raise lost(self._notes.get("fault").decode())
            time.sleep(pause)
            pause = min(2 * pause, 0.2)

    def from_rank_0(self, answer: bool) -> bool:
        place = f"answer/{self._meetings}"
        if is_rank_0():
            self._notes.set(place, str(answer))
        self.meet()
        return bool(self._notes.get(place) == b"True")

    def require_same(self, said: Mapping[str, object]) -> None:
        self._notes.set(f"says/{rank()}", json.dumps({k: str(v) for k, v in said.items()}))
        self.meet()
        first, *others = (json.loads(self._notes.get(f"says/{n}")) for n in range(world()))
        for number, other in enumerate(others, start=1):
            for key in first:
                if first[key] != other[key]:
                    raise IncompatibleError(
                        f"The processes do not agree on {key}: process 0 has {first[key]}, "
                        f"process {number} has {other[key]}.",
                        where=self._notes.get(f"who/{number}").decode(),
                        remedy="Start all of them with one command, program and set of images.",
                    )

    def explained(self, error: BaseException) -> BaseException:
        """The error to end with: the first cause where that is another process's."""
        import torch.distributed as dist

        if isinstance(error, Stopped | KeyboardInterrupt | SystemExit):
            with suppress(dist.DistError):
                self.watch.publish(f"{self._me} was stopped")
            return error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it to what is left
        try:
            is_lost = isinstance(error, dist.DistError) or (
                isinstance(error, RuntimeError) and "gloo" in str(error).lower()
            )
            if is_lost:
                return lost(self.watch.first_cause())
            what = error.what if isinstance(error, AlexNetError) else repr(error)
            self.watch.publish(f"{self._me} failed: {what}")
        except dist.DistError:
            return lost("The process that keeps the others together is gone")
        return error

    def leave(self) -> None:
        import torch.distributed as dist

        self.watch.stop()
        if dist.is_initialized():
            dist.destroy_process_group()


def _life(store: Any) -> str:
    """A name that the processes which are started together have in common, and no others.

    The store outlives them: what is started again finds in it what those before have written. So each
    asks with a word of its own, and rank 0 answers all words that it finds until everybody has come.
    """
    mine, began, (number, count) = uuid.uuid4().hex, time.monotonic(), started()
    if number > 0:
        store.set(f"ask/{number}", mine)
    answered = set[bytes]()
    while True:
        if number == 0:
            asked = [f"ask/{n}" for n in range(1, count)]
            for word in {store.get(name) for name in asked if store.check([name])} - answered:
                store.set(f"answer/{word.decode()}", mine)
                answered.add(word)
            if store.add(f"arrived/{mine}", 0) == count - 1:
                return mine
        elif store.check([f"answer/{mine}"]):
            life: str = store.get(f"answer/{mine}").decode()
            store.add(f"arrived/{life}", 1)
            return life
        if time.monotonic() - began > STUCK.total_seconds():
            raise lost(f"not all of the {count} processes have come")
        time.sleep(0.05)


_together: _Together | None = None  # inside `joined`
_last: _Together | None = None  # also after it, for what is printed last
