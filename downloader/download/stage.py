"""The download stage: N threads, each with its own client, taking items and handing files on."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from downloader.config.settings import Settings
from downloader.download.fetch_task import FetchTask, Reschedule, RetryAfter
from downloader.download.fetcher import AttemptResult, Fetcher
from downloader.download.rate import ByteRate
from downloader.errors import OutputError
from downloader.http.errors import Interrupted
from downloader.http.session import Session
from downloader.local import copy_local, hash_of, open_local
from downloader.model.failures import FailureKind, SkipReason, Stage, is_transient
from downloader.model.items import Failed, Fetched, Invalid, Item, Partial, PreviousResult, Skipped, Unchanged, Url
from downloader.model.urls import masked
from downloader.scheduling.limiter import MOST, ConcurrencyLimiter, Totals
from downloader.scheduling.scheduler import Feed, Lease
from downloader.stop import Stop
from downloader.telemetry.meters import Meter

_LOOK_S = 0.25
"""Seconds between two looks at how downloads go, where their number is to be found out."""

Tell = Callable[[Partial | Fetched | Unchanged | Failed | Skipped], None]
HandOn = Callable[[Fetched], bool]
AlreadyThere = Callable[[Item], str | None]
StillThere = Callable[[PreviousResult], bool]
Rename = Callable[[Item, str], Item]
FirstWith = Callable[[Item, str], str | None]


class DownloadStage:
    """Turns items into fetched files.

    Args:
        settings: of the run.
        staging: folder for downloaded bodies.
        feed: where items come from.
        already_there: the output that an item would overwrite, if there is one that is not ours.
        still_there: whether what an earlier run stored of an item is still there.
        rename: gives an item the name that its server has for it; None where names come from the list.
        first_with: the source of another item that had the same bytes before; None where that does not matter.
        tell: hears every fact, before `hand_on` passes the file to the next stage.
        hand_on: blocks while the next stage is full; false where the run stops.
        stop: ends the stage early.
        meter: measures downloads.
    """

    def __init__(
        self,
        settings: Settings,
        staging: str,
        feed: Feed,
        *,
        already_there: AlreadyThere,
        still_there: StillThere,
        rename: Rename | None,
        first_with: FirstWith | None,
        tell: Tell,
        hand_on: HandOn,
        stop: Stop,
        meter: Meter,
    ) -> None:
        self._settings = settings
        self._staging = staging
        self._feed = feed
        self._already_there = already_there
        self._still_there = still_there
        self._rename = rename
        self._first_with = first_with
        self._tell = tell
        self._hand_on = hand_on
        self._stop = stop
        self._meter = meter
        self._session = Session(settings.download)
        limit_rate = settings.download.limit_rate
        self._rate = ByteRate(limit_rate) if limit_rate else None
        self._lock = threading.Lock()
        self._items = self._bytes = self._troubles = 0
        self.pace = ConcurrencyLimiter(time.monotonic()) if settings.concurrency.threads == "auto" else None

    @property
    def threads(self) -> int:
        """How many downloads there may be at a time."""
        threads = self._settings.concurrency.threads
        if threads == "auto":
            assert self.pace is not None
            return self.pace.limit
        return threads

    @property
    def transport(self) -> str:
        """The package that speaks HTTP for it."""
        return self._session.transport_name

    def run(self) -> None:
        """Work until the feed is empty or the run stops; raises what ended a thread."""
        threads = MOST if self.pace else self.threads
        with ThreadPoolExecutor(threads, thread_name_prefix="download") as pool:
            if self.pace:
                self._feed.allow(self.pace.limit)
            loops = [pool.submit(self._loop) for _ in range(threads)]
            while self.pace and wait(loops, _LOOK_S).not_done:
                self._keep_pace(self.pace)
            for loop in loops:
                loop.result()

    def _keep_pace(self, pace: ConcurrencyLimiter) -> None:
        with self._lock:
            totals = Totals(
                items=self._items,
                bytes=self._bytes,
                troubles=self._troubles,
                waited_s=self._meter.wait_s,
                kept_back=self._feed.kept_back,
            )
        before = pace.limit
        if pace.look(time.monotonic(), totals) != before:
            self._feed.allow(pace.limit)

    def _count(self, answer: AttemptResult) -> None:
        """Note what an attempt brought, for the pace."""
        with self._lock:
            match answer:
                case Fetched():
                    self._items += 1
                    self._bytes += answer.bytes
                case Reschedule():
                    self._troubles += answer.delay_s > 0
                case Failed():
                    self._troubles += is_transient(answer.kind, answer.http_status)

    def abort(self) -> None:
        """Wake every thread that waits for a server."""
        self._session.abort()

    def _loop(self) -> None:
        turn = self._feed.take()  # before making a fetcher, which some threads will not need
        fetcher = Fetcher(self._settings.download, self._session, self._rate, self._staging, self._tell)
        try:
            while turn is not None:
                self._one(fetcher, turn)
                turn = self._feed.take()
        except Interrupted:
            return
        except OSError as problem:
            self._stop.at_once()
            raise OutputError(
                f"{self._staging}: cannot be written: {problem.strerror}; the same command continues once it can"
            ) from problem
        except BaseException:
            self._stop.at_once()
            raise
        finally:
            fetcher.close()

    def _one(self, fetcher: Fetcher, turn: Lease) -> None:
        answer = turn.job.work if isinstance(turn.job.work, Fetched) else self._fetch(fetcher, turn)
        if isinstance(answer, Reschedule):
            self._feed.again(turn, answer)
            return
        self._feed.done(turn)
        if answer is None:
            return
        if answer is not turn.job.work:
            self._tell(answer)
        if isinstance(answer, Fetched):
            self._hand_on(answer)

    def _fetch(self, fetcher: Fetcher, turn: Lease) -> AttemptResult:
        job, item = turn.job, turn.job.item
        if not job.attempts and job.transfer is None and (path := self._already_there(item)):
            message = f"{path} is there already; --overwrite always replaces it"
            return Skipped(item=item, stage=Stage.DOWNLOAD, reason=SkipReason.EXISTS, message=message)
        if hold := self._feed.shut(turn.host):
            return _shut_out(job, hold) if job.claim_report() else None
        if item.previous and not self._still_there(item.previous):
            job.work = item = replace(item, previous=None)
        started = time.monotonic()
        answer = _attempt(fetcher, job) if isinstance(item.what, Url | Invalid) else self._take_local(item)
        self._meter.worked(time.monotonic() - started)
        if self.pace:
            self._count(answer)
        if job.retry_after is not None:
            self._feed.hold(turn.host, job.retry_after)
        if isinstance(answer, Fetched):
            return self._unless_duplicate(self._named(answer, job.server_name))
        return answer

    def _named(self, fetched: Fetched, server_name: str | None) -> Fetched:
        if self._rename is None or server_name is None:
            return fetched
        return replace(fetched, item=self._rename(fetched.item, server_name))

    def _unless_duplicate(self, fetched: Fetched) -> Fetched | Skipped:
        if self._first_with is None:
            return fetched
        sha256 = fetched.sha256 or hash_of(fetched.path)
        if sha256 is None:
            return fetched  # whoever reads it next says what is wrong with it
        first = self._first_with(fetched.item, sha256)
        if first is None:
            return replace(fetched, sha256=sha256)
        if fetched.staged:
            os.unlink(fetched.path)  # noqa: PTH108 - as plain as can be
        message = f"the same bytes as {masked(first)}"
        return Skipped(
            item=fetched.item,
            stage=Stage.DOWNLOAD,
            reason=SkipReason.DUPLICATE,
            message=message,
            spans=fetched.spans,
        )

    def _take_local(self, item: Item) -> Fetched | Unchanged | Failed:
        return copy_local(item, self._staging) if self._settings.mode == "fetch" else open_local(item)


def _attempt(fetcher: Fetcher, job: FetchTask) -> AttemptResult:
    """An attempt in which a defect of ours, found by whatever a server sent, costs one item and is named."""
    try:
        return fetcher.attempt(job)
    except (Interrupted, OSError):
        raise
    except Exception as problem:  # noqa: BLE001 - see above
        if not job.claim_report():
            return None
        message = f"a defect in downloader, please report it: {type(problem).__name__}: {problem}"
        return Failed(
            item=job.item,
            stage=Stage.DOWNLOAD,
            kind=FailureKind.INTERNAL,
            message="".join(c if c.isprintable() else "?" for c in message)[:300],
            attempts=job.all_attempts,
            spans=tuple(job.spans),
        )


def _shut_out(job: FetchTask, hold: RetryAfter) -> Failed:
    """An item whose host has asked, in answer to another item, to be left alone for longer than it would wait."""
    return Failed(
        item=job.item,
        stage=Stage.DOWNLOAD,
        kind=FailureKind.HTTP_STATUS,
        message=f"not asked for: its host wants no request for {hold.seconds:.0f} s (Retry-After); try then",
        http_status=hold.http_status,
        attempts=job.all_attempts,
        spans=tuple(job.spans),
    )
