"""Pillow's process-wide settings, changed only while an image is rendered.

Pillow has no argument for some of what a decoder is to do and takes it from globals. A process that renders images may
use Pillow for its own purposes too, so they are restored when the last rendering ends. Threads may render at the same
time; the strictest of their limits holds for all.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import AvifImagePlugin, Image

_lock = threading.Lock()
_restore = ExitStack()
_limits: list[int] = []
_renderings = 0


@contextmanager
def rendering() -> Iterator[None]:
    """Settings that hold while images are rendered.

    - No pixel limit of Pillow's own: the number of pixels is checked before decoding, with a limit the user can set.
    - One thread a decoder: each worker process has one core, and by default every one of N would start N threads.
    - No warnings about oddities of files: a worker has nowhere to show them, and the outcome says what matters.
    """
    global _renderings  # noqa: PLW0603 - what is counted is global too
    with _lock:
        if not _renderings:
            _change()
        _renderings += 1
    try:
        yield
    finally:
        with _lock:
            _renderings -= 1
            if not _renderings:
                _restore.close()


def _change() -> None:
    _restore.enter_context(warnings.catch_warnings(action="ignore"))
    _restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    _restore.callback(setattr, AvifImagePlugin, "DEFAULT_MAX_THREADS", AvifImagePlugin.DEFAULT_MAX_THREADS)
    Image.MAX_IMAGE_PIXELS = None
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


@contextmanager
def pixel_limit(limit: int) -> Iterator[None]:
    """Within `rendering`: let Pillow refuse an image that grows, as frames of a GIF may reach outside the first one."""
    with _lock:
        _limits.append(limit)
        _apply_limit()
    try:
        yield
    finally:
        with _lock:
            _limits.remove(limit)
            _apply_limit()


def _apply_limit() -> None:
    # Pillow warns at this number of pixels, and refuses at twice as many
    Image.MAX_IMAGE_PIXELS = (min(_limits) + 1) // 2 if _limits else None
