"""The composition root: wires the stages and owns the order in which they start and end.

    main thread      starts the processes, then the threads; shows progress; decides when to stop
    plan             reads sources lazily, enters rows into the journal in batches
    download-0..N    Item -> Fetched, Failed, Skipped; hands files on, waits while the queue is full
    transform        drives M processes that take from the queue and return facts
    writer           stores results, then records every fact

Each ends when the one before it has ended and its own input is empty: plan, downloads, transforms, writer.
"""

import gc
import json
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import file_digest
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO

import psutil
from filelock import FileLock, Timeout

from downloader import __version__, sources
from downloader.config.load import dump, each_section, restore
from downloader.config.settings import Settings
from downloader.errors import (
    CannotGoOn,
    ConfigError,
    DownloaderError,
    JournalError,
    OutputError,
    OutputLocked,
    Unaccounted,
)
from downloader.handoff import HandOff
from downloader.journal import FILE_NAME, Counts, Journal, Wanted
from downloader.model.failures import is_transient
from downloader.model.items import ORIGINAL, Fetched, Item, Request, Requeued, Row
from downloader.model.states import State, after_crash
from downloader.naming import layout
from downloader.report.budget import in_common, is_hopeless
from downloader.report.summary import QueueFigures, StageFigures, Summary, advise, bottleneck, share
from downloader.scheduling.scheduler import Feed, Plan
from downloader.sinks.files import FilesSink
from downloader.sources.tabular import Columns
from downloader.stop import Stop
from downloader.telemetry.meters import Meter
from downloader.telemetry.progress import Display, Snapshot, display
from downloader.transform.geometry import variant_names
from downloader.transform.stage import TransformStage
from downloader.writer import Writer

STATE_FOLDER = ".downloader"
_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Instead of Python's 700 to 2,000; at some 100 bytes each, 5 MB that may wait to be found."""
_FIRST_BATCH, _LARGEST_BATCH = 1000, 4000
"""Rows entered into the journal at once: few at first, for a quick start; more later, since that costs less a row."""
_TICK_S = 0.1
"""Seconds between looks at signals, queue depth and progress."""
_GRACE_S = 10.0
"""Seconds that what is in hand gets to finish after the first Ctrl-C."""

_log = logging.getLogger("downloader")


def run(settings: Settings, *, stop: Stop | None = None, stdin: TextIO | BinaryIO | None = None) -> Summary:
    """Do everything the settings ask for and say how it went.

    The same run as the command line's: files in the output folder, journal and summary in its `.downloader`. Call it
    under `if __name__ == "__main__":`, since worker processes import the main module. `stop` lets another thread end
    the run.

    Raises:
        DownloaderError: the run could not start or go on; its message says why. Single items never raise.
    """
    sources.check(settings)
    with _rare_collections(), _Run(settings, stop or Stop(), stdin or sys.stdin) as this:
        return this.go()


def retry(settings: Settings, wanted: Wanted = is_transient, *, stop: Stop | None = None) -> Summary:
    """Do again what failed and is `wanted`, and go on with what has no outcome; the sources are not read.

    `settings` are those that `stored_settings` gives for the output, changed at most in how it is done.

    Raises:
        DownloaderError: as `run`.
    """
    with _rare_collections(), _Run(settings, stop or Stop(), sys.stdin, again=wanted) as this:
        return this.go()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for reference cycles less often: a run makes many objects and hardly a cycle.

    What is there already, imported modules most of all, is not looked at meanwhile. Planning 200,000 rows takes 12 %
    less time so (50,500 a second against 44,700), with the same memory.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def stored_settings(output: Path) -> Settings:
    """The settings of the last run on an output.

    Raises:
        JournalError: no run has been there, or its journal cannot be read.
        ConfigError: another version wrote settings that this one does not understand.
    """
    journal = Journal(output / STATE_FOLDER / FILE_NAME, read_only=True)
    try:
        text = journal.meta("settings")
    finally:
        journal.close()
    if text is None:
        raise JournalError(f"{output}: the run that made this output had not begun; give its command again")
    stored = _stored_settings(text)
    return replace(stored, output=replace(stored.output, output=str(output)))


