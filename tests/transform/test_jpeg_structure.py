"""JPEG: defects of segments that no pixel depends on, ends that are missing, and kinds that are not read."""

import struct

import pytest
from making import corners, made, near, noise, pixel, saved, shown
from PIL import Image

from downloader.model.failures import FailureKind, Warn
from downloader.transform import jpeg
from downloader.transform.image import ImageError

WHOLE = saved(noise(64, 48), "JPEG", quality=90)
BARE = WHOLE[:2] + WHOLE[20:]
"""Without its JFIF segment."""


def error_of(data: bytes, resize: str | None = None, **wanted: object) -> ImageError:
    with pytest.raises(ImageError) as refused:
        made(data, resize, **wanted)
    return refused.value


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return segment(0xE1, exif.tobytes())


def cuts(marker: int, content: bytes) -> list[bytes]:
    return [segment(marker, content[:length]) for length in range(len(content))]


MPF = b"MPF\0MM\0*\0\0\0\x08\0\3" + b"\xb0\0\0\7\0\0\0\x040100" + b"\xb0\1\0\4\0\0\0\1\0\0\0\2"
MPF += b"\xb0\2\0\7\0\0\0\x20\0\0\0\x32\0\0\0\0" + b"\xff" * 32
DEFECTS = [
    *cuts(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
    *cuts(0xEE, b"Adobe\0\x64\0\0\0\0\0"),
    *cuts(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\5abcde\0"),
    *cuts(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\1\0\0\0\0\0\0"),
    *cuts(0xE2, MPF),
    segment(0xE2, MPF),
    segment(0xED, b"Photoshop 3.0\x008BIM\3\xed\0\0\0\0\0\2ab"),
    segment(0xE1, b"Exif\0\0" + b"\xff" * 50),
    segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe"),
    segment(0xE2, b"FPXR\0"),
    segment(0xFE, b""),
    b"\xff\xe3\0\0",
    b"\xff\xe3\0\1",
    b"\xff\x01",
    b"\xff" * 9,
]


def test_a_defect_of_an_optional_segment_costs_nothing() -> None:
    """Short, senseless or empty: the pixels are those of the file without it; as libjpeg and browsers have it."""
    wanted = shown(made(BARE, format="png")).tobytes()
    for defect in DEFECTS:
        picture = made(BARE[:2] + defect + BARE[2:], format="png", metadata="all")
        assert (shown(picture).tobytes(), picture.warnings) == (wanted, ()), defect


@pytest.mark.parametrize(
    "content",
    [b"\1", b"\1\1garbage!", b"\1\2xxxx", b"\2\1xxxx", b"\0\0xxxx"],
    ids=["short", "garbage", "one of two", "second of one", "none of none"],
)
def test_a_profile_in_wrong_pieces_is_told(content: bytes) -> None:
    """The image is taken for sRGB, with a warning."""
    picture = made(WHOLE[:20] + segment(0xE2, b"ICC_PROFILE\0" + content) + WHOLE[20:], format="png")
    assert picture.warnings == (Warn.ICC_IGNORED,)
    assert shown(picture).tobytes() == shown(made(WHOLE, format="png")).tobytes()


def test_what_is_whole_stays_beside_a_defect() -> None:
    """A broken segment takes neither orientation nor profile with it."""
    broken = segment(0xED, b"Photoshop 3.0\x008BIM\4")
    image = corners(64, 48)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = saved(image, "JPEG", exif=exif.tobytes(), quality=95)
    data = profile[:2] + broken + profile[2:]
    assert made(data).width == 48
    assert made(WHOLE[:2] + broken + oriented(8) + WHOLE[2:]).width == 48


@pytest.mark.parametrize("marker", [True, False])
def test_cmyk_is_taken_for_inverted(marker: bool) -> None:
    """With Adobe's marker, without, or with a short one; browsers do the same."""
    data = saved(Image.new("CMYK", (32, 32), (10, 200, 100, 5)), "JPEG", quality=95)
    at = data.index(b"Adobe") - 4
    other = segment(0xEE, b"Adobe") if marker else b""
    for each in (data, data[:at] + other + data[at + 16 :]):
        assert near(pixel(shown(made(each, format="png")), 5, 5), (240, 54, 152), 4)


@pytest.mark.parametrize("resize", [None, "16"])
@pytest.mark.parametrize("progressive", [False, True])
def test_only_the_end_may_be_missing(progressive: bool, resize: str | None) -> None:
    """Without its last marker, or half of it, an image has all of its pixels: no failure and no warning."""
    data = saved(noise(64, 48), "JPEG", quality=90, progressive=progressive)
    wanted = shown(made(data, resize, format="png")).tobytes()
    for lacking in (1, 2):
        picture = made(data[:-lacking], resize, format="png")
        assert (shown(picture).tobytes(), picture.warnings) == (wanted, ())
    for lacking in (20, 400):
        assert error_of(data[:-lacking]).kind is FailureKind.TRUNCATED_IMAGE
        assert made(data[:-lacking], truncated="keep").warnings == (Warn.TRUNCATED_KEPT,)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_large_image_that_is_cut_anywhere_is_truncated(share: float, progressive: bool) -> None:
    """What is missing may be in the middle: behind it, libjpeg fills all that is left with grey."""
    data = saved(noise(400, 900), "JPEG", quality=80, progressive=progressive)
    for resize in (None, "50"):
        assert error_of(data[: int(len(data) * share)], resize).kind is FailureKind.TRUNCATED_IMAGE


def test_a_progressive_image_without_its_last_scans_is_truncated() -> None:
    """All that is there is whole, but there is less of it than the image has."""
    data = saved(noise(64, 48), "JPEG", quality=90, progressive=True)
    for scan in (data.rindex(b"\xff\xda"), data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)):
        assert error_of(data[:scan]).kind is FailureKind.TRUNCATED_IMAGE


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (1, 0xC3, "a lossless JPEG"),
        (1, 0xC5, "a hierarchical JPEG"),
        (1, 0xCB, "a lossless arithmetic-coded JPEG"),
        (1, 0xF7, "a JPEG-LS image"),
        (4, 12, "a 12-bit JPEG"),
        (4, 16, "a 16-bit JPEG"),
        (6, 0, "height only behind its pixels (DNL)"),
        (9, 2, "a JPEG of 2 components"),
        (9, 5, "a JPEG of 5 components"),
    ],
)
def test_kinds_that_are_not_read_are_named(at: int, value: int, words: str) -> None:
    """An intact JPEG of a rare kind is not called damaged."""
    data = bytearray(WHOLE)
    data[data.index(b"\xff\xc0") + at] = value
    refused = error_of(bytes(data))
    assert (refused.kind, words in refused.message) == (FailureKind.UNSUPPORTED_FORMAT, True), refused.message


