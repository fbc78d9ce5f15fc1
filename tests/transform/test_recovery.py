"""Which item is to blame: laws of the verdicts."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import CannotGoOn
from downloader.transform.recovery import (
    MAX_QUARANTINE_KILLS,
    Assignment,
    ExitCause,
    FailureStreak,
    InterruptedWork,
    LifeSigns,
    crash_message,
    exit_cause,
    is_futile_start,
    is_to_blame,
    judge,
    patience_s,
)

CRASHED, KILLED, TERMINATED, UNKNOWN = ExitCause
pids = st.integers(1, 6)
assignments = st.builds(Assignment, pid=pids, item_id=st.integers(1, 9), started_s=st.floats(0, 100))
interruptions = st.lists(
    st.builds(InterruptedWork, assignment=assignments, cause=st.sampled_from(ExitCause)), max_size=6
)


@pytest.mark.parametrize(
    ("exit_code", "cause"),
    [
        (-signal.SIGSEGV, CRASHED),
        (-signal.SIGABRT, CRASHED),
        (1, CRASHED),
        (0, CRASHED),
        (-signal.SIGKILL, KILLED),
        (-signal.SIGTERM, TERMINATED),
        (255, UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_the_exit_code_tells_why_a_process_ended(exit_code: int | None, cause: ExitCause) -> None:
    assert exit_cause(exit_code) is cause


@given(interruptions, st.sets(pids), st.sets(pids))
def test_verdicts(interrupted: list[InterruptedWork], overdue: set[int], stopped: set[int]) -> None:
    """Only interrupted items are judged; no item twice; a worker that was terminated with the pool proves nothing."""
    verdict = judge(interrupted, overdue, stopped)
    timed_out = [assignment.item_id for assignment in verdict.timed_out]
    suspects = [assignment.item_id for assignment in verdict.suspects]
    assert len(set(timed_out + suspects)) == len(timed_out + suspects)
    assert set(timed_out) == {each.assignment.item_id for each in interrupted if each.assignment.pid in overdue}
    for item_id in suspects:
        assert any(
            each.cause in {CRASHED, KILLED} or each.assignment.pid in stopped
            for each in interrupted
            if each.assignment.item_id == item_id
        )


def test_items_next_to_a_death_are_no_suspects() -> None:
    """A pool ends all processes when one dies; what the others were working on is simply retried."""
    causes = (CRASHED, TERMINATED, UNKNOWN)
    hands = [Assignment(pid=pid, item_id=pid * 10, started_s=0) for pid in (1, 2, 3)]
    interrupted = [InterruptedWork(assignment=a, cause=cause) for a, cause in zip(hands, causes, strict=True)]
    assert judge(interrupted, ()).suspects == (hands[0],)


@given(st.lists(st.sampled_from(ExitCause), max_size=8))
def test_blame_only_grows(causes: list[ExitCause]) -> None:
    """An item that is to blame stays so; an unknown end changes nothing."""
    assert is_to_blame([*causes, CRASHED])
    assert is_to_blame([*causes, UNKNOWN]) == is_to_blame(causes)
    assert is_to_blame([*causes, *[KILLED] * MAX_QUARANTINE_KILLS])
    assert not is_to_blame(causes) or is_to_blame([*causes, KILLED])


def test_one_crash_is_enough_and_one_kill_is_not() -> None:
    assert is_to_blame([CRASHED])
    assert "crash" in crash_message([CRASHED])
    assert not is_to_blame([KILLED] * (MAX_QUARANTINE_KILLS - 1))
    assert f"{MAX_QUARANTINE_KILLS + 1} times" in crash_message([KILLED] * MAX_QUARANTINE_KILLS)


@given(st.lists(st.tuples(st.floats(0, 20), st.sets(assignments, max_size=3), st.booleans()), max_size=20))
def test_life_signs(looks: list[tuple[float, set[Assignment], bool]]) -> None:
    """A pool is silent from the last look at which something had changed, or nothing was to change."""
    signs, now_s = LifeSigns(), 100.0
    changed_s, since_s = now_s, dict[Assignment, float]()
    assert signs.silent_s(now_s) == 0
    for number, (step_s, seen, expects_change) in enumerate(looks):
        now_s += step_s
        if number == 0 or not expects_change or seen != since_s.keys():
            changed_s = now_s
        since_s = {each: since_s.get(each, now_s) for each in seen}
        signs.observe(seen, now_s, expects_change=expects_change)
        assert signs.silent_s(now_s) == now_s - changed_s
        assert set(signs.longer_than(5, now_s)) == {each for each in seen if now_s - since_s[each] > 5}


@given(st.floats(0.1, 1e6))
def test_patience_lasts_longer_than_any_item(limit_s: float) -> None:
    """Seconds longer, and long enough for a pool to start."""
    assert max(limit_s + 1, 10) <= patience_s(limit_s) <= limit_s + 10


@pytest.mark.parametrize(("failures", "end_s", "hopeless"), [(9, 1000, False), (1000, 59, False), (10, 60, True)])
def test_many_failures_over_a_long_time_end_the_run(failures: int, end_s: float, *, hopeless: bool) -> None:
    streak = FailureStreak()
    for _ in range(failures - 1):
        streak.failure(0.0)
    if hopeless:
        with pytest.raises(CannotGoOn):
            streak.failure(end_s)
    else:
        streak.failure(end_s)


def test_a_result_ends_the_streak() -> None:
    streak = FailureStreak()
    for now_s in range(0, 1000, 10):
        if now_s % 50 == 0:
            streak.progress()
        streak.failure(now_s)


@pytest.mark.parametrize(
    ("attempts", "seconds", "futile"), [(1, 60.0, False), (19, 60.0, False), (200, 9.9, False), (20, 10.0, True)]
)
def test_a_start_is_futile_after_many_attempts_and_some_time(attempts: int, seconds: float, *, futile: bool) -> None:
    assert is_futile_start(attempts, seconds) is futile


def test_a_start_among_others_that_have_run_gets_a_minute() -> None:
    assert not is_futile_start(20, 59.9, have_run=True)
    assert is_futile_start(20, 60.0, have_run=True)