class _Run:
    """One run: the parts, wired. `again`: the plan is what is stored and wanted again, not the sources."""

    def __init__(
        self, settings: Settings, stop: Stop, stdin: TextIO | BinaryIO, *, again: Wanted | None = None
    ) -> None:
        self._again = again
        self._settings = settings
        self._stop = stop
        self._stdin = stdin
        self._started_s = time.monotonic()
        self._problem: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._root = Path(settings.output.output)
        self._state = self._root / STATE_FOLDER
        self._staging = self._state / "staging"
        self._tally = sources.Tally()
        self._listed = 0
        self._done_before = 0
        self._planned = False
        self._gave_up = False
        self._abandon: Callable[[], None] = lambda: None
        """Ends processes that nobody will work with; they were started before all was known to be well."""
        self._queue_looks: list[int] = [0, 0, 0, 0]  # looks, sum of depths, full, empty
        self._peak_worker_rss: int | None = None

    # -- opening and closing -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        is_foreign = self._root.is_dir() and any(entry.name != STATE_FOLDER for entry in os.scandir(self._root))
        self._open_output()
        try:
            self._journal = Journal(self._state / FILE_NAME)
        except BaseException:
            self._lock.release()
            raise
        try:
            self._wire(is_foreign=is_foreign)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._abandon()
        self._journal.close()
        self._lock.release()

    def _open_output(self) -> None:
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)  # the journal holds URLs with their passwords
            self._staging.mkdir(exist_ok=True)
            self._lock = _take_lock(self._root)
        except (FileExistsError, NotADirectoryError):
            raise OutputError(f"{self._root}: is a file, not a folder; name another output with -o") from None
        except OSError as problem:
            raise OutputError(f"{self._root}: cannot be written: {problem.strerror}; name another with -o") from None

    def _wire(self, *, is_foreign: bool) -> None:
        settings, stop = self._settings, self._stop
        self._processes = _process_count(settings)
        self._transforms = settings.mode != "fetch"
        self._check_same_transform()
        _check_variants(settings)
        self._template = _template(settings)
        _check_server_names(settings)
        self._download_meter, self._transform_meter = Meter(), Meter()
        self._handoff = HandOff(settings.concurrency.queue_size, stop, self._download_meter.waited)
        self._feed = Feed(
            Plan(after=self._journal.live, of_host=self._journal.live_of_host),
            stop,
            per_host=settings.concurrency.per_host,
            host_delay_s=settings.download.host_delay,
        )
        sink = FilesSink(
            self._root,
            overwrite=settings.output.overwrite == "always",
            variants=(self._transforms and variant_names(settings.transform.resize)) or (None,),
            is_foreign=is_foreign,
        )
        self._sink = sink
        self._writer = Writer(sink, self._journal.record, keep_bytes=not self._transforms)
        self._transform = TransformStage(
            settings.transform,
            self._processes,
            str(self._staging),
            self._handoff,
            self._writer.tell,
            stop,
            self._transform_meter,
            keep_originals=settings.output.keep_originals,
        )
        if self._transforms:
            self._abandon = self._transform.abandon
            self._transform.start()  # processes first: no thread exists yet
        # While they come up there is time for HTTP and TLS: 0.15 s of a second that a short run takes.
        from downloader.download.stage import DownloadStage  # noqa: PLC0415 - see above

        self._download = DownloadStage(
            settings,
            str(self._staging),
            self._feed,
            already_there=sink.already_there,
            still_there=sink.still_there,
            rename=self._renamed if settings.output.trust_server_names else None,
            first_with=self._journal.first_with if settings.source.dedup else None,
            tell=self._writer.tell,
            hand_on=self._handoff.put if self._transforms else lambda _: True,
            stop=stop,
            meter=self._download_meter,
        )

    def _check_same_transform(self) -> None:
        """Refuse to mix two kinds of results in one output."""
        before = self._journal.meta("settings")
        if before is None:
            return
        earlier = _stored_settings(before)
        if _keeps_originals(earlier) != _keeps_originals(self._settings):
            how = "with" if _keeps_originals(earlier) else "without"
            raise ConfigError(
                f"{self._root}: made by an earlier run {how} --keep-originals, on which names of results depend; "
                "name another output with -o"
            )
        if self._settings.output.overwrite == "always":
            return
        old, new = _results(earlier), _results(self._settings)
        if different := [name for name in new if old[name] != new[name]]:
            raise ConfigError(
                f"{self._root}: made by an earlier run with another {', '.join(different)}; name another output "
                "with -o, or let --overwrite always make everything anew"
            )

    # -- the run -----------------------------------------------------------------------------------------------------

    def go(self) -> Summary:
        """Start everything in order, look after it, and end it in order."""
        if self._again is None:
            self._journal.set_meta("settings", _json(dump(self._settings)))
        for caution in self._cautions():
            _log.warning("%s", caution)
        self._recover()
        self._journal.begin_plan()
        if self._transforms:
            self._transform.wait_until_up()
        shown = display(self._settings.run.progress, transforms=self._transforms)
        writer = self._start("writer", self._writer.run, then=self._writer.drain)
        before_writer = [
            self._start("plan", self._plan),
            self._start("downloads", self._download.run, then=self._handoff.close),
        ]
        if self._transforms:
            before_writer.append(self._start("transform", self._transform.run))
        try:
            self._look_after(before_writer, shown)
        finally:
            self._writer.close()
            writer.join()
            self._sink.close()
            shown.close(self._snapshot())
        if self._problem is not None:
            raise self._problem
        return self._finish()

    def _start(self, name: str, work: Callable[[], None], then: Callable[[], None] | None = None) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(work, then), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, work: Callable[[], None], then: Callable[[], None] | None) -> None:
        """Run a thread's work; whatever stops it stops the run, with the first reason kept."""
        try:
            work()
        except BaseException as problem:  # noqa: BLE001 - handed to the main thread, which raises it
            self._problem = self._problem or problem
            if isinstance(problem, CannotGoOn) or not isinstance(problem, DownloaderError):
                self._stop.abort()
            else:
                self._stop.draining.set()
        finally:
            if then is not None:
                then()

    def _look_after(self, threads: list[threading.Thread], shown: Display) -> None:
        """Until all have ended: signals, deadline after a stop, queue depth, progress."""
        asked_s: float | None = None
        while any(thread.is_alive() for thread in threads):
            with suppress(StopIteration):
                next(thread for thread in threads if thread.is_alive()).join(_TICK_S)
            self._stop.poll()
            now_s = time.monotonic()
            if self._stop.draining.is_set() and asked_s is None:
                asked_s = now_s
            if asked_s is not None and now_s - asked_s > _GRACE_S:
                self._stop.abort()
            if self._stop.aborted.is_set():
                self._download.abort()
                for thread in threads:
                    thread.join(_GRACE_S)  # whoever does not wake is left behind; its item stays as it was
                return
            self._sample()
            shown.show(self._snapshot())
            self._judge()

    def _judge(self) -> None:
        """Stop a run that has more failures than `--max-failures` allows."""
        tally = self._writer.tally
        if not self._gave_up and is_hopeless(self._settings.run.max_failures, tally.failures, tally.done):
            self._gave_up = True
            self._stop.draining.set()

    def _plan(self) -> None:
        """Fill the plan, a batch at a time."""
        try:
            for number in self._read_sources() if self._again is None else self._journal.plan_again(self._again):
                self._listed += number
                self._feed.more()
                if self._stop.draining.is_set():
                    break
        finally:
            self._planned = True
            self._feed.planned()

    def _read_sources(self) -> Iterator[int]:
        """Enter the rows of all sources; the size of each batch."""
        rows = sources.read(self._settings, self._stdin, self._tally)
        redo = self._settings.output.overwrite
        size = _FIRST_BATCH
        while batch := list(islice(rows, size)):
            size = min(2 * size, _LARGEST_BATCH)
            self._done_before += self._journal.plan_rows(batch, self._listed, self._names, redo=redo)
            yield len(batch)

    def _names(self, row: Row, index: int, key: str) -> Any:  # noqa: ANN401 - see journal.Namer
        claim = layout.claim_for(
            row,
            mode=self._settings.mode,
            format=self._settings.transform.format,
            template=self._template,
            animated=self._settings.transform.animated,
            index=index,
            key=key,
            keep_originals=_keeps_originals(self._settings),
        )
        return ((layout.fold(option.stem), option) for option in layout.alternatives(claim, key))

    def _renamed(self, item: Item, server_name: str) -> Item:
        """The item under the name its server has for it, or the next that is free; a name in the list goes before."""
        if item.request and item.request.name:
            return item
        row = Row(source=item.source, what=item.what, request=Request(name=server_name))
        return self._journal.rename(item, self._names(row, 0, item.key))

    def _recover(self) -> None:
        """Look at what a killed run left: keep staged bytes that are sound, forget the rest, sweep the folder."""
        kept = set(self._journal.parts())
        lost = []
        for fetched in self._journal.fetched():
            if after_crash(State.FETCHED, staged_intact=_is_intact(fetched)) is State.FETCHED:
                kept.add(os.path.basename(fetched.path))  # noqa: PTH119 - text
                if fetched.staged:
                    self._writer.adopt(fetched.item, fetched.path)
            else:
                lost.append(Requeued(item=fetched.item))
        self._journal.record(lost)
        for entry in os.scandir(self._staging):
            if entry.name not in kept:
                os.unlink(entry.path)  # noqa: PTH108 - ours: the lock says that no other run is alive

    # -- looking and summing up --------------------------------------------------------------------------------------

    def _sample(self) -> None:
        depth = self._handoff.depth()
        for index, value in enumerate((1, depth, depth >= self._handoff.size, depth == 0)):
            self._queue_looks[index] += value
        for pid in self._transform.pids():
            with suppress(psutil.Error):
                rss = psutil.Process(pid).memory_info().rss
                self._peak_worker_rss = max(self._peak_worker_rss or 0, rss)

    def _snapshot(self) -> Snapshot:
        tally = self._writer.tally
        before = self._done_before
        return Snapshot(
            total=self._listed,
            total_known=self._planned,
            done_before=before,
            downloaded=before + tally.fetched + tally.ended_before_transform,
            transformed=before + tally.done,
            failed=tally.failures,
            queue_depth=self._handoff.depth(),
            queue_size=self._handoff.size,
            bytes_downloaded=tally.bytes_downloaded,
            elapsed_s=time.monotonic() - self._started_s,
        )

    def _finish(self) -> Summary:
        if not self._stop.draining.is_set() and (left := self._journal.unaccounted()):
            raise Unaccounted(
                f"a defect in downloader, please report it: the run has ended and {left} of its items have no outcome; "
                "the same command goes on with them"
            )
        counts = self._journal.counts()
        duration_s = time.monotonic() - self._started_s
        summary = self._summary(counts, duration_s)
        text = _json(summary.to_json())
        self._journal.set_meta("summary", text)
        _write_whole(self._state / "summary.json", text + "\n")
        return summary

    def _why_it_gave_up(self) -> str | None:
        if not self._gave_up or (most := self._journal.most_failures()) is None:
            return None
        return f"more failures than --max-failures {self._settings.run.max_failures}: {in_common(*most)}"

    def _cautions(self) -> Iterator[str]:
        """What the user should know of how this run was done."""
        if self._settings.download.insecure and self._settings.mode != "process":
            yield "certificates are not checked (--insecure): anybody on the way may have changed what came"
        if self._tally.options_ignored:
            yield f"{self._tally.options_ignored} option lines of aria2 lists have no meaning here and were ignored"

    def _summary(self, counts: Counts, duration_s: float) -> Summary:
        tally = self._writer.tally
        threads = self._download.threads
        download = _figures(self._download_meter, threads, duration_s)
        transform = _figures(self._transform_meter, self._processes, duration_s) if self._transforms else None
        looks, depths, full, empty = self._queue_looks
        queue = (
            QueueFigures(
                size=self._handoff.size,
                mean_depth=depths / looks if looks else None,
                full_share=share(full, looks),
                empty_share=share(empty, looks),
            )
            if self._transforms
            else None
        )
        limit = bottleneck(download, transform, queue, share(tally.seconds, duration_s)) if tally.done else None
        base = summary_of(counts)
        return replace(
            base,
            duration_s=duration_s,
            succeeded_per_s=tally.succeeded / duration_s,
            attempted_per_s=tally.done / duration_s,
            download=download,
            transform=transform,
            queue=queue,
            bottleneck=limit,
            advice=advise(
                limit, base.failures, base.total, all_processors_used=self._processes >= (os.cpu_count() or 1)
            ),
            peak_rss_parent_bytes=_peak_rss_bytes(),
            peak_rss_worker_bytes=self._peak_worker_rss,
            new=tally.done,
            unchanged=tally.unchanged,
            pace=f"{threads} at a time in the end: {self._download.pace.why}" if self._download.pace else None,
            cautions=tuple(self._cautions()),
            left_alone=self._tally.left_alone,
            rebuilds=self._transform.rebuilds,
            interrupted=self._stop.draining.is_set(),
            gave_up=self._why_it_gave_up(),
            versions={**base.versions, self._download.transport: version(self._download.transport)},
        )


