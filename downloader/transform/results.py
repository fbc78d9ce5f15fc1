"""The result of a task: from the worker that did it, or in place of a worker that was killed."""

from dataclasses import dataclass

from downloader.handoff import TransformTask
from downloader.model.failures import FailureKind, SkipReason, Stage
from downloader.model.items import Failed, Skipped, Transformed
from downloader.model.spans import Phase, Span, Spans
from downloader.transform.recovery import Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull:
    """The staging folder cannot be written: no item is to blame, and the run cannot continue."""

    reason: str


TransformFact = Transformed | Failed | Skipped
WorkerResult = TransformFact | DiskFull


def lane_of(pid: int) -> str:
    """The lane of a transform process in a timeline."""
    return f"transform-{pid}"


def failed(
    task: TransformTask, kind: FailureKind, message: str, spans: Spans, stage: Stage = Stage.TRANSFORM
) -> Failed:
    """The fact that no image was made."""
    fetched = task.fetched
    return Failed(item=fetched.item, stage=stage, kind=kind, message=message, attempts=fetched.attempts, spans=spans)


def skipped(task: TransformTask, reason: SkipReason, message: str, spans: Spans) -> Skipped:
    """The fact that the settings leave an image out."""
    return Skipped(item=task.fetched.item, stage=Stage.TRANSFORM, reason=reason, message=message, spans=spans)


def timed_out(task: TransformTask, limit_s: float, spans: Spans) -> Failed:
    """The fact that an image took too long."""
    message = f"took longer than {limit_s:g} s to transform; --item-timeout allows more"
    return failed(task, FailureKind.TRANSFORM_TIMEOUT, message, spans)


def interrupted_spans(task: TransformTask, assignment: Assignment, now_s: float) -> Spans:
    """What is known of the time of a task whose worker was killed; all of its work counts as decoding."""
    lane, started_s = lane_of(assignment.pid), assignment.started_s
    return Span(Phase.QUEUE, task.queued_s, started_s, lane), Span(Phase.DECODE, started_s, now_s, lane)
