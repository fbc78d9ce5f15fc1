"""The transform stage: keeps a crew of processes at work, and survives their deaths.

One driver thread submits short `consume` tasks, collects their facts and looks after the crew. When a process dies the
crew is replaced and the ledger handed over again; the items that were in hand of whoever died are suspects, tried one
at a time in a crew of one, and only what kills again is to blame.
"""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from dataclasses import dataclass, field

from downloader.config.settings import TransformOptions
from downloader.errors import CannotGoOn, OutputError
from downloader.handoff import HandOff
from downloader.model.failures import FailureKind
from downloader.model.items import Failed, Fetched, Skipped, Transformed
from downloader.stop import Stop
from downloader.transform import worker
from downloader.transform.crew import Crew
from downloader.transform.picture import plain
from downloader.transform.recovery import End, Verdict, blame, is_futile, is_to_blame, judge, overdue

_LOOK_S = 0.1
"""Seconds between looks at slots and backlog when no task ends."""
_GRACE_S = 2.0
"""Seconds between the soft alarm inside a worker and its SIGKILL."""
_FIRST_CREWS = 20
"""Crews that may die before they are up when a run starts; then there is something wrong with the machine. Under a kill
every 0.3 s, which is about what a crew needs to come up, half of them die: of five all did in 1 of 15 trials."""

Tell = Callable[[Transformed | Failed | Skipped], None]


@dataclass(slots=True, kw_only=True)
class _Suspect:
    """An item in hand of a process that died; `alone`: how processes ended that had nothing else in hand."""

    fetched: Fetched
    alone: list[End] = field(default_factory=list)


