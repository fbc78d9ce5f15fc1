"""The hand-off: bounded, acknowledged once, and nothing is lost when the queue is thrown away."""

import multiprocessing
import threading
import time

from downloader.handoff import HandOff, take
from downloader.model.items import Fetched, Item, OutputName, Url
from downloader.stop import Stop

CONTEXT = multiprocessing.get_context("spawn")


def fetched(item_id: int) -> Fetched:
    item = Item(id=item_id, key="0" * 64, source="x", what=Url("x"), name=OutputName(stem=str(item_id), extension=None))
    return Fetched(item=item, path="x", bytes=1, staged=False)


def test_put_waits_while_the_queue_is_full() -> None:
    """The bound is the back-pressure: a third put into a queue of two returns only once there is room."""
    handoff = HandOff(2, Stop())
    channel = CONTEXT.Queue(2)
    handoff.connect(channel)
    assert handoff.put(fetched(1))
    assert handoff.put(fetched(2))
    waited_s = handoff.waited_s
    third = threading.Thread(target=handoff.put, args=(fetched(3),))
    before_s = time.monotonic()
    third.start()
    third.join(0.2)
    assert third.is_alive()
    assert handoff.in_flight == 2
    first = take(channel, 5.0)
    assert first is not None
    assert first.fetched == fetched(1)
    handoff.acknowledge(1)
    third.join(10)
    assert not third.is_alive()
    assert 0.2 <= handoff.waited_s - waited_s <= time.monotonic() - before_s
    rest = [task for task in (take(channel, 5.0), take(channel, 5.0)) if task]
    assert [task.fetched for task in rest] == [fetched(2), fetched(3)]
    assert before_s <= rest[1].queued_s <= before_s + 0.2, "from the call of put, before it waited"


def test_an_aborted_run_releases_threads_that_wait() -> None:
    """put gives up when the run is aborted, and says so; the message is not in flight."""
    stop = Stop()
    handoff = HandOff(1, stop)
    results: list[bool] = []
    waiting = threading.Thread(target=lambda: results.append(handoff.put(fetched(1))))
    waiting.start()
    stop.abort()
    waiting.join(10)
    assert results == [False]
    assert handoff.in_flight == 0


def test_a_new_queue_gets_everything_in_flight_again() -> None:
    """What was not acknowledged goes to the next queue, as there is room, with the time it was put at first."""
    handoff = HandOff(5, Stop())
    first = CONTEXT.Queue(5)
    handoff.connect(first)
    for number in range(1, 6):
        handoff.put(fetched(number))
    before = [take(first, 5.0) for _ in range(5)]
    assert handoff.acknowledge(2)
    assert not handoff.acknowledge(2), "a result counts once"
    assert handoff.reclaim(4) == before[3]
    assert handoff.reclaim(4) is None
    second = CONTEXT.Queue(2)
    handoff.disconnect()
    handoff.connect(second)
    seen = [take(second, 5.0), take(second, 5.0)]
    handoff.resubmit()
    seen.append(take(second, 5.0))
    assert seen == [before[0], before[2], before[4]]
    assert take(second, 0) is None
    assert handoff.in_flight == 3


def test_it_is_finished_once_closed_and_empty() -> None:
    handoff = HandOff(2, Stop())
    handoff.connect(CONTEXT.Queue(2))
    handoff.put(fetched(1))
    handoff.close()
    assert not handoff.is_finished
    handoff.acknowledge(1)
    assert handoff.is_finished
