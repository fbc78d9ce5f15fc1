"""BMPs of every kind come out right, or are refused by name."""

import struct
from random import Random

import pytest
from making import corners, made, near, pixel, saved, shown

from downloader.model.failures import FailureKind, Warn
from downloader.transform.image import ImageError

PALETTE = [(0, 0, 0), (200, 100, 50), (10, 20, 30), (90, 80, 70)] + [(value, 255 - value, 7) for value in range(252)]


def bmp(
    bits: int,
    body: bytes,
    *,
    size: tuple[int, int] = (4, 3),
    compression: int = 0,
    behind: bytes = b"",
    header: int = 40,
    colours: int = 0,
    pixels_at: int | None = None,
) -> bytes:
    """A BMP with a header of this size; `behind` is what follows it: masks or a palette."""
    fields = struct.pack("<IiiHHIIiiII", header, *size, 1, bits, compression, 0, 0, 0, colours, 0)
    head = struct.pack("<IHHHH", 12, *size, 1, bits) if header == 12 else fields[: min(header, 40)]
    rest = behind[: header - 40].ljust(max(header - 40, 0), b"\0") if header > 40 and compression == 3 else b""
    head += (rest or bytes(max(header - 40, 0))) + (behind[len(rest) :] if rest else behind)
    at = 14 + len(head) if pixels_at is None else pixels_at
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, at) + head + body


def palette(colours: int, entry: int = 4) -> bytes:
    return b"".join(bytes((blue, green, red, 0))[:entry] for red, green, blue in PALETTE[:colours])


def colour(data: bytes, x: int = 1, y: int = 1) -> tuple[int, ...]:
    return pixel(shown(made(data, format="png")), x, y)


def failure(data: bytes, **settings: object) -> ImageError:
    with pytest.raises(ImageError) as refused:
        made(data, **settings)
    return refused.value


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF800, 0x7E0, 0x1F)),
        (16, (0x7C00, 0x3E0, 0x1F)),
        (16, (0xF00, 0xF0, 0xF)),
        (16, (0x1F, 0x7E0, 0xF800)),
        (24, (0xFF, 0xFF00, 0xFF0000)),
        (32, (0xFF, 0xFF00, 0xFF0000)),
        (32, (0xFF000000, 0xFF0000, 0xFF00)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF)),
        (32, (0x1F, 0x3E0, 0x7C00)),
    ],
)
@pytest.mark.parametrize("header", [40, 52, 108])
def test_bit_fields_of_any_layout(bits: int, masks: tuple[int, ...], header: int) -> None:
    """Also fields of 4, 10 and 11 bits, and with the first row on top."""
    word = sum(
        (mask & -mask) * round(mask.bit_count() and share * ((1 << mask.bit_count()) - 1))
        for mask, share in zip(masks, (0.8, 0.4, 0.2), strict=True)
    )
    row = word.to_bytes(bits // 8, "little") * 4
    expected = tuple(
        round(share * ((1 << mask.bit_count()) - 1)) * 255 / ((1 << mask.bit_count()) - 1)
        for mask, share in zip(masks, (0.8, 0.4, 0.2), strict=True)
    )
    for size in ((4, 3), (4, -3)):
        data = bmp(bits, row * 3, size=size, compression=3, behind=struct.pack("<3I", *masks), header=header)
        assert near(colour(data), tuple(map(round, expected)), 1)


def test_alpha_comes_from_its_mask_only() -> None:
    """The fourth byte of plain 32-bit pixels is not alpha; a header with a mask for it says that it is."""
    body = bytes((50, 100, 200, 128)) * 12
    assert colour(bmp(32, body)) == (200, 100, 50)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    assert colour(bmp(32, body, compression=3, behind=masks, header=108)) == (200, 100, 50, 128)
    assert colour(bmp(32, body, compression=3, behind=masks[:12])) == (200, 100, 50)
    assert colour(bmp(32, body, compression=3, behind=bytes(12))) == (200, 100, 50)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("header", [12, 16, 40, 64, 124])
def test_palettes_under_every_header(bits: int, header: int) -> None:
    row = int(f"{1:0{bits}b}" * 4 + "0" * (-4 * bits % 8), 2).to_bytes((4 * bits + 7) // 8, "big").ljust(4, b"\0")
    data = bmp(bits, row * 3, behind=palette(1 << bits, 3 if header == 12 else 4), header=header)
    assert colour(data) == PALETTE[1]


def test_palettes_that_are_too_short_or_too_long() -> None:
    """Colours that the palette lacks are black; those beyond 256 are not used, nor taken for pixels."""
    body = bytes((1, 3, 1, 3)) * 3
    short = bmp(8, body, behind=palette(2), colours=2)
    assert (colour(short, 0), colour(short, 1)) == (PALETTE[1], (0, 0, 0))
    assert colour(bmp(8, body, behind=palette(256) + bytes(400), colours=356), 0) == PALETTE[1]
    assert colour(bmp(8, body, behind=palette(2)), 0) == PALETTE[1], "256 by default, but the pixels begin sooner"
    assert colour(bmp(8, body, behind=palette(256), pixels_at=0), 0) == PALETTE[1]


def test_a_grey_palette_gives_a_grey_image() -> None:
    greys = b"".join(bytes((v, v, v, 0)) for v in reversed(range(256)))
    assert colour(bmp(8, bytes((5,) * 12), behind=greys)) == (250,)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ((4, 1, 0, 0, 0, 0, 4, 2, 0, 1), ["2222", "0000", "1111"]),  # an empty line
        ((1, 1, 0, 2, 1, 1, 2, 3, 0, 1), ["0000", "0033", "1000"]),  # a jump
        ((9, 1, 0, 0, 0, 3, 1, 2, 3, 0, 1, 1, 0, 0, 4, 2), ["2222", "1231", "1111"]),  # too long a run, no end mark
        ((4, 1, 0, 1), ["0000", "0000", "1111"]),  # an early end mark
    ],
)
def test_run_lengths(body: tuple[int, ...], rows: list[str]) -> None:
    image = shown(made(bmp(8, bytes(body), compression=1, behind=palette(256)), format="png"))
    got = [[pixel(image, x, y) for x in range(4)] for y in range(3)]
    assert got == [[PALETTE[int(index)] for index in row] for row in rows]


