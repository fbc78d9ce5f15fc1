from collections import Counter, deque

from hypothesis import example, given, settings
from hypothesis import strategies as st

from downloader.scheduling.host_queue import HostQueue, Wait

HOSTS = ["a", "b", "c"]
Steps = list[tuple[str, str, float]]
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "take", "take", "done", "reschedule", "pause", "halve", "sleep"]),
        st.sampled_from(HOSTS),
        st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0, 25.0]),
    ),
    max_size=60,
)


class Simulation:
    """A host queue driven by a clock that only moves when told to; every take is checked against the rules."""

    def __init__(self, per_host: int, delay_s: float) -> None:
        self.queue: HostQueue[int] = HostQueue(per_host, delay_s)
        self.per_host, self.delay_s = per_host, delay_s
        self.now_s = 0.0
        self.added = 0
        self.in_flight: deque[tuple[str, int]] = deque()
        self.finished: list[int] = []
        self.last_begun: dict[str, float] = {}
        self.paused_until: dict[str, float] = {}
        self.not_before: dict[int, float] = {}

    def step(self, what: str, host: str, seconds: float) -> None:
        match what:
            case "add":
                self.queue.add(host, self.added, self.now_s)
                self.added += 1
            case "take":
                self.take()
            case "done" if self.in_flight:
                host, work = self.in_flight.popleft()
                self.queue.done(host, self.now_s)
                self.finished.append(work)
            case "reschedule" if self.in_flight:
                host, work = self.in_flight.pop()
                self.queue.reschedule(host, work, self.now_s, seconds)
                self.queue.done(host, self.now_s)
                self.not_before[work] = self.now_s + seconds
            case "pause":
                self.queue.pause(host, self.now_s, seconds)
                self.paused_until[host] = max(self.paused_until.get(host, 0.0), self.now_s + seconds)
            case "halve":
                self.queue.halve(host, self.now_s)
            case "sleep":
                self.now_s += seconds
        assert self.queue.size + len(self.in_flight) + len(self.finished) == self.added
        assert self.queue.in_flight == len(self.in_flight)

    def take(self) -> Wait | None:
        found = self.queue.take(self.now_s)
        if isinstance(found, Wait):
            return found
        host, work = found
        self.in_flight.append(found)
        assert sum(name == host for name, _ in self.in_flight) <= self.per_host, "too many at one host"
        if host in self.last_begun:
            assert self.now_s - self.last_begun[host] >= self.delay_s, "too soon after the one before"
        assert self.now_s >= self.paused_until.get(host, 0.0), "asked during its pause"
        self.last_begun[host] = self.now_s
        assert self.now_s >= self.not_before.get(work, 0.0), "tried again too early"
        return None

    def drain(self) -> None:
        """Take and finish until nothing is left, sleeping exactly as long as the queue says."""
        for _ in range(10 * self.added + 200):
            wait = self.take()
            if wait is None:
                continue
            if self.in_flight:
                self.step("done", "", 0.0)
            elif wait.seconds is None:
                return
            else:
                self.now_s += wait.seconds
        raise AssertionError("the queue never comes to an end")


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 4), st.sampled_from([0.0, 1.0, 7.0]), steps)
@example(1, 0.0, [("add", "a", 0.0)] * 2 + [("halve", "a", 0.0), ("sleep", "", 10.0)] + [("take", "", 0.0)] * 2)
def test_the_limits_hold_and_nothing_is_lost(per_host: int, delay_s: float, todo: Steps) -> None:
    """Whatever happens: per_host, delay, pauses and retry times are kept; every item ends, once; waits are finite."""
    simulation = Simulation(per_host, delay_s)
    for what, host, seconds in todo:
        simulation.step(what, host, seconds)
    simulation.drain()
    assert sorted(simulation.finished) == list(range(simulation.added))
    assert simulation.queue.size == simulation.queue.in_flight == 0


@given(st.integers(1, 8))
def test_a_long_host_does_not_starve_those_behind_it(per_host: int) -> None:
    """10,000 items of one host stand before one item each of 100 hosts: these begin within two rounds."""
    queue: HostQueue[int] = HostQueue(per_host)
    for number in range(10_000):
        queue.add("big", number, 0.0)
    for number in range(100):
        queue.add(f"small{number}", number, 0.0)
    taken: list[str] = []
    while not isinstance(found := queue.take(0.0), Wait) and len(taken) < 202:
        taken.append(found[0])
    assert len(set(taken)) == 101
    assert Counter(taken)["big"] == per_host


