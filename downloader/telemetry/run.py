"""Everything that is measured and shown of one run."""

import time
from collections.abc import Iterable

from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Observer, Observers, Sample
from downloader.telemetry.meters import QueueMeter, StageMeters
from downloader.telemetry.progress import Progress, Style, view


class RunTelemetry:
    """The observers of a run, and what they know.

    `style` is that of progress; `transforms` says whether there is a transform stage to be shown; `others` are told
    before these.
    """

    def __init__(self, style: Style, *, transforms: bool, others: Iterable[Observer] = ()) -> None:
        self.started_s = time.monotonic()
        self.counters = RunCounters()
        self.stages = StageMeters()
        self.queue = QueueMeter()
        progress = Progress(view(style, transforms=transforms), self.counters, self.started_s)
        self.observers = Observers((*others, self.counters, self.stages, self.queue, progress))

    def sample(self, sample: Sample) -> None:
        """Pass a sample on."""
        self.observers.sample(sample)

    def close(self, last: Sample) -> None:
        """Pass the last sample and the end on."""
        self.observers.sample(last)
        self.observers.close()
