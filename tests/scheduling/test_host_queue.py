from collections import Counter, deque

from hypothesis import example, given, settings
from hypothesis import strategies as st

from downloader.scheduling.host_queue import HostQueue, Wait

HOSTS = ["a", "b", "c", ""]
Steps = list[tuple[str, str, float]]
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "take", "take", "done", "again", "pause", "lower", "sleep"]),
        st.sampled_from(HOSTS),
        st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0, 25.0]),
    ),
    max_size=60,
)


class Simulation:
    """An agenda driven by a clock that only moves when told to; every take is checked against the rules."""

    def __init__(self, per_host: int, delay_s: float) -> None:
        self.agenda: HostQueue[int] = HostQueue(per_host, delay_s)
        self.per_host, self.delay_s = per_host, delay_s
        self.now_s = 0.0
        self.added = 0
        self.under_way: deque[tuple[str, int]] = deque()
        self.finished: list[int] = []
        self.last_begun: dict[str, float] = {}
        self.paused_until: dict[str, float] = {}
        self.not_before: dict[int, float] = {}

    def step(self, what: str, host: str, seconds: float) -> None:
        match what:
            case "add":
                self.agenda.add(host, self.added, self.now_s)
                self.added += 1
            case "take":
                self.take()
            case "done" if self.under_way:
                host, work = self.under_way.popleft()
                self.agenda.done(host, self.now_s)
                self.finished.append(work)
            case "again" if self.under_way:
                host, work = self.under_way.pop()
                self.agenda.again(host, work, self.now_s, seconds)
                self.agenda.done(host, self.now_s)
                self.not_before[work] = self.now_s + seconds
            case "pause" if host:
                self.agenda.pause(host, self.now_s, seconds)
                self.paused_until[host] = max(self.paused_until.get(host, 0.0), self.now_s + seconds)
            case "lower" if host:
                self.agenda.lower(host, self.now_s)
            case "sleep":
                self.now_s += seconds
        assert self.agenda.size + len(self.under_way) + len(self.finished) == self.added
        assert self.agenda.under_way == len(self.under_way)

    def take(self) -> Wait | None:
        found = self.agenda.take(self.now_s)
        if isinstance(found, Wait):
            return found
        host, work = found
        self.under_way.append(found)
        if host:
            assert sum(name == host for name, _ in self.under_way) <= self.per_host, "too many at one host"
            if host in self.last_begun:
                assert self.now_s - self.last_begun[host] >= self.delay_s, "too soon after the one before"
            assert self.now_s >= self.paused_until.get(host, 0.0), "asked during its pause"
            self.last_begun[host] = self.now_s
        assert self.now_s >= self.not_before.get(work, 0.0), "tried again too early"
        return None

    def drain(self) -> None:
        """Take and finish until nothing is left, sleeping exactly as long as the agenda says."""
        for _ in range(10 * self.added + 200):
            wait = self.take()
            if wait is None:
                continue
            if self.under_way:
                self.step("done", "", 0.0)
            elif wait.seconds is None:
                return
            else:
                self.now_s += wait.seconds
        raise AssertionError("the agenda never comes to an end")


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 4), st.sampled_from([0.0, 1.0, 7.0]), steps)
@example(1, 0.0, [("add", "a", 0.0)] * 2 + [("lower", "a", 0.0), ("sleep", "", 10.0)] + [("take", "", 0.0)] * 2)
def test_the_limits_hold_and_nothing_is_lost(per_host: int, delay_s: float, todo: Steps) -> None:
    """Whatever happens: per_host, delay, pauses and retry times are kept; every item ends, once; waits are finite."""
    simulation = Simulation(per_host, delay_s)
    for what, host, seconds in todo:
        simulation.step(what, host, seconds)
    simulation.drain()
    assert sorted(simulation.finished) == list(range(simulation.added))
    assert simulation.agenda.size == simulation.agenda.under_way == 0


@given(st.integers(1, 8))
def test_a_long_host_does_not_starve_those_behind_it(per_host: int) -> None:
    """10,000 items of one host stand before one item each of 100 hosts: these begin within two rounds."""
    agenda: HostQueue[int] = HostQueue(per_host)
    for number in range(10_000):
        agenda.add("big", number, 0.0)
    for number in range(100):
        agenda.add(f"small{number}", number, 0.0)
    taken = []
    while not isinstance(found := agenda.take(0.0), Wait) and len(taken) < 202:
        taken.append(found[0])
    assert len(set(taken)) == 101
    assert Counter(taken)["big"] == per_host


def test_hosts_take_turns_in_the_order_they_came() -> None:
    """Round robin over hosts; within one host, first come, first served."""
    agenda: HostQueue[int] = HostQueue(per_host=10)
    for number, host in enumerate("aaabbc"):
        agenda.add(host, number, 0.0)
    order = [agenda.take(0.0) for _ in range(6)]
    assert order == [("a", 0), ("b", 3), ("c", 5), ("a", 1), ("b", 4), ("a", 2)]


