"""The shard's side of the feed."""

import threading
from dataclasses import replace

import pytest
from facts import an_item

from downloader.model.failures import FailureKind
from downloader.model.items import Fetched
from downloader.scheduling.interface import Block, HostFailure
from downloader.shards.feed import ShardFeed, ShardLocalFeed
from downloader.shards.messages import (
    BlockHost,
    HostAnswered,
    HostFailed,
    LeaseLocal,
    LeaseUrls,
    PauseHost,
    Released,
    Rescheduled,
    pack_fact,
    pack_item,
)

BUSY = Block("busy", FailureKind.HTTP_STATUS, 429)
DOWN = HostFailure("h", 0.1, "refused", FailureKind.CONNECT)


class Posted:
    def __init__(self) -> None:
        self.messages: list[object] = []
        self.urgent: list[bool] = []

    def __call__(self, message: object, *, urgent: bool = False) -> None:
        self.messages.append(message)
        self.urgent.append(urgent)


@pytest.fixture
def posted() -> Posted:
    return Posted()


@pytest.fixture
def feed(posted: Posted) -> ShardFeed:
    return ShardFeed(posted, lambda: False)


def batch(number: int, *ids: int, host: str = "h") -> LeaseUrls:
    return LeaseUrls(number, host, tuple(pack_item(an_item(item_id)) for item_id in ids))


def take(feed: ShardFeed) -> int:
    """The item of the next task, which is done at once."""
    lease = feed.take()
    assert lease is not None
    feed.done(lease)
    return lease.task.item.id


def test_a_batch_is_done_in_order_and_released_at_its_end(feed: ShardFeed, posted: Posted) -> None:
    feed.lease(batch(5, 1, 2, 3))
    assert [take(feed) for _ in range(3)] == [1, 2, 3]
    assert posted.messages == [Released(5, 0)]


def test_the_tasks_of_a_batch_are_never_done_at_the_same_time(feed: ShardFeed) -> None:
    """Together they count as one in flight at their host."""
    feed.lease(batch(1, 1, 2))
    feed.lease(batch(2, 3))
    first, other = feed.take(), feed.take()
    assert first is not None
    assert other is not None
    assert (first.task.item.id, other.task.item.id) == (1, 3)
    feed.done(first)
    assert take(feed) == 2


def test_a_rescheduled_task_keeps_what_its_attempts_have_learned(feed: ShardFeed, posted: Posted) -> None:
    feed.lease(batch(1, 1))
    lease = feed.take()
    assert lease is not None
    lease.task.attempts = 3
    feed.reschedule(lease, [lease.task], 2.5)
    assert posted.messages == [Rescheduled("h", (0,), 2.5), Released(1, 0)]
    feed.lease(LeaseUrls(2, "h", (0,)))
    again = feed.take()
    assert again is not None
    assert again.task is lease.task


def test_a_pause_gives_back_what_was_not_begun(feed: ShardFeed, posted: Posted) -> None:
    """Of this host only; the rest of a batch that was begun goes back when its task is done."""
    feed.lease(batch(1, 1, 2, 3))
    feed.lease(batch(2, 4, 5))
    feed.lease(batch(3, 6, host="other"))
    begun = feed.take()
    assert begun is not None
    feed.host_paused(PauseHost("h", 100))
    assert posted.messages == [Released(2, 2)]
    assert take(feed) == 6
    feed.done(begun)
    assert posted.messages[1:] == [Released(3, 0), Released(1, 2)]


def test_a_kept_task_that_was_given_back_can_be_leased_again(feed: ShardFeed) -> None:
    feed.lease(batch(1, 1))
    lease = feed.take()
    assert lease is not None
    feed.reschedule(lease, [lease.task], 0.0)
    feed.lease(LeaseUrls(2, "h", (0,)))
    feed.host_paused(PauseHost("h", 0.0))
    feed.lease(LeaseUrls(3, "h", (0,)))
    again = feed.take()
    assert again is not None
    assert again.task is lease.task


