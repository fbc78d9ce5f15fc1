"""What both ways of fetching share: limits, refusals, and the fact about a complete body."""

from datetime import UTC, datetime
from http import HTTPStatus

from downloader.config.values import show_size
from downloader.download import policy, resume
from downloader.download.digests import Digests
from downloader.download.fetch_task import FetchTask
from downloader.download.staging import PartKeeper
from downloader.http.errors import FetchError
from downloader.http.response import Response
from downloader.model.failures import FailureKind
from downloader.model.items import Fetched, Unchanged
from downloader.model.urls import masked


def check_size(size_bytes: int, limit_bytes: int | None) -> None:
    """Raise FetchError if a body is larger than `--max-size`."""
    if limit_bytes is not None and size_bytes > limit_bytes:
        raise FetchError(FailureKind.TOO_LARGE, f"larger than --max-size {show_size(limit_bytes)}")


def refusal(decision: resume.Refuse, response: Response) -> FetchError:
    """The failure for a response that cannot be used."""
    may_wait = response.status in policy.SLOW_DOWN
    wait_s = response.retry_after_s(datetime.now(UTC)) if may_wait else None
    return FetchError(decision.kind, decision.message, response.status, retry_after_s=wait_s)


def unchanged(task: FetchTask, response: Response) -> Unchanged:
    """The fact that the source still has what an earlier run stored."""
    return Unchanged(item=task.item, attempts=task.all_attempts, http_status=response.status, spans=tuple(task.spans))


def completed(task: FetchTask, response: Response, digests: Digests, parts: PartKeeper) -> Fetched | Unchanged:
    """The fact about the complete body in the task's part; raises FetchError if a checksum does not match."""
    if wrong := digests.mismatch():
        parts.drop(task)
        raise FetchError(FailureKind.CHECKSUM, wrong)
    if task.item.previous and task.item.previous.sha256 == digests.sha256():
        parts.drop(task)
        return unchanged(task, response)
    # The headers of a 416 are about itself, not about the resource.
    is_about_body = response.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return Fetched(
        item=task.item,
        path=parts.folder.path_of(task.part.name),
        bytes=task.part.bytes,
        staged=True,
        sha256=digests.sha256(),
        media_type=response.media_type if is_about_body else None,
        final_url=masked(task.chain[-1]),
        http_status=response.status,
        server_name=task.server_name,
        attempts=task.all_attempts,
        validator=task.part.validator,
        spans=tuple(task.spans),
    )
