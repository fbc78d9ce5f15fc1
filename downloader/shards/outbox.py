"""What a shard has to say, collected into batches."""

import threading
from collections.abc import Callable, Sequence

from downloader.model.items import Fact
from downloader.shards import messages

BATCH_DELAY_S = 0.005
"""Seconds that a message may wait for others: one piece of a dozen messages costs what one message does."""


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

    def emit(self, fact: Fact) -> None:
        """Send a fact: the shard's side of `Emit`."""
        self.post(messages.pack_fact(fact))

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
