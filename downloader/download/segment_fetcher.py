"""Fetching one segment of a file."""

import time
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

from downloader.download import resume
from downloader.download.body import BodyReader
from downloader.download.completion import completed, refusal
from downloader.download.digests import Digests, listed_checksum
from downloader.download.fetch_task import FetchTask
from downloader.download.segments import SegmentedTransfer
from downloader.download.staging import PartKeeper
from downloader.download.steps import AskAgain, FetchInOne, Step, Superseded
from downloader.http.errors import FetchError
from downloader.http.request_builder import Header
from downloader.http.response import Response
from downloader.model.failures import FailureKind


class SegmentFetcher:
    """Fetches the segment of a task; the task that completes the last segment completes the file.

    Args:
        reader: reads bodies.
        parts: keeps what there is of a file.
    """

    def __init__(self, reader: BodyReader, parts: PartKeeper) -> None:
        self._reader = reader
        self._parts = parts

    def request_headers(self, task: FetchTask) -> list[Header]:
        """Headers that request what is missing of the segment."""
        transfer = _transfer_of(task)
        return resume.segment_headers(transfer.segment(task.index), transfer.part.validator)

    def receive(self, task: FetchTask, response: Response) -> Step:
        """Read the body of a response as far as it belongs to the segment.

        Raises:
            FetchError: the response cannot be used, or its body is incomplete.
        """
        transfer = _transfer_of(task)
        segment, part = transfer.segment(task.index), transfer.part
        assert part.total is not None
        decision = resume.decide_segment(segment, part.total, part.validator, response)
        match decision:
            case resume.Refuse():
                raise refusal(decision, response)
            case resume.StartOver():
                return FetchInOne()
        if response.coding:  # it had none when the file was split
            return FetchInOne()
        start_s = time.monotonic()
        try:
            is_superseded = not self._write(task, transfer, response)
        finally:
            task.record_body(start_s)
        at = transfer.segment(task.index).at
        if is_superseded:
            return Superseded()
        if at < segment.stop:
            if at == decision.stop:
                return AskAgain()  # a server need not send all of a range at once
            raise FetchError(FailureKind.TRUNCATED, f"a segment ended {segment.stop - at} bytes early")
        return self._complete(task, transfer, response) if transfer.finish(complete=True) else Superseded()

    def _write(self, task: FetchTask, transfer: SegmentedTransfer, response: Response) -> bool:
        """Write the body to its place in the file, up to the end of the segment; false if the file needs no more."""
        segment = transfer.segment(task.index)
        at = segment.at
        checkpoints = resume.Checkpoints(at, time.monotonic())
        body = self._open(transfer)
        if body is None:
            return False
        with body:
            body.seek(at)
            for data in self._reader.raw(response):
                if transfer.is_over:
                    return False
                body.write(data[: segment.stop - at])
                at = min(at + len(data), segment.stop)
                transfer.advance(task.index, at)
                if at == segment.stop:
                    return True
                if checkpoints.due(at, time.monotonic()):
                    self._parts.save(task)
        return True

    def _open(self, transfer: SegmentedTransfer) -> BinaryIO | None:
        """The file, to be written; None if it was removed because the transfer is over."""
        with suppress(FileNotFoundError):
            return open(self._parts.folder.path_of(transfer.name), "r+b", buffering=0)
        if transfer.is_over:
            return None
        raise FileNotFoundError(transfer.name)

    def _complete(self, task: FetchTask, transfer: SegmentedTransfer, response: Response) -> Step:
        """The outcome of the whole file. From here on it is like any other, and this task alone reports it."""
        part = transfer.part
        assert part.total is not None
        digests = Digests(listed_checksum(task.item), transfer.sent)
        with self._parts.folder.open(part.name) as body:
            digests.update_from(body)
        task.attempts = transfer.attempts
        task.transfer, task.part = None, replace(part, bytes=part.total, segments=())
        return completed(task, response, digests, self._parts)


def _transfer_of(task: FetchTask) -> SegmentedTransfer:
    assert task.transfer is not None
    return task.transfer
