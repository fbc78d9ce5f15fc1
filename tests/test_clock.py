"""The clock of timeouts: it stands still while the process does not run."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.clock import MAX_STEP_S, ActiveClock

short = st.floats(0, MAX_STEP_S, exclude_max=True)
steps = st.lists(st.one_of(short, st.floats(0, 1e6)), max_size=30)


class Machine:
    """Time as the machine counts it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(short, max_size=30), st.floats(0, MAX_STEP_S / 2))
def test_it_is_the_time_of_the_machine_while_it_is_kept(steps: list[float], rest_s: float) -> None:
    machine = Machine()
    clock = ActiveClock(machine)
    for step in steps:
        machine.now_s += step * 0.999
        clock.beat()
    machine.now_s += rest_s
    assert clock() == machine.now_s


@given(steps)
def test_of_a_gap_only_the_longest_step_counts(steps: list[float]) -> None:
    """Whether it is found by the one who keeps the clock or by a reader: a stop of a week is a second."""
    machine = Machine()
    kept, read = ActiveClock(machine), ActiveClock(machine)
    for step in steps:
        before = kept(), read()
        machine.now_s += step
        kept.beat()
        assert kept() - before[0] == pytest.approx(min(step, MAX_STEP_S), abs=1e-5)
        assert 0 <= read() - before[1] <= min(step, MAX_STEP_S) + 1e-5


def test_threads_that_wake_together_find_one_gap() -> None:
    """All of them see the same second gone by, and none a time before or after it."""
    ticks = itertools.count()
    jumped = threading.Event()

    def machine() -> float:
        return next(ticks) * 1e-6 + (1e6 if jumped.is_set() else 0)

    clock = ActiveClock(machine)
    seen: list[float] = []
    barrier = threading.Barrier(8)

    def read() -> None:
        barrier.wait()
        seen.extend(clock() for _ in range(200))

    start_s = clock()
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    jumped.set()
    for thread in threads:
        thread.join()
    assert start_s <= min(seen)
    assert max(seen) <= start_s + MAX_STEP_S + 1
