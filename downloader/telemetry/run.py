"""Everything that is measured and shown of one run."""

import time
from collections.abc import Iterable
from pathlib import Path

from downloader.config.settings import Settings
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Observer, Observers, Sample
from downloader.telemetry.meters import QueueMeter, StageMeters
from downloader.telemetry.progress import Progress
from downloader.telemetry.sampler import OwnUsageMeter
from downloader.telemetry.timeline import TimelineRecorder
from downloader.telemetry.trace import TraceWriter
from downloader.telemetry.views import view


class RunTelemetry:
    """The observers of a run, and what they know.

    `settings` are those of the run; items in hand get `grace_s` when it is stopped; `others` are told before these.
    `timeline` is the file for what the report shows over time.

    Raises:
        OutputError: the trace cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        grace_s: float,
        timeline: Path,
        others: Iterable[Observer] = (),
    ) -> None:
        self.started_s = time.monotonic()
        self._cpu_started_s = time.process_time()
        self.counters = RunCounters()
        self.stages = StageMeters()
        self.queue = QueueMeter()
        self.usage = OwnUsageMeter()
        run = settings.run
        style = "none" if run.quiet else run.progress
        progress = Progress(view(style, mode=settings.mode), self.counters, self.started_s, grace_s)
        self._trace = TraceWriter(Path(run.trace), self.started_s) if run.trace else None
        recorders: list[Observer] = [self._trace] if self._trace else []
        if run.report:
            recorders.append(TimelineRecorder(timeline, self.started_s))
        self.observers = Observers((*others, self.counters, self.stages, self.queue, *recorders, progress))

    @property
    def cpu_s(self) -> float:
        """CPU time of this process since the run began, of all its threads."""
        return time.process_time() - self._cpu_started_s

    def sample(self, sample: Sample) -> None:
        """Pass a sample on."""
        self.observers.sample(sample)

    def abandon(self) -> None:
        """Close the trace of a run that never begins; does nothing after `close`."""
        if self._trace:
            self._trace.close()

    def close(self, last: Sample) -> None:
        """Pass the last sample and the end on."""
        self.observers.sample(last)
        self.observers.close()
