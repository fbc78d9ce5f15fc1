"""PNG: every kind of it, and what its defects cost."""

import struct
import zlib
from random import Random

import pytest
from making import made, near, noise, pixel, saved, shown
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from png_making import (
    CHANNELS,
    KINDS,
    SIGNATURE,
    Pixel,
    chunk,
    header,
    packed,
    png,
    random_samples,
    raw,
    shown_as,
    simple,
)

from downloader.model.failures import FailureKind, Warn
from downloader.transform.image import ImageError

SIDES = [(1, 1), (2, 1), (1, 7), (7, 1), (5, 3), (9, 8)]


def error_of(data: bytes, **wanted: object) -> ImageError:
    with pytest.raises(ImageError) as refused:
        made(data, **wanted)
    return refused.value


def palette_for(random: Random, depth: int) -> list[Pixel]:
    return [tuple(random.randrange(256) for _ in range(3)) for _ in range(2**depth)]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_every_kind_has_its_pixels(colour: int, depth: int, interlaced: bool) -> None:
    """Each colour type and depth, in rows or interlaced, with and without transparency, at odd sides."""
    random = Random(f"{colour} {depth}")
    for width, height in SIDES:
        samples = random_samples(random, width, height, depth, colour)
        palette = palette_for(random, depth) if colour == 3 else []
        first = samples[0][0]
        clears: list[Pixel | bytes | None] = [None]
        if colour == 3:
            clears += [bytes([0]), bytes(random.randrange(256) for _ in range(2**depth))]
        elif colour in {0, 2}:
            clears += [first]
        for clear in clears:
            chunks = [header(width, height, depth, colour, int(interlaced))]
            chunks += [chunk(b"PLTE", b"".join(map(bytes, palette)))] if palette else []
            if clear is not None:
                body = clear if isinstance(clear, bytes) else struct.pack(f">{len(clear)}H", *clear)
                chunks.append(chunk(b"tRNS", body))
            packing = zlib.compress(raw(samples, depth, interlaced=interlaced))
            chunks += [chunk(b"IDAT", packing[:5]), chunk(b"IDAT"), chunk(b"IDAT", packing[5:])]
            result = shown(made(png(*chunks))).convert("RGBA")
            for y, row in enumerate(samples):
                for x, stored in enumerate(row):
                    wanted = shown_as(stored, depth, colour, palette, clear)
                    got = pixel(result, x, y)
                    assert near(got, wanted, 1 if depth == 16 else 0) or (depth == 16 and got[3] == 0), (x, y, clear)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_missing_rows_are_never_black_rows(colour: int, depth: int, interlaced: bool) -> None:
    """A zlib stream that is complete and holds too few rows is truncated; one that holds more is not."""
    samples = random_samples(Random(3), 9, 8, depth, colour)
    before = header(9, 8, depth, colour, int(interlaced))
    if colour == 3:
        before += chunk(b"PLTE", b"".join(map(bytes, palette_for(Random(4), depth))))
    rows = raw(samples, depth, interlaced=interlaced)
    row_bytes = 1 + (9 * depth * CHANNELS[colour] + 7) // 8
    for lacking in (1, row_bytes, 4 * row_bytes, len(rows) - 1, len(rows)):
        data = png(before, chunk(b"IDAT", zlib.compress(rows[: len(rows) - lacking])))
        assert error_of(data).kind is FailureKind.TRUNCATED_IMAGE
        kept = made(data, truncated="keep")
        assert kept.warnings == (Warn.TRUNCATED_KEPT,)
    whole = shown(made(png(before, chunk(b"IDAT", zlib.compress(rows))))).tobytes()
    assert shown(made(png(before, chunk(b"IDAT", zlib.compress(rows + rows))))).tobytes() == whole


