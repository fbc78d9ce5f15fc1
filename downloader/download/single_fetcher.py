"""Fetching a file over one connection."""

import time
from dataclasses import replace
from http import HTTPStatus

from downloader.config.settings import DownloadOptions
from downloader.download import resume
from downloader.download.body import BodyFile, BodyReader
from downloader.download.completion import check_size, completed, refusal, unchanged
from downloader.download.digests import Digests, listed_checksum
from downloader.download.fetch_task import FetchTask, Reschedule
from downloader.download.staging import PartKeeper
from downloader.download.steps import AskAgain, Step
from downloader.http.errors import FetchError
from downloader.http.headers import conditional_headers
from downloader.http.request_builder import ROBOT_NAME, Header
from downloader.http.response import Response
from downloader.model.failures import FailureKind, SkipReason, Stage
from downloader.model.items import Part, Skipped
from downloader.model.urls import last_segment


class SingleFetcher:
    """Fetches a file, or what is missing of it, from one response after the other.

    Args:
        settings: of the run.
        reader: reads bodies.
        parts: keeps what there is of a file.
    """

    def __init__(self, settings: DownloadOptions, reader: BodyReader, parts: PartKeeper) -> None:
        self._settings = settings
        self._reader = reader
        self._parts = parts

    def request_headers(self, task: FetchTask) -> list[Header]:
        """Headers that request only what is missing, or only another version."""
        if task.part.bytes:
            return resume.range_headers(task.part, checksum_known=listed_checksum(task.item) is not None)
        previous = task.item.previous
        return conditional_headers(previous.validator) if previous and not task.source else []

    def receive(self, task: FetchTask, response: Response) -> Step:
        """Read the body of a response if it is wanted and fits the part.

        Raises:
            FetchError: the response cannot be used, or its body is incomplete.
        """
        if response.status == HTTPStatus.NOT_MODIFIED and not task.part.bytes and self.request_headers(task):
            return unchanged(task, response)
        known = listed_checksum(task.item)
        decision = resume.decide(task.part, response, checksum_known=known is not None, started_over=task.started_over)
        match decision:
            case resume.Refuse():
                raise refusal(decision, response)
            case resume.StartOver():
                self._parts.drop(task)
                task.started_over = True
                return AskAgain()
        if directive := self._opt_out(response):
            self._parts.drop(task)
            return _skipped(task, directive)
        if decision.total is not None:
            check_size(decision.total, self._settings.max_size)
        task.server_name = response.disposition_name or _redirected_name(task.chain)
        if isinstance(decision, resume.Restart) and (tasks := self._split(task, response, decision)):
            return Reschedule(delay_s=0.0, tasks=tasks)
        digests = Digests(known, [] if isinstance(decision, resume.Append) else response.digests)
        self._store(task, response, decision, digests)
        return _missing(task, response, decision) or completed(task, response, digests, self._parts)

    def _opt_out(self, response: Response) -> str | None:
        return response.opt_out(ROBOT_NAME) if self._settings.opt_out == "respect" else None

    def _split(self, task: FetchTask, response: Response, decision: resume.Restart) -> tuple[FetchTask, ...]:
        """The tasks for the segments of a file; none if it is to be fetched over one connection."""
        if task.in_one or response.coding or not resume.may_split(decision.total, self._settings.segments):
            return ()
        version = response.validator
        segments = resume.split(decision.total, response.accepts_ranges, version, self._settings.segments)
        if not segments:
            return ()
        self._parts.drop(task)
        name = self._parts.folder.new_name(task.item)
        part = Part(name=name, total=decision.total, validator=version, source=task.source, segments=segments)
        self._parts.folder.create(name, segments[-1].stop)
        return task.in_segments(part, response.digests)

    def _store(
        self,
        task: FetchTask,
        response: Response,
        decision: resume.Append | resume.Restart | resume.Complete,
        digests: Digests,
    ) -> None:
        """Write the body to the part's file; `task.part` tells how far, also if this fails."""
        if isinstance(decision, resume.Complete):
            with self._parts.folder.open(task.part.name) as body:
                digests.update_from(body)
            return
        at = decision.at if isinstance(decision, resume.Append) else 0
        if at:
            task.part = replace(task.part, total=decision.total, bytes=at)
        else:
            self._parts.drop(task)
            name = self._parts.folder.new_name(task.item)
            task.part = Part(name=name, total=decision.total, validator=response.validator, source=task.source)
        start_s = time.monotonic()
        try:
            if at:
                with self._parts.folder.open(task.part.name) as begun:
                    digests.update_from(begun, at)
            self._write(task, response, digests)
        finally:
            task.record_body(start_s)

    def _write(self, task: FetchTask, response: Response, digests: Digests) -> None:
        """Append the body to the part, which is made durable from time to time."""
        size = task.part.bytes
        part = task.part
        checkpoints = resume.Checkpoints(size, time.monotonic())
        try:
            with BodyFile(self._parts.folder.path_of(part.name), size) as body:
                for data in self._reader.decoded(response):
                    size += len(data)
                    check_size(size, self._settings.max_size)
                    digests.update(data)
                    body.write(data)
                    if checkpoints.due(size, time.monotonic()):
                        body.flush()
                        task.part = replace(part, bytes=size)
                        self._parts.save(task)
        except BaseException:
            size = 0 if response.coding else size  # a decoded body cannot be resumed
            raise
        finally:
            task.part = replace(part, bytes=size)


def _missing(
    task: FetchTask, response: Response, decision: resume.Append | resume.Restart | resume.Complete
) -> AskAgain | None:
    """What to do if the body ended before the total; None if it did not."""
    total = decision.total
    if total is None or response.coding or task.part.bytes == total:
        return None
    if isinstance(decision, resume.Append) and task.part.bytes == decision.stop:
        return AskAgain()  # a server need not send all of a range at once
    raise FetchError(FailureKind.TRUNCATED, f"{task.part.bytes} of {total} bytes came", response.status)


def _redirected_name(chain: list[str]) -> str | None:
    """The name in the URL that the server redirected to."""
    return last_segment(chain[-1]) if len(chain) > 1 else None


def _skipped(task: FetchTask, directive: str) -> Skipped:
    return Skipped(
        item=task.item,
        stage=Stage.DOWNLOAD,
        reason=SkipReason.OPT_OUT,
        message=f"the server asks robots not to use it ({directive}); --opt-out ignore takes it all the same",
        spans=tuple(task.spans),
    )
