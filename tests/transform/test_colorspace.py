"""Colours that a file signals without an ICC profile, against the arithmetic of their standards."""

import struct
import zlib
from collections.abc import Callable

import pytest
from making import made, near, pixel, saved, shown
from PIL import Image
from png_making import chunk, header, packed, png, simple

from downloader.model.failures import Warn
from downloader.transform import color, colorspace

COLOUR = (200, 100, 50)
P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_POINTS = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_TO_SRGB = ((1.22494, -0.22494, 0), (-0.04206, 1.04206, 0), (-0.01964, -0.07864, 1.09827))
"""CSS Color Module Level 4, section 18, from linear Display P3 to linear sRGB."""

BT2020_TO_SRGB = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
"""ITU-R BT.2087, table 2 inverted."""

SAME = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def encoded(linear: float) -> int:
    v = min(max(linear, 0), 1)
    return round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055))


def srgb(v: float) -> float:
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


def expected(
    colour: tuple[int, ...], decode: Callable[[float], float], matrix: tuple[tuple[float, ...], ...]
) -> tuple[int, ...]:
    linear = [decode(v / 255) for v in colour]
    return tuple(encoded(sum(m * v for m, v in zip(row, linear, strict=True))) for row in matrix)


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def cicp(*code_points: int) -> bytes:
    return chunk(b"cICP", bytes(code_points))


PROFILE = chunk(b"iCCP", b"x\0\0" + zlib.compress(colorspace.profile(
    colorspace.ColorSpace(primaries=colorspace.SRGB_PRIMARIES, exponent=1.0)
)))  # fmt: skip


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        ([], COLOUR),
        ([gama(45455)], COLOUR),
        ([gama(45000)], COLOUR),
        ([gama(45455), chunk(b"cHRM", SRGB_POINTS)], COLOUR),
        ([gama(100_000)], expected(COLOUR, lambda v: v, SAME)),
        ([gama(55556)], expected(COLOUR, lambda v: v**1.8, SAME)),
        ([gama(100_000), chunk(b"cHRM", P3)], expected(COLOUR, lambda v: v, P3_TO_SRGB)),
        ([gama(45455), chunk(b"cHRM", P3)], expected(COLOUR, srgb, P3_TO_SRGB)),
        ([chunk(b"cHRM", P3)], expected(COLOUR, srgb, P3_TO_SRGB)),
        ([cicp(12, 13, 0, 1)], expected(COLOUR, srgb, P3_TO_SRGB)),
        ([cicp(9, 1, 0, 1)], expected(COLOUR, srgb, BT2020_TO_SRGB)),
        ([cicp(9, 14, 0, 1)], expected(COLOUR, srgb, BT2020_TO_SRGB)),
        ([cicp(9, 15, 0, 1)], expected(COLOUR, srgb, BT2020_TO_SRGB)),
        ([cicp(1, 13, 0, 1)], COLOUR),
        ([cicp(1, 1, 0, 1)], COLOUR),
        ([cicp(1, 4, 0, 1)], expected(COLOUR, lambda v: v**2.2, SAME)),
        ([cicp(1, 5, 0, 1)], expected(COLOUR, lambda v: v**2.8, SAME)),
        ([cicp(1, 8, 0, 1)], expected(COLOUR, lambda v: v, SAME)),
        ([cicp(1, 13, 0, 0)], tuple(round((v - 16) / 219 * 255) for v in COLOUR)),
        ([cicp(1, 13, 1, 1)], COLOUR),
        ([cicp(12, 13, 0, 1), PROFILE, chunk(b"sRGB", b"\0"), gama(100_000)], expected(COLOUR, srgb, P3_TO_SRGB)),
        ([PROFILE, chunk(b"sRGB", b"\0")], expected(COLOUR, lambda v: v, SAME)),
        ([chunk(b"sRGB", b"\0"), gama(100_000), chunk(b"cHRM", P3)], COLOUR),
        ([chunk(b"sRGB", b""), gama(100_000)], expected(COLOUR, lambda v: v, SAME)),
        ([cicp(1, 13, 0, 1), gama(100_000)], COLOUR),
    ],
)
def test_colours_of_a_png_by_precedence(chunks: list[bytes], wanted: tuple[int, ...]) -> None:
    """First cICP, then iCCP, sRGB, gAMA with cHRM; what says sRGB changes nothing."""
    picture = made(simple(*chunks))
    assert near(pixel(shown(picture), 3, 3), wanted, 2)
    assert picture.warnings == ()
    assert "icc_profile" not in shown(picture).info


def test_a_file_in_srgb_is_not_even_given_a_profile() -> None:
    """Nothing is computed where nothing changes."""
    assert colorspace.of_gamma(0.45455, None) is None
    assert colorspace.of_gamma(0.45455, colorspace.SRGB_PRIMARIES) is None
    for transfer in (1, 2, 6, 13, 14, 15):
        assert colorspace.of_code_points(1, transfer) is None
        assert colorspace.of_code_points(2, transfer) is None