def test_run_lengths_of_half_bytes() -> None:
    body = bytes((4, 0x12, 0, 0, 0, 3, 0x12, 0x30, 1, 0x20, 0, 0, 0, 2, 2, 0, 2, 0x31, 0, 1))
    image = shown(made(bmp(4, body, compression=2, behind=palette(16)), format="png"))
    got = [[PALETTE.index(pixel(image, x, y)) for x in range(4)] for y in range(3)]  # type: ignore[arg-type]
    assert got == [[0, 0, 3, 1], [1, 2, 3, 2], [1, 2, 1, 2]]


def test_the_profile_of_a_version_5_header_is_used() -> None:
    from PIL import ImageCms  # noqa: PLC0415

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    body = bytes((50, 100, 200)) * 12
    data = bytearray(bmp(24, body, header=124) + profile)
    data[70:74] = b"DEBM"
    struct.pack_into("<II", data, 14 + 112, 124 + len(body), len(profile))
    kept = shown(made(bytes(data), format="png", icc="keep"))
    assert kept.info["icc_profile"] == profile
    struct.pack_into("<II", data, 14 + 112, 2**31, 5)
    assert colour(bytes(data)) == (200, 100, 50)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bmp(0, b"\xff\xd8", compression=4), "an embedded JPEG image"),
        (bmp(0, b"\x89PNG", compression=5), "an embedded PNG image"),
        (bmp(32, bytes(48), compression=11), "CMYK"),
        (bmp(1, bytes(48), compression=3, header=64), "Huffman compression"),
        (bmp(24, bytes(48), compression=4, header=64), "RLE24 compression"),
        (bmp(24, bytes(48), compression=77), "an unknown compression (number 77)"),
        (bmp(64, bytes(96)), "64 bits a pixel"),
        (bmp(16, bytes(48), compression=3, behind=struct.pack("<3I", 0xF0F, 0xF0, 0xF000)), "bit fields with gaps"),
    ],
)
def test_other_forms_are_named(data: bytes, words: str) -> None:
    refused = failure(data)
    assert refused.kind is FailureKind.UNSUPPORTED_FORMAT
    assert words in refused.message
    assert "again" not in refused.message


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bmp(24, bytes(48), size=(0, 3)), FailureKind.CORRUPT_IMAGE),
        (bmp(24, bytes(48), size=(-4, 3)), FailureKind.CORRUPT_IMAGE),
        (bmp(24, bytes(48), size=(4, -(2**31))), FailureKind.CORRUPT_IMAGE),
        (bmp(8, bytes(48), compression=2), FailureKind.CORRUPT_IMAGE),
        (bmp(8, bytes(48), compression=3), FailureKind.CORRUPT_IMAGE),
        (bmp(24, bytes(48), size=(2**31 - 1, 2**31 - 1)), FailureKind.IMAGE_TOO_LARGE),
        (bmp(24, bytes(35))[:20], FailureKind.TRUNCATED_IMAGE),
    ],
)
def test_hopeless_headers(data: bytes, kind: FailureKind) -> None:
    assert failure(data).kind is kind


@pytest.mark.parametrize(
    "data",
    [
        bmp(24, bytes((50, 100, 200)) * 8),
        bmp(8, bytes((4, 1, 0, 0, 4, 1)), compression=1, behind=palette(256)),
    ],
)
def test_rows_of_a_cut_file_are_kept(data: bytes) -> None:
    """The lowest rows come first."""
    assert failure(data).kind is FailureKind.TRUNCATED_IMAGE
    kept = made(data, format="png", truncated="keep")
    assert Warn.TRUNCATED_KEPT in kept.warnings
    assert [pixel(shown(kept), 1, y) for y in range(3)] == [(0, 0, 0), (200, 100, 50), (200, 100, 50)]


def test_the_padding_of_the_last_row_may_be_missing() -> None:
    row = bytes((50, 100, 200)) * 3
    assert colour(bmp(24, (row + bytes(3)) * 2 + row, size=(3, 3))) == (200, 100, 50)


def test_mutations_end_with_a_kind() -> None:
    random = Random(14)
    seeds = [saved(corners(12, 9, mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    seeds.append(bmp(8, bytes((4, 1, 0, 2, 1, 1, 2, 3, 0, 3, 1, 2, 3, 0)), compression=1, behind=palette(256)))
    kinds = set()
    for _ in range(200):
        data = bytearray(random.choice(seeds))
        for _ in range(random.choice((0, 1, 3))):
            data[random.randrange(min(len(data), 120))] = random.randrange(256)
        kinds.add(outcome(bytes(data[: random.choice((len(data), random.randrange(len(data))))])))
    assert FailureKind.INTERNAL not in kinds
    assert {None, FailureKind.TRUNCATED_IMAGE} <= kinds


def outcome(data: bytes) -> FailureKind | None:
    """The failure kind; None if there is an image."""
    try:
        made(data, max_pixels=10**6)
    except ImageError as refused:
        return refused.kind
    return None
