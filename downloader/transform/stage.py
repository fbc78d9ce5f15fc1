"""The transform stage: keeps a crew of processes at work, and survives their deaths.

One driver thread submits short `consume` tasks, collects their facts and looks after the crew. When a process dies the
crew is replaced and the ledger handed over again; the items that were in hand are suspects, tried one at a time in a
crew of one, and only what kills again is to blame.
"""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from dataclasses import dataclass

from downloader.config.settings import Transform
from downloader.errors import CannotGoOn, OutputError
from downloader.handoff import HandOff
from downloader.meters import Meter
from downloader.model.failures import FailureKind
from downloader.model.items import Failed, Fetched, Skipped, Transformed
from downloader.stop import Stop
from downloader.transform import worker
from downloader.transform.crew import Crew
from downloader.transform.recovery import judge, may_rebuild, overdue

_LOOK_S = 0.1
"""Seconds between looks at slots and backlog when no task ends."""
_GRACE_S = 2.0
"""Seconds between the soft alarm inside a worker and its SIGKILL."""
_BARREN_LIMIT = 5
"""Crews that may die one after another without a single answer before the run gives up."""

Tell = Callable[[Transformed | Failed | Skipped], None]


@dataclass(slots=True, kw_only=True)
class _Trial:
    """A suspect alone with a crew of one."""

    fetched: Fetched
    future: "Future[worker.Answer]"