def test_rows_that_are_missing_are_empty_when_kept() -> None:
    """The rows that are there keep their pixels, and the others are black."""
    result = shown(made(simple(rows=12), truncated="keep"))
    assert [pixel(result, 5, y) for y in (0, 11, 12, 15)] == [(200, 100, 50)] * 2 + [(0, 0, 0)] * 2


def test_a_black_last_row_is_no_missing_row() -> None:
    """An image that is black or clear throughout is whole."""
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        assert made(saved(Image.new(mode, (20, 20)))).warnings == ()


CLEAR_IT = [
    (b"gAMA", [b"", b"\0\0\xb1", b"\0\0\0\0", b"\xff" * 4, b"\0\0\xb1\x8f\0"]),
    (b"cHRM", [b"", b"\0" * 31, b"\0" * 32, b"\xff" * 32]),
    (b"sRGB", [b"", b"\xff", b"\0\0"]),
    (b"cICP", [b"", b"\1\x0d\0", b"\xff" * 4, b"\1\x0d\1\1"]),
    (b"pHYs", [b"", b"\0" * 8, b"\xff" * 9]),
    (b"tEXt", [b"", b"\0", b"no separator", b"\xff\xfe\0\xff"]),
    (b"zTXt", [b"", b"k", b"k\0", b"k\0\1x", b"k\0\0not zlib"]),
    (b"iTXt", [b"", b"k\0", b"k\0\1\0", b"k\0\1\7a\0b\0c", b"k\0\1\0\0\0not zlib", b"XML:com.adobe.xmp\0\0\0\0\0\xff"]),
    (b"eXIf", [b"", b"MM", b"II*\0\xff\xff\xff\xff", b"\0" * 40]),
    (b"bKGD", [b"", b"\xff" * 9]),
    (b"sBIT", [b"", b"\xff" * 9]),
    (b"hIST", [b"\0"]),
    (b"tIME", [b"\xff"]),
    (b"sPLT", [b""]),
    (b"tRNS", [b"", b"\0\1", b"\0" * 7]),
    (b"acTL", [b"", b"\0" * 8, b"\xff" * 8, b"\0\0\0\1"]),
    (b"fcTL", [b"", b"\0" * 26, b"\xff" * 26]),
    (b"fdAT", [b"", b"\0\0\0\0x"]),
    (b"prIv", [b"anything"]),
]


@pytest.mark.parametrize(("kind", "bodies"), CLEAR_IT, ids=[kind.decode() for kind, _ in CLEAR_IT])
def test_a_defect_of_an_optional_chunk_costs_nothing(kind: bytes, bodies: list[bytes]) -> None:
    """Short, long, senseless, with a wrong checksum, before and behind the pixels: the image is the same."""
    for body in bodies:
        for piece in (chunk(kind, body), chunk(kind, body, 0), chunk(kind, body) * 2):
            for data in (simple(piece), simple(behind=piece)):
                for metadata in ("copyright", "all"):
                    picture = made(data, metadata=metadata)
                    assert pixel(shown(picture).convert("RGB"), 3, 3) == (200, 100, 50), (body, piece)


@pytest.mark.parametrize(
    "body",
    [b"", b"name", b"name\0", b"name\0\1" + zlib.compress(b"x"), b"name\0\0no zlib", b"\0\0" + zlib.compress(b"")],
)
def test_a_profile_that_cannot_be_unpacked_is_told(body: bytes) -> None:
    """A warning; then the colours are those of the next chunk that says something about them."""
    data = simple(chunk(b"iCCP", body))
    assert made(data).warnings == (Warn.ICC_IGNORED,)
    assert pixel(shown(made(data)), 3, 3) == (200, 100, 50)
    linear = made(simple(chunk(b"iCCP", body), chunk(b"gAMA", struct.pack(">I", 100_000))))
    assert linear.warnings == (Warn.ICC_IGNORED,)
    assert near(pixel(shown(linear), 3, 3), (229, 168, 122), 1)