def point(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(v * 100_000) for v in values)))


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0)],
        [gama(1)],
        [gama(2**32 - 1)],
        [point(0.3127, 0, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)],
        [point(0.3127, 0.329, 0.64, 0.33, 0.64, 0.33, 0.64, 0.33)],
        [point(0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.47, 0.465)],
        [point(0.9, 0.05, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)],
        [point(3, 3, 3, 3, 3, 3, 3, 3)],
        [cicp(99, 13, 0, 1)],
        [cicp(1, 99, 0, 1)],
        [cicp(2, 2, 0, 1)],
    ],
)
def test_senseless_colours_are_taken_for_srgb(chunks: list[bytes]) -> None:
    """Gammas and primaries that no display has, and reserved code points, change nothing."""
    assert pixel(shown(made(simple(*chunks))), 3, 3) == COLOUR


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_grey_stays_grey_and_alpha_alone(depth: int, alpha: bool) -> None:
    """A linear grey of 55 is 128 in sRGB; alpha is not converted; 16 bits come out as 8 do."""
    scale = 257 if depth == 16 else 1
    stored = (55 * scale, 120 * scale)[: 1 + alpha]
    data = png(
        header(4, 4, depth, 4 if alpha else 0),
        gama(100_000),
        chunk(b"IDAT", zlib.compress(packed([[stored] * 4] * 4, depth))),
    )
    result = shown(made(data))
    assert result.mode == ("LA" if alpha else "L")
    assert near(pixel(result, 1, 1), (128, 120)[: 1 + alpha], 1)
    kept = shown(made(data, icc="keep"))
    assert near(pixel(kept, 1, 1)[:1], (128,) if alpha else (55,), 1)
    if not alpha:
        assert kept.info["icc_profile"][16:20] == b"GRAY"


def test_rgba_keeps_its_alpha() -> None:
    """Colours are converted, alpha is not."""
    rows = packed([[(*COLOUR, 120)] * 4] * 4, 8)
    data = png(header(4, 4, 8, 6), cicp(12, 13, 0, 1), chunk(b"IDAT", zlib.compress(rows)))
    assert near(pixel(shown(made(data)), 1, 1), (*expected(COLOUR, srgb, P3_TO_SRGB), 120), 2)


@pytest.mark.parametrize("output", ["png", "jpeg", "webp", "avif"])
def test_the_profile_that_is_kept_says_the_same(output: str) -> None:
    """`--icc keep` leaves the samples, and writes a profile that any reader converts to the same colour."""
    kept = shown(made(simple(chunk(b"cHRM", P3), gama(45455)), icc="keep", format=output, quality=95))
    assert near(pixel(kept.convert("RGB"), 3, 3), COLOUR, 5)
    converted, understood = color.to_srgb(Image.new("RGB", (4, 4), COLOUR), kept.info["icc_profile"])
    assert understood
    assert near(pixel(converted, 1, 1), expected(COLOUR, srgb, P3_TO_SRGB), 2)


@pytest.mark.parametrize(("transfer", "white"), [(16, 148), (18, 191)])
def test_diffuse_white_of_hdr_is_white(transfer: int, white: int) -> None:
    """PQ at 58 % and HLG at 75 % are the white of SDR (ITU-R BT.2408); a warning tells of what is brighter."""
    for level, least in ((white, 250), (255, 255)):
        picture = made(simple(cicp(9, transfer, 0, 1), colour=(level,) * 3))
        assert picture.warnings == (Warn.HDR_GAINMAP_DROPPED,)
        assert min(pixel(shown(picture), 3, 3)) >= least
    assert pixel(shown(made(simple(cicp(9, transfer, 0, 1), colour=(0, 0, 0)))), 3, 3) == (0, 0, 0)


@pytest.mark.parametrize("primaries", [1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 22])
@pytest.mark.parametrize("transfer", [1, 4, 5, 7, 8, 9, 10, 13, 16, 17, 18])
def test_every_space_makes_a_profile(primaries: int, transfer: int) -> None:
    """Every defined code point gives a profile that lcms takes, in which white stays white, and grey neutral."""
    space = colorspace.of_code_points(primaries, transfer)
    if space is None:
        assert (primaries, transfer) in {(1, 1), (1, 13)}
        return
    for grey in (False, True):
        for level in (0, 120, 255):
            image = Image.new("L" if grey else "RGB", (2, 2), level if grey else (level,) * 3)
            result, understood = color.to_srgb(image, colorspace.profile(space, grey=grey))
            assert understood
            values = pixel(result.convert("RGB"), 0, 0)
            assert max(values) - min(values) <= 1
            assert level != 255 or min(values) >= 254


def test_the_profile_is_small_and_made_once() -> None:
    """Thousands of images in one space cost one profile of 3 kB."""
    space = colorspace.of_code_points(12, 13)
    assert space is not None
    assert colorspace.profile(space) is colorspace.profile(space)
    assert len(colorspace.profile(space)) < 3000
    assert saved(Image.new("RGB", (2, 2)), icc_profile=colorspace.profile(space))
