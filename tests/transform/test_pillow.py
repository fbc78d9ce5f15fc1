"""Pillow's globals belong to the process: rendering restores them."""

import threading
import warnings

from making import corners, made, saved
from PIL import AvifImagePlugin, Image

from downloader.transform import pillow


def current() -> tuple[object, ...]:
    return Image.MAX_IMAGE_PIXELS, AvifImagePlugin.DEFAULT_MAX_THREADS, list(warnings.filters)


def test_rendering_restores_what_it_changes() -> None:
    before = current()
    assert made(saved(corners(), "AVIF"), "16").width == 80
    assert current() == before
    with pillow.rendering():
        assert current() != before
        assert Image.MAX_IMAGE_PIXELS is None
    assert current() == before


def test_the_last_thread_that_renders_restores() -> None:
    """Threads overlap: settings hold until the last one has finished, and the strictest limit holds meanwhile."""
    before = current()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with pillow.rendering(), pillow.pixel_limit(1000):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with pillow.rendering():
        thread.start()
        assert entered.wait(10)
        with pillow.pixel_limit(10):
            assert Image.MAX_IMAGE_PIXELS == 5
        assert Image.MAX_IMAGE_PIXELS == 500
    assert current() != before
    leave.set()
    thread.join()
    assert current() == before
