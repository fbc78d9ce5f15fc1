"""Which shard is leased what: work goes to shards with room for it, suspects alone to one that is set apart."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from downloader.local import Task as LocalTask
from downloader.model.items import Item, Url
from downloader.model.urls import host_of
from downloader.scheduling.backlog import Backlog
from downloader.scheduling.host_queue import Wait
from downloader.scheduling.interface import LeaseBatch
from downloader.scheduling.scheduler import Scheduler
from downloader.shards.holdings import Kept, UrlTask
from downloader.shards.members import TICK_S, Members, Shard
from downloader.shards.suspects import Suspects

_LOCAL_PORTION = 8
"""Local items that one shard is leased before the next one gets some."""


class Leasing:
    """Leases what scheduler and backlog have.

    Args:
        scheduler: of URLs; None where there are none.
        backlog: of everything that needs no network.
        members: the shards.
        suspects: items that are leased alone.
    """

    def __init__(
        self,
        scheduler: Scheduler[UrlTask] | None,
        backlog: Backlog[LocalTask],
        members: Members,
        suspects: Suspects,
    ) -> None:
        self._scheduler = scheduler
        self._backlog = backlog
        self._members = members
        self._suspects = suspects
        self._again: deque[LocalTask] = deque()
        """What dead shards had in hand and needs no network, or is fetched already."""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to lease, and nothing in hand that could come back."""
        nothing_listed = self._backlog.is_finished and (self._scheduler is None or self._scheduler.is_finished)
        return nothing_listed and not self._again and not any(shard.holdings.items for shard in self._members)

    def again(self, task: LocalTask) -> None:
        """Lease once more what a dead shard had in hand."""
        if self._scheduler and isinstance(task, Item) and isinstance(task.what, Url):
            self._scheduler.put_again(host_of(task.source), [task], 0.0)
        else:
            self._again.append(task)

    def lease(self) -> float:
        """Lease what there is to shards that have room; returns for how long nothing will change by itself."""
        self._lease_local()
        return self._lease_urls(self._scheduler) if self._scheduler else TICK_S

    def _apart(self) -> Shard | None:
        """The shard that gets suspects only, one at a time: the newest one, while there are any."""
        return self._members.newest() if self._suspects else None

    def _those_with(self, has_room: Callable[[Shard], object]) -> list[Shard]:
        """Shards with room for more, those with least in hand first."""
        apart = self._apart()
        shards = [shard for shard in self._members if shard.is_up and shard is not apart and has_room(shard)]
        return sorted(shards, key=lambda shard: shard.holdings.items)

    # -- local items ---------------------------------------------------------------------------------------------------

    def _lease_local(self) -> None:
        while shards := self._those_with(lambda shard: shard.room_for_local):
            for shard in shards:
                tasks = self._local_tasks(min(shard.room_for_local, _LOCAL_PORTION))
                if not tasks:
                    return
                shard.outgoing.append(shard.holdings.lease_local(tasks))

    def _local_tasks(self, most: int) -> list[LocalTask]:
        again = [self._again.popleft() for _ in range(min(most, len(self._again)))]
        return again or self._backlog.poll(most)

    # -- URLs ----------------------------------------------------------------------------------------------------------

    def _lease_urls(self, scheduler: Scheduler[UrlTask]) -> float:
        share = 2 * sum(shard.threads for shard in self._members)
        while shards := self._those_with(lambda shard: shard.has_room_for_urls):
            for shard in shards:
                found = scheduler.poll_batch(share, self._is_new)
                if found is None:
                    return TICK_S
                if isinstance(found, Wait):
                    return TICK_S if found.seconds is None else found.seconds
                self._lease_batch(scheduler, shard, found)
        return TICK_S

    def _is_new(self, task: UrlTask) -> bool:
        """Whether a task may be one of several in a batch."""
        return not isinstance(task, Kept) and task.id not in self._suspects

    def _lease_batch(self, scheduler: Scheduler[UrlTask], shard: Shard, batch: LeaseBatch[UrlTask]) -> None:
        task = batch.tasks[0]
        owner: Shard | None = shard
        if isinstance(task, Kept):
            owner = self._members.get(task.shard)  # None if dead: what it had in hand is done anew
        elif task.id in self._suspects:
            owner = self._apart()
            if owner is None or not owner.is_up or owner.holdings.items:
                scheduler.put_again(batch.host, [task], TICK_S)
                owner = None
        if owner is None:
            scheduler.batch_done(replace(batch, block=None))
        else:
            owner.outgoing.append(owner.holdings.lease(batch))
