"""What one shard has in hand: leased batches of URLs, and every item without an outcome. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from downloader.model.items import Fact, Fetched, Item, Partial
from downloader.scheduling.interface import LeaseBatch
from downloader.shards.messages import Flat, LeaseLocal, LeaseUrls, pack_fact, pack_item, unpack_fact


@dataclass(frozen=True, slots=True)
class Kept:
    """A task that a shard keeps under a number until it is due again."""

    shard: int
    number: int


UrlTask = Item | Kept
"""What the scheduler hands out: an item that nobody has tried, or one that a shard has tried before."""


class Holdings:
    """The books of one shard.

    Args:
        makes_images: whether fetched bytes have their outcome only when they are transformed.
    """

    def __init__(self, *, makes_images: bool) -> None:
        self._makes_images = makes_images
        self._numbers = count()
        self._batches: dict[int, LeaseBatch[UrlTask]] = {}
        self._items: dict[int, Item | Fetched] = {}
        self._local: set[int] = set()
        """Items that were leased as local and are not yet fetched."""
        self.tasks = 0
        """Tasks of all batches that have not ended."""

    @property
    def batches(self) -> int:
        """Batches that have not ended."""
        return len(self._batches)

    @property
    def items(self) -> int:
        """Items without an outcome."""
        return len(self._items)

    # -- leases --------------------------------------------------------------------------------------------------------

    def lease(self, batch: LeaseBatch[UrlTask]) -> LeaseUrls:
        """Note a batch; the message that leases it."""
        number = next(self._numbers)
        self._batches[number] = batch
        self.tasks += len(batch.tasks)
        for task in batch.tasks:
            if not isinstance(task, Kept):
                self._items[task.id] = task
        return LeaseUrls(number, batch.host, tuple(map(_packed, batch.tasks)), batch.block)

    def lease_local(self, tasks: Sequence[Item | Fetched]) -> LeaseLocal:
        """Note items that need no network; the message that leases them."""
        items = [task for task in tasks if not isinstance(task, Fetched)]
        fetched = [task for task in tasks if isinstance(task, Fetched)]
        self._items.update((task.id, task) for task in items)
        self._items.update((task.item.id, task) for task in fetched)
        return LeaseLocal(
            tuple(map(pack_item, items)), tuple((pack_item(task.item), pack_fact(task)) for task in fetched)
        )

    def released(self, number: int, returned: int) -> tuple[LeaseBatch[UrlTask], list[UrlTask]]:
        """Note the end of a batch; the batch, and its tasks that were not begun, which are no longer in hand."""
        batch = self._batches.pop(number)
        self.tasks -= len(batch.tasks)
        back = list(batch.tasks[len(batch.tasks) - returned :])
        for task in back:
            if not isinstance(task, Kept):
                del self._items[task.id]
        return batch, back

    # -- facts ---------------------------------------------------------------------------------------------------------

    def fact(self, flat: Flat) -> Fact:
        """The fact of a message; note what it says of its item."""
        item_id, has_previous = flat[1], flat[2]
        held = self._items[item_id]
        item = held.item if isinstance(held, Fetched) else held
        if item.previous is not None and not has_previous:
            item = replace(item, previous=None)
        fact = unpack_fact(flat, item)
        if isinstance(fact, Partial):
            self._items[item_id] = replace(item, part=fact.part)
        elif isinstance(fact, Fetched) and self._makes_images:
            self._items[item_id] = fact
        else:
            del self._items[item_id]
        return fact

    def item(self, item_id: int) -> Item:
        """An item in hand."""
        held = self._items[item_id]
        return held.item if isinstance(held, Fetched) else held

    # -- the end -------------------------------------------------------------------------------------------------------

    def abandoned(self) -> tuple[list[LeaseBatch[UrlTask]], list[Item | Fetched]]:
        """What a dead shard leaves: its batches, and the items that somebody else has to do."""
        return list(self._batches.values()), list(self._items.values())


def _packed(task: UrlTask) -> Flat | int:
    return task.number if isinstance(task, Kept) else pack_item(task)
