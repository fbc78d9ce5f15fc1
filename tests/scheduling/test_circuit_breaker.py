"""When a host is set aside, and when it is asked again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.model.failures import FailureKind
from downloader.scheduling.circuit_breaker import CircuitBreaker
from downloader.scheduling.host_queue import HostQueue, Wait
from downloader.scheduling.interface import Block, HostFailure

HOST = "h.test"
PATIENCE_S = 10.0


def failure(seconds: float = 0.0, at: str = HOST) -> HostFailure:
    return HostFailure(at, seconds, "timed out", FailureKind.TIMEOUT)


def failing(attempts: int = 4, *, each_s: float = 10.0, number: int | None = None) -> CircuitBreaker:
    """A breaker after so many failures in a row, one after another, that took `each_s` each."""
    breaker = CircuitBreaker(attempts, PATIENCE_S)
    for index in range(attempts if number is None else number):
        breaker.failed(HOST, failure(each_s), (index + 1) * each_s, in_flight=0)
    return breaker


def test_a_host_is_set_aside_after_so_many_failures_in_a_row() -> None:
    assert not failing(number=1).is_open(HOST)
    breaker = failing()
    assert breaker.is_open(HOST)
    block = breaker.next_block(HOST, 41.0)
    assert block is not None
    assert (block.kind, block.reason) == (
        FailureKind.TIMEOUT,
        f"the last 4 attempts at {HOST} failed (timed out)",
    )


def test_one_success_clears_it() -> None:
    breaker = failing(number=3)
    breaker.answered(HOST)
    breaker.failed(HOST, failure(10.0), 50.0, in_flight=0)
    assert not breaker.is_open(HOST)
    breaker = failing()
    breaker.answered(HOST)
    assert not breaker.is_failing(HOST)


def test_a_host_that_fails_at_once_gets_time_to_come_back() -> None:
    """It may be restarting: it is left alone in between, and only then set aside."""
    breaker = CircuitBreaker(4, PATIENCE_S)
    now_s, attempts = 0.0, 0
    while not breaker.is_open(HOST):
        now_s += breaker.failed(HOST, failure(), now_s, in_flight=0)
        attempts += 1
    assert now_s >= PATIENCE_S
    assert 4 <= attempts <= 4 + 4


def test_attempts_in_flight_may_still_succeed() -> None:
    breaker = failing(number=3)
    breaker.failed(HOST, failure(10.0), 40.0, in_flight=2)
    assert not breaker.is_open(HOST)
    breaker.failed(HOST, failure(10.0), 40.0, in_flight=0)
    assert breaker.is_open(HOST)


def test_fewer_and_fewer_attempts_are_in_flight() -> None:
    breaker = CircuitBreaker(4, PATIENCE_S)
    limits = []
    for _ in range(5):
        limits.append(breaker.limit(HOST))
        breaker.failed(HOST, failure(), 0.0, in_flight=1)
    assert limits == [None, 3, 2, 1, 1]


def test_before_a_host_is_blamed_rows_from_far_behind_are_tried() -> None:
    """Neighbours in a list often share a fault; rows that have waited for another attempt are neighbours as well."""
    breaker = CircuitBreaker(4, PATIENCE_S)
    queue: HostQueue[int] = HostQueue(1, breaker=breaker)
    for row in range(9):
        queue.add(HOST, row, 0.0)
    taken = []
    for _ in range(4):
        found = queue.take(0.0)
        assert not isinstance(found, Wait)
        taken.append(found[1])
        breaker.failed(HOST, failure(), 0.0, in_flight=0)
        queue.done(HOST, 0.0)
    assert taken == [0, 1, 8, 7]
    breaker.answered(HOST)
    assert queue.take(0.0) == (HOST, 2)


def test_probes_become_rare_and_a_success_of_one_clears_everything() -> None:
    breaker = failing()
    probes = [now_s for now_s in range(40, 2000) if breaker.next_block(HOST, float(now_s)) is None]
    gaps = [later - earlier for earlier, later in pairwise(probes)]
    assert 2 <= len(probes) <= 6
    assert gaps == sorted(gaps)
    breaker.answered(HOST)
    assert breaker.next_block(HOST, 2000.0) is None


def test_a_host_that_asks_for_a_pause_longer_than_anybody_waits_is_set_aside_for_so_long() -> None:
    breaker = CircuitBreaker(None)
    block = Block("busy", FailureKind.HTTP_STATUS, 429)
    breaker.block(HOST, block, 0.0, 900.0)
    assert breaker.next_block(HOST, 899.0) is block
    assert breaker.next_block(HOST, 901.0) is None


def test_off_sets_nothing_aside() -> None:
    breaker = CircuitBreaker(None)
    for number in range(100):
        breaker.failed(HOST, failure(), float(number), in_flight=0)
    assert not breaker.is_open(HOST)


def test_what_was_set_aside_is_counted_by_host() -> None:
    breaker = CircuitBreaker()
    block = Block("down", FailureKind.CONNECT)
    for host in ("a", "b", "b"):
        breaker.count(host, block)
    assert [(entry.host, entry.items, entry.reason) for entry in breaker.set_aside] == [
        ("b", 2, "down"),
        ("a", 1, "down"),
    ]


def test_failing_hosts_that_are_remembered_are_bounded() -> None:
    breaker = CircuitBreaker(2, PATIENCE_S)
    for number in range(20_001):
        breaker.failed(f"h{number}", failure(), 0.0, in_flight=0)
    assert not breaker.is_failing("h0")
    assert breaker.is_failing("h20000")


@given(st.integers(2, 20), st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=80), st.integers(0, 3))
def test_it_opens_only_after_enough_failures_in_a_row(
    attempts: int, happened: list[tuple[bool, float]], in_flight: int
) -> None:
    """However attempts end: half of the limit at least, all without a success between them."""
    breaker = CircuitBreaker(attempts, PATIENCE_S)
    now_s, in_a_row = 0.0, 0
    for is_success, seconds in happened:
        now_s += seconds
        if is_success:
            breaker.answered(HOST)
            in_a_row = 0
        else:
            breaker.failed(HOST, failure(seconds), now_s, in_flight=in_flight)
            in_a_row += 1
        assert not (breaker.is_open(HOST) and 2 * in_a_row < attempts)
        assert not (breaker.is_open(HOST) and in_flight and not is_success)


@pytest.mark.parametrize("rows", [40, 1000])
def test_a_dead_host_costs_the_same_however_many_rows_it_has(rows: int) -> None:
    """Simulated: every attempt hangs for 10 s; the others are handed out with the block, at once."""
    breaker = CircuitBreaker(16, PATIENCE_S)
    queue: HostQueue[int] = HostQueue(8, breaker=breaker)
    for row in range(rows):
        queue.add(HOST, row, 0.0)
    now_s, attempts = 0.0, 0
    ends: list[float] = []
    while queue.size or ends:
        found = queue.take(now_s)
        if isinstance(found, Wait):
            now_s = ends.pop(0)
            breaker.failed(HOST, failure(10.0), now_s, in_flight=queue.in_flight_at(HOST) - 1)
            if breaker.is_open(HOST):
                queue.release(HOST, now_s)
            queue.done(HOST, now_s)
        elif breaker.next_block(HOST, now_s) is None:
            attempts += 1
            ends.append(now_s + 10.0)
        else:
            queue.done(HOST, now_s)
    assert attempts <= 16
    assert now_s <= 60
