"""The composition root: wires the stages, and owns the order in which they start and end.

    main thread      starts the processes, then the threads; shows progress; decides when to stop
    plan             reads sources lazily, enters rows into the journal in batches
    read             brings the scheduler rows of the plan as it asks for them
    download-0..N    Item -> Fetched, Failed, Skipped; hands files on, waits while the queue is full
    local-0..N       the same for files of this machine
    transform        drives M processes that take from the queue and return facts
    writer           stores results, then records every fact

Each ends when the one before it has ended and its own input is empty: plan, downloads, transforms, writer. `fetch` is
this pipeline without a transform stage, `process` without a download stage.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from downloader import sources
from downloader.config.settings import Settings
from downloader.errors import Unaccounted
from downloader.handoff import HandOff
from downloader.journal import Namer, RetryFilter
from downloader.local import LocalStage
from downloader.model.failures import is_transient
from downloader.model.items import Fetched, Item, Request, Row, Transformed, Url
from downloader.model.urls import host_of
from downloader.planner import Batches, Planner, check_same_results, keeps_originals, plan_retry, plan_sources
from downloader.report.budget import common_cause, is_hopeless
from downloader.report.summary import QueueFigures, StageFigures, Summary, summary_of
from downloader.report.versions import versions
from downloader.scheduling.backlog import Backlog
from downloader.scheduling.scheduler import Entry, Scheduler, read_plan
from downloader.screening import Duplicates, Screening
from downloader.sinks.files import FilesSink
from downloader.stop import Stop
from downloader.supervisor import Supervisor
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.meters import QueueMeter, StageMeters
from downloader.telemetry.observer import Observer, Observers, Sample
from downloader.telemetry.progress import Progress, view
from downloader.telemetry.sampler import largest_rss_bytes, peak_rss_bytes
from downloader.transform.stage import TransformStage
from downloader.workspace import Workspace
from downloader.writer import Writer

if TYPE_CHECKING:
    from downloader.download.stage import DownloadStage

_log = logging.getLogger("downloader")

_MAX_LOCAL_THREADS = 4
"""Threads that open local files; more would only wait for each other, unless each open takes milliseconds."""


def run(settings: Settings, *, stop: Stop | None = None, stdin: TextIO | BinaryIO | None = None) -> Summary:
    """Do everything the settings ask for, and return how it went.

    The command line does the same: files in the output folder, journal and summary in its `.downloader`. Call it under
    `if __name__ == "__main__":`, since worker processes import the main module. `stop` lets another thread end the run.

    Raises:
        DownloaderError: the run could not start or go on; its message says why. Single items never raise.
    """
    sources.check(settings)
    counters = SourceCounters()

    def batches(journal: Journal, names: Namer) -> Batches:
        rows = sources.read(settings, stdin or sys.stdin, counters)
        return plan_sources(journal, rows, names, settings.output.overwrite)

    with Workspace.create(Path(settings.output.output)) as workspace, ExitStack() as stack:
        this = _Run(settings, workspace, batches, counters, stop or Stop(), stack)
        workspace.store_settings(settings)
        return this.go()


def retry(settings: Settings, wanted: RetryFilter = is_transient, *, stop: Stop | None = None) -> Summary:
    """Retry the failed items that are `wanted`, and finish those without an outcome; the sources are not read.

    `settings` are those that `stored_settings` gives for the output, changed at most in how things are done.

    Raises:
        DownloaderError: as `run`.
    """

    def batches(journal: Journal, _names: Namer) -> Batches:
        return plan_retry(journal, wanted)

    with Workspace.create(Path(settings.output.output)) as workspace, ExitStack() as stack:
        return _Run(settings, workspace, batches, SourceCounters(), stop or Stop(), stack).go()


class _Run:
    """One run: its stages, wired, and what is measured of them. `stack` ends what was started for nothing."""

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        batches: Callable[[Journal, Namer], Batches],
        sources_seen: SourceCounters,
        stop: Stop,
        stack: ExitStack,
    ) -> None:
        self._started_s = time.monotonic()
        self._settings = settings
        self._workspace = workspace
        self._stop = stop
        self._sources_seen = sources_seen
        check_same_results(workspace.settings, settings)
        rules = NamingRules.of(settings)
        self._counters, self._meters, self._queue = RunCounters(), StageMeters(), QueueMeter()
        duplicates = Duplicates(workspace.journal.find_duplicate) if settings.source.dedup else None
        shown = Progress(view(settings.run.progress, transforms=settings.makes_images), self._counters, self._started_s)
        observers = (self._counters, self._meters, self._queue, duplicates, shown)
        self._observers = Observers(observer for observer in observers if observer is not None)
        self._sink = FilesSink(
            LocalStore(workspace.root),
            replace=settings.output.overwrite == "always",
            variants=rules.variants,
            is_foreign=workspace.is_foreign,
        )
        screening = Screening(self._sink, duplicates)
        self._writer = Writer(
            self._sink,
            workspace.journal.record,
            self._observers,
            results=Transformed if settings.makes_images else Fetched,
            prepare=_server_names(workspace.journal, rules) if settings.output.trust_server_names else None,
        )
        self._transform = self._transform_stage(stack) if settings.makes_images else None  # no thread exists yet
        hand_on = self._transform and self._transform.handoff.put
        self._local = self._local_stage(screening, hand_on)
        self._download = None if settings.is_local else self._download_stage(screening, hand_on)
        feeds = [self._local.backlog, *([self._download.scheduler] if self._download else [])]
        self._planner = Planner(batches(workspace.journal, rules.names), feeds, stop)
        self._supervisor = Supervisor(stop, self._download.abort if self._download else lambda: None)
        self._gave_up = False

    # -- wiring ----------------------------------------------------------------------------------------------------

    def _transform_stage(self, stack: ExitStack) -> TransformStage:
        settings = self._settings
        handoff = HandOff(settings.concurrency.queue_size, self._stop)
        stage = TransformStage(
            settings.transform,
            process_count(settings),
            str(self._workspace.staging),
            handoff,
            self._writer.emit,
            self._stop,
            keep_originals=keeps_originals(settings),
        )
        stack.callback(stage.abandon)
        stage.start()
        return stage

    def _local_stage(self, screening: Screening, hand_on: HandOn | None) -> LocalStage:
        threads = self._settings.concurrency.threads
        return LocalStage(
            Backlog(self._workspace.journal.open_local, self._stop.draining.is_set),
            threads=_MAX_LOCAL_THREADS if threads == "auto" else min(threads, _MAX_LOCAL_THREADS),
            staging=None if self._settings.makes_images else str(self._workspace.staging),
            screening=screening,
            emit=self._writer.emit,
            hand_on=hand_on,
            stop=self._stop,
        )

    def _download_stage(self, screening: Screening, hand_on: HandOn | None) -> "DownloadStage":
        # HTTP and TLS are loaded while the processes come up: 0.15 s of the second that a short run takes.
        from downloader.download.stage import DownloadStage  # noqa: PLC0415 - see above

        return DownloadStage(
            self._settings,
            str(self._workspace.staging),
            screening=screening,
            emit=self._writer.emit,
            hand_on=hand_on,
            waited_s=(lambda: self._transform.handoff.waited_s) if self._transform else lambda: 0.0,
            stop=self._stop,
        )

    # -- the run ---------------------------------------------------------------------------------------------------

    def go(self) -> Summary:
        """Start everything in order, watch it, and end it in order."""
        journal = self._workspace.journal
        for caution in self._cautions():
            _log.warning("%s", caution)
        for fetched in self._workspace.recover(keep_fetched=self._settings.makes_images):
            self._writer.adopt(fetched)
        journal.begin_plan(track_bodies=self._settings.source.dedup)
        if self._transform:
            self._transform.wait_until_up()
        start = self._supervisor.start
        writer = start("writer", self._writer.run, then=self._writer.drain)
        threads = [start("plan", self._planner.run), start("fetch", self._fetch)]
        if self._transform:
            threads.append(start("transform", self._transform.run))
        try:
            self._supervisor.watch(threads, self._tick)
        finally:
            self._writer.close()
            writer.join()
            self._sink.close()
            self._observers.sample(self._sample())
            self._observers.close()
        self._supervisor.raise_problem()
        return self._finish()

    def _fetch(self) -> None:
        """Both stages that bring bytes, side by side; when they have ended nothing more is handed on."""
        local = self._supervisor.start("local", self._local.run)
        try:
            if self._download:
                self._download.run()
        finally:
            local.join()
            if self._transform:
                self._transform.handoff.close()

    def _read_plan(self) -> None:
        """Bring the scheduler the rows it asks for."""
        journal = self._workspace.journal
        has_index = False

        def of_host(host: str, start: int, stop: int, limit: int) -> list[Entry[Item]]:
            nonlocal has_index
            if not has_index:
                self._writer.call(journal.index_hosts)  # the thread that writes to the journal
                has_index = True
            return [Entry(number, host, item) for number, item in journal.open_urls_of_host(host, start, stop, limit)]

        read_plan(self._scheduler, lambda after, limit: ..., of_host)

    def _tick(self) -> None:
        """Ten times a second: show where the run stands, and stop one that has too many failures."""
        self._observers.sample(self._sample())
        limit = self._settings.run.max_failures
        if not self._gave_up and is_hopeless(limit, self._counters.failures, self._counters.done):
            self._gave_up = True
            self._stop.draining.set()

    def _sample(self) -> Sample:
        planner, transform = self._planner, self._transform
        return Sample(
            at_s=time.monotonic(),
            listed=planner.listed,
            planned=planner.is_complete,
            finished_before=planner.finished_before,
            queue_depth=transform.handoff.depth() if transform else 0,
            queue_size=transform.handoff.size if transform else 0,
            worker_rss_bytes=largest_rss_bytes(transform.pids()) if transform else None,
        )

    # -- the end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> Summary:
        journal = self._workspace.journal
        if not self._stop.draining.is_set() and (left := journal.unaccounted()):
            raise Unaccounted(
                f"a defect in downloader, please report it: the run has ended and {left} of its items have no outcome; "
                "the same command goes on with them"
            )
        summary = self._summary(time.monotonic() - self._started_s)
        self._workspace.store_summary(summary)
        return summary

    def _summary(self, duration_s: float) -> Summary:
        """What the journal counts over all runs, with the figures of this one."""
        counters, download, transform = self._counters, self._download, self._transform
        return replace(
            summary_of(self._workspace.journal.counts()),
            duration_s=duration_s,
            new=counters.done,
            new_succeeded=counters.succeeded,
            unchanged=counters.unchanged,
            download=...,
            transform=...,
            queue=...,
            writer_busy_s=self._writer.busy_s,
            is_processor_idle=process_count(self._settings) < (os.cpu_count() or 1),
            peak_rss_parent_bytes=peak_rss_bytes(),
            peak_rss_worker_bytes=self._queue.peak_worker_rss_bytes,
            pace=download.pace if download else None,
            cautions=tuple(self._cautions()),
            left_alone=self._sources_seen.left_alone,
            rebuilds=transform.rebuilds if transform else 0,
            interrupted=self._stop.draining.is_set(),
            gave_up=self._why_it_gave_up(),
            versions=versions(*([download.transport] if download else [])),
        )
