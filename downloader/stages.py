"""The stages of one interpreter, wired: local files, downloads and transforms, from a feed to `emit`.

A run has one of these in its own process, or one in each of its shards.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from downloader.config.settings import Settings
from downloader.handoff import HandOff
from downloader.local import LocalFeed, LocalStage
from downloader.model.items import Item
from downloader.scheduling.interface import Emit, Feed
from downloader.screening import Screening
from downloader.stop import Stop
from downloader.telemetry.interface import Gauges, ProcessUsage
from downloader.telemetry.sampler import OwnUsageMeter, UsageMeter, largest_rss_bytes
from downloader.transform.processes import fork_server_pids
from downloader.transform.stage import TransformStage

if TYPE_CHECKING:
    from downloader.download.fetch_task import FetchTask
    from downloader.download.stage import DownloadStage

_MAX_LOCAL_THREADS = 4
"""Threads that open local files; more would only wait for each other, unless each open takes milliseconds."""

Start = Callable[[str, Callable[[], None]], threading.Thread]
"""Starts a named thread that is watched."""


class StageGroup(Protocol):
    """The stages of a run, wherever they are."""

    def task(self, item: Item) -> Any:  # noqa: ANN401 - each kind of stages has its own
        """What the scheduler is to hand out for an item."""

    def start(self, stack: ExitStack) -> None:
        """Start the processes, before the run has any thread; `stack` ends them if the run never begins."""

    def wait_until_up(self) -> None:
        """Wait until work can begin; raises CannotGoOn if it cannot."""

    def start_threads(self, start: Start) -> list[threading.Thread]:
        """Start the work; the threads end when there is nothing left or the run stops."""

    def abort(self) -> None:
        """Wake every thread that waits for I/O."""

    def gauges(self) -> Gauges:
        """How they stand now."""


class Stages:
    """Implements `StageGroup` in this process.

    Args:
        settings: of the run; `threads` is the number of this process.
        staging: folder for bytes on their way.
        processes: transform processes.
        feed: URLs to be fetched.
        local_feed: everything that needs no network.
        screening: decides what is wanted.
        emit: takes every fact.
        stop: ends the stages early.
        name: of the shard that they are in, for the names of threads; empty without shards.
    """

    def __init__(
        self,
        settings: Settings,
        staging: str,
        *,
        processes: int,
        feed: "Feed[FetchTask]",
        local_feed: LocalFeed,
        screening: Screening,
        emit: Emit,
        stop: Stop,
        name: str = "",
    ) -> None:
        self._settings = settings
        self._thread_prefix = f"{name}/" if name else ""
        self._usage = OwnUsageMeter() if name else None
        self._worker_usage = UsageMeter()
        self._staging = staging
        self._feed = feed
        self._screening = screening
        self._emit = emit
        self._stop = stop
        self._transform = self._transform_stage(processes) if settings.makes_images else None
        self._local = self._local_stage(local_feed)
        self._download: DownloadStage | None = None

    def _transform_stage(self, processes: int) -> TransformStage:
        return TransformStage(
            self._settings.transform,
            processes,
            self._staging,
            HandOff(self._settings.concurrency.queue_size, self._stop),
            self._emit,
            self._stop,
            keep_originals=self._settings.keeps_originals,
            reads_exif=self._settings.makes_groups,
        )

    def _local_stage(self, feed: LocalFeed) -> LocalStage:
        threads = self._settings.concurrency.threads
        return LocalStage(
            feed,
            threads=_MAX_LOCAL_THREADS if threads == "auto" else min(threads, _MAX_LOCAL_THREADS),
            staging=None if self._settings.makes_images else self._staging,
            screening=self._screening,
            emit=self._emit,
            hand_on=self._transform.handoff.put if self._transform else None,
            stop=self._stop,
            thread_prefix=self._thread_prefix,
        )

    def _download_stage(self) -> "DownloadStage":
        # HTTP and TLS are loaded while the processes come up: 0.15 s of the second that a short run takes.
        from downloader.download.stage import DownloadStage  # noqa: PLC0415 - see above

        handoff = self._transform.handoff if self._transform else None
        return DownloadStage(
            self._settings,
            self._staging,
            self._feed,
            screening=self._screening,
            emit=self._emit,
            hand_on=handoff.put if handoff else None,
            waited_s=lambda: handoff.waited_s if handoff else 0.0,
            stop=self._stop,
            thread_prefix=self._thread_prefix,
        )

    def task(self, item: Item) -> "FetchTask":
        """A first attempt at an item."""
        from downloader.download.fetch_task import FetchTask  # noqa: PLC0415 - loaded with its stage

        return FetchTask(item=item)

    def start(self, stack: ExitStack) -> None:
        """Start the transform processes, and load what downloads need meanwhile."""
        if self._transform:
            stack.callback(self._transform.abandon)
            self._transform.start()
        if not self._settings.is_local:
            self._download = self._download_stage()

    def wait_until_up(self) -> None:
        """Wait for the transform processes."""
        if self._transform:
            self._transform.wait_until_up()

    def start_threads(self, start: Start) -> list[threading.Thread]:
        """Start the threads that bring bytes, and the driver of the transforms."""
        threads = [start("fetch", lambda: self._fetch(start))]
        if self._transform:
            threads.append(start("transform", self._transform.run))
        return threads

    def _fetch(self, start: Start) -> None:
        """Both stages that bring bytes, side by side; when they have ended nothing more is handed on."""
        local = start("local", self._local.run)
        try:
            if self._download:
                self._download.run()
        finally:
            local.join()
            if self._transform:
                self._transform.handoff.close()

    def abort(self) -> None:
        """Wake every thread that waits for a server."""
        if self._download:
            self._download.abort()

    def limit_rate(self, bytes_per_s: float) -> None:
        """Change the rate that downloads keep to, where there is a limit."""
        if self._download:
            self._download.limit_rate(bytes_per_s)

    def gauges(self) -> Gauges:
        """How they stand now."""
        transform, download = self._transform, self._download
        handoff = transform.handoff if transform else None
        return Gauges(
            queue_depth=handoff.depth() if handoff else 0,
            queue_size=handoff.size if handoff else 0,
            in_hand=(download.in_hand if download else 0) + (handoff.in_flight if handoff else 0),
            received_bytes=download.received_bytes if download else 0,
            waited_s=handoff.waited_s if handoff else 0.0,
            worker_rss_bytes=largest_rss_bytes(transform.pids()) if transform else None,
            pids=(*transform.pids(), *fork_server_pids()) if transform else (),
            rebuilds=transform.rebuilds if transform else 0,
            threads=download.threads if download else self._local.threads,
            pace=download.pace if download else None,
            transport=download.transport if download else None,
            shards_usage=self._usage.usage() if self._usage else ProcessUsage(),
            workers=self._worker_usage.usage(transform.pids() if transform else ()),
        )
