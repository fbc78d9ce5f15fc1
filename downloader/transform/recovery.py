"""Deciding who is to blame when the transform processes die, and what is done again. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


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


def judge(in_hand: Iterable[InHand], killed_for_time: Iterable[int]) -> Verdict:
    """Items whose worker we killed for taking too long are guilty; the others in hand are only suspects.

    A suspect is tried alone, in a crew of one: blaming everybody found in a slot would fail innocents (1 to 3 a run
    when it was measured).
    """
    guilty = frozenset(killed_for_time)
    return Verdict(timed_out=guilty, suspects=tuple(sorted({hand.item_id for hand in in_hand} - guilty)))


def overdue(in_hand: Iterable[InHand], now_s: float, limit_s: float) -> list[InHand]:
    """The workers that have been at one item for longer than the limit."""
    return [hand for hand in in_hand if now_s - hand.started_s > limit_s]


def may_rebuild(barren: int, limit: int) -> bool:
    """Whether another crew makes sense after so many that died without a single answer and without a suspect."""
    return barren < limit