def summary_of(counts: Counts) -> Summary:
    """The counts of a journal as a summary, without the figures of a run."""
    by_state = counts.by_state
    return Summary(
        total=sum(by_state.values()),
        succeeded=by_state[State.STORED],
        failed=by_state[State.FAILED],
        skipped=by_state[State.SKIPPED],
        pending=by_state[State.PENDING] + by_state[State.FETCHED] + by_state[State.TRANSFORMED],
        failures=counts.failures,
        skips=counts.skips,
        bytes_downloaded=counts.bytes_downloaded,
        bytes_written=counts.bytes_written,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Of this program and what its results depend on."""
    return {
        "downloader": __version__,
        "python": platform.python_version(),
        "httpx": version("httpx"),
        "pillow": version("pillow"),
    }


def _figures(meter: Meter, workers: int, duration_s: float) -> StageFigures:
    return StageFigures(
        workers=workers,
        busy_share=share(meter.busy_s, workers * duration_s),
        wait_share=share(meter.wait_s, workers * duration_s),
        p50_s=meter.percentile_s(0.5),
        p99_s=meter.percentile_s(0.99),
    )


def _process_count(settings: Settings) -> int:
    processes = settings.concurrency.processes
    return (os.cpu_count() or 1) if processes == "auto" else processes


def _template(settings: Settings) -> layout.Template | None:
    if settings.output.name is None:
        return None
    try:
        template = layout.Template(settings.output.name)
    except ValueError as problem:
        raise ConfigError(f"--name: {problem}") from None
    kept = Columns.of(settings.source).kept
    if missing := [column for column in template.columns if column not in kept]:
        raise ConfigError(f"--name: the column {missing[0]!r} is not kept; name it with --keep-columns")
    return template


def _check_server_names(settings: Settings) -> None:
    if not settings.output.trust_server_names:
        return
    if settings.mode != "fetch":
        raise ConfigError("--trust-server-names is for `fetch`: images are named after their URLs")
    if settings.output.name is not None:
        raise ConfigError("--trust-server-names and --name exclude each other")


def _keeps_originals(settings: Settings) -> bool:
    """Whether there are originals beside the results; those of `fetch` are originals themselves."""
    return settings.output.keep_originals and settings.mode != "fetch"


def _check_variants(settings: Settings) -> None:
    """Refuse names of sizes that stand for the originals."""
    taken = {ORIGINAL, layout.ORIGINALS}
    names = [size.name for size in settings.transform.resize if size.name and size.name.lower() in taken]
    if names and _keeps_originals(settings):
        raise ConfigError(f"--resize: a size cannot be called {names[0]!r} beside --keep-originals")


def _results(settings: Settings) -> dict[str, object]:
    """What decides the results: settings that must not change between runs on one output."""
    limits = {"item_timeout", "worker_memory", "max_pixels"}
    values = {
        f"{table}.{name}".removeprefix("transform."): getattr(section, name)
        for table, section in each_section(settings)
        if table.partition(".")[0] == "transform"
        for name in section.options()
        if name not in limits
    }
    made = {"bytes kept" if settings.mode == "fetch" else "images made": True}
    return {"kind of result": tuple(made), **(dict.fromkeys(values) if settings.mode == "fetch" else values)}


def _stored_settings(text: str) -> Settings:
    return restore(json.loads(text))


def _json(value: object) -> str:
    return json.dumps(value, indent=2)


def _is_intact(fetched: Fetched) -> bool:
    """Whether the bytes are still what was recorded; a user's own file needs only be there."""
    try:
        if not fetched.staged:
            return os.path.exists(fetched.path)  # noqa: PTH110 - text
        with Path(fetched.path).open("rb") as body:
            return file_digest(body, "sha256").hexdigest() == fetched.sha256
    except OSError:
        return False


def _peak_rss_bytes() -> int:
    """The largest resident size of this process so far; the present one where the system does not keep it."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return int(psutil.Process().memory_info().rss)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    os.replace(temporary, path)  # noqa: PTH105 - as plain as can be


def _take_lock(root: Path) -> FileLock:
    """The lock of an output, taken; the system gives it back when its holder dies."""
    lock = FileLock(root / STATE_FOLDER / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputLocked(f"{root}: another run is working on this output; wait for it or name another -o") from None
    return lock


@contextmanager
def hold(output: Path) -> Iterator[Journal]:
    """The journal of an output that is there, to work on while nobody else does.

    Raises:
        OutputLocked: a run is working on it.
        OutputError: it cannot be written.
        JournalError: there is no journal, or it cannot be used.
    """
    with look(output):  # says where there is none, and makes nothing
        pass
    try:
        lock = _take_lock(output)
    except OSError as problem:
        raise OutputError(f"{output}: cannot be written: {problem.strerror}") from None
    try:
        journal = Journal(output / STATE_FOLDER / FILE_NAME)
        try:
            yield journal
        finally:
            journal.close()
    finally:
        lock.release()


@contextmanager
def look(output: Path) -> Iterator["Look"]:
    """Look at an output without changing it, also while a run is working on it.

    Raises:
        JournalError: there is no journal, or it cannot be read.
    """
    journal = Journal(output / STATE_FOLDER / FILE_NAME, read_only=True)
    try:
        yield Look(journal)
    finally:
        journal.close()


class Look:
    """What a journal says."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.records = journal.records

    def summary(self) -> dict[str, Any]:
        """The counts as they are now, with the figures of the last run that ended."""
        last = json.loads(self._journal.meta("summary") or "{}")
        now = summary_of(self._journal.counts()).to_json()
        counted = ("total", "succeeded", "failed", "skipped", "pending", "failures", "skips")
        return {**now, **last, **{name: now[name] for name in (*counted, "bytes_downloaded", "bytes_written")}}
