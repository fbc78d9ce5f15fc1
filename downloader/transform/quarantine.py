"""The quarantine: tries suspects one at a time, to find the item that kills its worker."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field

from downloader.handoff import TransformTask
from downloader.model.failures import FailureKind
from downloader.model.spans import Spans
from downloader.transform import worker
from downloader.transform.pool import WorkerPool
from downloader.transform.recovery import Assignment, ExitCause, FailureStreak, crash_message, is_to_blame, judge
from downloader.transform.results import WorkerResult, failed, interrupted_spans, timed_out
from downloader.transform.watchdog import Watchdog


@dataclass(slots=True, kw_only=True)
class _Suspect:
    """An item whose worker died; `causes` tells why each process ended that worked on nothing else."""

    task: TransformTask
    causes: list[ExitCause] = field(default_factory=list)


class Quarantine:
    """Suspects, and a pool of one process that `start_pool` makes when it is needed.

    A suspect is tried until it has a result or is to blame. Failures of the pool count in `streak`.
    """

    def __init__(self, start_pool: Callable[[], WorkerPool], watchdog: Watchdog, streak: FailureStreak) -> None:
        self._start_pool = start_pool
        self._watchdog = watchdog
        self._streak = streak
        self._suspects: deque[_Suspect] = deque()
        self._trial: Future[WorkerResult] | None = None
        """Of the first suspect."""
        self.pool: WorkerPool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no suspect is left."""
        return not self._suspects

    def add(self, task: TransformTask) -> None:
        """Put a suspect at the end of the line."""
        self._suspects.append(_Suspect(task=task))

    def poll(self) -> Iterator[WorkerResult]:
        """The result of a trial that has ended, if any; starts the next one. Never waits for a trial.

        Raises CannotGoOn if pool after pool fails.
        """
        is_to_end = self._watchdog.is_to_end(self.pool, expects_change=self._trial is not None)
        if self._trial is not None and self._trial.done():
            trial, self._trial = self._trial, None
            yield from self._end_trial(trial)
        elif is_to_end:
            self._trial = None
            yield from self._pool_died()
        if self._trial is None and self._suspects:
            yield from self._begin_trial()

    def _begin_trial(self) -> Iterator[WorkerResult]:
        try:
            self.pool = self.pool or self._start_pool()
            self._trial = self.pool.submit(worker.transform, self._suspects[0].task)
        except BrokenExecutor:
            yield from self._pool_died()

    def _end_trial(self, trial: "Future[WorkerResult]") -> Iterator[WorkerResult]:
        if isinstance(trial.exception(), BrokenExecutor):
            yield from self._pool_died()
            return
        result = trial.result()
        self._suspects.popleft()
        yield result

    def _pool_died(self) -> Iterator[WorkerResult]:
        """Decide whether the first suspect is to blame; if not, it is tried again."""
        suspect = self._suspects[0]
        pool, self.pool = self.pool, None
        if pool is not None:
            interrupted = pool.reap()
            suspect.causes.extend(each.cause for each in interrupted)
            late = self._watchdog.overdue | self._watchdog.stopped  # nothing else has stopped it twice
            if timed_out_at := judge(interrupted, late).timed_out:
                self._suspects.popleft()
                spans = _spans(suspect.task, timed_out_at[0])
                yield timed_out(suspect.task, self._watchdog.limit_s, spans)
            elif interrupted and is_to_blame(suspect.causes):
                self._suspects.popleft()
                spans = _spans(suspect.task, interrupted[0].assignment)
                yield failed(suspect.task, FailureKind.WORKER_CRASH, crash_message(suspect.causes), spans)
        self._streak.failure(time.monotonic())

    def shutdown(self) -> None:
        """Let the process end by itself."""
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None

    def terminate(self) -> None:
        """Kill the process, whatever it is working on."""
        if self.pool is not None:
            self.pool.terminate()
            self.pool = None


def _spans(task: TransformTask, assignment: Assignment) -> Spans:
    return interrupted_spans(task, assignment, time.monotonic())