class TransformStage:
    """Turns what the hand-off holds into facts, told one by one to `tell`.

    With `keep_originals` the bytes of each image are one more rendition of it, `ORIGINAL`.
    """

    def __init__(
        self,
        settings: Transform,
        processes: int,
        staging: str,
        handoff: HandOff,
        tell: Tell,
        stop: Stop,
        meter: Meter,
        *,
        keep_originals: bool = False,
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._staging = staging
        self._keep_originals = keep_originals
        self._handoff = handoff
        self._tell = tell
        self._stop = stop
        self._meter = meter
        self._done: queue.SimpleQueue[Future[list[worker.Answer]]] = queue.SimpleQueue()
        self._tasks: set[Future[list[worker.Answer]]] = set()
        self._crew: Crew | None = None
        self._lone: Crew | None = None
        self._suspects: deque[Fetched] = deque()
        self._trial: _Trial | None = None
        self._killed_for_time: set[int] = set()
        self._barren = 0
        self.rebuilds = 0

    def start(self) -> None:
        """Start the processes, without waiting for them; called before the first thread of the run exists."""
        self._crew = self._hire(self._processes)
        self._crew.start()

    def wait_until_up(self) -> None:
        """Return once the processes that `start` has started can work; raises CannotGoOn where they cannot."""
        assert self._crew is not None, "start() comes first"
        self._crew.wait_until_up()
        self._handoff.reconnect(self._crew.channel)

    def abandon(self) -> None:
        """End processes that were started for nothing; where they have worked and ended there are none."""
        if self._crew is not None:
            self._crew.release()
            self._crew = None

    def pids(self) -> list[int]:
        """The processes at work now."""
        return self._crew.pids() if self._crew else []

    def run(self) -> None:
        """Drive until everything handed over is answered; raises CannotGoOn where no crew survives."""
        assert self._crew is not None, "start() comes first"
        try:
            while not self._stop.now.is_set() and not self._finished():
                self._handoff.feed()
                self._keep_busy()
                self._collect()
                self._watch()
        finally:
            self._end()

    def _finished(self) -> bool:
        return self._handoff.closed and not self._handoff.outstanding and not self._suspects and self._trial is None

    def _hire(self, size: int) -> Crew:
        room = max(self._handoff.size, 1)
        return Crew(size, room, self._settings, self._staging, keep_originals=self._keep_originals)

    # -- the crew at work --------------------------------------------------------------------------------------------

    def _keep_busy(self) -> None:
        """Two tasks a process: one at work and one waiting, so that none idles while its facts are collected."""
        assert self._crew is not None
        while len(self._tasks) < 2 * self._processes:
            try:
                task = self._crew.submit(worker.consume)
            except BrokenExecutor:
                self._replace_crew()
                return
            self._tasks.add(task)
            task.add_done_callback(self._done.put)

    def _collect(self) -> None:
        """Take in the tasks that have ended; waits a moment for the first."""
        try:
            task = self._done.get(timeout=_LOOK_S)
        except queue.Empty:
            return
        while True:
            if task in self._tasks:  # else: of a crew already dismissed
                self._tasks.discard(task)
                if (problem := task.exception()) is None:
                    self._answered(task.result())
                else:
                    self._crew_died(problem)
            try:
                task = self._done.get_nowait()
            except queue.Empty:
                return

    def _answered(self, answers: Iterable[worker.Answer]) -> None:
        for answer in answers:
            if isinstance(answer, worker.NoRoom):
                raise OutputError(f"{answer.reason}; free some space, then run the same command again to continue")
            self._barren = 0
            if self._handoff.answered([answer.item.id]):
                self._tell_one(answer)

    def _tell_one(self, answer: Transformed | Failed | Skipped) -> None:
        self._meter.worked(sum(answer.timings_s.values()))
        self._tell(answer)

    # -- death and trial ---------------------------------------------------------------------------------------------

    def _crew_died(self, problem: BaseException) -> None:
        if not isinstance(problem, BrokenExecutor):
            raise problem  # `consume` never raises: this is a defect, and hiding it would hang the run
        self._replace_crew()

    def _replace_crew(self) -> None:
        """Throw the crew away, set the items in hand aside, and hand everything else over to a new one."""
        assert self._crew is not None
        in_hand = self._crew.in_hand()
        self._handoff.disconnect()
        self._crew.dismiss()
        self._tasks.clear()
        verdict = judge(in_hand, self._killed_for_time)
        self._killed_for_time.clear()
        for fetched in self._handoff.take_back(verdict.timed_out):
            self._tell_one(worker.timed_out(fetched, self._settings.item_timeout))
        self._suspects.extend(self._handoff.take_back(verdict.suspects))
        self._barren = 0 if in_hand else self._barren + 1
        if not may_rebuild(self._barren, _BARREN_LIMIT):
            raise CannotGoOn(
                f"{_BARREN_LIMIT} sets of transform processes died one after another before doing anything"
            )
        self.rebuilds += 1
        self._crew = self._hire(self._processes)
        self._handoff.reconnect(self._crew.channel)

    def _try_suspects(self) -> None:
        """One suspect at a time, alone."""
        if self._trial is not None:
            self._end_trial(self._trial)
        while self._trial is None and self._suspects:
            fetched = self._suspects[0]
            self._lone = self._lone or self._hire(1)
            try:
                future = self._lone.submit(worker.transform, fetched)
            except BrokenExecutor:
                self._dismiss_lone()
                continue
            self._suspects.popleft()
            self._trial = _Trial(fetched=fetched, future=future)

    def _end_trial(self, trial: _Trial) -> None:
        if not trial.future.done():
            return
        self._trial = None
        problem = trial.future.exception()
        if problem is None:
            answer = trial.future.result()
            if isinstance(answer, worker.NoRoom):
                self._answered([answer])
            else:
                self._tell_one(answer)
            return
        if not isinstance(problem, BrokenExecutor):
            raise problem
        self._dismiss_lone()
        if trial.fetched.item.id in self._killed_for_time:
            self._killed_for_time.discard(trial.fetched.item.id)
            self._tell_one(worker.timed_out(trial.fetched, self._settings.item_timeout))
        else:
            message = "the transform process died on this image, twice; it may be made to crash the decoder"
            self._tell_one(worker.failed(trial.fetched, FailureKind.WORKER_CRASH, message))

    def _dismiss_lone(self) -> None:
        if self._lone is not None:
            self._lone.dismiss()
            self._lone = None

    def _watch(self) -> None:
        """Kill whoever is at one item for too long: a decoder inside C code does not hear the soft alarm."""
        self._try_suspects()
        for crew in (self._crew, self._lone):
            if crew is None:
                continue
            for hand in overdue(crew.in_hand(), time.monotonic(), self._settings.item_timeout + _GRACE_S):
                self._killed_for_time.add(hand.item_id)
                crew.kill(hand.pid)

    def _end(self) -> None:
        self._handoff.disconnect()
        crews = [crew for crew in (self._crew, self._lone) if crew is not None]
        self._crew = self._lone = None
        for crew in crews:
            if self._stop.now.is_set() or not self._finished():
                crew.dismiss()
            else:
                with suppress(queue.Full):  # a full queue wakes them just as well
                    for _ in range(2 * crew.size):
                        crew.channel.put_nowait(None)  # wakes those who wait for an item
                crew.release()
