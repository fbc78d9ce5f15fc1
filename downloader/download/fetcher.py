"""Fetching one item into one file, one attempt at a time."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from downloader.clock import active_clock
from downloader.config.settings import DownloadOptions
from downloader.download import policy
from downloader.download.archives import is_own_compression
from downloader.download.body import BodyReader
from downloader.download.fetch_task import FetchTask, Reschedule, RetryAfter
from downloader.download.rate import ByteRate
from downloader.download.segment_fetcher import SegmentFetcher
from downloader.download.single_fetcher import SingleFetcher
from downloader.download.staging import PartKeeper, StagingFolder
from downloader.download.steps import AskAgain, FetchInOne, LastStep, Step, Superseded
from downloader.http.errors import FetchError, Interrupted
from downloader.http.request_builder import Header
from downloader.http.response import Response
from downloader.http.session import Session
from downloader.model.failures import FailureKind, Stage, is_transient
from downloader.model.items import Failed, Fetched, Partial, Skipped, Unchanged
from downloader.model.urls import BadUrl, host_of, masked, requestable
from downloader.scheduling.interface import HostFailure

_PROGRESS_BYTES = 64 * 1024
"""An attempt that brought at least this much restores the full number of retries."""

AttemptResult = Fetched | Failed | Skipped | Unchanged | Reschedule | None
"""Result of one attempt; None if another segment reports for the item."""


class Fetcher:
    """Fetches items for one thread.

    Args:
        settings: of the run.
        session: of the run.
        rate: the limit on the bytes a second of the run, or None.
        staging: folder for the bodies, each in a file of its own.
        report_part: takes the parts of large bodies that are durable.
        random_share: jitter in [0, 1) for the backoff.
        keeps_archives: files that are compressed themselves stay so, even if their compression is called a coding.
    """

    def __init__(
        self,
        settings: DownloadOptions,
        session: Session,
        rate: ByteRate | None,
        staging: str,
        report_part: Callable[[Partial], None],
        random_share: Callable[[], float] = random.random,
        *,
        keeps_archives: bool = False,
    ) -> None:
        self._settings = settings
        self._client = session.client()
        self._parts = PartKeeper(StagingFolder(staging), report_part)
        self._random_share = random_share
        self._keeps_archives = keeps_archives
        self._headers = _parsed(settings.header)
        self._reader = BodyReader(settings, rate, session.abort_signal)
        self._single = SingleFetcher(settings, self._reader, self._parts)
        self._segment = SegmentFetcher(self._reader, self._parts)

    @property
    def received_bytes(self) -> int:
        """Bytes of bodies received so far, also of those that are not complete."""
        return self._reader.received_bytes

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def attempt(self, task: FetchTask) -> AttemptResult:
        """Try once to fetch an item, or a segment of it.

        Raises:
            Interrupted: the run is being aborted.
            OSError: the body cannot be written.
            ConfigError: the proxy does not exist.
        """
        if not task.deadline_s:
            self._begin(task)
        if task.transfer is None and task.part.segments:
            return Reschedule(delay_s=0.0, tasks=task.in_segments(task.part, []))
        task.begin_attempt()
        before, started_s = task.bytes_held, active_clock()
        try:
            step = self._try(task)
        except Interrupted:
            self._parts.save(task)
            raise
        except FetchError as error:
            self._parts.save(task)
            has_progressed = task.bytes_held - before >= _PROGRESS_BYTES
            if has_progressed:
                task.attempts_without_progress = 0
            elif policy.is_of_host(error.kind, error.http_status, final=error.final):
                task.host_failure = _host_failure(task, error, active_clock() - started_s)
            return self._after_failure(task, error)
        match step:
            case FetchInOne():
                return self._fetch_in_one(task, task.source)
            case Superseded():
                return None
        return step

    def _begin(self, task: FetchTask) -> None:
        """Start the clock, and take over what an earlier run left."""
        task.deadline_s = active_clock() + self._settings.deadline
        if task.item.part and task.item.part.source < len(task.urls):
            task.part = self._parts.recovered(task.item.part)
            task.source = task.part.source

    # -- one attempt -------------------------------------------------------------------------------------------------

    def _try(self, task: FetchTask) -> LastStep:
        """Send requests until one of them ends the attempt: there may be redirects, and ranges served in parts."""
        task.chain = [_requestable(task.url)]
        while not task.is_superseded:
            step = self._exchange(task)
            if not isinstance(step, AskAgain):
                return step
        return Superseded()

    def _exchange(self, task: FetchTask) -> Step:
        """A request for the last URL of the chain, and what follows from its response."""
        fetch = self._segment if task.transfer else self._single
        first, url = task.chain[0], task.chain[-1]
        is_same_origin = policy.is_same_origin(first, url)
        headers = [*(self._user_headers(task) if is_same_origin else ()), *fetch.request_headers(task)]
        with self._client.get(
            url,
            headers,
            use_netrc=is_same_origin,
            set_cookies=task.set_cookies,
            deadline_s=task.deadline_s,
            spans=task.spans,
        ) as response:
            if response.status in policy.REDIRECTS:
                return self._redirect(task, response)
            if self._keeps_archives and response.coding and _is_archive(task, response):
                response.keep_coding()
            return fetch.receive(task, response)

    def _user_headers(self, task: FetchTask) -> list[Header]:
        request = task.item.request
        return [*self._headers, *_parsed(request.headers)] if request else self._headers

    def _redirect(self, task: FetchTask, response: Response) -> AskAgain:
        if response.has_several_locations:
            raise FetchError(FailureKind.REDIRECT, "redirected to several places at once", response.status)
        if response.set_cookies:
            task.set_cookies.receive(task.chain[-1], response.set_cookies, datetime.now(UTC))
        target = policy.follow(
            task.chain,
            response.location,
            limit=self._settings.max_redirects,
            with_cookies=bool(task.set_cookies),
        )
        if isinstance(target, policy.Refusal):
            raise FetchError(FailureKind.REDIRECT, target.message, response.status)
        task.chain.append(target)
        return AskAgain()

    # -- after a failure ---------------------------------------------------------------------------------------------

    def _after_failure(self, task: FetchTask, error: FetchError) -> Failed | Reschedule | None:
        """Continue with a mirror or after a wait, or give up."""
        if error.retry_after_s is not None and error.http_status is not None:
            is_blocked = error.retry_after_s > self._settings.deadline
            task.retry_after = RetryAfter(
                seconds=error.retry_after_s, blocked=is_blocked, http_status=error.http_status
            )
        follow_up = policy.after_failure(
            error.kind,
            error.http_status,
            has_mirror=task.has_mirror,
            attempt=max(task.attempts_without_progress, 1),
            retries=0 if error.final else self._settings.retries,
            remaining_s=task.deadline_s - active_clock(),
            jitter=self._random_share(),
            retry_after_s=error.retry_after_s,
        )
        match follow_up:
            case policy.UseMirror():
                return self._use_mirror(task)
            case policy.Retry():
                return Reschedule(delay_s=follow_up.delay_s, tasks=(task,))
            case policy.GiveUp():
                return self._give_up(task, error)

    def skip_host(self, task: FetchTask) -> Reschedule | None:
        """Continue with the next mirror, without an attempt at the current URL; None if another segment does."""
        if not task.deadline_s:
            self._begin(task)
        return self._use_mirror(task) if task.has_mirror else None

    def _use_mirror(self, task: FetchTask) -> Reschedule | None:
        if task.transfer:
            return self._fetch_in_one(task, task.source + 1)
        self._parts.drop(task)
        task.source += 1
        return Reschedule(delay_s=0.0, tasks=(task,))

    def _fetch_in_one(self, task: FetchTask, source: int) -> Reschedule | None:
        """Fetch the whole file anew, over one connection; only the first of its segments to ask for it does."""
        if not task.claim_report():
            return None
        self._parts.drop(task)
        return Reschedule(delay_s=0.0, tasks=(task.restarted_in_one(source),))

    def _give_up(self, task: FetchTask, error: FetchError) -> Failed | None:
        if not task.claim_report():
            return None
        if not (is_transient(error.kind, error.http_status) and self._parts.is_worth_keeping(task)):
            self._parts.drop(task)
        return Failed(
            item=task.item,
            stage=Stage.SOURCE if error.kind is FailureKind.INVALID_URL else Stage.DOWNLOAD,
            kind=error.kind,
            message=error.message,
            http_status=error.http_status,
            attempts=task.all_attempts,
            final_url=masked(task.chain[-1]) if task.chain else None,
            spans=tuple(task.spans),
        )


def _host_failure(task: FetchTask, error: FetchError, seconds: float) -> HostFailure:
    """What a failed attempt says of its host."""
    return HostFailure(host_of(task.chain[-1]), seconds, error.message, error.kind, error.http_status)


def _parsed(lines: tuple[str, ...]) -> list[Header]:
    """Headers given as `Name: value`."""
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _is_archive(task: FetchTask, response: Response) -> bool:
    """Whether the content coding of a response is the compression of the file itself."""
    names = [urlsplit(task.chain[0]).path, urlsplit(task.chain[-1]).path, response.disposition_name or ""]
    return is_own_compression(response.coding, response.media_type, names)


def _requestable(url: str) -> str:
    """The URL as it is requested; raises FetchError: mirrors, and rows of older versions, come unchecked."""
    try:
        return requestable(url)
    except BadUrl as error:
        raise FetchError(FailureKind.INVALID_URL, str(error)) from None
