"""Pipes between coordinator and shard."""

import multiprocessing
import os
import select
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.shards.messages import Answer, Drain, dumps
from downloader.shards.outbox import Outbox
from downloader.shards.pipe import Pipe, Waker


class Ends(NamedTuple):
    coordinator: Pipe
    shard: Pipe
    raw: int
    """Where the coordinator receives from: the other end."""


@pytest.fixture
def ends() -> Iterator[Ends]:
    from_shard, to_coordinator = multiprocessing.Pipe(duplex=False)
    from_coordinator, to_shard = multiprocessing.Pipe(duplex=False)
    ends = Ends(
        Pipe(from_shard, to_shard, blocking=False),
        Pipe(from_coordinator, to_coordinator, blocking=True),
        to_coordinator.fileno(),
    )
    yield ends
    ends.coordinator.close()
    ends.shard.close()


def test_messages_come_in_order(ends: Ends) -> None:
    ends.coordinator.send([Answer(1, None), Drain()])
    ends.coordinator.send([Answer(2, "x")])
    assert ends.shard.receive() == [Answer(1, None), Drain(), Answer(2, "x")]


def test_a_piece_that_has_not_come_whole_keeps_nobody_waiting(ends: Ends) -> None:
    data = dumps([Answer(1, "x" * 1000)])
    whole = len(data).to_bytes(4, "big") + data
    for byte in whole[:-1]:
        os.write(ends.raw, bytes([byte]))
        assert ends.coordinator.receive() == []
    os.write(ends.raw, whole[-1:])
    assert ends.coordinator.receive() == [Answer(1, "x" * 1000)]
    assert ends.coordinator.receive() == []


def test_a_process_that_does_not_read_keeps_nobody_waiting(ends: Ends) -> None:
    """What has no room in the pipe is sent later."""
    messages = [Answer(number, "x" * 100_000) for number in range(5)]
    ends.coordinator.send(messages)
    heard: list[object] = []
    while len(heard) < len(messages):
        ends.coordinator.send([])
        heard += ends.shard.receive()
    assert heard == messages


def test_the_end_of_the_other_process_is_noticed_behind_its_last_words(ends: Ends) -> None:
    ends.shard.send([Drain()])
    ends.shard.close()
    assert ends.coordinator.receive() == [Drain()]
    with pytest.raises(EOFError):
        ends.coordinator.receive()
    with pytest.raises(OSError, match="pipe"):
        ends.coordinator.send([Drain()])


@given(st.lists(st.booleans(), max_size=20))
def test_an_outbox_sends_everything_once_and_in_order(urgent: list[bool]) -> None:
    sent: list[object] = []
    outbox = Outbox(sent.extend)
    thread = threading.Thread(target=outbox.run)
    thread.start()
    for number, is_urgent in enumerate(urgent):
        outbox.post(number, urgent=is_urgent)
    outbox.close()
    thread.join(10)
    assert sent == list(range(len(urgent)))


def test_a_waker_wakes_until_it_is_cleared() -> None:
    waker = Waker()
    for _ in range(100_000):  # more than a pipe holds
        waker.wake()
    assert readable(waker)
    waker.clear()
    assert not readable(waker)
    waker.wake()
    assert readable(waker)


def readable(waker: Waker) -> bool:
    return bool(select.select([waker], [], [], 0)[0])
