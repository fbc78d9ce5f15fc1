"""TIFFs of every form come out right, or are refused by name; damaged ones by what is damaged."""

import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping
from random import Random

import pytest
from making import corners, made, near, noise, pixel, saved, shown
from PIL import Image

from downloader.model.failures import FailureKind, Warn
from downloader.transform import tiff_directory
from downloader.transform.image import ImageError

WIDTH, HEIGHT = 8, 6
TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 11: "f", 16: "Q"}
PIXELS = 273, 279


def tiff(tags: Mapping[int, int | Iterable[int]], blocks: list[bytes], order: str = "<", *, big: bool = False) -> bytes:
    """A TIFF of these tags (as 32-bit numbers) and strips; tiles if the tags have a TileWidth."""
    word, inline = ("Q", 8) if big else ("I", 4)
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42))
    out += struct.pack(f"{order}HHQ", 8, 0, 0) if big else bytes(4)
    places, sizes = [], []
    for block in blocks:
        places.append(len(out))
        sizes.append(len(block))
        out += block
    offsets, counts = (324, 325) if 322 in tags else PIXELS
    every: dict[int, tuple[int, ...]] = {offsets: tuple(places), counts: tuple(sizes)}
    every |= {tag: (value,) if isinstance(value, int) else tuple(value) for tag, value in tags.items()}
    rows = b""
    for tag, values in sorted(every.items()):
        raw = struct.pack(f"{order}{len(values)}I", *values)
        if len(raw) > inline:
            place = len(out)
            out += raw
            raw = struct.pack(order + word, place)
        rows += struct.pack(f"{order}HH{word}", tag, 4, len(values)) + raw.ljust(inline, b"\0")
    start = len(out)
    out += struct.pack(f"{order}{'Q' if big else 'H'}", len(every)) + rows + bytes(8)
    struct.pack_into(order + word, out, 8 if big else 4, start)
    return bytes(out)


def tags_of(bits: int, channels: int, photometric: int, **more: int) -> dict[int, int | Iterable[int]]:
    compression, fill = more.get("compression", 1), more.get("fill", 1)
    return {
        256: WIDTH,
        257: HEIGHT,
        258: [bits] * channels,
        259: compression,
        262: photometric,
        266: fill,
        277: channels,
        278: HEIGHT,
    }