def test_hosts_take_turns_in_the_order_they_came() -> None:
    """Round robin over hosts; within one host, first come, first served."""
    queue: HostQueue[int] = HostQueue(per_host=10)
    for number, host in enumerate("aaabbc"):
        queue.add(host, number, 0.0)
    order = [queue.take(0.0) for _ in range(6)]
    assert order == [("a", 0), ("b", 3), ("c", 5), ("a", 1), ("b", 4), ("a", 2)]


def test_take_says_how_long_to_wait() -> None:
    """The seconds until the first host may be asked; None where only `done` or `add` can change anything."""
    queue: HostQueue[int] = HostQueue(per_host=1, delay_s=4.0)
    assert queue.take(0.0) == Wait(None)
    for number in range(3):
        queue.add("a", number, 0.0)
    assert queue.take(0.0) == ("a", 0)
    queue.done("a", 1.0)
    assert queue.take(1.0) == Wait(3.0)
    assert queue.take(4.0) == ("a", 1)
    queue.pause("a", 4.0, 20.0)
    queue.done("a", 5.0)
    wait = queue.take(5.0)
    assert isinstance(wait, Wait)
    assert wait.seconds is not None
    assert 0 < wait.seconds <= 19.0
    assert queue.take(24.0) == ("a", 2)


def test_a_full_host_waits_for_an_end() -> None:
    """With per_host under way nothing more is given out until one is done."""
    queue: HostQueue[int] = HostQueue(per_host=2)
    for number in range(3):
        queue.add("a", number, 0.0)
    assert [queue.take(0.0), queue.take(0.0)] == [("a", 0), ("a", 1)]
    assert queue.take(100.0) == Wait(None)
    queue.done("a", 100.0)
    assert queue.take(100.0) == ("a", 2)


def _can_take(queue: HostQueue[int], now_s: float) -> int:
    """How many of host "a" may be under way now; all are given back."""
    taken = 0
    while not isinstance(queue.take(now_s), Wait):
        taken += 1
    for number in range(taken):
        queue.add("a", number, now_s)
        queue.done("a", now_s)
    return taken


def test_a_halved_host_gets_half_and_recovers_by_one_each_ten_seconds() -> None:
    """halve() halves, never below one; then one more every 10 s, up to per_host and no further."""
    queue: HostQueue[int] = HostQueue(per_host=8)
    for number in range(20):
        queue.add("a", number, 0.0)
    assert _can_take(queue, 0.0) == 8
    queue.halve("a", 0.0)
    assert _can_take(queue, 1.0) == 4
    queue.halve("a", 1.0)
    queue.halve("a", 1.0)
    queue.halve("a", 1.0)
    for now_s, expected in ((2.0, 1), (12.0, 2), (22.0, 3), (71.0, 8), (500.0, 8)):
        _can_take(queue, now_s)  # the host enters the round again with its new limit
        assert _can_take(queue, now_s) == expected


@given(st.floats(0.01, 1000), st.floats(0, 1000))
def test_what_is_to_be_tried_again_comes_back_when_its_time_has_come(after_s: float, now_s: float) -> None:
    """Not before its delay, at once after it, and before others of its host: it has waited already."""
    queue: HostQueue[str] = HostQueue(per_host=1)
    queue.add("a", "failing", now_s)
    assert queue.take(now_s) == ("a", "failing")
    queue.reschedule("a", "failing", now_s, after_s)
    queue.done("a", now_s)
    assert queue.size == 1
    wait = queue.take(now_s)
    assert isinstance(wait, Wait)
    assert wait.seconds is not None
    queue.add("b", "other", now_s)
    assert queue.take(now_s) == ("b", "other")
    queue.add("a", "later", now_s + after_s + 1)
    assert queue.take(now_s + after_s + 1) == ("a", "failing")


def test_hosts_that_are_done_are_forgotten() -> None:
    """Memory does not grow with the hosts of a list."""
    queue: HostQueue[int] = HostQueue(per_host=2)
    for number in range(1000):
        queue.add(f"h{number}", number, float(number))
        queue.take(float(number))
        queue.done(f"h{number}", float(number))
    assert queue.hosts <= 1


def test_hosts_that_are_done_are_forgotten_with_a_delay_too() -> None:
    """The same with --host-delay: a host whose delay is over and that has nothing left takes no memory."""
    queue: HostQueue[int] = HostQueue(per_host=2, delay_s=1.0)
    for number in range(1000):
        queue.add(f"h{number}", number, float(number))
        queue.take(float(number))
        queue.done(f"h{number}", number + 0.5)
    queue.take(5000.0)
    assert queue.hosts <= 10