def test_names_of_texts_are_no_settings() -> None:
    """Pillow keeps texts where it keeps what it found in the header; they must not be taken for it."""
    names = ("interlace", "transparency", "bbox", "icc_profile", "gamma", "duration", "loop", "default_image", "exif")
    info = PngInfo()
    for name in names:
        info.add_text(name, "1")
    image = noise(20, 20)
    assert shown(made(saved(image, pnginfo=info), metadata="all")).tobytes() == image.tobytes()
    moving = made(saved(image, pnginfo=info, save_all=True, append_images=[noise(20, 20)]), animated="all")
    assert shown(moving).n_frames == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_of_a_critical_chunk_is_damage(kind: bytes) -> None:
    """As libpng has it."""
    data = saved(noise(20, 20).quantize(4))
    at = data.index(kind)
    end = at + 4 + int.from_bytes(data[at - 4 : at], "big")
    assert error_of(data[:end] + b"\0\0\0\0" + data[end + 4 :]).kind is FailureKind.CORRUPT_IMAGE


def test_pixels_have_two_checksums() -> None:
    """A wrong one beside pixels that match the other costs nothing; pixels that match neither are damage."""
    image = noise(60, 40)
    data = saved(image)
    at = data.index(b"IDAT")
    end = at + 4 + int.from_bytes(data[at - 4 : at], "big")
    body = data[at + 4 : end]
    for other in (chunk(b"IDAT", body, 0), chunk(b"IDAT", body[:-4] + b"\0\0\0\0"), chunk(b"IDAT", body[:-4])):
        assert shown(made(data[: at - 4] + other + data[end + 4 :])).tobytes() == image.tobytes()
    for other in (body[:-4] + b"\0\0\0\0", body[:-4], body[:500] + bytes([body[500] ^ 1]) + body[501:]):
        broken = data[: at - 4] + chunk(b"IDAT", other, 0) + data[end + 4 :]
        assert error_of(broken).kind is FailureKind.CORRUPT_IMAGE


def test_damage_that_decodes_is_found() -> None:
    """Stored blocks hold pixels as they are: a changed byte of them decodes, and only the checksums tell."""
    rows = packed([[(x, y, 7) for x in range(16)] for y in range(16)], 8)
    body = bytearray(zlib.compress(rows, 0))
    body[100] ^= 0xFF
    right = zlib.crc32(b"IDAT" + zlib.compress(rows, 0))
    assert error_of(png(header(16, 16), chunk(b"IDAT", bytes(body), right))).kind is FailureKind.CORRUPT_IMAGE
    apart = chunk(b"IDAT", bytes(body[:-4]), 0) + chunk(b"IDAT", bytes(body[-4:]))  # a decoder stops before the last
    refused = error_of(png(header(16, 16), apart))
    assert (refused.kind, "do not match their checksum" in refused.message) == (FailureKind.CORRUPT_IMAGE, True)


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (png(header(4, 4, 8, 3), chunk(b"IDAT", zlib.compress(b"\0" * 20))), "corrupt_image", "no palette"),
        (
            png(header(4, 4, 8, 3), chunk(b"PLTE"), chunk(b"IDAT", zlib.compress(b"\0" * 20))),
            "corrupt_image",
            "malformed",
        ),
        (png(header(4, 4, 8, 3), chunk(b"PLTE", b"1234"), chunk(b"IDAT")), "corrupt_image", "malformed"),
        (png(header(4, 4, 8, 3), chunk(b"PLTE", b"123" * 257), chunk(b"IDAT")), "corrupt_image", "malformed"),
        (png(header(4, 4, 3)), "corrupt_image", "values that PNG does not define"),
        (png(header(4, 4, 8, 5)), "corrupt_image", "values that PNG does not define"),
        (png(header(4, 4, 16, 3)), "corrupt_image", "values that PNG does not define"),
        (png(header(4, 4, interlace=2)), "corrupt_image", "values that PNG does not define"),
        (png(header(0, 4)), "corrupt_image", "values that PNG does not define"),
        (png(header(4, 4)), "corrupt_image", "no pixels"),
        (png(header(4, 4), header(4, 4)), "corrupt_image", "two headers"),
        (png(chunk(b"IDAT", b"x")), "corrupt_image", "does not begin with its header"),
        (png(chunk(b"IHDR", b"\0" * 12)), "corrupt_image", "does not begin with its header"),
        (SIGNATURE + b"\0\0\0\4\0\0\0\0" + bytes(30), "corrupt_image", "no header"),
        (SIGNATURE, "truncated_image", "ends early"),
        (SIGNATURE + header(4, 4), "truncated_image", "ends early"),
        (SIGNATURE + header(4, 4) + chunk(b"tEXt", b"k\0v")[:-2], "truncated_image", "ends early"),
        (SIGNATURE + header(4, 4, 8, 3) + chunk(b"PLTE", b"123")[:-2], "truncated_image", "ends early"),
        (simple(chunk(b"NEWC", b"x")), "unsupported_format", "a part that is not in the standard (NEWC)"),
        (simple(chunk(b"NEWC", b"x", 0)), "corrupt_image", "bad checksum of NEWC"),
        (
            SIGNATURE + chunk(b"CgBI", b"\x50\0\x20\2") + header(4, 4) + chunk(b"IDAT", b"x") + chunk(b"IEND"),
            "unsupported_format",
            "CgBI",
        ),
    ],
)
def test_the_structure_tells_the_kind(data: bytes, kind: str, words: str) -> None:
    """What is missing is truncated, what is senseless is corrupt, what is intact and unknown is unsupported."""
    for truncated in ("fail", "keep"):
        refused = error_of(data, truncated=truncated)
        assert (refused.kind, words in refused.message) == (kind, True), refused.message


