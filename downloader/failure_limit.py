"""Ending a run that has too many failures, as soon as there is one too many."""

import threading
from collections.abc import Callable

from downloader.config.values import Budget
from downloader.model.items import Fact, Failed, Fetched, Skipped, Transformed, Unchanged
from downloader.report.budget import is_hopeless
from downloader.scheduling.interface import Emit


class FailureLimit:
    """Counts facts on their way to the writer. Threads share it.

    What is in hand when the limit is exceeded still gets its outcome. So there are at most as many failures beyond it
    as there are downloads, waiting files and transforms at a time.

    Args:
        limit: `--max-failures`; None for no limit.
        results: the type of fact that is a result: `Transformed`, or `Fetched` if there is no transform stage.
        emit: takes every fact.
        exceeded: called once, when there are too many failures.
    """

    def __init__(
        self,
        limit: Budget | None,
        results: type[Transformed] | type[Fetched],
        emit: Emit,
        exceeded: Callable[[], None],
    ) -> None:
        self._limit = limit
        self._results = results
        self._emit = emit
        self._exceeded = exceeded
        self._lock = threading.Lock()
        self._failed = self._done = 0
        self.is_exceeded = False

    def emit(self, fact: Fact) -> None:
        """Count a fact and pass it on."""
        if self._limit is not None and isinstance(fact, (self._results, Failed, Skipped, Unchanged)):
            with self._lock:
                self._done += 1
                self._failed += isinstance(fact, Failed)
            self.check(self._failed, self._done)
        self._emit(fact)

    def check(self, failed: int, done: int) -> None:
        """Compare with the limit; also called with what was recorded, since results may fail to be stored."""
        with self._lock:
            if self.is_exceeded or not is_hopeless(self._limit, failed, done):
                return
            self.is_exceeded = True
        self._exceeded()
