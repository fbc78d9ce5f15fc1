"""The summary of a run that has ended, from what was measured of it."""

import time
from dataclasses import replace

from downloader.cpus import usable_cpus
from downloader.report.summary import QueueFigures, StageFigures, Summary
from downloader.telemetry.interface import Gauges
from downloader.telemetry.meters import StageMeter
from downloader.telemetry.run import RunTelemetry
from downloader.telemetry.sampler import peak_rss_bytes


def with_figures(counted: Summary, telemetry: RunTelemetry, gauges: Gauges, *, processes: int) -> Summary:
    """The counts of an output together with the figures of the run that ended just now.

    Args:
        counted: what the journal counts, over all runs.
        telemetry: of this run.
        gauges: of its stages, at their end.
        processes: transform processes; 0 without a transform stage.
    """
    duration_s = time.monotonic() - telemetry.started_s
    counters, queue = telemetry.counters, telemetry.queue
    return replace(
        counted,
        duration_s=duration_s,
        new=counters.done,
        new_succeeded=counters.succeeded,
        changed=counters.changed,
        unchanged=counters.unchanged,
        download=_stage(telemetry.stages.download, gauges.threads, duration_s, gauges.waited_s),
        transform=_stage(telemetry.stages.transform, processes, duration_s) if processes else None,
        queue=QueueFigures(
            size=gauges.queue_size, samples=queue.samples, depths=queue.depths, full=queue.full, empty=queue.empty
        )
        if gauges.queue_size
        else None,
        shards=gauges.shards,
        rebuilds=gauges.rebuilds,
        pace=f"{gauges.threads} at a time in the end: {gauges.pace}" if gauges.pace else None,
        cpus=usable_cpus(),
        parent_cpu_s=telemetry.cpu_s,
        peak_rss_parent_bytes=peak_rss_bytes(),
        peak_rss_worker_bytes=queue.peak_worker_rss_bytes,
    )


def _stage(meter: StageMeter, workers: int, duration_s: float, wait_s: float = 0.0) -> StageFigures:
    return StageFigures(
        workers=workers,
        available_s=workers * duration_s,
        busy_s=meter.busy_s,
        wait_s=wait_s,
        durations=meter.durations,
    )