def test_the_end_may_be_missing() -> None:
    """Without IEND, or with anything behind the pixels, all of the pixels are there."""
    data = simple()
    for behind in (b"", b"\0\0", b"garbage" * 9, chunk(b"NEWC", b"x"), chunk(b"tEXt", b"k\0v")[:-3]):
        assert pixel(shown(made(data[:-12] + behind)), 3, 3) == (200, 100, 50)


def test_entries_that_a_palette_lacks_are_black() -> None:
    """As libpng and browsers show them; and a tRNS chunk that is longer than the palette is ignored, as by libpng."""
    rows = chunk(b"IDAT", zlib.compress(b"\0\0\1\2\xff"))
    palette = chunk(b"PLTE", b"\xff\0\0\0\xff\0")
    result = shown(made(png(header(4, 1, 8, 3), palette, rows)))
    assert [pixel(result, x, 0) for x in range(4)] == [(255, 0, 0), (0, 255, 0), (0, 0, 0), (0, 0, 0)]
    assert shown(made(png(header(4, 1, 8, 3), palette, chunk(b"tRNS", b"\0\0\0"), rows))).mode == "RGB"
    clear = shown(made(png(header(4, 1, 8, 3), palette, chunk(b"tRNS", b"\0\x80"), rows)))
    assert [pixel(clear, x, 0)[3] for x in range(4)] == [0, 128, 255, 255]


def test_a_palette_in_an_rgb_image_is_only_advice() -> None:
    """It cannot spoil the pixels, whatever its length."""
    for body in (b"", b"1234", b"123" * 300):
        assert pixel(shown(made(simple(chunk(b"PLTE", body)))), 3, 3) == (200, 100, 50)


def test_a_large_text_is_no_bomb() -> None:
    """Texts of some megabytes, such as a drawing kept with its picture, are passed over; see the bombs elsewhere."""
    text = b"".join(b"%d;" % (n * n) for n in range(300_000))
    assert len(text) > 2_000_000
    assert made(simple(chunk(b"zTXt", b"drawing\0\0" + zlib.compress(text)))).warnings == ()


