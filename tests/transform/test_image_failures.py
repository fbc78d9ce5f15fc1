"""Images that cannot be used: every failure has its kind and a helpful message."""

import struct
import subprocess
import sys
import timeit
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.metadata import requires, version
from io import BytesIO
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import corners, made, near, noise, pixel, saved, shown
from PIL import Image, ImageCms, ImageFile

from downloader.model.failures import FailureKind, Warn
from downloader.transform.image import ImageError, Picture
from downloader.transform.picture import plain

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF")


def error_of(data: bytes, resize: str | None = None, **wanted: object) -> ImageError:
    with pytest.raises(ImageError) as refused:
        made(data, resize, **wanted)
    return refused.value


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ends = (b"IDAT" + zlib.compress(b""), b"IEND")
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, *ends))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", "not_an_image", "an empty file"),
        (b"<html><body>Not found</body></html>", "not_an_image", "an HTML page"),
        (b"\x13\x37" * 500, "not_an_image", "no known image format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format", "an SVG drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format", "EPS drawing"),
        (b"8BPS\x00\x01" + b"\x00" * 40, "unsupported_format", "a Photoshop document"),
        (b"\x01\xda\x01\x01" + bytes(600), "unsupported_format", "an SGI image"),
        (b"\x0a\x05\x01\x08" + bytes(200), "unsupported_format", "a PCX image"),
        (b"Pf\n1 1\n-1\n" + bytes(4), "unsupported_format", "a PNM image"),
        (b"BA" + bytes(12) + b"BM" + bytes(40), "unsupported_format", "an array of OS/2 bitmaps"),
        (b"\xff\x0a" + b"\x00" * 40, "unsupported_format", "a JPEG XL image"),
        (b"\x89PNG\n\x1a\n\x00\x00", "corrupt_image", "as if it were text"),
    ],
)
def test_what_is_no_usable_image_is_named(data: bytes, kind: str, words: str) -> None:
    """The kind is right, and the message says what the file looks like and what to do."""
    refused = error_of(data)
    assert refused.kind == kind
    assert words in refused.message


def test_an_eps_named_jpg_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would run Ghostscript for EPS, so it never sees such a file."""

    def opened(*_: object, **__: object) -> None:
        pytest.fail("Pillow was given a file that is not on the list")

    monkeypatch.setattr(Image, "open", opened)
    for head in (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + b"\x00" * 28):
        assert error_of(head).kind is FailureKind.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
def test_a_cut_file_is_truncated(name: str, share: float) -> None:
    """A truncated file is reported as such, wherever it was cut."""
    data = saved(noise(120, 90), name)
    refused = error_of(data[: int(len(data) * share)], "20")
    assert refused.kind is FailureKind.TRUNCATED_IMAGE
    assert "--truncated keep" in refused.message


def test_a_cut_file_smaller_than_the_box_is_truncated_too() -> None:
    """Images that need no resizing are decoded all the same, so a truncated one is not copied."""
    assert error_of(saved(noise(120, 90), "JPEG")[:-900], "1000x1000").kind is FailureKind.TRUNCATED_IMAGE


def test_cut_metadata_does_not_hide_the_cut() -> None:
    """EXIF of a PNG is read only after its pixels, as Pillow would decode them for it."""
    assert error_of(saved(noise(120, 90), exif=b"Exif\x00\x00MM\x00*")[:20_000]).kind is FailureKind.TRUNCATED_IMAGE


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP"])
def test_a_cut_file_can_be_kept(name: str) -> None:
    """`truncated=keep` uses what is there, with a warning, and changes nothing for the next image."""
    upright = noise(400, 300)
    top = 240 if name == "BMP" else 0  # BMP stores the bottom row first
    upright.paste((0, 128, 255), (0, top, 400, top + 60))
    data = saved(upright, name)
    picture = made(data[: int(len(data) * 0.6)], "100", truncated="keep")
    assert picture.warnings == (Warn.TRUNCATED_KEPT,)
    assert near(pixel(shown(picture).convert("RGB"), 50, 7 + top // 4), (0, 128, 255), 16)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert error_of(data[: int(len(data) * 0.6)], "100").kind is FailureKind.TRUNCATED_IMAGE


def test_a_cut_progressive_jpeg_shows_its_first_scans() -> None:
    """With an end added, libjpeg shows a progressive image in the detail it has."""
    upright = corners(640, 480)
    data = saved(upright, "JPEG", progressive=True, quality=95)
    picture = made(data[: int(len(data) * 0.7)], "80", truncated="keep")
    assert picture.warnings == (Warn.TRUNCATED_KEPT,)
    assert near(pixel(shown(picture).convert("RGB"), 20, 15), (220, 30, 30), 40)


def test_a_whole_image_is_not_flagged_by_keep() -> None:
    """`truncated=keep` warns only where something is missing."""
    assert made(saved(corners(), "JPEG"), truncated="keep").warnings == ()


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("box", [b"av1C", b"meta"])
def test_a_broken_avif_is_corrupt_in_the_words_of_its_decoder(box: bytes) -> None:
    """libavif is strict; the message contains its reason."""
    refused = error_of(saved(corners(), "AVIF").replace(box, b"xxxx", 1))
    assert refused.kind is FailureKind.CORRUPT_IMAGE
    assert "Failed to decode image: " in refused.message


def test_damage_in_the_middle_is_corrupt() -> None:
    """A file that is whole but damaged is `corrupt_image`, with the reason."""
    data = bytearray(saved(noise(120, 90)))
    data[2000:2400] = b"\x55" * 400
    refused = error_of(bytes(data))
    assert refused.kind is FailureKind.CORRUPT_IMAGE
    assert refused.message.startswith("the png image is damaged (")


@pytest.mark.parametrize("size", [(65_535, 65_535), (20_000, 14_000)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    """More pixels than `--max-pixels` are refused before decoding, and the message names the option."""
    refused = error_of(png_header(*size))
    assert refused.kind is FailureKind.IMAGE_TOO_LARGE
    assert "--max-pixels 100000000" in refused.message
    assert f"{size[0]} x {size[1]}" in refused.message


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP of one colour in its first bytes: nothing about it is damaged, and it is 34 bytes long."""
    data = saved(Image.new("RGB", (1, 1)), "WEBP", lossless=True)
    packed = struct.unpack("<I", data[21:25])[0] & ~(2**28 - 1) | (width - 1) | (height - 1) << 14
    return data[:21] + struct.pack("<I", packed) + data[25:]


