"""A worker pool: processes, their queue and their slots, as one disposable unit.

The abnormal death of a worker may leave a lock held or a pipe half-written, and so may a worker that is stopped, so
nothing of a pool is ever repaired: the pool is ended as a whole, and a new one is started. Nothing here waits for a
process without a limit, since any of them may be stopped, the fork server included.
"""

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, cast

from downloader.clock import ActiveClock
from downloader.handoff import Channel
from downloader.transform import worker
from downloader.transform.processes import broken_pool_if_helpers_die, kill_fork_server, start_context, starting
from downloader.transform.recovery import Assignment, ExitCause, InterruptedWork, LifeSigns, exit_cause, patience_s
from downloader.transform.results import WorkerResult

_END_TIMEOUT_S = 3.0
"""Seconds for processes to end by themselves, and for the executor to notice that they have been killed."""
_FEEDER_TIMEOUT_S = 0.5
"""Seconds for the queue's feeder thread to end, which may no longer be read."""
_POLL_INTERVAL_S = 0.25
_TASKS_PER_PROCESS = 2
"""One running and one waiting, so that no process idles while its results are collected."""


class WorkerPool:
    """`size` worker processes around one queue of `queue_size` messages.

    Raises BrokenProcessPool, here as in `submit`, if the fork server or resource tracker has died.
    """

    def __init__(self, size: int, queue_size: int, config: worker.WorkerConfig) -> None:
        context = start_context()
        self.size = size
        self.signs = LifeSigns()
        self._patience_s = patience_s(config.settings.item_timeout)
        self._starting: list[Future[int]] = []
        self._pending = 0
        self._done: queue.SimpleQueue[Future[list[WorkerResult]]] = queue.SimpleQueue()
        with starting(self._patience_s):
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
        """Wait for every process to be up; raises BrokenProcessPool if one dies, TimeoutError if one takes too long."""
        clock = ActiveClock()
        end_s = clock() + self._patience_s
        for future in self._starting:
            while clock() < end_s:
                with suppress(TimeoutError):
                    future.result(timeout=_POLL_INTERVAL_S)
                    break
                clock.beat()
            else:
                raise TimeoutError(f"they do not come up within {self._patience_s:g} s")

    def submit(self, task: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Run a function in a worker; starts another process while there are fewer than `size`.

        Raises BrokenProcessPool if the pool is dead already.
        """
        if len(self._processes()) == self.size:  # spares the resource tracker a message for every task
            with broken_pool_if_helpers_die():
                return self._executor.submit(task, *arguments)
        with starting(self._patience_s):
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

    def _results_writer(self) -> Any:  # noqa: ANN401 - a Connection
        """The parent's copy of the end of the pipe that workers write results to."""
        results: Any = self._executor._result_queue  # noqa: SLF001 - as above
        return results._writer  # noqa: SLF001 - as above

    def assignments(self) -> list[Assignment]:
        """Which worker is at which item, and since when."""
        every = [Assignment(pid=slot.pid, item_id=slot.item_id, started_s=slot.started_s) for slot in self._slots]
        return [assignment for assignment in every if assignment.item_id]

    # -- end ---------------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Let the processes end by themselves; those that do not are killed."""
        with suppress(queue.Full):  # a full queue wakes them just as well
            for _ in range(self._pending):
                self.channel.put_nowait(None)  # wakes a process that waits for an item
        self._end(_END_TIMEOUT_S)

    def terminate(self) -> None:
        """Kill every process, whatever it is working on."""
        self._end(0.0)

    def reap(self) -> list[InterruptedWork]:
        """End a pool that is dead; returns the workers that were at an item, and why each ended.

        A process that has to be killed here counts as UNKNOWN.
        """
        causes = self._end(0.0)
        return [
            InterruptedWork(assignment=assignment, cause=causes.get(assignment.pid, ExitCause.UNKNOWN))
            for assignment in self.assignments()
        ]

    def _end(self, timeout_s: float) -> dict[int, ExitCause]:
        """End all processes, by SIGKILL those that take longer; returns why each ended.

        Only the executor's manager thread may wait for processes meanwhile, since an exit code can be collected once.
        It is told exit codes by the fork server, so it waits for ever if that is stopped; or if a worker was stopped
        halfway through a result. Left alive, it keeps semaphores, and Python warns of them as leaked at exit.
        """
        manager, processes, results = self._manager_thread(), self._processes(), self._results_writer()
        self._executor.shutdown(wait=False)
        killed: set[int] = set()
        if not _has_ended(manager, timeout_s):
            killed = _kill_running(processes)
            if not _has_ended(manager, _END_TIMEOUT_S):
                kill_fork_server()
                results.close()
        self._close_channel()
        if not _has_ended(manager, _END_TIMEOUT_S):
            return {}
        codes = {pid: process.exitcode for pid, process in processes.items()}
        for pid, code in codes.items():
            if exit_cause(code) is ExitCause.UNKNOWN:  # without a fork server it may still be alive
                _kill(pid)
        ours = {pid for pid in killed if codes[pid] == -signal.SIGKILL}
        return {pid: ExitCause.UNKNOWN if pid in ours else exit_cause(code) for pid, code in codes.items()}

    def _close_channel(self) -> None:
        self.channel.cancel_join_thread()
        self.channel.close()
        feeder: Any = self.channel._thread  # type: ignore[attr-defined]  # noqa: SLF001 - join_thread() has no timeout
        if feeder is not None:  # it keeps semaphores too
            feeder.join(_FEEDER_TIMEOUT_S)


def _has_ended(thread: threading.Thread | None, timeout_s: float) -> bool:
    if thread is None:
        return True
    thread.join(timeout_s)
    return not thread.is_alive()


def _kill_running(processes: dict[int, Any]) -> set[int]:
    """Kill the processes that are not known to have ended; by SIGKILL, which ends those too that are stopped."""
    ended = wait([process.sentinel for process in processes.values()], timeout=0)
    running = {pid for pid, process in processes.items() if process.sentinel not in ended}
    for pid in running:
        _kill(pid)
    return running


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
