"""Who is to blame: laws of the verdicts."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.transform.recovery import LONE_KILLS, End, InHand, blame, end_of, is_futile, is_to_blame, judge, overdue

pids = st.integers(1, 6)
hands = st.lists(st.builds(InHand, pid=pids, item_id=st.integers(1, 9), started_s=st.floats(0, 100)), max_size=6)
ends = st.dictionaries(pids, st.sampled_from(End))


@pytest.mark.parametrize(
    ("exit_code", "end"),
    [
        (-signal.SIGSEGV, End.CRASHED),
        (-signal.SIGABRT, End.CRASHED),
        (1, End.CRASHED),
        (0, End.CRASHED),
        (-signal.SIGKILL, End.KILLED),
        (-signal.SIGTERM, End.ASKED),
        (255, End.UNKNOWN),
        (None, End.UNKNOWN),
    ],
)
def test_the_exit_code_says_how_a_process_ended(exit_code: int | None, end: End) -> None:
    assert end_of(exit_code) is end


@given(hands, ends, st.sets(pids))
def test_verdicts(in_hand: list[InHand], how: dict[int, End], killed: set[int]) -> None:
    """Only what was in hand is judged; no item twice; nothing is held against who was next to a death."""
    verdict = judge(in_hand, how, killed)
    assert not verdict.timed_out & set(verdict.suspects)
    assert len(set(verdict.suspects)) == len(verdict.suspects)
    assert verdict.timed_out == {hand.item_id for hand in in_hand if hand.pid in killed}
    for item_id in verdict.suspects:
        assert any(how.get(hand.pid) in {End.CRASHED, End.KILLED} for hand in in_hand if hand.item_id == item_id)


def test_those_next_to_a_death_are_no_suspects() -> None:
    """A pool ends all processes when one dies; what these had in hand is only done again."""
    in_hand = [InHand(pid=pid, item_id=pid * 10, started_s=0) for pid in (1, 2, 3, 4)]
    how = {1: End.CRASHED, 2: End.ASKED, 3: End.UNKNOWN}
    assert judge(in_hand, how, ()).suspects == (10,)


@given(st.lists(st.sampled_from(End), max_size=8))
def test_blame_only_grows(alone: list[End]) -> None:
    """What is to blame stays so; an end that nobody can tell changes nothing."""
    assert is_to_blame([*alone, End.CRASHED])
    assert is_to_blame([*alone, End.UNKNOWN]) == is_to_blame(alone)
    assert is_to_blame([*alone, *[End.KILLED] * LONE_KILLS])
    assert not is_to_blame(alone) or is_to_blame([*alone, End.KILLED])


def test_a_crash_suffices_and_a_kill_does_not() -> None:
    assert is_to_blame([End.CRASHED])
    assert "crash" in blame([End.CRASHED])
    assert not is_to_blame([End.KILLED] * (LONE_KILLS - 1))
    assert f"{LONE_KILLS + 1} times" in blame([End.KILLED] * LONE_KILLS)


@given(hands, st.floats(0, 200), st.floats(0, 50))
def test_the_overdue(in_hand: list[InHand], now_s: float, limit_s: float) -> None:
    late = overdue(in_hand, now_s, limit_s)
    assert [hand for hand in in_hand if now_s - hand.started_s > limit_s] == late


@pytest.mark.parametrize(("crews", "idle_s", "futile"), [(9, 1000, False), (1000, 59, False), (10, 60, True)])
def test_many_crews_and_a_long_time_are_futile(crews: int, idle_s: float, *, futile: bool) -> None:
    assert is_futile(crews, idle_s) is futile
