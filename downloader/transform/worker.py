"""What runs inside a transform process: take a task from the queue, make images of its file, return a result.

A worker never raises: an exception that cannot be unpickled would break the whole pool, so every outcome is returned as
a value. Light to import, because the parent imports this module too: Pillow is loaded with the first image, or by the
fork server once for all workers.
"""

import os
import signal
import threading
import time
from ctypes import Structure, c_double, c_longlong
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from types import FrameType
from typing import Any

from downloader.clock import ActiveClock
from downloader.config.settings import TransformOptions
from downloader.handoff import Channel, TransformTask, take
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import ORIGINAL, Fetched, FileSpan, Rendition, Transformed
from downloader.model.spans import Phase, Spans
from downloader.model.write_errors import ends_run, write_problem
from downloader.transform.picture import Encoded, ImageError, ImageSkipped, Picture, plain
from downloader.transform.processes import exit_with_parent, silence_stderr
from downloader.transform.recorder import SpanRecorder
from downloader.transform.results import DiskFull, WorkerResult, failed, lane_of, skipped, timed_out

BATCH_ITEMS = 8
"""Items a worker processes before it returns their results."""
BATCH_S = 0.2
"""Seconds after which it returns what it has."""
BATCH_WAIT_S = 1.0
"""Seconds it waits for the first item of a batch."""

_LOOK_INTERVAL_S = 0.5
"""Seconds between looks at the time of an item; below `MAX_STEP_S` of the clock."""

_EXTENSIONS = {"jpeg": "jpg", "heif": "heic"}
"""File name extensions of source formats, where they differ from the format's name."""


class Slot(Structure):
    """A worker's line in shared memory. It survives a SIGKILL, so the parent can see which item was being worked on."""

    _fields_ = (("pid", c_longlong), ("item_id", c_longlong), ("started_s", c_double))


class SoftTimeout(BaseException):
    """The soft alarm. Not an Exception, so that no handler for broken images catches it."""


