"""What runs inside a transform process: take a file from the queue, make images of it, say what happened.

A worker never raises: an exception that cannot be unpickled would break the whole pool, so everything comes back as a
fact. Light to import, and Pillow only comes with the first image, because the parent imports this module too; the fork
server has loaded both, once for all workers.
"""

import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
from ctypes import Structure, c_double, c_longlong
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import wait
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from types import FrameType
from typing import Any

from downloader.config.settings import TransformOptions
from downloader.handoff import Channel, take
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import ORIGINAL, Failed, Fetched, Rendition, Skipped, Transformed
from downloader.model.spans import Phase, Span
from downloader.transform.picture import Encoded, Picture, Unusable, Unwanted, plain

BATCH_ITEMS = 8
"""Items a worker does before it hands their facts back."""
BATCH_S = 0.2
"""Seconds after which it hands back what it has."""
PATIENCE_S = 1.0
"""Seconds it waits for the first item of a batch."""

FATAL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors of the output place, not of one item: disk full, quota, read-only, broken device."""


_EXTENSIONS = {"jpeg": "jpg", "heif": "heic"}
"""Of source formats, where it is not the name of the format."""


class Slot(Structure):
    """One worker's line in shared memory; it outlives a SIGKILL, so the parent can see who had what in hand."""

    _fields_ = (("pid", c_longlong), ("item_id", c_longlong), ("started_s", c_double))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoom:
    """The output place cannot be written; no item is to blame and the run cannot go on."""

    reason: str


Answer = Transformed | Failed | Skipped | NoRoom


class OutOfTime(BaseException):
    """The soft alarm: not an Exception, so that no handler for broken images takes it for one."""


@dataclass(slots=True, kw_only=True)
class _Bench:
    """What this process works with; set once by `begin`."""

    channel: Channel
    slot: Any
    settings: TransformOptions
    staging: str
    keep_originals: bool


_bench: _Bench | None = None


def begin(
    channel: Channel,
    slots: Any,  # noqa: ANN401 - ctypes array
    taken: "Synchronized[int]",
    settings: TransformOptions,
    staging: str,
    keep_originals: bool,
) -> None:
    """Set this process up: its slot, its limits, its signals, and its end when the parent is gone."""
    global _bench  # noqa: PLW0603 - a pool initializer can leave its result nowhere else
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGALRM, _alarm)
    silence()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_memory(settings.worker_memory)
    with taken.get_lock():  # held for a moment only; if its holder is killed, the crew is replaced as a whole
        index = taken.value
        taken.value += 1
    slot = slots[index]
    slot.pid = os.getpid()
    _bench = _Bench(channel=channel, slot=slot, settings=settings, staging=staging, keep_originals=keep_originals)


def silence() -> None:
    """Write nothing to the terminal from now on: what goes wrong is told as a fact, or by the end of the process.

    Else the loop of the pool would write a traceback, when the parent gives the pool up; and in a fork server so would
    a child that is forked for such a pool, and finds its semaphores gone before it comes to `begin`.
    """
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process


def _alarm(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTime


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _limit_memory(size_bytes: int) -> None:
    try:
        import resource  # noqa: PLC0415 - not on Windows, where there is no such limit
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def ready() -> int:
    """A first task: says that this process is up."""
    return os.getpid()


def consume() -> list[Answer]:
    """Take a short batch from the queue and return its facts, as soon as the queue is empty or the batch is full."""
    channel = _the_bench().channel
    answers: list[Answer] = []
    fetched = take(channel, PATIENCE_S)
    started = time.monotonic()
    while fetched is not None:
        answers.append(transform(fetched))
        if len(answers) == BATCH_ITEMS or time.monotonic() - started > BATCH_S:
            break
        fetched = take(channel, 0)
    return answers


def transform(fetched: Fetched) -> Answer:
    """Make the images of one file. Never raises."""
    bench = _the_bench()
    slot = bench.slot
    slot.started_s = time.monotonic()
    slot.item_id = fetched.item.id
    try:
        signal.setitimer(signal.ITIMER_REAL, bench.settings.item_timeout)
        try:
            return _transform(fetched, bench)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except OutOfTime:
        return timed_out(fetched, bench.settings.item_timeout)
    finally:
        slot.item_id = 0


def _the_bench() -> _Bench:
    assert _bench is not None, "begin() sets it before any task"
    return _bench


def timed_out(fetched: Fetched, limit_s: float) -> Failed:
    """The fact that an image took too long."""
    return failed(
        fetched,
        FailureKind.TRANSFORM_TIMEOUT,
        f"took longer than {limit_s:g} s to transform; --item-timeout allows more",
    )


def failed(fetched: Fetched, kind: FailureKind, message: str, stage: Stage = Stage.TRANSFORM) -> Failed:
    """The fact that no image came of a file."""
    return Failed(item=fetched.item, stage=stage, kind=kind, message=message, attempts=fetched.attempts)


def _transform(fetched: Fetched, bench: _Bench) -> Answer:
    from downloader.transform.image import render  # noqa: PLC0415 - see above

    try:
        data = Path(fetched.path).read_bytes()
    except MemoryError:
        return failed(fetched, FailureKind.OUT_OF_MEMORY, "the file is larger than --worker-memory allows")
    except OSError as problem:
        kind = FailureKind.PERMISSION if isinstance(problem, PermissionError) else FailureKind.NOT_FOUND
        return failed(fetched, kind, f"cannot be read: {problem.strerror}")
    try:
        picture = render(data, bench.settings)
    except Unusable as problem:
        return failed(fetched, problem.kind, problem.message)
    except Unwanted as problem:
        return Skipped(item=fetched.item, stage=Stage.TRANSFORM, reason=problem.reason, message=problem.message)
    except Exception as problem:  # noqa: BLE001 - a defect of ours costs one item and is named, not the run
        message = f"a defect in downloader, please report it: {type(problem).__name__}: {plain(problem)}"
        return failed(fetched, FailureKind.INTERNAL, message)
    started = time.perf_counter()
    images = (*picture.renditions, _original(picture, data)) if bench.keep_originals else picture.renditions
    try:
        renditions = tuple(_write(fetched, image, bench.staging) for image in images)
    except OSError as problem:
        if problem.errno in FATAL_ERRNOS:
            return NoRoom(reason=f"{bench.staging}: {problem.strerror}")
        return failed(fetched, FailureKind.WRITE, f"the result cannot be written: {problem.strerror}", Stage.OUTPUT)
    return Transformed(
        item=fetched.item,
        renditions=renditions,
        width=picture.width,
        height=picture.height,
        sha256=fetched.sha256 or sha256(data).hexdigest(),
        warnings=picture.warnings,
        spans=_spans({**picture.timings_s, "encode": picture.timings_s["encode"] + time.perf_counter() - started}),
    )


def _spans(seconds: dict[str, float]) -> tuple[Span, ...]:
    end_s = time.monotonic()
    return tuple(Span(Phase(name), end_s - value, end_s, f"transform-{os.getpid()}") for name, value in seconds.items())


def _original(picture: Picture, data: bytes) -> Encoded:
    """The bytes as they came, under the extension of what they are."""
    return Encoded(
        variant=ORIGINAL,
        extension=_EXTENSIONS.get(picture.format, picture.format),
        format=picture.format,
        width=picture.width,
        height=picture.height,
        data=data,
    )


def _write(fetched: Fetched, image: Encoded, staging: str) -> Rendition:
    path = f"{staging}/{fetched.item.id}-{image.variant or 'only'}.{image.extension}"
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
