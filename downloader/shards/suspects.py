"""Items that may be what shards die of. Pure."""

from collections import Counter

from downloader.transform.recovery import ExitCause, is_to_blame

SUSPECT_DEATHS = 2
"""Shards that may die with the same item in hand before it is leased alone."""


class Suspects:
    """Items that were in hand when several shards died: each is leased alone until it is cleared or to blame.

    Exit codes attribute deaths as they do for transform processes: one crash alone is enough, kills from outside have
    to happen again and again.
    """

    def __init__(self) -> None:
        self._deaths: Counter[int] = Counter()
        self._alone: dict[int, list[ExitCause]] = {}
        """Why each shard ended that had only this item in hand."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._alone)

    def __contains__(self, item_id: int) -> bool:
        """Whether an item is one of them."""
        return item_id in self._alone

    def died(self, item_id: int, cause: ExitCause) -> bool:
        """A shard died with this item in hand; whether the item is to blame."""
        self._deaths[item_id] += 1
        if (alone := self._alone.get(item_id)) is not None:
            alone.append(cause)
            return is_to_blame(alone)
        if self._deaths[item_id] >= SUSPECT_DEATHS:
            self._alone[item_id] = []
        return False

    def clear(self, item_id: int) -> None:
        """An item has got further."""
        self._alone.pop(item_id, None)