def avif_header(width: int, height: int) -> bytes:
    """An AVIF that claims a size (the box `ispe`) its pixels do not have."""
    data = saved(corners(), "AVIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


@pytest.mark.parametrize("make", [png_header, webp_header, avif_header])
def test_a_bomb_costs_no_memory(make: Callable[[int, int], bytes]) -> None:
    """A file of a few bytes that unpacks to gigabytes is refused before a library takes memory for it.

    Run in a process with 64 MiB to spare. 16,383 is the longest side of a WebP; libavif has a limit of its own below
    17,000 x 17,000, and would call the file broken.
    """
    code = """if True:
        import resource, sys
        from downloader.config.settings import TransformOptions
        from downloader.transform.image import ImageError, render
        small, bomb = map(bytes.fromhex, sys.argv[1:])
        render(small, TransformOptions())
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
        try:
            render(bomb, TransformOptions())
        except ImageError as refused:
            print(refused.kind, "--max-pixels" in refused.message)
    """
    side = 17_000 if make is avif_header else 16_383
    small = saved(corners(), make.__name__.removesuffix("_header").upper())
    arguments = [small.hex(), make(side, side).hex()]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["image_too_large", "True"]


def gif_frame(left: int, top: int, width: int, height: int) -> bytes:
    """A frame of a GIF that claims a place and holds one pixel; its disposal method clears it afterwards."""
    control = b"\x21\xf9\x04\x08\x00\x00\x00\x00"
    return control + b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\x02\x02\x44\x01\x00"


GIF_SCREEN = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\x00\x00\x00\xff\xff\xff"


@pytest.mark.parametrize("place", [(0, 0, 60_000, 60_000), (60_000, 60_000, 1, 1)])
def test_a_gif_cannot_grow_beyond_the_limit(place: tuple[int, int, int, int]) -> None:
    """A later frame that reaches outside the first one makes the image larger, up to `--max-pixels`."""
    before = Image.MAX_IMAGE_PIXELS
    data = GIF_SCREEN + gif_frame(0, 0, 1, 1) + gif_frame(*place) + gif_frame(0, 0, 1, 1) + b";"
    assert made(data).width == 1
    for truncated in ("fail", "keep"):
        refused = error_of(data, animated="all", truncated=truncated)
        assert (refused.kind, "--max-pixels" in refused.message) == (FailureKind.IMAGE_TOO_LARGE, True)
    inside = GIF_SCREEN + gif_frame(0, 0, 1, 1) + gif_frame(3, 3, 1, 1) + b";"
    assert made(inside, animated="all", max_pixels=16).width == 1
    assert error_of(inside, animated="all", max_pixels=14).kind is FailureKind.IMAGE_TOO_LARGE
    assert before == Image.MAX_IMAGE_PIXELS


def test_ten_thousand_frames_cost_no_more_than_one() -> None:
    """If only the first frame is used, the others are not even counted."""
    few, many = (GIF_SCREEN + gif_frame(0, 0, 1, 1) * frames + b";" for frames in (2, 10_000))
    assert made(few).warnings == made(many).warnings == (Warn.FRAMES_DROPPED,)
    once_s, all_s = (min(timeit.repeat(partial(made, data), number=1, repeat=5)) for data in (few, many))
    assert all_s < 20 * once_s + 0.05, "counting all of them takes a hundred times longer"
    assert "10000 frames" in error_of(many, animated="all", max_pixels=9_999).message


def test_the_limit_is_exact() -> None:
    """`--max-pixels` itself is allowed, one pixel more is not."""
    assert made(saved(corners(50, 20)), max_pixels=1000).width == 50
    assert error_of(saved(corners(50, 20)), max_pixels=999).kind is FailureKind.IMAGE_TOO_LARGE


def test_frames_count_against_the_limit_where_they_are_decoded() -> None:
    """All frames count with `animated=all`; with the first one only, that one counts."""
    frames = [noise(50, 20) for _ in range(10)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert made(data, max_pixels=1000).width == 50
    refused = error_of(data, max_pixels=9999, animated="all")
    assert refused.kind is FailureKind.IMAGE_TOO_LARGE
    assert "10 frames" in refused.message


def test_a_text_bomb_in_a_png_is_refused() -> None:
    """A text chunk that unpacks to megabytes is refused, with `truncated=keep` too."""
    bomb = with_chunk(saved(corners()), b"zTXt", b"k\x00\x00" + zlib.compress(b"\x00" * 20_000_000))
    for truncated in ("fail", "keep"):
        assert error_of(bomb, truncated=truncated).kind is FailureKind.CORRUPT_IMAGE


def test_many_texts_in_a_png_are_refused_together() -> None:
    """100 texts of 900 kB each are below the limit of one text, and above that of all."""
    data = saved(corners())
    chunk = with_chunk(data, b"zTXt", b"k\x00\x00" + zlib.compress(b"\x00" * 900_000))[33 : -len(data) + 33]
    assert made(data[:33] + chunk + data[33:]).width == 80
    assert error_of(data[:33] + chunk * 100 + data[33:]).kind is FailureKind.CORRUPT_IMAGE


def test_a_profile_bomb_in_a_png_is_refused() -> None:
    """A colour profile that unpacks to megabytes is not unpacked."""
    bomb = with_chunk(saved(corners()), b"iCCP", b"k\x00\x00" + zlib.compress(b"\x00" * 20_000_000))
    assert error_of(bomb).kind is FailureKind.CORRUPT_IMAGE


def test_the_parsers_are_recent() -> None:
    """Pillow fixed 13 holes in 12.3.0; nothing older is installed with this package."""
    wanted = next(line for line in requires("downloader") or () if line.startswith("pillow"))
    assert wanted == "pillow>=12.3"
    assert tuple(map(int, version("pillow").split(".")[:2])) >= (12, 3)


@pytest.mark.parametrize(("marker", "bits", "words"), [(0xC0, 12, "12-bit JPEG"), (0xC3, 8, "lossless JPEG")])
def test_rare_jpegs_are_unsupported_not_corrupt(marker: int, bits: int, words: str) -> None:
    """An intact JPEG of a kind that is not decoded is distinguished from a damaged one."""
    data = saved(corners(), "JPEG")
    at = data.index(b"\xff\xc0")
    data = data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]
    refused = error_of(data)
    assert (refused.kind, words in refused.message) == (FailureKind.UNSUPPORTED_FORMAT, True)


def test_a_tiff_of_an_unknown_kind_is_unsupported_not_corrupt() -> None:
    """TIFF can hold nearly anything; an intact file that Pillow has no mode for is not called damaged."""
    data = saved(corners(), "TIFF")
    tag = struct.pack("<HHI", 0x0106, 3, 1)  # PhotometricInterpretation
    at = data.index(tag) + len(tag)
    refused = error_of(data[:at] + struct.pack("<H", 32844) + data[at + 2 :])  # CIE log luminance
    assert (refused.kind, "LogL samples" in refused.message) == (FailureKind.UNSUPPORTED_FORMAT, True)


def test_text_of_a_library_is_made_plain() -> None:
    """Control characters, line breaks and long texts of an error do not get into a message."""
    assert plain(ValueError("bad \x1b[2J\n  chunk \u202e")) == "bad ?[2J chunk ?"
    assert plain(ValueError()) == "ValueError"
    assert len(plain(ValueError("x" * 5000))) == 200


def test_messages_are_one_plain_line() -> None:
    """Text from a file never brings control characters into a message."""
    data = bytearray(saved(corners()))
    data[12:16] = b"\x1b[2\n"  # the name of the first chunk goes into Pillow's message
    refused = error_of(bytes(data))
    assert refused.message.isprintable()
    assert str(refused) == refused.message


EXIF = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXTRAS = {"exif": EXIF, "icc_profile": PROFILE, "xmp": b"<x:xmpmeta/>"}
DAMAGED = (
    saved(noise(48, 36), "JPEG", comment=b"hello", **EXTRAS),
    saved(noise(48, 36), "MPO", save_all=True, append_images=[corners(48, 36)]),
    saved(noise(48, 36), "WEBP", **EXTRAS),
    saved(noise(48, 36), "AVIF", **EXTRAS),
    saved(noise(48, 36), "PNG", save_all=True, append_images=[corners(48, 36)], exif=EXIF, icc_profile=PROFILE),
    *(saved(noise(48, 36), name) for name in FORMATS),
    saved(corners(48, 36), "JPEG", progressive=True, exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00"),
    saved(corners(48, 36).quantize(8), transparency=1),
    saved(noise(48, 36), "GIF", save_all=True, append_images=[noise(48, 36)]),
    saved(corners(48, 36), "TIFF", compression="tiff_lzw"),
)
WANTED = st.fixed_dictionaries(
    {
        "truncated": st.sampled_from(("fail", "keep")),
        "animated": st.sampled_from(("first", "all")),
        "metadata": st.sampled_from(("none", "copyright", "all-but-gps", "all")),
        "icc": st.sampled_from(("srgb", "keep")),
    }
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(DAMAGED),
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=8),
    st.floats(0.02, 1.0),
    WANTED,
)
def test_no_damage_is_our_fault(
    data: bytes, changes: list[tuple[int, int]], share: float, wanted: dict[str, str]
) -> None:
    """Whatever is changed or cut, the outcome is a picture, or a failure that is not `internal`."""
    damaged = bytearray(data[: int(len(data) * share)] if share < 0.5 else data)
    for at, value in changes:
        if at < len(damaged):
            damaged[at] = value
    outcome = attempt(bytes(damaged), wanted)
    if isinstance(outcome, ImageError):
        assert outcome.kind is not FailureKind.INTERNAL, outcome.message
        assert outcome.message.isprintable()
    else:
        (rendition,) = outcome.renditions
        assert Image.open(BytesIO(rendition.data)).size == (rendition.width, rendition.height)


@pytest.mark.parametrize("name", [*FORMATS, "HEIF"])
def test_any_byte_may_be_wrong(name: str) -> None:
    """Bytes changed, inserted, removed anywhere in a file of each format, the same ones in every run."""
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    random = Random(name)
    moving = {"save_all": True, "append_images": [noise(48, 36)]} if name in {"GIF", "WEBP", "PNG", "AVIF"} else {}
    whole = saved(noise(48, 36), name, **moving)
    outcomes: Counter[str] = Counter()
    for _ in range(80):
        data = bytearray(whole)
        for _ in range(random.choice((1, 2, 8))):
            at = int(len(data) * random.random() ** 2)  # more of them near the beginning, where structure is
            data[at : at + random.randrange(4)] = random.randbytes(random.randrange(4))
        outcome = attempt(
            bytes(data), {"animated": "all", "metadata": "all", "truncated": random.choice(("fail", "keep"))}
        )
        if isinstance(outcome, ImageError):
            assert outcome.kind not in {FailureKind.INTERNAL, FailureKind.ENCODE}, outcome.message
            assert outcome.message.isprintable()
        outcomes[outcome.kind if isinstance(outcome, ImageError) else "picture"] += 1
    assert len(outcomes) > 1, "damage worth testing"


def attempt(data: bytes, wanted: dict[str, str]) -> Picture | ImageError:
    try:
        return made(data, "16", max_pixels=1_000_000, **wanted)
    except ImageError as refused:
        return refused
