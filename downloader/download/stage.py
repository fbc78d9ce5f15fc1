"""The download stage: N threads, each with its own fetcher, taking items and handing files on."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from downloader.clock import active_clock
from downloader.config.settings import Settings
from downloader.download.fetch_task import FetchTask, Reschedule, RetryAfter
from downloader.download.fetcher import AttemptResult, Fetcher
from downloader.download.rate import ByteRate
from downloader.errors import CannotGoOn, ConfigError, OutputError
from downloader.http.errors import Interrupted
from downloader.http.session import Session
from downloader.model.failures import FailureKind, Stage, is_transient
from downloader.model.items import Failed, Fetched, Skipped
from downloader.model.urls import host_of
from downloader.model.write_errors import check_resources, ends_run, write_problem
from downloader.scheduling.interface import Block, Emit, Feed, HandOn, Lease
from downloader.scheduling.limiter import MAX_LIMIT, ConcurrencyLimiter, Totals
from downloader.screening import Screening
from downloader.stop import Stop

_LIMITER_INTERVAL_S = 0.25
"""Seconds between two looks at the throughput, with `--threads auto`."""


class DownloadStage:
    """Turns items into fetched files.

    Args:
        settings: of the run.
        staging: folder for downloaded bodies.
        feed: hands out the items.
        screening: decides what is wanted.
        emit: takes every fact, before `hand_on` passes the file to the next stage.
        hand_on: the next stage; None where there is none.
        waited_s: seconds that threads have waited in `hand_on` so far.
        stop: ends the stage early.
        thread_prefix: what the names of its threads begin with.
    """

    def __init__(
        self,
        settings: Settings,
        staging: str,
        feed: Feed[FetchTask],
        *,
        screening: Screening,
        emit: Emit,
        hand_on: HandOn | None,
        waited_s: Callable[[], float],
        stop: Stop,
        thread_prefix: str = "",
    ) -> None:
        self._settings = settings
        self._staging = staging
        self._feed = feed
        self._screening = screening
        self._emit = emit
        self._hand_on = hand_on
        self._waited_s = waited_s
        self._stop = stop
        self._thread_prefix = thread_prefix
        self._session = Session(settings.download)
        limit_rate = settings.download.limit_rate
        self._rate = ByteRate(limit_rate) if limit_rate else None
        self._throughput = _Throughput()
        self._limiter = ConcurrencyLimiter(active_clock()) if settings.concurrency.threads == "auto" else None
        self._fetchers: list[Fetcher] = []
        self._in_hand: set[int] = set()
        """Threads with a task."""

    @property
    def threads(self) -> int:
        """How many downloads there may be at a time."""
        threads = self._settings.concurrency.threads
        if threads == "auto":
            assert self._limiter is not None
            return self._limiter.limit
        return threads

    @property
    def pace(self) -> str | None:
        """With `--threads auto`: the reason for the number of downloads at a time."""
        return self._limiter.why if self._limiter else None

    @property
    def in_hand(self) -> int:
        """Tasks that are being done now."""
        return len(self._in_hand)

    @property
    def received_bytes(self) -> int:
        """Bytes of bodies received so far, also of those that are not complete."""
        return sum(fetcher.received_bytes for fetcher in self._fetchers)

    @property
    def transport(self) -> str:
        """The package that speaks HTTP for it."""
        return self._session.transport_name

    def run(self) -> None:
        """Work until there is nothing left or the run stops; raises what ended a thread."""
        threads = MAX_LIMIT if self._limiter else self.threads
        with ThreadPoolExecutor(threads, thread_name_prefix=f"{self._thread_prefix}download") as pool:
            if self._limiter:
                self._feed.limit(self._limiter.limit)
            loops = [pool.submit(self._loop) for _ in range(threads)]
            while self._limiter and wait(loops, _LIMITER_INTERVAL_S).not_done:
                self._adjust(self._limiter)
            for loop in loops:
                loop.result()

    def _adjust(self, limiter: ConcurrencyLimiter) -> None:
        before = limiter.limit
        totals = self._throughput.totals(waited_s=self._waited_s(), held_back=self._feed.held_back)
        if limiter.look(active_clock(), totals) != before:
            self._feed.limit(limiter.limit)

    def limit_rate(self, bytes_per_s: float) -> None:
        """Change the rate of all threads together, where there is a limit."""
        if self._rate:
            self._rate.bytes_per_s = bytes_per_s

    def abort(self) -> None:
        """Wake every thread that waits for a server."""
        self._session.abort()

    def _loop(self) -> None:
        lease = self._feed.take()  # before making a fetcher, which some threads will not need
        fetcher = Fetcher(
            self._settings.download,
            self._session,
            self._rate,
            self._staging,
            self._emit,
            keeps_archives=not self._settings.makes_images,
        )
        self._fetchers.append(fetcher)
        thread = threading.get_ident()
        try:
            while lease is not None:
                self._in_hand.add(thread)
                self._process(fetcher, lease)
                self._in_hand.discard(thread)
                lease = self._feed.take()
        except Interrupted:
            return
        except OSError as problem:
            self._stop.abort()
            raise OutputError(
                f"{self._staging}: cannot be written: {problem.strerror}; the same command continues once it can"
            ) from problem
        except BaseException:
            self._stop.abort()
            raise
        finally:
            self._in_hand.discard(thread)
            fetcher.close()

    def _process(self, fetcher: Fetcher, lease: Lease[FetchTask]) -> None:
        task = lease.task
        attempts = task.attempts
        result = self._fetch(fetcher, lease)
        failure = task.host_failure if task.attempts > attempts else None
        if task.attempts > attempts and failure is None:
            self._feed.answered(lease.host)
        if isinstance(result, Reschedule):
            host = host_of(result.tasks[0].url)
            self._feed.reschedule(lease, result.tasks, result.delay_s, host=host, failure=failure)
            return
        self._feed.done(lease, failure)
        if result is None:
            return
        self._emit(result)
        if isinstance(result, Fetched) and self._hand_on is not None:
            self._hand_on(result)

    def _attempt(self, fetcher: Fetcher, task: FetchTask) -> AttemptResult:
        """One attempt. A body that cannot be written, or a defect of this program, costs one item and is named."""
        try:
            return fetcher.attempt(task)
        except (Interrupted, ConfigError, CannotGoOn):
            raise
        except OSError as problem:
            check_resources(problem)
            if ends_run(problem.errno, root_is_usable=Path(self._staging).is_dir()):
                raise
            return _failed(task, FailureKind.WRITE, f"the body cannot be written: {write_problem(problem)}")
        except Exception as problem:  # noqa: BLE001 - see above
            check_resources(problem)
            message = f"a defect in downloader, please report it: {type(problem).__name__}: {problem}"
            return _failed(task, FailureKind.INTERNAL, message)

    def _fetch(self, fetcher: Fetcher, lease: Lease[FetchTask]) -> AttemptResult:
        task = lease.task
        if not task.attempts and task.transfer is None:
            wanted = self._screening.before_fetch(task.item)
            if isinstance(wanted, Skipped):
                return wanted
            task.item = wanted
        if lease.block:
            return fetcher.skip_host(task) if task.has_mirror else _set_aside(task, lease.block)
        result = self._attempt(fetcher, task)
        if self._limiter:
            self._throughput.count(result)
        if (pause := task.retry_after) is not None:
            if pause.blocked:
                self._feed.block(lease.host, _block(lease.host, pause), pause.seconds)
            else:
                self._feed.pause(lease.host, pause.seconds)
        return self._screening.after_fetch(result) if isinstance(result, Fetched) else result


class _Throughput:
    """What the threads have brought so far, for the limiter. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items = self._bytes = self._errors = 0

    def count(self, result: AttemptResult) -> None:
        """Note the result of an attempt."""
        with self._lock:
            match result:
                case Fetched():
                    self._items += 1
                    self._bytes += result.bytes
                case Reschedule():
                    self._errors += result.delay_s > 0
                case Failed():
                    self._errors += is_transient(result.kind, result.http_status)

    def totals(self, *, waited_s: float, held_back: int) -> Totals:
        """All of it, as the limiter takes it."""
        with self._lock:
            return Totals(
                items=self._items, bytes=self._bytes, errors=self._errors, waited_s=waited_s, held_back=held_back
            )


def _failed(task: FetchTask, kind: FailureKind, message: str) -> Failed | None:
    """The failure of an item, unless another of its segments reports for it."""
    if not task.claim_report():
        return None
    return Failed(
        item=task.item,
        stage=Stage.DOWNLOAD,
        kind=kind,
        message="".join(c if c.isprintable() else "?" for c in message)[:300],
        attempts=task.all_attempts,
        spans=tuple(task.spans),
    )


def _block(host: str, pause: RetryAfter) -> Block:
    """A host wants no request for longer than any of its items would wait."""
    reason = f"{host} wants no request for {pause.seconds:.0f} s (Retry-After)"
    return Block(reason, FailureKind.HTTP_STATUS, pause.http_status)


def _set_aside(task: FetchTask, block: Block) -> Failed | None:
    """The failure of an item that is not tried, or not again, because of what its host did to others."""
    if not task.claim_report():
        return None
    return Failed(
        item=task.item,
        stage=Stage.DOWNLOAD,
        kind=block.kind,
        message=f"not tried{' again' if task.all_attempts else ''}: {block.reason}; `retry` takes it",
        http_status=block.http_status,
        attempts=task.all_attempts,
        spans=tuple(task.spans),
    )