class ItemTimer:
    """Raises SoftTimeout in the main thread once an item has had `limit_s` seconds.

    Time in which this process is stopped does not count, but the system's timer runs on; so the clock is
    looked at every half second. A decoder in C code delays these looks, so the CPU time of the thread counts as well.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._clock = ActiveClock()
        self._started_s = self._cpu_started_s = 0.0
        self._is_running = False
        signal.signal(signal.SIGALRM, self._look)

    def __enter__(self) -> None:
        self._clock.beat()
        self._started_s, self._cpu_started_s = self._clock(), time.thread_time()
        self._is_running = True
        self._wait(self.limit_s)

    def __exit__(self, *_: object) -> None:
        self._is_running = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _wait(self, left_s: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, min(left_s, _LOOK_INTERVAL_S))

    def _look(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._is_running:  # the item was done before the interpreter came to call this
            return
        self._clock.beat()
        left_s = self.limit_s - max(self._clock() - self._started_s, time.thread_time() - self._cpu_started_s)
        if left_s <= 0:
            raise SoftTimeout
        self._wait(left_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What every worker of a run is given. With `keep_originals` the source's bytes are one more rendition.

    With `reads_exif` results say what EXIF their source has.
    """

    settings: TransformOptions
    staging: str
    keep_originals: bool = False
    reads_exif: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What this process works with."""

    channel: Channel
    slot: Any
    timer: ItemTimer
    config: WorkerConfig


_context: WorkerContext | None = None


def initialize(
    channel: Channel,
    slots: Any,  # noqa: ANN401 - ctypes array
    slots_taken: "Synchronized[int]",
    config: WorkerConfig,
) -> None:
    """Set this process up: its slot, its memory limit, its signals, and its end when the parent is gone."""
    global _context  # noqa: PLW0603 - a pool initializer can leave its result nowhere else
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone handles Ctrl-C
    timer = ItemTimer(config.settings.item_timeout)
    silence_stderr()
    threading.Thread(target=exit_with_parent, daemon=True).start()
    _limit_memory(config.settings.worker_memory)
    with slots_taken.get_lock():  # held only briefly; if its holder is killed, the whole pool is replaced
        index = slots_taken.value
        slots_taken.value += 1
    slot = slots[index]
    slot.pid = os.getpid()
    _context = WorkerContext(channel=channel, slot=slot, timer=timer, config=config)


def _limit_memory(size_bytes: int) -> None:
    try:
        import resource  # noqa: PLC0415 - not on Windows, where there is no such limit
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _current_context() -> WorkerContext:
    assert _context is not None, "initialize() sets it before any task"
    return _context


def ready() -> int:
    """A first task: returns once this process is up."""
    return os.getpid()


def consume() -> list[WorkerResult]:
    """Process a short batch from the queue; returns when the batch is full or the queue is empty."""
    channel = _current_context().channel
    results: list[WorkerResult] = []
    task = take(channel, BATCH_WAIT_S)
    started_s = time.monotonic()
    while task is not None:
        results.append(transform(task))
        if len(results) == BATCH_ITEMS or time.monotonic() - started_s > BATCH_S:
            break
        task = take(channel, 0)
    return results


def transform(task: TransformTask) -> WorkerResult:
    """Make the images of one file. Never raises."""
    context = _current_context()
    slot = context.slot
    slot.started_s = time.monotonic()
    slot.item_id = task.fetched.item.id
    recorder = SpanRecorder(lane_of(slot.pid))
    recorder.add(Phase.QUEUE, task.queued_s, slot.started_s)
    try:
        with context.timer:
            return _transform(task, context.config, recorder)
    except SoftTimeout:
        return timed_out(task, context.timer.limit_s, recorder.spans())
    finally:
        slot.item_id = 0


def _transform(task: TransformTask, config: WorkerConfig, recorder: SpanRecorder) -> WorkerResult:
    """Read, render and write. Every failure becomes a fact with the spans recorded until then."""
    from downloader.transform.image import render  # noqa: PLC0415 - see the module's docstring

    try:
        with recorder.phase(Phase.DECODE):
            data = _read(task.fetched, keep_truncated=config.settings.truncated == "keep")
        request = task.fetched.item.request
        boxes = request.boxes if request else ()
        picture = render(data, config.settings, recorder, boxes=boxes, reads_exif=config.reads_exif)
        with recorder.phase(Phase.ENCODE):
            renditions = _write_all(task, picture, data, config)
            digest = task.fetched.sha256 or sha256(data).hexdigest()
    except ImageError as problem:
        return failed(task, problem.kind, problem.message, recorder.spans())
    except ImageSkipped as problem:
        return skipped(task, problem.reason, problem.message, recorder.spans())
    except OSError as problem:  # from `_write_all`: the others raise ImageError instead
        return _write_failed(task, problem, config.staging, recorder.spans())
    except Exception as problem:  # noqa: BLE001 - a defect of ours costs one item and is reported, not the run
        message = f"a defect in downloader, please report it: {type(problem).__name__}: {plain(problem)}"
        return failed(task, FailureKind.INTERNAL, message, recorder.spans())
    return Transformed(
        item=task.fetched.item,
        renditions=renditions,
        width=picture.width,
        height=picture.height,
        sha256=digest,
        warnings=picture.warnings,
        perceptual_hash=picture.perceptual_hash,
        blurhash=picture.blurhash,
        exif=picture.exif,
        spans=recorder.spans(),
    )


def _read(fetched: Fetched, *, keep_truncated: bool) -> bytes:
    """The bytes of an item: a whole file, or the part of a file that its location names."""
    try:
        if isinstance(fetched.item.what, FileSpan) and not fetched.staged:
            return _read_part(fetched, keep_truncated=keep_truncated)
        return Path(fetched.path).read_bytes()
    except MemoryError as error:
        message = "the file is larger than --worker-memory allows"
        raise ImageError(FailureKind.OUT_OF_MEMORY, message) from error
    except OSError as error:
        kind = FailureKind.PERMISSION if isinstance(error, PermissionError) else FailureKind.NOT_FOUND
        raise ImageError(kind, f"cannot be read: {error.strerror}") from error


def _read_part(fetched: Fetched, *, keep_truncated: bool) -> bytes:
    """The `bytes` bytes from `offset`; with `keep_truncated`, as many of them as the file has."""
    end = fetched.offset + fetched.bytes
    with Path(fetched.path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(fetched.offset)
        data = file.read(max(min(end, size) - fetched.offset, 0))  # no memory is taken for a length that is made up
    if len(data) < fetched.bytes and not (data and keep_truncated):
        raise ImageError(
            FailureKind.TRUNCATED_IMAGE,
            f"{fetched.path} ends at byte {size}, before the end of this image at byte {end}: replace it, "
            "or take what is there with --truncated keep",
        )
    return data


def _write_all(task: TransformTask, picture: Picture, data: bytes, config: WorkerConfig) -> tuple[Rendition, ...]:
    images = (*picture.renditions, _original(picture, data)) if config.keep_originals else picture.renditions
    return tuple(_write(task.fetched, image, config.staging) for image in images)


def _original(picture: Picture, data: bytes) -> Encoded:
    """The source's own bytes, with the extension of what they are."""
    return Encoded(
        variant=ORIGINAL,
        extension=_EXTENSIONS.get(picture.format, picture.format),
        format=picture.format,
        width=picture.width,
        height=picture.height,
        data=data,
    )


def _write(fetched: Fetched, image: Encoded, staging: str) -> Rendition:
    # With its own number: the worker of a shard that was killed may still be at the same item for a moment.
    path = f"{staging}/{fetched.item.id}-{os.getpid()}-{image.variant or 'only'}.{image.extension}"
    Path(path).write_bytes(image.data)
    return Rendition(
        variant=image.variant,
        path=path,
        extension=image.extension,
        format=image.format,
        width=image.width,
        height=image.height,
        bytes=len(image.data),
        sha256=sha256(image.data).hexdigest(),
    )


def _write_failed(task: TransformTask, error: OSError, staging: str, spans: Spans) -> WorkerResult:
    if ends_run(error.errno, root_is_usable=Path(staging).is_dir()):
        return DiskFull(reason=f"{staging}: {error.strerror}")
    return failed(task, FailureKind.WRITE, f"the result cannot be written: {write_problem(error)}", spans, Stage.OUTPUT)
