"""The scheduler: every row of a growing plan is handed out once, within the limits; driven on a fake clock."""

import threading
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.model.failures import FailureKind
from downloader.scheduling.host_queue import Wait
from downloader.scheduling.interface import Block, Lease
from downloader.scheduling.scheduler import Entry, ReadHost, ReadNext, Scheduler, read_plan


class Plan:
    """A list of hosts, one a row, as the journal holds it."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = hosts
        self.open = len(hosts)
        """Rows that are in the plan so far."""

    def next_rows(self, after: int, limit: int) -> list[Entry[int]]:
        rows = [Entry(number, host, number) for number, host in enumerate(self.hosts[: self.open], 1)]
        return [entry for entry in rows if entry.sequence > after][:limit]

    def host_rows(self, host: str, start: int, stop: int, limit: int) -> list[Entry[int]]:
        rows = self.next_rows(0, len(self.hosts))
        return [entry for entry in rows if entry.host == host and start <= entry.sequence <= stop][:limit]

    def answer(self, read: ReadNext | ReadHost) -> list[Entry[int]]:
        if isinstance(read, ReadHost):
            return self.host_rows(read.host, read.start, read.stop, read.limit)
        return self.next_rows(read.after, read.limit)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def drained(scheduler: Scheduler[int], plan: Plan, clock: Clock) -> list[int]:
    """Take and finish all tasks, reading the plan as asked; the order in which they were handed out."""
    order: list[int] = []
    leases: list[Lease[int]] = []
    for _ in range(50 * len(plan.hosts) + 1000):
        while (read := scheduler.poll_read()) is not None:
            scheduler.admit(read, plan.answer(read))
        found = scheduler.poll()
        if found is None:
            return order
        if isinstance(found, Lease):
            order.append(found.task)
            leases.append(found)
        elif leases:
            scheduler.done(leases.pop(0))
        elif found.seconds is not None:
            clock.now_s += found.seconds
    raise AssertionError("the scheduler never comes to an end")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["a", "a", "a", "a", "b", "c", "d"]), max_size=700),
    st.integers(1, 3),
    st.sampled_from([0.0, 2.0]),
    st.integers(1, 300),
)
def test_every_row_is_handed_out_once(hosts: list[str], per_host: int, delay_s: float, window: int) -> None:
    """Whatever the order of hosts and the window: every row comes once, and rows of a host keep their order."""
    plan, clock = Plan(hosts), Clock()
    scheduler: Scheduler[int] = Scheduler(per_host=per_host, host_delay_s=delay_s, clock=clock, window_rows=window)
    scheduler.plan_complete()
    order = drained(scheduler, plan, clock)
    assert sorted(order) == list(range(1, len(hosts) + 1))
    for host in set(hosts):
        of_host = [number for number in order if hosts[number - 1] == host]
        assert of_host == sorted(of_host)


def test_many_rows_of_one_host_do_not_hide_the_hosts_behind_them() -> None:
    """Rows of the large host are passed over and read later; the others begin at once."""
    plan, clock = Plan(["big"] * 2_000 + [f"h{number}" for number in range(20)]), Clock()
    scheduler: Scheduler[int] = Scheduler(per_host=2, clock=clock, window_rows=64)
    scheduler.plan_complete()
    order = drained(scheduler, plan, clock)
    assert sorted(order) == list(range(1, 2_021))
    assert max(order.index(number) for number in range(2_001, 2_021)) < 200


def test_a_plan_that_grows_is_read_on() -> None:
    """The end of what there is so far is not the end of the plan."""
    plan, clock = Plan(["a"] * 5), Clock()
    plan.open = 2
    scheduler: Scheduler[int] = Scheduler(per_host=9, clock=clock)
    read = scheduler.poll_read()
    assert read is not None
    scheduler.admit(read, plan.answer(read))
    assert scheduler.poll_read() is None
    assert [scheduler.poll(), scheduler.poll()] == [Lease("a", 1), Lease("a", 2)]
    assert scheduler.poll() == Wait(None)
    plan.open = 5
    scheduler.plan_grew()
    read = scheduler.poll_read()
    assert read is not None
    scheduler.admit(read, plan.answer(read))
    assert scheduler.poll() == Lease("a", 3)


def test_rows_added_while_the_end_was_read_are_not_lost() -> None:
    """The plan grows between a read and its admission: the read found an end that is none any more."""
    plan, clock = Plan(["a"] * 3), Clock()
    plan.open = 1
    scheduler: Scheduler[int] = Scheduler(per_host=9, clock=clock)
    read = scheduler.poll_read()
    assert read is not None
    rows = plan.answer(read)
    plan.open = 3
    scheduler.plan_complete()
    scheduler.admit(read, rows)
    assert sorted(drained(scheduler, plan, clock)) == [1, 2, 3]


def test_a_paused_host_is_not_asked_and_a_blocked_one_says_why() -> None:
    plan, clock = Plan(["a", "b", "a"]), Clock()
    scheduler: Scheduler[int] = Scheduler(per_host=9, clock=clock)
    scheduler.plan_complete()
    read = scheduler.poll_read()
    assert read is not None
    scheduler.admit(read, plan.answer(read))
    scheduler.pause("a", 30.0)
    assert scheduler.poll() == Lease("b", 2)
    assert scheduler.poll() == Wait(30.0)
    clock.now_s = 30.0
    assert scheduler.poll() == Lease("a", 1)
    block = Block("busy", FailureKind.HTTP_STATUS, 429)
    scheduler.block("a", block, 60.0)
    assert scheduler.poll() == Lease("a", 3, block=block), "at once, with the reason"


def test_a_rescheduled_task_comes_back_after_its_delay() -> None:
    plan, clock = Plan(["a"]), Clock()
    scheduler: Scheduler[int] = Scheduler(per_host=1, clock=clock)
    scheduler.plan_complete()
    for _ in range(2):  # the row, then the end
        if (read := scheduler.poll_read()) is not None:
            scheduler.admit(read, plan.answer(read))
    lease = scheduler.poll()
    assert isinstance(lease, Lease)
    scheduler.reschedule(lease, [7, 8], 5.0)
    assert scheduler.poll() == Wait(5.0)
    clock.now_s = 5.0
    again = scheduler.poll()
    assert again == Lease("a", 8) or again == Lease("a", 7)
    assert isinstance(again, Lease)
    scheduler.done(again)
    last = scheduler.poll()
    assert isinstance(last, Lease)
    assert {again.task, last.task} == {7, 8}
    scheduler.done(last)
    assert scheduler.poll() is None


def test_the_limit_on_all_tasks_holds_and_is_counted() -> None:
    plan, clock = Plan(["a", "b", "c"]), Clock()
    scheduler: Scheduler[int] = Scheduler(per_host=9, clock=clock)
    scheduler.plan_complete()
    scheduler.limit(2)
    read = scheduler.poll_read()
    assert read is not None
    scheduler.admit(read, plan.answer(read))
    first = scheduler.poll()
    assert isinstance(first, Lease)
    assert isinstance(scheduler.poll(), Lease)
    assert scheduler.poll() == Wait(None)
    assert scheduler.held_back == 1
    scheduler.done(first)
    assert isinstance(scheduler.poll(), Lease)


def test_threads_share_it_and_all_come_to_an_end() -> None:
    """Eight threads and a reader, many times: every row once, nobody waits for ever."""
    for _ in range(20):
        plan = Plan(["a"] * 300 + ["b"] * 300 + [f"h{number % 7}" for number in range(200)])
        scheduler: Scheduler[int] = Scheduler(per_host=3, window_rows=40)
        taken: Counter[int] = Counter()

        def work(scheduler: Scheduler[int] = scheduler, taken: "Counter[int]" = taken) -> None:
            while (lease := scheduler.take()) is not None:
                taken[lease.task] += 1
                scheduler.done(lease)

        def read(scheduler: Scheduler[int] = scheduler, plan: Plan = plan) -> None:
            read_plan(scheduler, plan.next_rows, plan.host_rows)

        threads = [threading.Thread(target=work) for _ in range(8)] + [threading.Thread(target=read)]
        for thread in threads:
            thread.start()
        scheduler.plan_complete()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert taken == Counter(range(1, 801))


def test_a_run_that_stops_hands_out_nothing_more() -> None:
    stopped = False
    plan, clock = Plan(["a"] * 3), Clock()
    scheduler: Scheduler[int] = Scheduler(per_host=9, clock=clock, stopped=lambda: stopped)
    read = scheduler.poll_read()
    assert read is not None
    scheduler.admit(read, plan.answer(read))
    assert isinstance(scheduler.take(), Lease)
    stopped = True
    assert scheduler.take() is None
    assert scheduler.next_read() is None