def packed(samples: list[int], bits: int) -> bytes:
    """Equal rows of samples next to each other, the most significant bit first."""
    row = "".join(f"{sample:0{bits}b}" for sample in samples * WIDTH)
    row += "0" * (-len(row) % 8)
    return int(row, 2).to_bytes(len(row) // 8, "big") * HEIGHT


def colour(data: bytes, x: int = 5, y: int = 3) -> tuple[int, ...]:
    return pixel(shown(made(data, format="png")), x, y)


def failure(data: bytes, **settings: object) -> ImageError:
    with pytest.raises(ImageError) as refused:
        made(data, **settings)
    return refused.value


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", range(1, 16))
def test_samples_of_any_width(bits: int, order: str) -> None:
    """Packed samples of 1 to 15 bits are scaled, in grey and in colours, with either end black."""
    top = (1 << bits) - 1
    sample = round(top * 0.73)
    expected = sample * 255 // top
    for photometric, want in ((1, expected), (0, 255 - expected)):
        assert near(colour(tiff(tags_of(bits, 1, photometric), [packed([sample], bits)], order)), (want,), 1)
    three = tiff(tags_of(bits, 3, 2), [packed([sample, 0, top], bits)], order)
    assert near(colour(three), (expected, 0, 255), 1)


def test_12_bit_grey_has_the_value_of_its_upper_8_bits() -> None:
    assert colour(tiff(tags_of(12, 1, 1), [b"\xbb\x8b\xb8" * (WIDTH // 2) * HEIGHT])) == (187,)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_16_bit_colours_in_planes(compression: int, order: str) -> None:
    """PlanarConfiguration 2 in both byte orders, also where strips are compressed and hold differences."""
    planes = [struct.pack(f"{order}H", value) * WIDTH * HEIGHT for value in (40000, 20000, 10000)]
    tags = tags_of(16, 3, 2, compression=compression) | {284: 2}
    if compression == 8:
        first = [plane[:2] + bytes(2 * WIDTH - 2) for plane in planes]
        planes = [zlib.compress(row * HEIGHT) for row in first]
        tags[317] = 2
    assert colour(tiff(tags, planes, order)) == (156, 78, 39)


@pytest.mark.parametrize("order", ["<", ">"])
def test_bigtiff(order: str) -> None:
    data = tiff(tags_of(8, 3, 2), [bytes((200, 100, 50)) * WIDTH * HEIGHT], order, big=True)
    assert colour(data) == (200, 100, 50)


def test_tiles_that_are_smaller_than_the_image() -> None:
    """Tiles of 12-bit samples, with the last column and row reaching over the edge."""
    grids = [packed([value], 12)[: 12 * 4] for value in (400, 1000, 2000, 4000)]
    tile = {322: 8, 323: 4}
    tags = tags_of(12, 1, 1) | tile | {256: 12}
    image = shown(made(tiff(tags, grids), format="png"))
    assert [pixel(image, x, y)[0] for x, y in ((0, 0), (11, 0), (0, 5), (11, 5))] == [25, 62, 125, 250]


@pytest.mark.parametrize("scale", [1, 257])
def test_a_colour_map_of_8_bit_values_is_understood(scale: int) -> None:
    """Values are 16-bit, but many writers store 8-bit ones, which libtiff recognizes too."""
    reds, greens, blues = [0, 200, 0, 9], [0, 100, 0, 9], [0, 50, 0, 9]
    tags = tags_of(2, 1, 3) | {320: [value * scale for value in reds + greens + blues]}
    assert colour(tiff(tags, [packed([1], 2)])) == (200, 100, 50)


@pytest.mark.parametrize(
    ("extra", "expected"), [((0,), (100, 50, 25)), ((1,), (200, 100, 50, 127)), ((2, 0), (100, 50, 25, 127))]
)
def test_extra_samples(extra: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Unspecified ones are no alpha; colours that were multiplied by alpha are divided by it."""
    samples = [value * 257 for value in (100, 50, 25, 127, 3)[: 3 + len(extra)]]
    data = tiff(tags_of(16, len(samples), 2) | {338: extra}, [struct.pack(f"<{len(samples)}H", *samples) * 48])
    assert near(colour(data), expected, 2)


@pytest.mark.parametrize(
    ("code", "kind", "values", "expected"),
    [
        ("e", 3, [0.0, 0.5, 1.0], [0, 127, 255]),
        ("d", 3, [0.0, 0.5, 1.0], [0, 127, 255]),
        ("b", 2, [-100, 0, 100], [0, 127, 255]),
        ("i", 2, [0, 100, 255], [0, 100, 255]),
        ("I", 1, [0, 2**31, 2**32 - 1], [0, 127, 255]),
        ("Q", 1, [0, 2**63, 2**64 - 1], [0, 127, 255]),
    ],
)
def test_wide_grey_is_scaled_by_its_values(code: str, kind: int, values: list[float], expected: list[int]) -> None:
    """Numbers with no fixed white, in both byte orders and with white first."""
    row = [*values, *[values[0]] * (WIDTH - 3)]
    for order in "<>":
        raw = struct.pack(f"{order}{WIDTH}{code}", *row) * HEIGHT
        for photometric in (0, 1):
            data = tiff(tags_of(8 * struct.calcsize(code), 1, photometric) | {339: kind}, [raw], order)
            want = [value if photometric else 255 - value for value in expected]
            assert all(near(colour(data, x), (want[x],), 1) for x in range(3))


def test_floating_point_differences() -> None:
    """Predictor 3: the bytes of a row by significance, as differences."""
    row = array("f", [0.25] * WIDTH).tobytes()
    planes = b"".join(row[3 - index :: 4] for index in range(4))
    differences = bytes((now - before) & 255 for before, now in zip(b"\0" + planes, planes, strict=False))
    tags = tags_of(32, 1, 1, compression=8) | {339: 3, 317: 3}
    assert near(colour(tiff(tags, [zlib.compress(differences * HEIGHT)])), (63,), 1)


def test_subsampled_colours_without_compression() -> None:
    """A unit is 2 x 2 brightnesses and one colour; 2 x 2 is also what holds if the tag is missing."""
    unit = bytes((150, 150, 150, 150, 100, 180))
    grey = Image.new("YCbCr", (1, 1), (150, 100, 180)).convert("RGB").getpixel((0, 0))
    for more in ({}, {530: (2, 2)}):
        data = tiff(tags_of(8, 3, 6) | more, [unit * (WIDTH * HEIGHT // 4)])
        assert isinstance(grey, tuple)
        assert near(colour(data), grey, 3)


@pytest.mark.parametrize("bits", [8, 16])
def test_lab_of_both_kinds(bits: int) -> None:
    """CIELAB has signed a and b, ICCLAB unsigned ones."""
    shift = bits - 8
    for photometric, middle in ((8, 0), (9, 128)):
        samples = [200 << shift, middle << shift, middle << shift]
        raw = struct.pack(f"<3{'B' if bits == 8 else 'H'}", *samples) * WIDTH * HEIGHT
        got = colour(tiff(tags_of(bits, 3, photometric), [raw]))
        assert max(got) - min(got) <= 3
        assert 180 <= got[0] <= 200


def test_bits_of_bytes_in_reverse_order() -> None:
    """FillOrder 2 holds for the stored bytes, whatever their compression."""
    reverse = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
    raw = packed([0xABC], 12)
    for compression, stored in ((1, raw), (8, zlib.compress(raw))):
        tags = tags_of(12, 1, 1, compression=compression, fill=2)
        assert colour(tiff(tags, [stored.translate(reverse)])) == (0xAB,)


def test_sizes_of_strips_that_are_missing_or_zero() -> None:
    raw = bytes((200, 100, 50)) * WIDTH * HEIGHT
    for compression, stored in ((1, raw), (8, zlib.compress(raw))):
        tags = tags_of(8, 3, 2, compression=compression) | {279: 0}
        del tags[278]
        assert colour(tiff(tags, [stored])) == (200, 100, 50)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({259: 34887}, "LERC compression"),
        ({259: 50001}, "WebP compression"),
        ({259: 34661}, "JBIG compression"),
        ({259: 34712}, "JPEG 2000 compression"),
        ({259: 12345}, "an unknown compression (number 12345)"),
        ({262: 32845}, "LogLuv colours"),
        ({262: 32803}, "the samples of a camera sensor"),
        ({262: 99}, "PhotometricInterpretation 99"),
        ({262: 3, 258: 16}, "a palette of 16 bits"),
        ({262: 5, 258: (8,) * 4, 277: 4, 332: 2}, "inks other than"),
        ({258: (5, 6, 5), 277: 3, 262: 2}, "channels of different depths (5, 6, 5 bits)"),
        ({258: (32,) * 3, 277: 3, 262: 2, 339: 3}, "floating-point colours"),
        ({258: 64, 339: 6}, "complex numbers"),
        ({258: 24, 339: 3}, "24-bit floating-point samples"),
        ({258: 20}, "20-bit samples"),
        ({258: 12, 317: 2}, "differences of 12-bit samples"),
        ({258: 12, 259: 7}, "12-bit JPEG compression"),
        ({258: 8, 259: 4}, "fax compression"),
        ({258: (8,) * 40, 277: 40}, "40 channels"),
        ({50706: 1}, "a camera raw file"),
    ],
)
def test_other_forms_are_named(changes: dict[int, int | tuple[int, ...]], words: str) -> None:
    """An intact file is not called damaged, and nobody is told to fetch it again."""
    refused = failure(tiff(tags_of(8, 1, 1) | changes, [bytes(9999)]))
    assert refused.kind is FailureKind.UNSUPPORTED_FORMAT
    assert words in refused.message
    assert "again" not in refused.message


@pytest.mark.parametrize(
    "changes",
    [
        {256: 0},
        {258: (8, 8), 277: 3},
        {277: 1, 262: 2},
        {262: 3},
        {322: 0, 323: 0},
        {322: 2**20, 323: 2**20},
        {317: 3},
        {262: 6, 258: (8,) * 3, 277: 3, 530: (3, 1)},
    ],
)
def test_contradictions_are_damage(changes: dict[int, int | tuple[int, ...]]) -> None:
    assert failure(tiff(tags_of(8, 1, 1) | changes, [bytes(9999)])).kind is FailureKind.CORRUPT_IMAGE


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "lzma"])
def test_a_short_strip_yields_the_rows_it_has(compression: str) -> None:
    """Every compression of bytes: the image is truncated, and its first rows are there with `--truncated keep`."""
    data = saved(noise(64, 80), "TIFF", compression=compression)
    directory = tiff_directory.read(data)
    shorter = tiff_directory.longs("<", [directory.number(279, 0) * 6 // 10])
    cut = tiff_directory.with_directory(data, "<", {**directory.entries, 279: shorter})
    assert failure(cut).kind is FailureKind.TRUNCATED_IMAGE
    kept = made(cut, format="png", truncated="keep")
    assert Warn.TRUNCATED_KEPT in kept.warnings
    assert pixel(shown(kept), 3, 3) == pixel(shown(made(data, format="png")), 3, 3)


def test_whole_strips_of_a_broken_compression_are_kept() -> None:
    """Of Zstandard, which Python cannot undo in parts, the strips before the broken one; in planes of samples too."""
    for image in (noise(64, 2048), noise(512, 512).convert("I;16")):
        data = saved(image, "TIFF", compression="zstd")
        directory = tiff_directory.read(data)
        places = directory.numbers(273)
        assert len(places) > 1
        broken = (
            data[: places[-1]] + bytes(directory.numbers(279)[-1]) + data[places[-1] + directory.numbers(279)[-1] :]
        )
        assert failure(broken).kind is FailureKind.CORRUPT_IMAGE
        kept = made(broken, format="png", truncated="keep")
        assert Warn.TRUNCATED_KEPT in kept.warnings
        assert pixel(shown(kept), 3, 3) == pixel(shown(made(data, format="png")), 3, 3)


def test_a_link_to_itself_or_to_nowhere_is_no_second_page() -> None:
    data = bytearray(tiff(tags_of(8, 1, 1), [bytes(WIDTH * HEIGHT)]))
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    for link, warnings in ((start, ()), (2**32 - 1, ()), (8, (Warn.FRAMES_DROPPED,))):
        struct.pack_into("<I", data, start + 2 + 12 * count, link)
        assert made(bytes(data)).warnings == warnings


def test_24_bit_grey() -> None:
    for order in "<>":
        sample = (200).to_bytes(3, "little" if order == "<" else "big")
        assert colour(tiff(tags_of(24, 1, 1), [sample * WIDTH * HEIGHT], order)) == (200,)


def test_a_palette_with_alpha() -> None:
    tags = tags_of(8, 2, 3) | {338: 2, 320: [200] * 256 + [100] * 256 + [50] * 256}
    assert colour(tiff(tags, [bytes((7, 128)) * WIDTH * HEIGHT])) == (200, 100, 50, 128)


def test_an_uncompressed_file_that_is_cut_yields_the_rows_it_has() -> None:
    data = saved(noise(64, 80), "TIFF")
    cut = data[: len(data) * 6 // 10]
    assert failure(cut).kind is FailureKind.TRUNCATED_IMAGE
    kept = shown(made(cut, format="png", truncated="keep"))
    assert pixel(kept, 3, 40) == pixel(shown(made(data, format="png")), 3, 40)
    assert pixel(kept, 3, 79) == (0, 0, 0)


def deflated(stream: bytes) -> bytes:
    return tiff(tags_of(8, 3, 2, compression=8), [stream])


def test_damaged_streams_have_their_kind() -> None:
    """Not the words of a library decide, but the streams: ended early, or broken."""
    raw = bytes((200, 100, 50)) * WIDTH * HEIGHT
    stream = zlib.compress(raw)
    for early in (stream[:-8], zlib.compress(raw[:-20])):
        assert failure(deflated(early)).kind is FailureKind.TRUNCATED_IMAGE
    broken = failure(deflated(stream[:10] + b"\xff" + stream[11:]))
    assert broken.kind is FailureKind.CORRUPT_IMAGE
    assert "decoder error" not in broken.message
    kept = made(deflated(zlib.compress(raw[:72])), format="png", truncated="keep")
    assert [pixel(shown(kept), 2, y) for y in (0, 2, 3)] == [(200, 100, 50), (200, 100, 50), (0, 0, 0)]


def test_a_jpeg_strip_without_an_end_is_truncated() -> None:
    """libjpeg would make up the rest without a word."""
    data = saved(noise(64, 48), "TIFF", compression="jpeg")
    end = data.index(b"\xff\xd9")
    cut = data[:end] + b"\0\0" + data[end + 2 :]
    assert failure(cut).kind is FailureKind.TRUNCATED_IMAGE
    assert Warn.TRUNCATED_KEPT in made(cut, truncated="keep").warnings


def test_a_file_that_ends_before_its_directory_says_so() -> None:
    data = tiff(tags_of(8, 1, 1), [bytes(WIDTH * HEIGHT)])
    for length in (4, 9, 60):
        refused = failure(data[:length])
        assert refused.kind is FailureKind.TRUNCATED_IMAGE
        assert "directory" in refused.message


def test_fewer_strips_than_rows_are_truncated() -> None:
    data = tiff(tags_of(12, 1, 1) | {278: 2}, [packed([9], 12)[:24]])
    assert failure(data).kind is FailureKind.TRUNCATED_IMAGE
    assert Warn.TRUNCATED_KEPT in made(data, truncated="keep").warnings


def test_orientation_holds_for_samples_too() -> None:
    rows = b"".join(packed([value], 12)[:12] for value in (0, 800, 1600, 2400, 3200, 4000))
    image = shown(made(tiff(tags_of(12, 1, 1) | {274: 6}, [rows]), format="png"))
    assert image.size == (HEIGHT, WIDTH)
    assert pixel(image, 0, 0) == (250,)


def test_mutations_end_with_a_kind() -> None:
    """Changed and cut files of every compression: an image or a failure, never a defect of ours."""
    random = Random(14)
    seeds = [
        saved(corners(24, 18), "TIFF", compression=name)
        for name in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "zstd")
    ]
    seeds += [
        tiff(tags_of(12, 3, 2) | {284: 2}, [packed([99], 12)] * 3),
        saved(corners(24, 18, "1"), "TIFF", compression="group4"),
    ]
    kinds = {outcome(mutated(random.choice(seeds), random)) for _ in range(300)}
    assert FailureKind.INTERNAL not in kinds
    assert {None, FailureKind.TRUNCATED_IMAGE} <= kinds


def mutated(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((0, 1, 3))):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed[: random.choice((len(changed), random.randrange(len(changed))))])


def outcome(data: bytes) -> FailureKind | None:
    """The failure kind; None if there is an image."""
    try:
        made(data, max_pixels=10**6)
    except ImageError as refused:
        return refused.kind
    return None
