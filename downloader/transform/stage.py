"""The transform stage: keeps a pool of processes busy, and survives their deaths.

One driver thread lets the workers consume from the queue, emits their results, and replaces the pool when a process
dies. Everything in flight is then submitted again, except the items whose worker died by itself: these go to the
quarantine (`quarantine.py`), since one of them may have killed it.
"""

import time
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import partial

from downloader.config.settings import TransformOptions
from downloader.errors import CannotGoOn, OutputError
from downloader.handoff import HandOff
from downloader.scheduling.interface import Emit
from downloader.stop import Stop
from downloader.transform.picture import plain
from downloader.transform.pool import WorkerPool
from downloader.transform.processes import resume_helpers
from downloader.transform.quarantine import Quarantine
from downloader.transform.recovery import Assignment, FailureStreak, is_futile_start, judge
from downloader.transform.results import DiskFull, WorkerResult, interrupted_spans, timed_out
from downloader.transform.watchdog import Watchdog
from downloader.transform.worker import WorkerConfig

_POLL_INTERVAL_S = 0.1
"""Seconds between looks at slots, backlog and quarantine while no result arrives."""
_MAX_START_TIMEOUTS = 3
"""Pools that may not come up in time when a run starts."""


class TransformStage:
    """Turns the tasks of a hand-off into facts, one for each, in any order.

    With `keep_originals` the bytes of each image are one more rendition of it, `ORIGINAL`. With `reads_exif` results
    say what EXIF their source has. `rebuilds` counts the pools that had to be replaced.
    """

    def __init__(
        self,
        settings: TransformOptions,
        processes: int,
        staging: str,
        handoff: HandOff,
        emit: Emit,
        stop: Stop,
        *,
        keep_originals: bool = False,
        reads_exif: bool = False,
    ) -> None:
        config = WorkerConfig(settings=settings, staging=staging, keep_originals=keep_originals, reads_exif=reads_exif)
        new_pool = partial(WorkerPool, queue_size=max(handoff.size, 1), config=config)
        self._new_pool = partial(new_pool, processes)
        self.handoff = handoff
        self._emit = emit
        self._stop = stop
        self._pool: WorkerPool | None = None
        self._streak = FailureStreak()
        self._watchdog = Watchdog(settings.item_timeout)
        self._quarantine = Quarantine(partial(new_pool, 1), Watchdog(settings.item_timeout), self._streak)
        self.rebuilds = 0

    # -- start -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes without waiting for them; call it before the first thread of the run exists."""
        with suppress(BrokenExecutor):  # wait_until_up tries again
            self._start_pool()

    def wait_until_up(self) -> None:
        """Wait for the processes to be ready; raises CannotGoOn if they cannot be started."""
        attempts = timeouts = 1
        began_s = time.monotonic()
        while (problem := self._try_start()) is not None:
            if is_futile_start(attempts, time.monotonic() - began_s) or timeouts == _MAX_START_TIMEOUTS:
                raise CannotGoOn(f"transform processes cannot be started: {plain(problem)}") from problem
            attempts += 1
            timeouts += isinstance(problem, TimeoutError)

    def _start_pool(self) -> WorkerPool:
        pool = self._new_pool()
        try:
            pool.start()
        except BrokenExecutor:
            pool.terminate()
            raise
        self._pool = pool
        return pool

    def _try_start(self) -> Exception | None:
        """Why the pool is not up; None if it is."""
        try:
            pool = self._pool or self._start_pool()
            pool.wait_until_up()
        except (BrokenExecutor, TimeoutError) as problem:
            if self._pool is not None:
                self._pool.terminate()
                self._pool = None
            return problem
        self.handoff.connect(pool.channel)
        return None

    def abandon(self) -> None:
        """End processes that were started but will not be used; does nothing after `run`."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            resume_helpers()

    # -- work --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until the hand-off is closed and every task has its fact.

        Raises:
            CannotGoOn: pool after pool fails, or the staging folder cannot be written.
        """
        try:
            while not self._stop.aborted.is_set() and not self._is_finished():
                self.handoff.resubmit()
                has_result = self._work()
                expects_change = self.handoff.in_flight > 0 and not has_result
                if self._watchdog.is_to_end(self._pool, expects_change=expects_change):
                    self._pool_died()
                for result in self._quarantine.poll():
                    self._emit_result(result)
        finally:
            self._end()

    def _is_finished(self) -> bool:
        return self.handoff.is_finished and self._quarantine.is_empty

    def _work(self) -> bool:
        """Keep the pool busy, and emit the results that have arrived; whether there were any."""
        has_result = False
        try:
            pool = self._pool or self._replace_pool()
            pool.keep_busy()
            for result in pool.results(_POLL_INTERVAL_S):
                has_result = True
                if isinstance(result, DiskFull) or self.handoff.acknowledge(result.item.id):
                    self._emit_result(result)
        except BrokenExecutor:
            self._pool_died()
        return has_result

    def _replace_pool(self) -> WorkerPool:
        self._pool = pool = self._new_pool()
        self.handoff.connect(pool.channel)
        self.rebuilds += 1
        return pool

    def _emit_result(self, result: WorkerResult) -> None:
        if isinstance(result, DiskFull):
            raise OutputError(f"{result.reason}; free some space, then run the same command again to continue")
        self._streak.progress()
        self._emit(result)

    def _pool_died(self) -> None:
        """Time out and quarantine items as the verdict says; everything else stays in flight for the next pool."""
        self.handoff.disconnect()
        pool, self._pool = self._pool, None
        if pool is not None:
            verdict = judge(pool.reap(), self._watchdog.overdue, self._watchdog.stopped)
            for assignment in verdict.timed_out:
                if task := self.handoff.reclaim(assignment.item_id):
                    spans = interrupted_spans(task, assignment, time.monotonic())
                    self._emit_result(timed_out(task, self._watchdog.limit_s, spans))
            for assignment in verdict.suspects:
                if task := self.handoff.reclaim(assignment.item_id):
                    self._quarantine.add(task)
        self._streak.failure(time.monotonic())

    def _end(self) -> None:
        self.handoff.disconnect()
        pool, self._pool = self._pool, None
        finished = self._is_finished() and not self._stop.aborted.is_set()
        for each in (pool, self._quarantine):
            if each is None:
                continue
            if finished:
                each.shutdown()
            else:
                each.terminate()
        resume_helpers()

    # -- looking -----------------------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """The processes of the pool now."""
        pool = self._pool
        return pool.pids() if pool else []

    def assignments(self) -> list[Assignment]:
        """What every worker is working on now, in the pool and in quarantine."""
        pools = (self._pool, self._quarantine.pool)
        return [assignment for pool in pools if pool for assignment in pool.assignments()]
