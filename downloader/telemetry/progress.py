"""Shows a run while it is at work: snapshots made of samples and counters, and outcomes, in one of several views."""

from collections.abc import Sequence

from downloader.model.items import Fact, Failed, Skipped, Stored, Unchanged
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Sample
from downloader.telemetry.snapshot import Snapshot, Speedometer
from downloader.telemetry.views import View


class Progress:
    """An observer: shows samples together with the counters of the run.

    Args:
        view: the form.
        counters: what the run has done; another observer, told before this one.
        started_s: when the run began, monotonic.
        grace_s: seconds that items in hand get when the run is stopped.
    """

    def __init__(self, view: View, counters: RunCounters, started_s: float, grace_s: float) -> None:
        self._view = view
        self._counters = counters
        self._speedometer = Speedometer(started_s)
        self._grace_s = grace_s
        self._is_stopping = False
        self._last: Snapshot | None = None

    def facts(self, facts: Sequence[Fact]) -> None:
        """Pass outcomes on; everything else is shown with the next sample."""
        for fact in facts:
            if isinstance(fact, Stored | Unchanged | Failed | Skipped):
                self._view.outcome(fact)

    def sample(self, sample: Sample) -> None:
        """Show how far the run has come."""
        if sample.is_stopping and not self._is_stopping:
            self._is_stopping = True
            self._view.stopping(sample.in_hand, self._grace_s)
        self._last = self._speedometer.snapshot(sample, self._counters)
        self._view.show(self._last)

    def close(self) -> None:
        """Show the end."""
        if self._last is not None:
            self._view.close(self._speedometer.last(self._last))
