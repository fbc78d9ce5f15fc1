"""Thumbnails for the report, of images that a run has decoded before."""

from downloader.config.settings import TransformOptions
from downloader.config.values import parse_sizes
from downloader.transform.image import render
from downloader.transform.picture import ImageError, ImageSkipped

SIDE_PX = 160
MAX_PIXELS = 16_000_000
"""48 MB as RGB: what the process of a run, which is not limited as its workers are, may spend on one image."""


def thumbnail(data: bytes) -> bytes | None:
    """A small JPEG of an image; None where there is none to be had within limits."""
    options = TransformOptions(
        resize=parse_sizes(str(SIDE_PX)), format="jpeg", quality=75, metadata="none", max_pixels=MAX_PIXELS
    )
    try:
        return render(data, options).renditions[0].data
    except (ImageError, ImageSkipped, MemoryError):
        return None
