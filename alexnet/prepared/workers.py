"""Worker processes that may die: each thread of a pool owns one and talks to it over its pipes.

A process is a plain `python -m alexnet.prepared.worker`, so nothing of the calling program is
imported again or forked. It is in a process group of its own, so that Ctrl-C reaches only the caller,
who decides; and it dies with the thread that owns it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

from alexnet.base.ranks import cores

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


OUT_OF_MEMORY = 77  # the exit status of a process that had no memory left for its task
_PIPE_BYTES = 2**20  # fewer turns between the two ends than with the usual 64 KiB; Linux only


class WorkerDied(Exception):
    """The process ended in the middle of a task: `too_slow` if its own alarm ended it, or
    `out_of_memory`."""

    def __init__(self, status: int) -> None:
        super().__init__(f"a worker process ended with status {status}")
        self.too_slow = hasattr(signal, "SIGPROF") and status == -signal.SIGPROF
        self.out_of_memory = status == OUT_OF_MEMORY


class Workers:
    """A pool of `count` processes (all cores by default); use it in a `with` statement."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or cores()
        self._threads = ThreadPoolExecutor(self.count, thread_name_prefix="prepare")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
            for worker in self._processes:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in list(self._processes):
            self._bury(worker)

    def map(self, function: Callable[[Item], T], items: Iterable[Item]) -> Iterator[tuple[Item, T]]:
        """Each item with function(item), in order; `function` runs in a thread and may `call`.

        Items are taken only as they are needed: one more than there are workers.
        """
        waiting: deque[tuple[Item, Future[T]]] = deque()
        for item in items:
            waiting.append((item, self._threads.submit(function, item)))
            while waiting and (len(waiting) > self.count or waiting[0][1].done()):
                first, future = waiting.popleft()
                yield first, future.result()
        for item, future in waiting:
            yield item, future.result()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module's function in this thread's process; raises WorkerDied if that ends.

        Where memory ran out, a fresh process tries once more.
        """
        try:
            return self._call(function, *args, **kwargs)
        except WorkerDied as death:
            if not death.out_of_memory:
                raise
        return self._call(function, *args, **kwargs)

    def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        worker = self._worker()
        assert worker.stdin and worker.stdout
        try:
            pickle.dump((function, args, kwargs), worker.stdin, protocol=5)
            worker.stdin.flush()
            answer = pickle.load(worker.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._own.worker = None
            raise WorkerDied(self._bury(worker)) from None
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _worker(self) -> subprocess.Popen[bytes]:
        worker: subprocess.Popen[bytes] | None = getattr(self._own, "worker", None)
        if worker is None:
            with self._lock:
                if self._closed:
                    raise WorkerDied(0)
                worker = _start()
                self._processes.add(worker)
            self._own.worker = worker
        return worker

    def _bury(self, worker: subprocess.Popen[bytes]) -> int:
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            try:
                if pipe:
                    pipe.close()
            except OSError:
                pass  # what was still to be sent is lost with the process
        with self._lock:
            self._processes.discard(worker)
        return worker.returncode


def _start() -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "alexnet.prepared.worker", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pipesize=_PIPE_BYTES,
        process_group=0,
        env=environment,
    )
