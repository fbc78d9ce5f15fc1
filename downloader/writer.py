"""The writer: one thread that stores results and records facts, in batches. Nothing else writes to a running output.

For each batch: the sink stores the results, the journal records all facts in one transaction, the sink settles, and the
observers are told. So whatever an observer hears of is durable.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from downloader.model.items import Fact, Failed, Fetched, Skipped, Stored, Transformed, Unchanged
from downloader.sinks.interface import Sink
from downloader.telemetry.observer import Observer

_MAX_BATCH = 256
_BATCH_S = 0.1
"""Seconds that a fact may wait for others before it is made durable."""
_MAX_QUEUED = 1024
"""Facts that may wait; beyond it the stages before are held up."""

Record = Callable[[Sequence[Fact]], None]
"""Makes facts durable, all or none."""


@dataclass(frozen=True, slots=True)
class _Call:
    """Something to do in the writer thread, between two batches."""

    work: Callable[[], None]
    done: threading.Event = field(default_factory=threading.Event)


class Writer:
    """Takes facts from all threads.

    Args:
        sink: stores results.
        record: records facts.
        observer: is told of every batch that was recorded.
        results: the facts that are results: `Transformed`, or for `fetch` `Fetched`.
        prepare: changes a result before it is stored, such as its name; None where nothing is to be changed.
    """

    def __init__(
        self,
        sink: Sink,
        record: Record,
        observer: Observer,
        *,
        results: type[Transformed] | type[Fetched],
        prepare: Callable[[Fetched], Fetched] | None = None,
    ) -> None:
        self.sink = sink
        self._record = record
        self._observer = observer
        self._results = results
        self._prepare = prepare
        self._queue: queue.Queue[Fact | _Call | None] = queue.Queue(_MAX_QUEUED)
        self._staged: dict[int, str] = {}
        """Fetched bytes by item, to be removed with its outcome."""
        self._batch_is_due = threading.Event()
        """A whole batch waits, or the end: the writer is not woken for each fact."""
        self._is_closing = False
        self._has_ended = False
        self.busy_s = 0.0
        """Seconds spent in storing and recording."""

    # -- for other threads ---------------------------------------------------------------------------------------------

    def emit(self, fact: Fact) -> None:
        """Hand a fact over; waits while the writer is far behind."""
        self._queue.put(fact)
        if self._queue.qsize() >= _MAX_BATCH:
            self._batch_is_due.set()

    def call(self, work: Callable[[], None]) -> None:
        """Let the writer thread do something between two batches; returns when it has, or the writer has ended."""
        call = _Call(work)
        self._queue.put(call)
        self._batch_is_due.set()
        call.done.wait()

    def close(self) -> None:
        """No more facts will come."""
        self._is_closing = True
        self._queue.put(None)
        self._batch_is_due.set()

    def adopt(self, fetched: Fetched) -> None:
        """Take charge of bytes that an earlier run staged; called before the thread starts."""
        self._staged[fetched.item.id] = fetched.path

    # -- the thread ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until closed; raises what stopped it. Then `drain` must be called, so that nobody waits for ever."""
        while not self._has_ended:
            facts, calls = self._next_batch()
            started_s = time.monotonic()
            try:
                if facts:
                    self._write(facts)
                for call in calls:
                    call.work()
            finally:
                for call in calls:
                    call.done.set()
            self.busy_s += time.monotonic() - started_s

    def drain(self) -> None:
        """Take and forget whatever comes until closed."""
        while not self._has_ended:
            entry = self._queue.get()
            if isinstance(entry, _Call):
                entry.done.set()
            self._has_ended = entry is None

    def _next_batch(self) -> tuple[list[Fact], list[_Call]]:
        """What has come, at most a batch, after waiting for the first and a moment for more."""
        entry = self._queue.get()
        self._batch_is_due.clear()
        if not self._is_closing and not isinstance(entry, _Call) and self._queue.qsize() < _MAX_BATCH:
            self._batch_is_due.wait(_BATCH_S)
        facts: list[Fact] = []
        calls: list[_Call] = []
        with suppress(queue.Empty):
            while entry is not None:
                if isinstance(entry, _Call):
                    calls.append(entry)
                else:
                    facts.append(entry)
                if len(facts) == _MAX_BATCH:
                    return facts, calls
                entry = self._queue.get_nowait()
        self._has_ended = entry is None
        return facts, calls

    def _write(self, batch: list[Fact]) -> None:
        batch = [self._prepared(fact) for fact in batch]
        ends = [fact for fact in batch if isinstance(fact, (self._results, Failed, Skipped, Unchanged))]
        outcomes = self.sink.store(ends)
        outcome_of = {outcome.item.id: outcome for outcome in outcomes}
        facts: list[Fact] = []
        for fact in batch:
            if isinstance(fact, self._results):
                outcome = outcome_of[fact.item.id]
                if isinstance(fact, Fetched) or isinstance(outcome, Stored):
                    facts.append(fact)
                facts.append(outcome)
                if not isinstance(outcome, Stored):
                    _discard(fact)
            else:
                facts.append(fact)
        self._record(facts)
        self.sink.settle(outcomes)
        for fact in facts:
            self._clear_staged(fact)
        self._observer.facts(facts)

    def _prepared(self, fact: Fact) -> Fact:
        return self._prepare(fact) if self._prepare is not None and isinstance(fact, Fetched) else fact

    def _clear_staged(self, fact: Fact) -> None:
        """Remove fetched bytes once their item has its outcome."""
        if isinstance(fact, Fetched):
            if fact.staged and self._results is not Fetched:
                self._staged[fact.item.id] = fact.path
        elif isinstance(fact, Stored | Failed | Skipped):
            path = self._staged.pop(fact.item.id, None)
            if path is not None:
                _remove(path)


def _discard(result: Transformed | Fetched) -> None:
    """Remove the staged files of a result that is not kept."""
    if isinstance(result, Transformed):
        for rendition in result.renditions:
            _remove(rendition.path)
    elif result.staged:
        _remove(result.path)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - as plain as can be
