"""The hand-off: bounded, answered once, never lost when the queue is thrown away."""

import multiprocessing
import threading

from downloader.handoff import HandOff, take
from downloader.model.items import Fetched, Item, OutputName, Url
from downloader.stop import Stop

CONTEXT = multiprocessing.get_context("spawn")


def message(item_id: int) -> Fetched:
    item = Item(id=item_id, key="0" * 64, source="x", what=Url("x"), name=OutputName(stem=str(item_id), extension=None))
    return Fetched(item=item, path="x", bytes=1, staged=False)


def test_put_waits_while_the_queue_is_full() -> None:
    """The bound is the back-pressure: a third put into a queue of two returns only once there is room."""
    handoff = HandOff(2, Stop())
    channel = CONTEXT.Queue(2)
    handoff.reconnect(channel)
    assert handoff.put(message(1))
    assert handoff.put(message(2))
    third = threading.Thread(target=handoff.put, args=(message(3),))
    third.start()
    third.join(0.2)
    assert third.is_alive()
    assert handoff.outstanding == 2
    assert take(channel, 5.0) == message(1)
    handoff.answered([1])
    third.join(10)
    assert not third.is_alive()
    assert [take(channel, 5.0), take(channel, 5.0)] == [message(2), message(3)]


def test_a_stopped_run_lets_go_of_whoever_waits() -> None:
    """put gives up when the run stops, and says so; the message is not on the ledger."""
    stop = Stop()
    handoff = HandOff(1, stop)
    results: list[bool] = []
    waiting = threading.Thread(target=lambda: results.append(handoff.put(message(1))))
    waiting.start()
    stop.abort()
    waiting.join(10)
    assert results == [False]
    assert handoff.outstanding == 0


def test_a_new_queue_gets_everything_unanswered_again() -> None:
    """What was handed over and not answered goes to the next queue, as room appears; answers count once."""
    handoff = HandOff(5, Stop())
    handoff.reconnect(CONTEXT.Queue(5))
    for number in range(1, 6):
        handoff.put(message(number))
    assert handoff.answered([2]) == [2]
    assert handoff.answered([2]) == []
    assert [fetched.item.id for fetched in handoff.take_back([4])] == [4]
    second = CONTEXT.Queue(2)
    handoff.disconnect()
    handoff.reconnect(second)
    seen = [take(second, 5.0), take(second, 5.0)]
    handoff.feed()
    seen.append(take(second, 5.0))
    assert [fetched.item.id for fetched in seen if fetched] == [1, 3, 5]
    assert take(second, 0) is None
    assert handoff.outstanding == 3
