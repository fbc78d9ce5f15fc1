"""What is decided about an item before and after its bytes are fetched: whether they are wanted at all.

The download stage and the local stage ask the same questions, from many threads.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Protocol

from downloader.model.failures import SkipReason, Stage
from downloader.model.items import Fact, Fetched, FileSpan, Item, Skipped
from downloader.model.urls import masked
from downloader.sinks.interface import ExistingOutputs
from downloader.telemetry.interface import Sample


class Claims(Protocol):
    """Tells who had which bytes first."""

    def claim(self, item: Item, digest: str) -> str | None:
        """The source of the item that had these bytes first; None where this one is the first."""


class Screening:
    """Threads may share it. `duplicates` is None where items with the same bytes are wanted all the same."""

    def __init__(self, outputs: ExistingOutputs, duplicates: Claims | None = None) -> None:
        self._outputs = outputs
        self._duplicates = duplicates

    def before_fetch(self, item: Item) -> Item | Skipped:
        """The item to fetch, without results of an earlier run that are gone; or why it is left out."""
        if (path := self._outputs.existing_output(item)) is not None:
            message = f"{path} is there already; --overwrite always replaces it"
            return Skipped(item=item, stage=Stage.DOWNLOAD, reason=SkipReason.EXISTS, message=message)
        if item.previous and not self._outputs.has_outputs(item.previous):
            return replace(item, previous=None)
        return item

    def after_fetch(self, fetched: Fetched) -> Fetched | Skipped:
        """The fetched bytes, with their sha256 where that was needed; or why they are left out."""
        if self._duplicates is None:
            return fetched
        digest = fetched.sha256 or _sha256_of(fetched)
        if digest is None:
            return fetched  # the transform will say what is wrong with the file
        source = self._duplicates.claim(fetched.item, digest)
        if source is None:
            return replace(fetched, sha256=digest)
        if fetched.staged:
            with suppress(OSError):  # the next run tries again
                os.unlink(fetched.path)  # noqa: PTH108 - as plain as can be
        return Skipped(
            item=fetched.item,
            stage=Stage.DOWNLOAD,
            reason=SkipReason.DUPLICATE,
            message=f"the same bytes as {masked(source)}",
            spans=fetched.spans,
        )


class Duplicates:
    """Who had which bytes first, in all runs on an output. Threads may share it; also an observer.

    The journal remembers the first owner of a checksum when its `Fetched` is recorded. In the moment between the claim
    and that record, this object does.

    Args:
        recorded: by item and sha256, the source of another item that has these bytes by the journal; None where none.
    """

    def __init__(self, recorded: Callable[[Item, str], str | None]) -> None:
        self._recorded = recorded
        self._lock = threading.Lock()
        self._claimed: dict[str, Item] = {}

    def claim(self, item: Item, digest: str) -> str | None:
        """The source of the item that had these bytes first; None where this one is the first."""
        with self._lock:
            first = self._claimed.get(digest)
            if first is not None:
                return None if first.id == item.id else first.source
            source = self._recorded(item, digest)
            if source is None:
                self._claimed[digest] = item
            return source

    def facts(self, facts: Sequence[Fact]) -> None:
        """Forget claims that the journal remembers from now on."""
        with self._lock:
            for fact in facts:
                if isinstance(fact, Fetched) and fact.sha256 is not None:
                    self._claimed.pop(fact.sha256, None)

    def sample(self, sample: Sample) -> None:
        """Nothing changes with time."""

    def close(self) -> None:
        """There is nothing to release."""


def _sha256_of(fetched: Fetched) -> str | None:
    """The hex sha256 of fetched bytes; None where they cannot be read."""
    try:
        with Path(fetched.path).open("rb") as file:
            if isinstance(fetched.item.what, FileSpan):
                file.seek(fetched.offset)
                return sha256(file.read(fetched.bytes)).hexdigest()
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
