"""Thumbnails: small, upright JPEGs, or none."""

import io

from PIL import Image
from support import picture

from downloader.transform.thumbnail import MAX_PIXELS, SIDE_PX, thumbnail


def test_a_thumbnail_is_a_small_jpeg() -> None:
    made = thumbnail(picture(900, 500, format="PNG"))
    assert made is not None
    with Image.open(io.BytesIO(made)) as image:
        assert image.format == "JPEG"
        assert max(image.size) == SIDE_PX


def test_what_is_no_image_or_too_large_has_none() -> None:
    assert thumbnail(b"nothing") is None
    large = io.BytesIO()
    Image.new("1", (MAX_PIXELS // 100, 101)).save(large, "PNG")
    assert thumbnail(large.getvalue()) is None
