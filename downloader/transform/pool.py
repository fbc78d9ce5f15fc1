"""A worker pool: processes, their queue and their slots, as one disposable unit.

The abnormal death of a worker may leave a lock held or a pipe half-written, so nothing of a pool is ever repaired: the
pool is ended as a whole, and a new one is started.
"""

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from typing import Any, cast

from downloader.handoff import Channel
from downloader.transform import worker
from downloader.transform.processes import start_context, starting
from downloader.transform.recovery import Assignment, ExitCause, InterruptedWork, exit_cause
from downloader.transform.results import WorkerResult

_START_TIMEOUT_S = 60.0
"""Seconds the processes of a pool may take to start; a loaded machine needs a few."""
_JOIN_TIMEOUT_S = 0.5
"""Seconds for the remaining processes of a broken pool to end by its SIGTERM, which a stopped process never handles;
and for the queue's feeder thread to end, which may no longer be read."""
_TASKS_PER_PROCESS = 2
"""One running and one waiting, so that no process idles while its results are collected."""


class WorkerPool:
    """`size` worker processes around one queue of `queue_size` messages.

    Raises BrokenProcessPool, here as in `submit`, if the fork server or resource tracker has died.
    """

    def __init__(self, size: int, queue_size: int, config: worker.WorkerConfig) -> None:
        context = start_context()
        self.size = size
        self._starting: list[Future[int]] = []
        self._pending = 0
        self._done: queue.SimpleQueue[Future[list[WorkerResult]]] = queue.SimpleQueue()
        with starting():
            self.channel: Channel = context.Queue(queue_size)
            self._slots: Any = context.RawArray(worker.Slot, size)
            self._executor = ProcessPoolExecutor(
                size,
                mp_context=context,
                initializer=worker.initialize,
                initargs=(self.channel, self._slots, context.Value("i", 0), config),
            )

    # -- work --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every process; follow it with `wait_until_up`."""
        self._starting = [self.submit(worker.ready) for _ in range(self.size)]

    def wait_until_up(self) -> None:
        """Wait for every process to be up; raises BrokenProcessPool if one dies, TimeoutError after a minute."""
        for future in self._starting:
            future.result(timeout=_START_TIMEOUT_S)

    def submit(self, task: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Run a function in a worker; starts another process while there are fewer than `size`.

        Raises BrokenProcessPool if the pool is dead already.
        """
        with starting():
            return self._executor.submit(task, *arguments)

    def keep_busy(self) -> None:
        """Let every process consume from the queue; raises as `submit`."""
        while self._pending < _TASKS_PER_PROCESS * self.size:
            self.submit(worker.consume).add_done_callback(self._done.put)
            self._pending += 1

    def results(self, timeout_s: float) -> Iterator[WorkerResult]:
        """The results that have arrived, waiting for the first; raises BrokenProcessPool if a process has died.

        Any other exception is a defect, since `consume` never raises.
        """
        with suppress(queue.Empty):
            future = self._done.get(timeout=timeout_s)
            while True:
                self._pending -= 1
                yield from future.result()
                future = self._done.get_nowait()

    # -- processes ---------------------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """The processes of this pool."""
        return list(self._processes())

    def _processes(self) -> dict[int, Any]:
        return dict(self._executor._processes or {})  # noqa: SLF001 - no public way before kill_workers() of 3.14

    def _manager_thread(self) -> threading.Thread | None:
        """The executor's thread that notices deaths and ends the other processes; forgotten by it on shutdown."""
        thread: Any = self._executor._executor_manager_thread  # noqa: SLF001 - no public call waits with a timeout
        return cast("threading.Thread | None", thread)

    def assignments(self) -> list[Assignment]:
        """Which worker is at which item, and since when."""
        every = [Assignment(pid=slot.pid, item_id=slot.item_id, started_s=slot.started_s) for slot in self._slots]
        return [assignment for assignment in every if assignment.item_id]

    def kill(self, pid: int) -> None:
        """Kill one process, which breaks the pool."""
        if pid in self.pids():
            _kill(pid)

    # -- end ---------------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Let the processes end by themselves, and wait for them."""
        with suppress(queue.Full):  # a full queue wakes them just as well
            for _ in range(self._pending):
                self.channel.put_nowait(None)  # wakes a process that waits for an item
        self._executor.shutdown(wait=True)
        self._close_channel()

    def terminate(self) -> None:
        """Kill every process, whatever it is working on."""
        pids = self.pids()
        manager = self._manager_thread()
        self._executor.shutdown(wait=False)
        for pid in pids:  # by SIGKILL, since a stopped process never handles SIGTERM
            _kill(pid)
        if manager is not None:  # left alive, it keeps semaphores, and Python warns of them as leaked at exit
            manager.join(_JOIN_TIMEOUT_S)
        self._close_channel()

    def reap(self) -> list[InterruptedWork]:
        """End a pool in which a process has died; returns the workers that were at an item, and why each ended.

        The executor sends SIGTERM to the remaining processes. Only its manager thread may wait for processes
        meanwhile, since an exit code can be collected once. A process that has to be killed here counts as UNKNOWN.
        """
        processes = self._processes()
        killed = self._end_broken(processes)
        self._close_channel()
        causes = {pid: exit_cause(process.exitcode) for pid, process in processes.items() if pid not in killed}
        for pid, cause in causes.items():
            if cause is ExitCause.UNKNOWN:  # without a fork server it may still be alive
                _kill(pid)
        return [
            InterruptedWork(assignment=assignment, cause=causes.get(assignment.pid, ExitCause.UNKNOWN))
            for assignment in self.assignments()
        ]

    def _end_broken(self, pids: Iterable[int]) -> set[int]:
        """Shut a broken executor down; returns the processes that had to be killed."""
        manager = self._manager_thread()
        self._executor.shutdown(wait=False)
        if manager is None:
            return set()
        manager.join(_JOIN_TIMEOUT_S)
        if not manager.is_alive():
            return set()
        killed = {pid for pid in pids if _kill(pid)}
        manager.join()
        return killed

    def _close_channel(self) -> None:
        self.channel.cancel_join_thread()
        self.channel.close()
        feeder: Any = self.channel._thread  # type: ignore[attr-defined]  # noqa: SLF001 - join_thread() has no timeout
        if feeder is not None:  # it keeps semaphores too
            feeder.join(_JOIN_TIMEOUT_S)


def _kill(pid: int) -> bool:
    """Kill a process; whether it existed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