def test_usual_kinds_are_not_rare() -> None:
    """Baseline and progressive, grey, colour and CMYK; and data without a frame header."""
    for image in (corners(), corners(mode="L"), corners(mode="CMYK")):
        for progressive in (False, True):
            data = saved(image, "JPEG", progressive=progressive)
            assert jpeg.rare_kind(data) is None
            assert jpeg.scalable(data)
            assert jpeg.scans_cover_all(data)
    assert jpeg.rare_kind(b"\xff\xd8\xff\xd9") is None
    assert not jpeg.scalable(b"\xff\xd8\xff")
    assert not jpeg.scans_cover_all(b"\xff\xd8\xff")


def test_what_stands_between_segments_is_passed_over() -> None:
    """Bytes that belong to no segment, as libjpeg does."""
    image = made(WHOLE, format="png")
    for junk in (b"junk!", b"\xff\xff\xff", b"\0\0\xff\0\0"):
        data = WHOLE[:20] + junk + WHOLE[20:]
        assert shown(made(data, format="png")).tobytes() == shown(image).tobytes()
        assert jpeg.frame(data) == jpeg.frame(WHOLE)


def test_a_second_beginning_is_damage() -> None:
    """As libjpeg has it."""
    assert error_of(b"\xff\xd8" + WHOLE).kind is FailureKind.CORRUPT_IMAGE


def test_a_file_of_nothing_but_markers_ends() -> None:
    """The search for a frame header is given up; the decoder decides."""
    many = b"\xff\xd8" + b"\xff\xd0" * 300_000 + WHOLE[2:]
    assert jpeg.frame(many) is None
    assert made(many).width == 64
