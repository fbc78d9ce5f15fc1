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
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from downloader.config.settings import Settings
from downloader.cpus import usable_cpus
from downloader.errors import Unaccounted
from downloader.failure_limit import FailureLimit
from downloader.journal import Journal, RetryFilter
from downloader.local import Task
from downloader.model.failures import is_transient
from downloader.model.items import Fetched, Transformed
from downloader.naming.rules import NamingRules
from downloader.naming.server_names import server_names
from downloader.planner import Batches, Planner, UrlRows, check_same_results, plan_retry, plan_sources
from downloader.report.advice import cautions
from downloader.report.budget import why_given_up
from downloader.report.figures import with_figures
from downloader.report.summary import Summary, summary_of
from downloader.report.versions import versions
from downloader.scheduling.backlog import Backlog
from downloader.scheduling.circuit_breaker import breaker_of
from downloader.scheduling.scheduler import Scheduler, read_plan
from downloader.screening import Duplicates, Screening
from downloader.shards.shares import shard_count, shares_of
from downloader.sinks.grouping import for_sink
from downloader.sinks.selection import check_sink, open_sink
from downloader.sources import SourceCounters, expanded, open_sources, read_rows
from downloader.stages import StageGroup, Stages
from downloader.stop import Stop
from downloader.storage.places import open_store
from downloader.supervisor import GRACE_S, Supervisor
from downloader.telemetry.interface import Sample
from downloader.telemetry.run import RunTelemetry
from downloader.transform.libraries import check_libraries
from downloader.workspace import OutputView, Workspace
from downloader.writer import Writer

if TYPE_CHECKING:
    from downloader.shards.coordinator import Coordinator

_log = logging.getLogger("downloader")


def run(settings: Settings, *, stop: Stop | None = None, stdin: TextIO | BinaryIO | None = None) -> Summary:
    """Do everything the settings ask for, and return how it went.

    The command line does the same: files in the output folder, journal and summary in its `.downloader`. Call it under
    `if __name__ == "__main__":`, since worker processes import the main module. `stop` lets another thread end the run.

    Raises:
        DownloaderError: the run could not start or go on; its message says why. Single items never raise.
    """
    settings = for_sink(settings)
    check_sink(settings)
    check_libraries(settings.transform)
    settings = replace(settings, sources=expanded(settings.sources, is_local=settings.is_local))
    seen = SourceCounters()
    sources = open_sources(settings, stdin or sys.stdin, seen)
    for source in sources:
        source.check()

    def plan(journal: Journal, rules: NamingRules) -> Batches:
        rows = read_rows(zip(settings.sources, sources, strict=True), seen)
        return plan_sources(journal, rows, rules.names, settings.output.overwrite)

    with Workspace.create(settings.output.output, settings.run.state_dir) as workspace, ExitStack() as stack:
        this = _Run(settings, workspace, plan, seen, stop or Stop(), stack)
        workspace.store_settings(settings)
        return this.go()


def retry(settings: Settings, wanted: RetryFilter = is_transient, *, stop: Stop | None = None) -> Summary:
    """Retry the failed items that are `wanted`, and finish those without an outcome; the sources are not read.

    `settings` are those that `stored_settings` gives for the output, changed at most in how things are done.

    Raises:
        DownloaderError: as `run`.
    """

    def plan(journal: Journal, _rules: NamingRules) -> Batches:
        return plan_retry(journal, wanted)

    check_sink(settings)
    check_libraries(settings.transform)
    with Workspace.create(settings.output.output, settings.run.state_dir) as workspace, ExitStack() as stack:
        return _Run(settings, workspace, plan, SourceCounters(), stop or Stop(), stack).go()


