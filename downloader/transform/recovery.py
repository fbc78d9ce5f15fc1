"""Deciding who is to blame when the transform processes die, and what is done again. Pure."""

import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

LONE_KILLS = 8
"""Times that an item may be in hand alone when its process is killed. Whoever kills processes at random, one every
0.3 s, hits the one alone with a chance of a third to a half: with four, 2 of 6 runs blamed somebody; the chance of
eight is 0.2 % at most."""
_FORK_SERVER_GONE = 255
"""What multiprocessing gives as the exit code of a process whose end nobody could tell, for want of a fork server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """What one worker wrote into its slot before it began: its pid, the item, and when (monotonic seconds)."""

    pid: int
    item_id: int
    started_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do with the items that were in hand when a crew died."""

    timed_out: frozenset[int]
    suspects: tuple[int, ...]


class End(Enum):
    """How a process ended."""

    CRASHED = auto()
    """By its own doing: a segmentation fault, an abort, an exit."""
    KILLED = auto()
    """By another's doing: somebody's kill, or the system for want of memory."""
    ASKED = auto()
    """By the SIGTERM that a pool sends to whoever is left when one of it has died."""
    UNKNOWN = auto()
    """Nobody can tell."""


def end_of(exit_code: int | None) -> End:
    """How a process ended, by the exit code of `multiprocessing` (negative: the signal)."""
    if exit_code is None or exit_code == _FORK_SERVER_GONE:
        return End.UNKNOWN
    if exit_code == -signal.SIGTERM:
        return End.ASKED
    return End.KILLED if exit_code == -signal.SIGKILL else End.CRASHED


def judge(in_hand: Iterable[InHand], ends: Mapping[int, End], killed_for_time: Iterable[int]) -> Verdict:
    """Items whose process we killed for taking too long are guilty; those in hand of one that died are suspects.

    `ends` and `killed_for_time` go by pid. A suspect is tried alone, in a crew of one: blaming everybody found in a
    slot would fail innocents (1 to 3 a run when it was measured). What was in hand of the others is done again.
    """
    in_hand, killed = list(in_hand), frozenset(killed_for_time)
    guilty = {hand.item_id for hand in in_hand if hand.pid in killed}
    suspects = {hand.item_id for hand in in_hand if ends.get(hand.pid) in {End.CRASHED, End.KILLED}}
    return Verdict(timed_out=frozenset(guilty), suspects=tuple(sorted(suspects - guilty)))


def is_to_blame(alone: Iterable[End]) -> bool:
    """Whether a suspect is guilty, by how the processes ended that had nothing but it in hand.

    A crash suffices, since there was one before. A kill may be somebody's or the system's, so it must be a habit.
    """
    ends = list(alone)
    return End.CRASHED in ends or _kills(ends) >= LONE_KILLS


def blame(alone: Iterable[End]) -> str:
    """What to tell the user about an item that is to blame."""
    ends = list(alone)
    if End.CRASHED in ends:
        return "the transform process died on this image, twice; it may be made to crash the decoder"
    return f"the transform process was killed at this image, {_kills(ends) + 1} times; is there too little memory?"


def _kills(ends: list[End]) -> int:
    return sum(end in {End.KILLED, End.ASKED} for end in ends)


def overdue(in_hand: Iterable[InHand], now_s: float, limit_s: float) -> list[InHand]:
    """The workers that have been at one item for longer than the limit."""
    return [hand for hand in in_hand if now_s - hand.started_s > limit_s]


def is_futile(crews: int, idle_s: float) -> bool:
    """Whether to give up after so many crews that died, and so many seconds, without a single outcome.

    Ten crews and a minute: under a kill every 0.3 s, with images that take as long, an outcome comes every few crews;
    a machine on which no process can live is told from one that is only harassed.
    """
    return crews >= 10 and idle_s >= 60  # noqa: PLR2004 - explained above
