"""The writer: one thread that stores results and then records facts, in batches.

Every fact of a run passes here, so the counts of the run need no lock: this thread alone writes them.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from downloader.model.failures import Stage
from downloader.model.items import Fact, Failed, Fetched, Item, Skipped, Stored, Transformed, Unchanged, Url
from downloader.sinks.files import FilesSink

_BATCH = 256
_BATCH_S = 0.1
"""Seconds a fact may wait for company before it is made durable."""
_ROOM = 1024
"""Facts that may wait; beyond it the stages before are held up."""

_BEFORE_TRANSFORM = frozenset({Stage.SOURCE, Stage.DOWNLOAD})

Record = Callable[[Sequence[Fact]], None]


@dataclass(slots=True)
class Tally:
    """What has happened so far in this run. Written by the writer only; others may look."""

    fetched: int = 0
    transformed: int = 0
    succeeded: int = 0
    skipped: int = 0
    unchanged: int = 0
    ended_before_transform: int = 0
    """Items whose outcome came without bytes: failed, skipped or found unchanged while being fetched."""
    failed: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))
    bytes_downloaded: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    """Time this thread has spent storing and recording."""

    @property
    def failures(self) -> int:
        """Items that failed, at any stage."""
        return sum(self.failed.values())

    @property
    def done(self) -> int:
        """Items with an outcome."""
        return self.succeeded + self.unchanged + self.skipped + self.failures

    def count(self, fact: Fact) -> None:
        """Take one fact in."""
        match fact:
            case Fetched():
                self.fetched += 1
                if isinstance(fact.item.what, Url):
                    self.bytes_downloaded += fact.bytes
            case Transformed():
                self.transformed += 1
            case Stored():
                self.succeeded += 1
                self.bytes_written += sum(output.bytes for output in fact.outputs)
            case Unchanged():
                self.unchanged += 1
                self.ended_before_transform += 1
            case Failed():
                self.failed[fact.stage] += 1
                self.ended_before_transform += fact.stage in _BEFORE_TRANSFORM
            case Skipped():
                self.skipped += 1
                self.ended_before_transform += fact.stage in _BEFORE_TRANSFORM


class Writer:
    """Stores what was made and records what was learned.

    `keep_bytes` is the `fetch` command: fetched bytes are the result. `record` makes facts durable.
    """

    def __init__(self, sink: FilesSink, record: Record, *, keep_bytes: bool) -> None:
        self._sink = sink
        self._record = record
        self._keep_bytes = keep_bytes
        self._facts: queue.Queue[Fact | None] = queue.Queue(_ROOM)
        self._staged: dict[int, str] = {}
        self._enough = threading.Event()
        """A batch has come, or all that will: the writer is not woken for each fact."""
        self._closing = False
        self._closed = False
        self._given_up = False
        self.tally = Tally()

    def tell(self, fact: Fact) -> None:
        """Hand a fact to the writer; waits while it is far behind."""
        self._facts.put(fact)
        if self._facts.qsize() >= _BATCH:
            self._enough.set()

    def close(self) -> None:
        """No more facts will come."""
        self._closing = True
        self._facts.put(None)
        self._enough.set()

    def run(self) -> None:
        """Work until closed. Raises what stopped it; facts told after that are dropped, so that nobody blocks."""
        try:
            while (batch := self._batch()) is not None:
                started = time.monotonic()
                self._write(batch)
                self.tally.seconds += time.monotonic() - started
        except BaseException:
            self._given_up = True
            raise

    def drain(self) -> None:
        """After a failure: keep taking facts until closed, and forget them."""
        while self._given_up and not self._closed:
            self._closed = self._facts.get() is None

    def _batch(self) -> list[Fact] | None:
        """The facts that have come, at most a batch; None when closed and empty."""
        first = None if self._closed else self._facts.get()
        if first is None:
            return None
        self._enough.clear()
        if not self._closing and self._facts.qsize() < _BATCH:
            self._enough.wait(_BATCH_S)
        batch = [first]
        with suppress(queue.Empty):
            while len(batch) < _BATCH:
                fact = self._facts.get_nowait()
                if fact is None:
                    self._closed = True
                    break
                batch.append(fact)
        return batch

    def _write(self, batch: list[Fact]) -> None:
        to_store = [fact for fact in batch if self._is_result(fact)]
        outcomes = iter(self._sink.store(to_store))  # type: ignore[arg-type]
        facts: list[Fact] = []
        for fact in batch:
            if not self._is_result(fact):
                facts.append(fact)
                continue
            outcome = next(outcomes)
            if isinstance(fact, Fetched) or isinstance(outcome, Stored):
                facts.append(fact)
            facts.append(outcome)
            if not isinstance(outcome, Stored):
                _discard(fact)
        self._record(facts)
        for fact in facts:
            self._follow(fact)

    def _is_result(self, fact: Fact) -> bool:
        return isinstance(fact, Transformed) or (self._keep_bytes and isinstance(fact, Fetched))

    def _follow(self, fact: Fact) -> None:
        """Count a recorded fact, and clear the staged bytes away once their item is done."""
        self.tally.count(fact)
        if isinstance(fact, Fetched):
            if fact.staged and not self._keep_bytes:
                self._staged[fact.item.id] = fact.path
        elif isinstance(fact, Stored | Failed | Skipped):
            if isinstance(fact, Stored):
                self._sink.clear(fact)
            path = self._staged.pop(fact.item.id, None)
            if path is not None:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108 - as plain as can be

    def adopt(self, item: Item, path: str) -> None:
        """Know of bytes staged by an earlier run, which go when their item is done."""
        self._staged[item.id] = path
        self.tally.fetched += 1


def _discard(fact: Fact) -> None:
    """Remove what was staged for a result that is not kept."""
    paths = [r.path for r in fact.renditions] if isinstance(fact, Transformed) else []
    if isinstance(fact, Fetched) and fact.staged:
        paths.append(fact.path)
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - as plain as can be