class TransformStage:
    """Turns what the hand-off holds into facts, told one by one to `tell`.

    With `keep_originals` the bytes of each image are one more rendition of it, `ORIGINAL`.
    """

    def __init__(
        self,
        settings: TransformOptions,
        processes: int,
        staging: str,
        handoff: HandOff,
        tell: Tell,
        stop: Stop,
        *,
        keep_originals: bool = False,
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._staging = staging
        self._keep_originals = keep_originals
        self.handoff = handoff
        self._tell = tell
        self._stop = stop
        self._done: queue.SimpleQueue[Future[list[worker.Answer]]] = queue.SimpleQueue()
        self._tasks: set[Future[list[worker.Answer]]] = set()
        self._crew: Crew | None = None
        self._lone: Crew | None = None
        self._suspects: deque[_Suspect] = deque()
        self._trial: Future[worker.Answer] | None = None
        """Of the first suspect, alone with a crew of one."""
        self._killed_for_time: set[int] = set()
        self._died_in_vain = 0
        """Crews that died since the last outcome of an item."""
        self._in_vain_since_s = 0.0
        self.rebuilds = 0

    def start(self) -> None:
        """Start the processes, without waiting for them; called before the first thread of the run exists."""
        with suppress(BrokenExecutor):  # wait_until_up tries again
            self._start_crew()

    def wait_until_up(self) -> None:
        """Return once the processes that `start` has started can work; raises CannotGoOn where they cannot."""
        crews = 1
        while (problem := self._problem_of_start()) is not None:
            if crews == _FIRST_CREWS or isinstance(problem, TimeoutError):
                raise CannotGoOn(f"transform processes cannot be started: {plain(problem)}") from problem
            crews += 1

    def _start_crew(self) -> Crew:
        """A crew that is coming up; there is none where that fails."""
        crew = self._hire(self._processes)
        try:
            crew.start()
        except BrokenExecutor:
            crew.dismiss()
            raise
        self._crew = crew
        return crew

    def _problem_of_start(self) -> Exception | None:
        """Why the crew is not up; None where it is."""
        try:
            crew = self._crew or self._start_crew()
            crew.wait_until_up()
        except (BrokenExecutor, TimeoutError) as problem:
            if self._crew is not None:
                self._crew.dismiss()
                self._crew = None
            return problem
        self.handoff.reconnect(crew.channel)
        return None

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
        try:
            while not self._stop.aborted.is_set() and not self._finished():
                self.handoff.feed()
                self._keep_busy()
                self._collect()
                self._watch()
        finally:
            self._end()

    def _finished(self) -> bool:
        return self.handoff.closed and not self.handoff.outstanding and not self._suspects and self._trial is None

    def _hire(self, size: int) -> Crew:
        room = max(self.handoff.size, 1)
        return Crew(size, room, self._settings, self._staging, keep_originals=self._keep_originals)

    # -- the crew at work --------------------------------------------------------------------------------------------

    def _keep_busy(self) -> None:
        """Two tasks a process: one at work and one waiting, so that none idles while its facts are collected."""
        try:
            if self._crew is None:
                self._crew = self._hire(self._processes)
                self.handoff.reconnect(self._crew.channel)
                self.rebuilds += 1
            while len(self._tasks) < 2 * self._processes:
                task = self._crew.submit(worker.consume)
                self._tasks.add(task)
                task.add_done_callback(self._done.put)
        except BrokenExecutor:
            self._crew_died()

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
                elif isinstance(problem, BrokenExecutor):
                    self._crew_died()
                else:
                    raise problem  # `consume` never raises: this is a defect, and hiding it would hang the run
            try:
                task = self._done.get_nowait()
            except queue.Empty:
                return

    def _answered(self, answers: Iterable[worker.Answer]) -> None:
        for answer in answers:
            if isinstance(answer, worker.NoRoom):
                raise _no_room(answer)
            if self.handoff.answered([answer.item.id]):
                self._tell_one(answer)

    def _tell_one(self, answer: Transformed | Failed | Skipped) -> None:
        self._died_in_vain = 0
        self._tell(answer)

    # -- death and trial ---------------------------------------------------------------------------------------------

    def _crew_died(self) -> None:
        """Set the items in hand of whoever died aside; all others wait for the next crew."""
        self.handoff.disconnect()
        self._tasks.clear()
        crew, self._crew = self._crew, None
        if crew is not None:
            verdict, _ = self._bury(crew)
            for fetched in self.handoff.take_back(verdict.timed_out):
                self._tell_one(worker.timed_out(fetched, self._settings.item_timeout))
            self._suspects.extend(_Suspect(fetched=fetched) for fetched in self.handoff.take_back(verdict.suspects))
        self._has_died()

    def _bury(self, crew: Crew) -> tuple[Verdict, list[End]]:
        """What becomes of the items that a dead crew had in hand; how those of its processes ended."""
        ends = crew.bury()
        in_hand = crew.in_hand()
        return judge(in_hand, ends, self._killed_for_time), [ends.get(hand.pid, End.UNKNOWN) for hand in in_hand]

    def _has_died(self) -> None:
        """Give up where crew after crew dies and nothing comes of it."""
        if not self._died_in_vain:
            self._in_vain_since_s = time.monotonic()
        self._died_in_vain += 1
        if is_futile(self._died_in_vain, time.monotonic() - self._in_vain_since_s):
            raise CannotGoOn(
                f"{self._died_in_vain} sets of transform processes died one after another before doing anything"
            )

    def _try_suspects(self) -> None:
        """One suspect at a time, alone."""
        if self._trial is not None and self._trial.done():
            trial, self._trial = self._trial, None
            self._end_trial(self._suspects[0], trial)
        if self._trial is None and self._suspects:
            try:
                self._lone = self._lone or self._hire(1)
                self._trial = self._lone.submit(worker.transform, self._suspects[0].fetched)
            except BrokenExecutor:
                self._lone_died(self._suspects[0])

    def _end_trial(self, suspect: _Suspect, trial: "Future[worker.Answer]") -> None:
        problem = trial.exception()
        if isinstance(problem, BrokenExecutor):
            self._lone_died(suspect)
            return
        answer = trial.result()
        if isinstance(answer, worker.NoRoom):
            raise _no_room(answer)
        self._suspects.popleft()
        self._tell_one(answer)

    def _lone_died(self, suspect: _Suspect) -> None:
        """Decide whether the item that was alone in hand is to blame, or is tried once more."""
        lone, self._lone = self._lone, None
        if lone is not None:
            verdict, ends = self._bury(lone)
            suspect.alone.extend(ends)
            if verdict.timed_out:
                self._suspects.popleft()
                self._tell_one(worker.timed_out(suspect.fetched, self._settings.item_timeout))
            elif is_to_blame(suspect.alone):
                self._suspects.popleft()
                self._tell_one(worker.failed(suspect.fetched, FailureKind.WORKER_CRASH, blame(suspect.alone)))
        self._has_died()

    def _watch(self) -> None:
        """Kill whoever is at one item for too long: a decoder inside C code does not hear the soft alarm."""
        self._try_suspects()
        for crew in (self._crew, self._lone):
            if crew is None:
                continue
            for hand in overdue(crew.in_hand(), time.monotonic(), self._settings.item_timeout + _GRACE_S):
                self._killed_for_time.add(hand.pid)
                crew.kill(hand.pid)

    def _end(self) -> None:
        self.handoff.disconnect()
        crews = [crew for crew in (self._crew, self._lone) if crew is not None]
        self._crew = self._lone = None
        for crew in crews:
            if self._stop.aborted.is_set() or not self._finished():
                crew.dismiss()
            else:
                with suppress(queue.Full):  # a full queue wakes them just as well
                    for _ in range(2 * crew.size):
                        crew.channel.put_nowait(None)  # wakes those who wait for an item
                crew.release()


def _no_room(answer: worker.NoRoom) -> OutputError:
    return OutputError(f"{answer.reason}; free some space, then run the same command again to continue")