def test_take_says_how_long_to_wait() -> None:
    """The seconds until the first host may be asked; None where only `done` or `add` can change anything."""
    agenda: HostQueue[int] = HostQueue(per_host=1, delay_s=4.0)
    assert agenda.take(0.0) == Wait(None)
    for number in range(3):
        agenda.add("a", number, 0.0)
    assert agenda.take(0.0) == ("a", 0)
    agenda.done("a", 1.0)
    assert agenda.take(1.0) == Wait(3.0)
    assert agenda.take(4.0) == ("a", 1)
    agenda.pause("a", 4.0, 20.0)
    agenda.done("a", 5.0)
    wait = agenda.take(5.0)
    assert isinstance(wait, Wait)
    assert wait.seconds is not None
    assert 0 < wait.seconds <= 19.0
    assert agenda.take(24.0) == ("a", 2)


def test_a_full_host_waits_for_an_end() -> None:
    """With per_host under way nothing more is given out until one is done."""
    agenda: HostQueue[int] = HostQueue(per_host=2)
    for number in range(3):
        agenda.add("a", number, 0.0)
    assert [agenda.take(0.0), agenda.take(0.0)] == [("a", 0), ("a", 1)]
    assert agenda.take(100.0) == Wait(None)
    agenda.done("a", 100.0)
    assert agenda.take(100.0) == ("a", 2)


def _can_take(agenda: HostQueue[int], now_s: float) -> int:
    """How many of host "a" may be under way now; all are given back."""
    taken = 0
    while not isinstance(agenda.take(now_s), Wait):
        taken += 1
    for number in range(taken):
        agenda.add("a", number, now_s)
        agenda.done("a", now_s)
    return taken


def test_a_lowered_host_gets_half_and_recovers_by_one_each_ten_seconds() -> None:
    """lower() halves, never below one; then one more every 10 s, up to per_host and no further."""
    agenda: HostQueue[int] = HostQueue(per_host=8)
    for number in range(20):
        agenda.add("a", number, 0.0)
    assert _can_take(agenda, 0.0) == 8
    agenda.lower("a", 0.0)
    assert _can_take(agenda, 1.0) == 4
    agenda.lower("a", 1.0)
    agenda.lower("a", 1.0)
    agenda.lower("a", 1.0)
    for now_s, expected in ((2.0, 1), (12.0, 2), (22.0, 3), (71.0, 8), (500.0, 8)):
        _can_take(agenda, now_s)  # the host enters the round again with its new limit
        assert _can_take(agenda, now_s) == expected


@given(st.floats(0.01, 1000), st.floats(0, 1000))
def test_what_is_to_be_tried_again_comes_back_when_its_time_has_come(after_s: float, now_s: float) -> None:
    """Not before its delay, at once after it, and before others of its host: it has waited already."""
    agenda: HostQueue[str] = HostQueue(per_host=1)
    agenda.add("a", "failing", now_s)
    assert agenda.take(now_s) == ("a", "failing")
    agenda.again("a", "failing", now_s, after_s)
    agenda.done("a", now_s)
    assert agenda.size == 1
    wait = agenda.take(now_s)
    assert isinstance(wait, Wait)
    assert wait.seconds is not None
    agenda.add("b", "other", now_s)
    assert agenda.take(now_s) == ("b", "other")
    agenda.add("a", "later", now_s + after_s + 1)
    assert agenda.take(now_s + after_s + 1) == ("a", "failing")


def test_files_of_this_machine_have_no_limit() -> None:
    """The host "" knows neither per_host nor delay."""
    agenda: HostQueue[int] = HostQueue(per_host=1, delay_s=5.0)
    for number in range(50):
        agenda.add("", number, 0.0)
    assert [agenda.take(0.0) for _ in range(50)] == [("", number) for number in range(50)]


def test_hosts_that_are_done_are_forgotten() -> None:
    """Memory does not grow with the hosts of a list."""
    agenda: HostQueue[int] = HostQueue(per_host=2)
    for number in range(1000):
        agenda.add(f"h{number}", number, float(number))
        agenda.take(float(number))
        agenda.done(f"h{number}", float(number))
    assert len(agenda._hosts) <= 1


def test_hosts_that_are_done_are_forgotten_with_a_delay_too() -> None:
    """The same with --host-delay: a host whose delay is over and that has nothing left takes no memory."""
    agenda: HostQueue[int] = HostQueue(per_host=2, delay_s=1.0)
    for number in range(1000):
        agenda.add(f"h{number}", number, float(number))
        agenda.take(float(number))
        agenda.done(f"h{number}", number + 0.5)
    agenda.take(5000.0)
    assert len(agenda._hosts) <= 10
