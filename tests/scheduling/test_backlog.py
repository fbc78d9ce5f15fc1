"""A backlog: every row of a growing plan is handed out once, in order, to threads that share it."""

import threading
from collections import Counter

from downloader.scheduling.backlog import Backlog


class Rows:
    """The plan so far; `open` rows of it can be read."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.open = total

    def __call__(self, after: int, limit: int) -> list[tuple[int, str]]:
        return [(number, f"row {number}") for number in range(after + 1, min(after + limit, self.open) + 1)]


def test_rows_come_in_order_and_once() -> None:
    """More rows than are read at a time."""
    backlog = Backlog(Rows(1000), lambda: False)
    backlog.plan_complete()
    taken = list(iter(backlog.take, None))
    assert taken == [f"row {number}" for number in range(1, 1001)]
    assert backlog.take() is None


def test_threads_share_a_plan_that_grows() -> None:
    """Threads that found the end wait for more, get it, and all end with the plan."""
    for _ in range(20):
        rows = Rows(700)
        rows.open = 0
        backlog = Backlog(rows, lambda: False)
        taken: Counter[str] = Counter()

        def work(backlog: "Backlog[str]" = backlog, taken: "Counter[str]" = taken) -> None:
            while (task := backlog.take()) is not None:
                taken[task] += 1

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for number in (1, 300, 556, 700):
            rows.open = number
            backlog.plan_grew()
        backlog.plan_complete()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert taken == Counter(f"row {number}" for number in range(1, 701))


def test_a_run_that_stops_hands_out_nothing_more() -> None:
    """What was read ahead stays in the plan."""
    stopped = False
    backlog = Backlog(Rows(10), lambda: stopped)
    assert backlog.take() == "row 1"
    stopped = True
    assert backlog.take() is None
