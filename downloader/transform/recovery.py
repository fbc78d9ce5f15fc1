"""Deciding which item is to blame when transform processes die, and what is retried. Pure."""

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from downloader.errors import CannotGoOn

MAX_QUARANTINE_KILLS = 8
"""How often an item may be alone in a process that is killed, before it is blamed. Something that kills processes at
random, one every 0.3 s, hits the quarantined one with a chance of a third to a half: with a limit of four, 2 of 6 runs
blamed an item; the chance of eight such hits is at most 0.2 %."""

_FORK_SERVER_GONE = 255
"""The exit code that multiprocessing reports for a process whose end is unknown because its fork server is gone."""

GRACE_S = 2.0
"""Seconds between the soft alarm inside a worker and its SIGKILL."""
MIN_PATIENCE_S = 8.0
"""A pool may need seconds to start on a loaded machine, however short `--item-timeout` is."""

_MIN_FUTILE_FAILURES = 10
_MIN_FUTILE_S = 60.0
_MIN_FUTILE_STARTS = 20
_MIN_FUTILE_START_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The item a worker is at, as it wrote into its slot before it began, and since when (monotonic)."""

    pid: int
    item_id: int
    started_s: float


class ExitCause(Enum):
    """Why a process ended."""

    CRASHED = auto()
    """By its own fault: a segmentation fault, an abort, an exit."""
    KILLED = auto()
    """By SIGKILL from outside: a user, or the system when memory is short."""
    TERMINATED = auto()
    """By the SIGTERM that a pool sends to its remaining processes when one of them has died."""
    UNKNOWN = auto()


def exit_cause(exit_code: int | None) -> ExitCause:
    """Why a process ended, from its exit code as multiprocessing reports it (negative: the signal)."""
    if exit_code is None or exit_code == _FORK_SERVER_GONE:
        return ExitCause.UNKNOWN
    if exit_code == -signal.SIGTERM:
        return ExitCause.TERMINATED
    return ExitCause.KILLED if exit_code == -signal.SIGKILL else ExitCause.CRASHED


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptedWork:
    """An item whose worker ended before it was done, and why."""

    assignment: Assignment
    cause: ExitCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of the items that were interrupted by the end of a pool; those not listed are simply retried."""

    timed_out: tuple[Assignment, ...] = ()
    suspects: tuple[Assignment, ...] = ()


def judge(interrupted: Iterable[InterruptedWork], overdue: Iterable[int], stopped: Iterable[int] = ()) -> Verdict:
    """Sort interrupted items: those that took too long, and those whose worker died or stopped by itself.

    `overdue` and `stopped` are pids: of workers that took too long although they ran, and because they did not run.
    A suspect is tried again in quarantine, alone in a pool of one: to blame every interrupted item would fail innocent
    ones (1 to 3 a run when it was measured). Items whose worker was only terminated along with the pool are retried.
    """
    overdue, stopped = frozenset(overdue), frozenset(stopped)
    timed_out: dict[int, Assignment] = {}
    suspects: dict[int, Assignment] = {}
    for worker in interrupted:
        assignment = worker.assignment
        if assignment.pid in overdue:
            timed_out[assignment.item_id] = assignment
        elif assignment.pid in stopped or worker.cause in {ExitCause.CRASHED, ExitCause.KILLED}:
            suspects[assignment.item_id] = assignment
    return Verdict(
        timed_out=tuple(timed_out.values()),
        suspects=tuple(suspects[item_id] for item_id in sorted(suspects.keys() - timed_out.keys())),
    )


def is_to_blame(causes: Iterable[ExitCause]) -> bool:
    """Whether a suspect is to blame, given why each process ended that worked on nothing else.

    One crash is enough, since there was another before. A kill may come from a user or the system, so it has to happen
    again and again.
    """
    causes = list(causes)
    return ExitCause.CRASHED in causes or _kills(causes) >= MAX_QUARANTINE_KILLS


def crash_message(causes: Iterable[ExitCause]) -> str:
    """What to tell the user about an item that is to blame."""
    causes = list(causes)
    if ExitCause.CRASHED in causes:
        return "the transform process died on this image, twice; it may be made to crash the decoder"
    return f"the transform process was killed at this image, {_kills(causes) + 1} times; is there too little memory?"


def _kills(causes: list[ExitCause]) -> int:
    return sum(cause in {ExitCause.KILLED, ExitCause.TERMINATED} for cause in causes)


def patience_s(item_timeout_s: float) -> float:
    """Seconds in which something must change in a pool that has work: no item takes longer."""
    return max(item_timeout_s, MIN_PATIENCE_S) + GRACE_S


class LifeSigns:
    """What a pool shows of itself: how long each worker has been at its item, and how long nothing has changed.

    A worker that is stopped rather than dead (SIGSTOP, a frozen cgroup, a debugger) may hold the lock of a queue, so
    that all others wait and none of them is overdue. Time is an argument; it must stand still while the parent does.
    """

    def __init__(self) -> None:
        self._since_s: dict[Assignment, float] = {}
        self._changed_s: float | None = None

    def observe(self, assignments: Iterable[Assignment], now_s: float, *, expects_change: bool) -> None:
        """Note what every worker is at. No change is expected of a pool without work, or that has just shown one."""
        now = {assignment: self._since_s.get(assignment, now_s) for assignment in assignments}
        if self._changed_s is None or not expects_change or now.keys() != self._since_s.keys():
            self._changed_s = now_s
        self._since_s = now

    def longer_than(self, limit_s: float, now_s: float) -> list[Assignment]:
        """The assignments that have been seen for longer."""
        return [assignment for assignment, since_s in self._since_s.items() if now_s - since_s > limit_s]

    def silent_s(self, now_s: float) -> float:
        """Seconds for which nothing has changed although it should."""
        return 0.0 if self._changed_s is None else now_s - self._changed_s


def is_futile_start(attempts: int, seconds: float, *, have_run: bool = False) -> bool:
    """Whether so many attempts to start processes, in so much time, say that something is wrong with the machine.

    If some `have_run` already, it can start them, and gets as much time as `FailureStreak` gives.

    Under a kill every 0.3 s, which is about what a pool needs to start, half of them die, and nearly all on a machine
    that is busy with something else: hence both a number and a time.
    """
    return attempts >= _MIN_FUTILE_STARTS and seconds >= (_MIN_FUTILE_S if have_run else _MIN_FUTILE_START_S)


class FailureStreak:
    """Counts pool failures since the last result, to abort a run that makes no progress.

    The limit is ten failures and a minute: under a kill every 0.3 s, with images that take as long, a result arrives
    every few pools; this tells a machine on which no process can live from one that is only disturbed.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._since_s = 0.0

    def progress(self) -> None:
        """A result has arrived."""
        self._failures = 0

    def failure(self, now_s: float) -> None:
        """A pool has failed; raises CannotGoOn when there have been too many in a row."""
        if not self._failures:
            self._since_s = now_s
        self._failures += 1
        if self._failures >= _MIN_FUTILE_FAILURES and now_s - self._since_s >= _MIN_FUTILE_S:
            raise CannotGoOn(
                f"{self._failures} sets of transform processes died one after another before doing anything"
            )