def frame(sequence: int, width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">5I2H2B", sequence, width, height, left, top, 1, 10, 0, 0))


def rows(width: int, height: int, colour: Pixel) -> bytes:
    return zlib.compress((b"\0" + bytes(colour) * width) * height)


def moving(*, second: bytes | None = None, count: int = 2, control: bytes | None = None) -> bytes:
    """Two frames, red and blue."""
    if second is None:
        second = frame(1, 16, 16) + chunk(b"fdAT", b"\0\0\0\2" + rows(16, 16, (0, 0, 255)))
    control = chunk(b"acTL", struct.pack(">II", count, 0)) if control is None else control
    still = chunk(b"IDAT", rows(16, 16, (255, 0, 0)))
    return png(header(16, 16), control, frame(0, 16, 16), still, second)


def test_an_animation_is_read() -> None:
    """Both frames, or the first one with a warning."""
    assert shown(made(moving(), animated="all")).n_frames == 2  # type: ignore[attr-defined]
    assert made(moving()).warnings == (Warn.FRAMES_DROPPED,)


@pytest.mark.parametrize(
    "data",
    [
        moving(control=chunk(b"acTL", b"\0\0\0\2")),
        moving(control=chunk(b"acTL", bytes(8))),
        moving(control=chunk(b"acTL", bytes(8)) * 2),
        moving(control=b""),
        moving(count=3),
        moving(second=frame(7, 16, 16) + chunk(b"fdAT", b"\0\0\0\2" + rows(16, 16, (0, 0, 255)))),
        moving(second=frame(1, 17, 16) + chunk(b"fdAT", b"\0\0\0\2" + rows(17, 16, (0, 0, 255)))),
        moving(second=frame(1, 0, 16) + chunk(b"fdAT", b"\0\0\0\2" + rows(16, 16, (0, 0, 255)))),
        moving(second=frame(1, 16, 16) + frame(2, 16, 16)),
        moving(second=chunk(b"fcTL", b"\0\0\0\1")),
        moving(second=frame(1, 16, 16) + chunk(b"fdAT", b"\0\0")),
    ],
)
def test_a_malformed_animation_is_its_still_image(data: bytes) -> None:
    """As the standard advises: the image that viewers without animation show, and a warning."""
    for animated in ("first", "all"):
        picture = made(data, animated=animated)
        assert picture.warnings == (Warn.FRAMES_DROPPED,)
        assert pixel(shown(picture), 3, 3) == (255, 0, 0)


def test_a_frame_without_all_of_its_rows_is_truncated() -> None:
    """Missing rows of a later frame count where it is used."""
    data = moving(second=frame(1, 16, 16) + chunk(b"fdAT", b"\0\0\0\2" + rows(16, 9, (0, 0, 255))))
    assert made(data).warnings == (Warn.FRAMES_DROPPED,)
    assert error_of(data, animated="all").kind is FailureKind.TRUNCATED_IMAGE
    assert made(data, animated="all", truncated="keep").warnings == (Warn.TRUNCATED_KEPT,)


def test_damage_of_a_frame_is_found() -> None:
    """A later frame with a wrong checksum is damage where it is used."""
    data = moving(second=frame(1, 16, 16) + chunk(b"fdAT", b"\0\0\0\2" + rows(16, 16, (0, 0, 255)), 0))
    assert made(data).warnings == (Warn.FRAMES_DROPPED,)
    for truncated in ("fail", "keep"):
        assert error_of(data, animated="all", truncated=truncated).kind is FailureKind.CORRUPT_IMAGE


def test_a_file_of_nothing_but_chunks_is_refused_quickly() -> None:
    """Hundreds of thousands of empty chunks are no image that anyone made."""
    data = simple(chunk(b"tEXt") * 10)
    assert made(data).warnings == ()
    refused = error_of(simple(chunk(b"prIv") * 200_001))
    assert refused.kind is FailureKind.CORRUPT_IMAGE
