"""The writer: one thread that stores results and records facts, in batches. Nothing else writes to a running output.

For each batch: the sink stores the results, the journal records all facts in one transaction, the sink settles, staged
bytes of items that have their outcome are removed, and the observers are told. Every fact an observer sees is durable.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from downloader.model.items import Fact, Failed, Fetched, Outcome, Skipped, Stored, Transformed, Unchanged
from downloader.sinks.interface import Sink
from downloader.telemetry.interface import Observer

_MAX_BATCH = 256
_BATCH_S = 0.1
"""Seconds that a fact may wait for others before it is made durable."""
_MAX_QUEUED = 1024
"""Facts that may wait; beyond it the stages before are held up."""

Record = Callable[[Sequence[Fact]], None]
"""Makes facts durable, all or none."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A task for the writer thread."""

    task: Callable[[], None]
    done: threading.Event = field(default_factory=threading.Event)


class Writer:
    """Takes facts from all threads.

    Args:
        sink: stores results.
        record: records facts.
        observer: told of every batch once it is recorded.
        results: the type of fact that is a result: `Transformed`, or `Fetched` if there is no transform stage.
        prepare: changes fetched items before they are stored, such as their names; None if nothing is to be changed.

    Attributes:
        sink: as given.
        busy_s: seconds spent storing and recording.
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
        self.busy_s = 0.0
        self._record = record
        self._observer = observer
        self._results = results
        self._prepare = prepare
        self._queue: queue.Queue[Fact | _Call | None] = queue.Queue(_MAX_QUEUED)
        self._staged: dict[int, str] = {}
        """Staged bytes by item id, to be removed once their item has its outcome."""
        self._batch_is_due = threading.Event()
        """A whole batch waits, or a task, or the end: the writer is not woken for each fact."""
        self._is_closing = False
        self._has_ended = False

    # -- for other threads ---------------------------------------------------------------------------------------------

    def emit(self, fact: Fact) -> None:
        """Hand a fact over; wait while the writer is far behind. After the end facts are dropped."""
        if self._has_ended:
            return
        self._queue.put(fact)
        if self._queue.qsize() >= _MAX_BATCH:
            self._batch_is_due.set()

    def call(self, task: Callable[[], None]) -> None:
        """Run a task in the writer thread, after the facts emitted before; return once it has run or the writer ended.

        Whatever the task raises stops the writer. Not to be called by the writer thread itself.
        """
        if self._has_ended:
            return
        call = _Call(task)
        self._queue.put(call)
        self._batch_is_due.set()
        if not self._has_ended:  # else `_end` may have come too early to find this call
            call.done.wait()

    def close(self) -> None:
        """Announce that no more facts will come."""
        self._is_closing = True
        self._queue.put(None)
        self._batch_is_due.set()

    def adopt(self, fetched: Fetched) -> None:
        """Take charge of bytes that an earlier run staged; called before the thread starts."""
        self._staged[fetched.item.id] = fetched.path

    # -- the thread ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until closed; raise what stops it. Then call `drain`, so that nobody waits for a stopped writer."""
        while not self._has_ended:
            facts, calls, is_last = self._next_batch()
            started_s = time.monotonic()
            try:
                if facts:
                    self._write(facts)
                for call in calls:
                    call.task()
            finally:
                self.busy_s += time.monotonic() - started_s
                _release(calls)
                if is_last:
                    self._end()

    def drain(self) -> None:
        """Drop everything that still comes, until closed."""
        while not self._has_ended:
            entry = self._queue.get()
            _release([entry])
            if entry is None:
                self._end()

    def _end(self) -> None:
        """Let go every thread that came after the end was announced."""
        self._has_ended = True
        with suppress(queue.Empty):
            while True:
                _release([self._queue.get_nowait()])

    def _next_batch(self) -> tuple[list[Fact], list[_Call], bool]:
        """Wait for an entry, and a moment for more: the facts, at most a batch; the tasks; whether this is the end."""
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
                    break
                entry = self._queue.get_nowait()
        return facts, calls, entry is None

    def _write(self, batch: list[Fact]) -> None:
        batch = [self._prepared(fact) for fact in batch]
        ends = [fact for fact in batch if isinstance(fact, (self._results, Failed, Skipped, Unchanged))]
        outcomes = self.sink.store(ends)
        facts = list(self._with_outcomes(batch, outcomes))
        self._record(facts)
        self.sink.settle(outcomes)
        for fact in facts:
            self._clear_staged(fact)
        for fact, outcome in zip(ends, outcomes, strict=True):
            if not isinstance(outcome, Stored):
                _discard(fact)
        self._observer.facts(facts)

    def _prepared(self, fact: Fact) -> Fact:
        return self._prepare(fact) if self._prepare is not None and isinstance(fact, Fetched) else fact

    def _with_outcomes(self, batch: Sequence[Fact], outcomes: Sequence[Outcome]) -> Iterator[Fact]:
        """The facts to record: each result is followed by the outcome of storing it.

        For images that could not be stored only the outcome is recorded, with the spans of both.
        """
        following = iter(outcomes)
        for fact in batch:
            if not isinstance(fact, (self._results, Failed, Skipped, Unchanged)):
                yield fact
                continue
            outcome = next(following)
            if isinstance(fact, Transformed) and not isinstance(outcome, Stored):
                outcome = replace(outcome, spans=(*fact.spans, *outcome.spans))
            elif isinstance(fact, Transformed | Fetched):
                yield fact
            yield outcome

    def _clear_staged(self, fact: Fact) -> None:
        """Remove fetched bytes once their item has its outcome."""
        if isinstance(fact, Fetched):
            if fact.staged and self._results is not Fetched:
                self._staged[fact.item.id] = fact.path
        elif isinstance(fact, Stored | Failed | Skipped):
            path = self._staged.pop(fact.item.id, None)
            if path is not None:
                _remove(path)


def _release(entries: Iterable[Fact | _Call | None]) -> None:
    """Let go the threads that wait for any of these."""
    for entry in entries:
        if isinstance(entry, _Call):
            entry.done.set()


def _discard(fact: Fact) -> None:
    """Remove the staged files of a result that was not stored."""
    if isinstance(fact, Transformed):
        for rendition in fact.renditions:
            _remove(rendition.path)
    elif isinstance(fact, Fetched) and fact.staged:
        _remove(fact.path)


def _remove(path: str) -> None:
    """Remove a staged file. One that cannot be removed costs room at most: the next run tries again."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - as plain as can be
