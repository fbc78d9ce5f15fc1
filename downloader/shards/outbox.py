"""What a shard has to say, collected into batches."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from downloader.model.items import Fact, Fetched, Transformed
from downloader.shards import messages
from downloader.sinks.interface import staged_paths, write_failed

BATCH_DELAY_S = 0.005
"""Seconds that a message may wait for others: one piece of a dozen messages costs what one message does."""


class DurableFacts:
    """The shard's side of `Emit`: facts are sent, in order, once the files of results are on disk.

    Shards do this since the coordinator would spend a quarter of its time in fsync. A batch is what has come during the
    fsync of the one before.

    Args:
        sync: flushes files to disk; returns those that failed, with reasons.
        results: the type of fact that is a result: `Transformed`, or `Fetched` if there is no transform stage.
        post: sends a packed fact.
    """

    def __init__(
        self,
        sync: Callable[[list[str]], Mapping[str, str]],
        results: type[Transformed] | type[Fetched],
        post: Callable[[messages.Flat], None],
    ) -> None:
        self._sync = sync
        self._results = results
        self._post = post
        self._queue: queue.SimpleQueue[Fact | None] = queue.SimpleQueue()

    def emit(self, fact: Fact) -> None:
        """Send a fact."""
        self._queue.put(fact)

    def close(self) -> None:
        """Let the thread end once everything is sent."""
        self._queue.put(None)

    def run(self) -> None:
        """Work until closed. Raises OutputError if files cannot be written."""
        is_open = True
        while is_open:
            facts = self._next_batch()
            is_open = None not in facts
            ready = [fact for fact in facts if fact is not None]
            lost = self._sync(
                [path for fact in ready if isinstance(fact, self._results) for path in staged_paths(fact)]
            )
            for fact in ready:
                self._post(messages.pack_fact(self._unless_lost(fact, lost) if lost else fact))

    def _unless_lost(self, fact: Fact, lost: Mapping[str, str]) -> Fact:
        if isinstance(fact, self._results):
            for path in staged_paths(fact):
                if path in lost:
                    return write_failed(fact.item, lost[path])
        return fact

    def _next_batch(self) -> list[Fact | None]:
        facts = [self._queue.get()]
        with suppress(queue.Empty):
            while True:
                facts.append(self._queue.get_nowait())
        return facts


class Outbox:
    """Collects messages from all threads of a shard; one thread sends them.

    Args:
        send: takes one batch.
    """

    def __init__(self, send: Callable[[Sequence[object]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: list[object] = []
        self._has_some = threading.Event()
        self._is_urgent = threading.Event()
        self._is_closed = False

    def post(self, message: object, *, urgent: bool = False) -> None:
        """Send a message with the next batch; at once if somebody waits for what follows from it."""
        with self._lock:
            self._waiting.append(message)
            is_first = len(self._waiting) == 1
        if is_first:
            self._has_some.set()
        if urgent:
            self._is_urgent.set()

    def close(self) -> None:
        """Let the thread end once everything is sent."""
        self._is_closed = True
        self._is_urgent.set()
        self._has_some.set()

    def run(self) -> None:
        """Send batch after batch until closed. Raises OSError if there is nobody left to read."""
        while True:
            self._has_some.wait()
            if not self._is_closed:
                self._is_urgent.wait(BATCH_DELAY_S)
            with self._lock:
                batch, self._waiting = self._waiting, []
                self._has_some.clear()
                self._is_urgent.clear()
            if batch:
                self._send(batch)
            elif self._is_closed:
                return
            if self._is_closed:
                self._has_some.set()
