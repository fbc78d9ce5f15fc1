"""The supervisor: threads end in order, the first problem is kept, signals drain and abort."""

import threading

import pytest

from downloader.errors import ConfigError, OutputError
from downloader.stop import Stop
from downloader.supervisor import Supervisor


def test_it_returns_when_all_threads_have_ended() -> None:
    """And what is to be done after each was done."""
    stop, done = Stop(), []
    supervisor = Supervisor(stop, lambda: None)
    threads = [
        supervisor.start(f"t{number}", lambda: None, then=lambda number=number: done.append(number))  # type: ignore[misc]
        for number in range(5)
    ]
    supervisor.watch(threads, lambda: None)
    assert sorted(done) == [0, 1, 2, 3, 4]
    supervisor.raise_problem()
    assert not stop.draining.is_set()


@pytest.mark.parametrize(("problem", "aborts"), [(OutputError("full"), True), (ConfigError("bad"), False)])
def test_a_thread_that_fails_stops_the_run(problem: Exception, *, aborts: bool) -> None:
    """At once where the run cannot go on, else after what is in flight; the problem is raised in the end."""
    stop = Stop()
    supervisor = Supervisor(stop, lambda: None)

    def fail() -> None:
        raise problem

    supervisor.watch([supervisor.start("failing", fail)], lambda: None)
    assert stop.draining.is_set()
    assert stop.aborted.is_set() == aborts
    with pytest.raises(type(problem), match=str(problem)):
        supervisor.raise_problem()


def test_the_first_problem_is_kept() -> None:
    stop = Stop()
    supervisor = Supervisor(stop, lambda: None)
    first = threading.Event()

    def fail_first() -> None:
        try:
            raise OutputError("first")
        finally:
            first.set()

    def fail_second() -> None:
        stop.aborted.wait(10)
        raise OutputError("second")

    threads = [supervisor.start("second", fail_second), supervisor.start("first", fail_first)]
    for thread in threads:
        thread.join(10)
    with pytest.raises(OutputError, match="first"):
        supervisor.raise_problem()


def test_a_second_signal_wakes_threads_that_wait_for_io() -> None:
    """The first only drains; with the second `abort` is called, and threads that wake from it are waited for."""
    stop, woken = Stop(), threading.Event()
    supervisor = Supervisor(stop, woken.set)

    def wait() -> None:
        woken.wait(60)

    thread = supervisor.start("waiting", wait)
    ticks = []

    def tick() -> None:
        ticks.append(stop.draining.is_set())
        stop.signalled(2)

    supervisor.watch([thread], tick)
    assert woken.is_set()
    assert not thread.is_alive()
    assert ticks == [False, True]
