"""WebP: lengths that are wrong, and metadata that is broken."""

import struct

import pytest
from making import made, noise, saved, shown

from downloader.model.failures import FailureKind, Warn
from downloader.transform.image import ImageError


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def webp(*chunks: tuple[bytes, bytes], more: int = 0, padded: bool = True) -> bytes:
    """`more` is added to the length in the header."""
    body = b"WEBP"
    for kind, content in chunks:
        body += kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2 * padded)
    return b"RIFF" + struct.pack("<I", (len(body) + more) % 2**32) + body


def extended(flags: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + struct.pack("<I", 62)[:3] + struct.pack("<I", 47)[:3]


PIXELS = chunks_of(saved(noise(63, 48), "WEBP", quality=70))[0]
EXIF, ICC, XMP, MOVING = 8, 32, 4, 2


@pytest.mark.parametrize(
    "data",
    [
        *(webp(PIXELS, more=more) for more in (1, 2, 100, -2, -10, -9000)),
        webp(extended(EXIF), PIXELS, (b"EXIF", b"x" * 50))[:-20],
        webp(extended(EXIF), PIXELS, (b"EXIF", b"x" * 50), more=-20)[:-20],
        webp(extended(EXIF), PIXELS, (b"EXIF", b"x")),
        webp(extended(EXIF), PIXELS),
        webp(extended(XMP), PIXELS, (b"XMP ", b"\xff\xfe\0")),
        webp(extended(0), (b"JUNK", b"abc"), PIXELS, padded=False),
        webp(extended(ICC), (b"ICCP", b""), PIXELS),
        webp(PIXELS) + b"behind",
        webp(PIXELS)[:-1] if len(PIXELS[1]) % 2 else webp(PIXELS),
    ],
)
@pytest.mark.parametrize("metadata", ["copyright", "all"])
def test_wrong_lengths_and_broken_metadata_cost_nothing(data: bytes, metadata: str) -> None:
    """The pixels are there, so the image is."""
    picture = made(data, format="png", metadata=metadata)
    assert shown(picture).tobytes() == shown(made(webp(PIXELS), format="png")).tobytes()
    assert picture.warnings == ()


def test_a_broken_profile_is_told() -> None:
    """A warning, and sRGB."""
    assert made(webp(extended(ICC), (b"ICCP", b"garbage!"), PIXELS)).warnings == (Warn.ICC_IGNORED,)


@pytest.mark.parametrize("animated", ["first", "all"])
def test_missing_pixels_are_never_mended(animated: str) -> None:
    """A file that is cut in its pixels, or before a frame, is truncated."""
    moving = chunks_of(saved(noise(20, 20), "WEBP", save_all=True, append_images=[noise(20, 20), noise(20, 20)]))
    for data in (webp(PIXELS)[:-200], webp(*moving)[:-200], webp(*moving[:-1], more=len(moving[-1][1]) + 8)):
        with pytest.raises(ImageError) as refused:
            made(data, animated=animated)
        assert refused.value.kind is FailureKind.TRUNCATED_IMAGE


def test_a_canvas_that_is_not_that_of_the_pixels_is_damage() -> None:
    """As libwebp has it."""
    with pytest.raises(ImageError) as refused:
        made(webp((b"VP8X", bytes(4) + b"\x63\0\0\x2f\0\0"), PIXELS))
    assert refused.value.kind is FailureKind.CORRUPT_IMAGE