def test_pauses_and_blocks_are_told_to_the_coordinator(feed: ShardFeed, posted: Posted) -> None:
    """What was not begun goes back: it will be leased again when its time has come, or with the block."""
    feed.pause("h", 3.0)
    feed.lease(batch(1, 1))
    feed.block("h", BUSY, 900.0)
    assert posted.messages == [PauseHost("h", 3.0), Released(1, 1), BlockHost("h", BUSY, 900.0)]


def test_a_block_comes_with_the_lease(feed: ShardFeed) -> None:
    feed.host_failed(HostFailed("h", DOWN))
    feed.lease(replace(batch(1, 1), block=BUSY))
    lease = feed.take()
    assert lease is not None
    assert lease.block == BUSY


def test_a_failure_of_a_host_ends_its_batches(feed: ShardFeed, posted: Posted) -> None:
    """The rest of the batch in which it happened, and those that wait; others go on."""
    for message in (batch(1, 1, 2), batch(2, 3), batch(3, 4, host="other")):
        feed.lease(message)
    lease = feed.take()
    assert lease is not None
    feed.done(lease, DOWN)
    assert posted.messages == [HostFailed("h", DOWN), Released(2, 1), Released(1, 1)]
    assert take(feed) == 4


def test_a_failure_in_another_shard_ends_batches_here(feed: ShardFeed, posted: Posted) -> None:
    feed.lease(batch(1, 1, 2))
    feed.host_failed(HostFailed("h", DOWN))
    assert posted.messages == [Released(1, 2)]


def test_a_rescheduled_task_may_go_on_at_another_host(feed: ShardFeed, posted: Posted) -> None:
    feed.lease(batch(1, 1, 2))
    lease = feed.take()
    assert lease is not None
    feed.reschedule(lease, [lease.task], 0.0, host="mirror", failure=DOWN)
    assert posted.messages == [HostFailed("h", DOWN), Rescheduled("mirror", (0,), 0.0), Released(1, 1)]


def test_an_answer_is_news_only_where_the_host_was_failing(feed: ShardFeed, posted: Posted) -> None:
    feed.answered("h")
    assert posted.messages == []
    feed.host_failed(HostFailed("h", DOWN))
    feed.answered("h")
    feed.answered("h")
    assert posted.messages == [HostAnswered("h")]


def test_a_limit_holds_threads_back_and_is_counted(feed: ShardFeed) -> None:
    feed.limit(1)
    feed.lease(batch(1, 1))
    feed.lease(batch(2, 2))
    lease = feed.take()
    assert lease is not None
    second: list[int] = []
    thread = threading.Thread(target=lambda: second.append(take(feed)))
    thread.start()
    while not feed.held_back:
        pass
    assert second == []
    feed.done(lease)
    thread.join()
    assert second == [2]


def test_a_finished_feed_gives_out_what_it_has(feed: ShardFeed) -> None:
    feed.lease(batch(1, 1))
    feed.finish()
    assert take(feed) == 1
    assert feed.take() is None


def test_nothing_is_begun_once_the_run_ends(posted: Posted) -> None:
    feed = ShardFeed(posted, lambda: True)
    local = ShardLocalFeed(lambda: True)
    feed.lease(batch(1, 1))
    local.lease(LeaseLocal((pack_item(an_item(1)),), ()))
    assert feed.take() is None
    assert local.take() is None


def test_local_items_and_bytes_fetched_before_come_as_they_were() -> None:
    local = ShardLocalFeed(lambda: False)
    item, other = an_item(1), replace(an_item(2), source="b")
    fetched = Fetched(item=other, path="p", bytes=3, staged=True)
    local.lease(LeaseLocal((pack_item(item),), ((pack_item(other), pack_fact(fetched)),)))
    local.finish()
    assert [local.take(), local.take(), local.take()] == [item, fetched, None]