class _Run:
    """One run: its parts, wired. `stack` ends processes that were started for nothing."""

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        plan: Callable[[Journal, NamingRules], Batches],
        seen: SourceCounters,
        stop: Stop,
        stack: ExitStack,
    ) -> None:
        self._settings = settings
        self._workspace = workspace
        self._seen = seen
        self._stop = stop
        processes = settings.concurrency.processes
        self._processes = usable_cpus() if processes == "auto" else processes
        shards = shard_count(settings, cpus=usable_cpus(), processes=self._processes)
        check_same_results(workspace.settings, settings)
        rules = NamingRules.from_settings(settings)
        journal = workspace.journal
        self._metadata = workspace.metadata_file(settings)
        duplicates = Duplicates(journal.find_duplicate) if settings.source.dedup else None
        self._telemetry = RunTelemetry(
            settings, grace_s=GRACE_S, others=[duplicates] if duplicates else [], timeline=workspace.timeline
        )
        stack.callback(self._telemetry.abandon)
        results: type[Transformed | Fetched] = Transformed if settings.makes_images else Fetched
        self._writer = Writer(
            open_sink(
                settings,
                open_store(settings.output.output),
                groups=workspace.groups,
                records=journal,
                is_foreign=workspace.is_foreign,
                are_durable=shards > 1,
            ),
            journal.record,
            self._telemetry.observers,
            results=results,
            prepare=server_names(journal.rename, rules) if settings.output.trust_server_names else None,
        )
        self._limit = FailureLimit(settings.run.max_failures, results, self._writer.emit, stop.draining.set)
        self._scheduler: Scheduler[Any] = Scheduler(
            per_host=settings.concurrency.per_host,
            host_delay_s=settings.download.host_delay,
            breaker=breaker_of(settings.download),
            stopped=stop.draining.is_set,
        )
        backlog = Backlog(journal.open_local, stop.draining.is_set)
        self._stages: StageGroup = (
            self._stages_here(backlog, duplicates) if shards == 1 else self._sharded(shards, backlog, duplicates)
        )
        stack.callback(self._writer.sink.close)
        self._stages.start(stack)  # no thread exists yet
        self._planner = Planner(plan(journal, rules), [backlog, self._scheduler], stop)
        self._supervisor = Supervisor(stop, self._stages.abort)

    def _stages_here(self, backlog: Backlog[Task], duplicates: Duplicates | None) -> Stages:
        return Stages(
            self._settings,
            str(self._workspace.staging),
            processes=self._processes,
            feed=self._scheduler,
            local_feed=backlog,
            screening=Screening(self._writer.sink, duplicates),
            emit=self._limit.emit,
            stop=self._stop,
        )

    def _sharded(self, shards: int, backlog: Backlog[Task], duplicates: Duplicates | None) -> "Coordinator":
        from downloader.shards.coordinator import Coordinator  # noqa: PLC0415 - most runs have one shard
        from downloader.shards.process import configs  # noqa: PLC0415 - as above

        workspace = self._workspace
        return Coordinator(
            configs(
                shares_of(self._settings, shards, self._processes),
                staging=workspace.staging,
                is_foreign=workspace.is_foreign,
            ),
            scheduler=self._scheduler,
            backlog=backlog,
            emit=self._limit.emit,
            claims=duplicates,
            stop=self._stop,
        )

    # -- the run ---------------------------------------------------------------------------------------------------

    def go(self) -> Summary:
        """Start everything in order, watch it, and end it in order."""
        for caution in self._cautions():
            _log.warning("%s", caution)
        for fetched in self._workspace.recover(keep_fetched=self._settings.makes_images):
            self._writer.adopt(fetched)
        self._writer.sink.recover()
        self._workspace.journal.begin_plan(track_bodies=self._settings.source.dedup)
        self._stages.wait_until_up()
        start = self._supervisor.start
        writer = start("writer", self._writer.run, then=self._writer.drain)
        threads = [start("plan", self._planner.run), *self._stages.start_threads(start)]
        if not self._settings.is_local:
            start("read", self._read_plan)
        try:
            self._supervisor.watch(threads, self._tick)
        finally:
            self._writer.close()
            writer.join()
            self._telemetry.close(self._sample())
        self._supervisor.raise_problem()
        return self._finish()

    def _read_plan(self) -> None:
        rows = UrlRows(self._workspace.journal, self._writer.call, self._stages.task)
        read_plan(self._scheduler, rows.following, rows.of_host)

    def _tick(self) -> None:
        """Ten times a second: show where the run stands, and end one that has too many failures."""
        self._telemetry.sample(self._sample())
        self._limit.check(self._telemetry.counters.failures, self._telemetry.counters.done)

    def _sample(self) -> Sample:
        planner = self._planner
        return self._stages.gauges().sample(
            at_s=time.monotonic(),
            listed=planner.listed,
            planned=planner.is_complete,
            finished_before=planner.finished_before,
            waits=self._scheduler.waits(),
            is_stopping=self._stop.signal is not None,
            parent=self._telemetry.usage.usage(),
        )

    # -- the end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> Summary:
        journal = self._workspace.journal
        if not self._stop.draining.is_set():
            self._writer.sink.finish()
        if not self._stop.draining.is_set() and (left := journal.unaccounted()):
            raise Unaccounted(
                f"a defect in downloader, please report it: the run has ended and {left} of its items have no outcome; "
                "the same command continues with them"
            )
        for source in self._seen.empty:
            _log.warning("no items in %s", source)
        gauges = self._stages.gauges()
        if gauges.rebuilds:
            self._workspace.sweep()
        summary = replace(
            with_figures(
                summary_of(journal.counts()),
                self._telemetry,
                gauges,
                processes=self._processes if self._settings.makes_images else 0,
            ),
            writer_busy_s=self._writer.busy_s,
            cautions=self._cautions(),
            left_alone=self._seen.left_alone,
            set_aside=self._scheduler.set_aside(),
            groups=tuple(self._writer.sink.sealed),
            interrupted=self._stop.draining.is_set(),
            gave_up=self._why_given_up(),
            versions=versions(*([gauges.transport] if gauges.transport else [])),
        )
        self._workspace.store_summary(summary)
        self._metadata.write_at_end(self._settings.source.caption_column, self._stop)
        if self._settings.run.report and not self._stop.aborted.is_set():
            from downloader.run_report import report_run  # noqa: PLC0415 - 20 ms that nobody waits for before the end

            report_run(OutputView(journal), self._settings.output.output, self._workspace.state, summary.duration_s)
        self._workspace.publish(self._settings.output.output)
        return summary

    def _why_given_up(self) -> str | None:
        if not self._limit.is_exceeded:
            return None
        return why_given_up(self._settings.run.max_failures, self._workspace.journal.common_failure())

    def _cautions(self) -> tuple[str, ...]:
        insecure = self._settings.download.insecure and not self._settings.is_local
        return cautions(insecure=insecure, options_ignored=self._seen.options_ignored, empty_sources=self._seen.empty)
