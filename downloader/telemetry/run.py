"""Everything that is measured and shown of one run."""

import time
from collections.abc import Iterable

from downloader.config.settings import Mode
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Observer, Observers, Sample
from downloader.telemetry.meters import QueueMeter, StageMeters
from downloader.telemetry.progress import Progress
from downloader.telemetry.views import Style, view


class RunTelemetry:
    """The observers of a run, and what they know.

    `style` is that of progress, `mode` the command; items in hand get `grace_s` when the run is stopped; `others` are
    told before these.
    """

    def __init__(self, style: Style, mode: Mode, *, grace_s: float, others: Iterable[Observer] = ()) -> None:
        self.started_s = time.monotonic()
        self._cpu_started_s = time.process_time()
        self.counters = RunCounters()
        self.stages = StageMeters()
        self.queue = QueueMeter()
        progress = Progress(view(style, mode=mode), self.counters, self.started_s, grace_s)
        self.observers = Observers((*others, self.counters, self.stages, self.queue, progress))

    @property
    def cpu_s(self) -> float:
        """CPU time of this process since the run began, of all its threads."""
        return time.process_time() - self._cpu_started_s

    def sample(self, sample: Sample) -> None:
        """Pass a sample on."""
        self.observers.sample(sample)

    def close(self, last: Sample) -> None:
        """Pass the last sample and the end on."""
        self.observers.sample(last)
        self.observers.close()
