"""Modes and colours: the output looks as the file does."""

import struct
import zlib
from io import BytesIO
from typing import Literal

import pytest
from making import big_endian, corners, made, near, noise, pixel, saved, shown
from PIL import Image, ImageChops, ImageCms, ImageStat

from downloader.model.failures import Warn


def matrix_profile(
    red: tuple[float, float, float], green: tuple[float, float, float], blue: tuple[float, float, float]
) -> bytes:
    """An RGB display profile (ICC.1:2022 section 8.3.3) with these colorants, in XYZ under D50, and a gamma of 2.2."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \x00\x00\x00\x00" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\x00\x00\x00\x00" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\x00\x00"
    tags = {
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(*red), b"gXYZ": xyz(*green), b"bXYZ": xyz(*blue),
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
        b"desc": b"desc\x00\x00\x00\x00" + struct.pack(">I", 5) + b"test\x00" + b"\x00" * 78,
    }  # fmt: skip
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        padded = value + b"\x00" * (-len(value) % 4)
        table += name + struct.pack(">II", start + len(body), len(value))
        body += padded
    header = struct.pack(">I", start + len(body)) + b"\x00\x00\x00\x00\x02\x40\x00\x00mntrRGB XYZ "
    header += b"\x00" * 12 + b"acsp" + b"\x00" * 28 + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\x00") + table + body


WIDE = matrix_profile((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
"""Colorants of Display P3 adapted to D50, so that its red is outside sRGB."""


def built_in(space: Literal["LAB", "XYZ", "sRGB"]) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def through_lcms(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    result = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert result is not None
    return result


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
def test_wide_gamut_becomes_srgb_and_the_profile_goes(output: str) -> None:
    """Colours are converted, then the profile is dropped; never dropped without conversion."""
    image = corners()
    picture = made(saved(image, "PNG", icc_profile=WIDE), format=output, quality=95)
    result = shown(picture)
    expected = through_lcms(image, WIDE)
    assert max(high for _, high in ImageChops.difference(image, expected).getextrema()) > 15, "a profile worth testing"  # type: ignore[misc]
    for at in ((20, 15), (60, 15), (20, 45), (60, 45)):
        assert near(pixel(result.convert("RGB"), *at), pixel(expected, *at), 1 if output == "png" else 8)
    assert "icc_profile" not in result.info
    assert not picture.warnings


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
def test_a_profile_that_is_kept_stays_with_its_pixels(output: str) -> None:
    """`icc=keep` writes the profile in every format, and leaves the colours alone."""
    image = corners()
    result = shown(made(saved(image, "PNG", icc_profile=WIDE), format=output, icc="keep", quality=95))
    assert result.info["icc_profile"] == WIDE
    assert near(pixel(result.convert("RGB"), 20, 15), pixel(image, 20, 15), 8)


def test_alpha_goes_through_the_conversion_untouched() -> None:
    """Colours are converted, alpha is not."""
    image = corners()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    result = shown(made(saved(image, icc_profile=WIDE)))
    assert ImageChops.difference(result.getchannel("A"), image.getchannel("A")).getbbox() is None
    assert near(pixel(result, 20, 15)[:3], pixel(through_lcms(image.convert("RGB"), WIDE), 20, 15), 1)


def test_an_srgb_profile_changes_nothing() -> None:
    """A profile that is sRGB in effect, whatever its name, changes no pixel."""
    image = corners()
    result = shown(made(saved(image, icc_profile=built_in("sRGB"))))
    assert ImageChops.difference(result, image).getbbox() is None
    assert "icc_profile" not in result.info


@pytest.mark.parametrize(
    "profile",
    [b"no profile at all", WIDE[:200], WIDE[:16] + b"CMYK" + WIDE[20:], WIDE + b"\x00" * 4 * 1024**2],
    ids=["garbage", "cut", "for CMYK", "too large"],
)
@pytest.mark.parametrize("icc", ["srgb", "keep"])
def test_a_profile_that_does_not_fit_is_ignored_with_a_warning(profile: bytes, icc: str) -> None:
    """Broken, mismatched or huge profile: a warning, and colours are assumed to be sRGB."""
    image = corners()
    data = saved(image, "JPEG", icc_profile=profile, quality=95)  # PNG has a smaller limit of its own in Pillow
    picture = made(data, icc=icc, format="png")
    assert picture.warnings == (Warn.ICC_IGNORED,)
    result = shown(picture)
    assert ImageChops.difference(result, Image.open(BytesIO(data))).getbbox() is None
    assert "icc_profile" not in result.info


def test_grey_with_an_rgb_profile_stays_grey() -> None:
    """A grey JPEG with an RGB profile is common, and is no reason to warn."""
    picture = made(saved(corners(mode="L"), "JPEG", icc_profile=WIDE))
    assert picture.warnings == ()
    assert shown(picture).mode == "L"


def test_cmyk_becomes_rgb_that_looks_the_same() -> None:
    """CMYK is converted for every format, with `icc=keep` too, and is not inverted."""
    image = corners()
    for icc in ("srgb", "keep"):
        for output in ("jpeg", "png", "webp"):
            result = shown(made(saved(image.convert("CMYK"), "JPEG", quality=95), "40", format=output, icc=icc))
            assert result.mode == "RGB"
            assert near(pixel(result, 10, 7), pixel(image, 20, 15), 14)


def test_a_cmyk_profile_that_is_none_falls_back_to_plain_conversion() -> None:
    """CMYK with an RGB profile is converted without it, and says so."""
    picture = made(saved(corners().convert("CMYK"), "JPEG", quality=95, icc_profile=WIDE))
    assert picture.warnings == (Warn.ICC_IGNORED,)
    assert near(pixel(shown(picture), 20, 15), (220, 30, 30), 14)


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(output: str) -> None:
    """40,000 of 65,535 is a light grey, not white."""
    image = Image.new("I;16", (40, 30), 40_000)
    assert near(pixel(shown(made(saved(image), format=output)).convert("L"), 20, 15), (156,), 2)


def test_sixteen_bit_grey_keeps_its_levels() -> None:
    """A ramp over all of 16 bits keeps all 256 levels."""
    ramp = Image.new("I", (256, 1))
    ramp.putdata([v * 256 + 128 for v in range(256)])
    deep = ramp.convert("I;16")
    for data in (saved(deep), saved(deep, "TIFF"), saved(big_endian(deep), "TIFF")):
        assert shown(made(data)).tobytes() == bytes(range(256))


def _png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A hand-made PNG, for kinds that Pillow does not write."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *more]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = (struct.pack(">I", len(v)) + n + v + struct.pack(">I", zlib.crc32(n + v)) for n, v in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def test_sixteen_bit_colour_with_alpha_keeps_its_grey() -> None:
    """A 16-bit RGBA mid-grey stays mid-grey; 16-bit grey with alpha stays grey with alpha."""
    rgba = shown(made(_png(2, 1, 16, 6, b"\x00" + struct.pack(">4H", 0x8000, 0x8000, 0x8000, 0xFFFF) * 2)))
    assert pixel(rgba, 0, 0) == (128, 128, 128, 255)
    grey = shown(made(_png(2, 1, 16, 4, b"\x00" + struct.pack(">2H", 0x8000, 0x4000) * 2)))
    assert (grey.mode, pixel(grey, 0, 0)) == ("LA", (128, 64))


@pytest.mark.parametrize(
    ("depth", "colour", "samples", "clear", "expected"),
    [
        (1, 0, b"\x40", b"\x00\x01", [(0, 255), (255, 0)]),
        (2, 0, b"\x70", b"\x00\x03", [(85, 255), (255, 0)]),
        (4, 0, b"\x0f", b"\x00\x0f", [(0, 255), (255, 0)]),
        (8, 0, b"\x10\xff", b"\x00\xff", [(16, 255), (255, 0)]),
        (16, 0, b"\x10\x00\xff\xff", b"\xff\xff", [(16, 255), (255, 0)]),
        (8, 2, b"\x01\x02\x03\xff\xff\xff", b"\x00\xff" * 3, [(1, 2, 3, 255), (255, 255, 255, 0)]),
        (16, 2, b"\x01\x00" * 3 + b"\xff\xff" * 3, b"\xff\xff" * 3, [(1, 1, 1, 255), (255, 255, 255, 0)]),
    ],
)
def test_the_clear_colour_of_a_png_becomes_alpha(
    depth: int, colour: int, samples: bytes, clear: bytes, expected: list[tuple[int, ...]]
) -> None:
    """One colour marked as clear (tRNS) becomes alpha at every depth, which Pillow alone gets wrong."""
    result = shown(made(_png(2, 1, depth, colour, b"\x00" + samples, (b"tRNS", clear))))
    assert [pixel(result, x, 0) for x in range(2)] == expected


@pytest.mark.parametrize(
    ("mode", "samples", "expected"),
    [
        ("I", [0, 65_535], [0, 255]),
        ("I", [0, 255], [0, 255]),
        ("I", [-100, 100], [0, 255]),
        ("I", [0, 10_000_000], [0, 255]),
        ("F", [0.0, 0.5], [0, 127]),
        ("F", [0.0, 128.0], [0, 128]),
        ("F", [float("inf"), 0.0], None),
        ("F", [float("nan"), 0.0], None),
    ],
)
def test_deep_grey_tiffs_are_scaled(mode: str, samples: list[float], expected: list[int] | None) -> None:
    """32-bit and floating point grey is scaled by the smallest usual range that holds it."""
    image = Image.new(mode, (2, 1))
    image.putdata(samples)
    result = shown(made(saved(image, "TIFF")))
    assert result.mode == "L"
    if expected:
        assert [abs(a - b) <= 1 for a, b in zip(result.tobytes(), expected, strict=True)] == [True, True]


def test_palettes_and_single_bits_are_mixed_not_picked() -> None:
    """Resizing 1-bit and palette images gives in-between colours."""
    checks = Image.new("1", (32, 32))
    checks.putdata([(x // 3 + y // 3) % 2 for y in range(32) for x in range(32)])
    assert len(set(shown(made(saved(checks), "8")).tobytes())) > 2
    palette = corners(33, 33).quantize(4)
    assert len(shown(made(saved(palette), "8")).getcolors() or []) > 4


def test_transparency_of_a_palette_survives() -> None:
    """A palette with one clear entry and one with alpha bytes keep alpha from 0 to 255."""
    image = corners(64, 64).quantize(4)
    for transparency in (0, bytes([0, 255, 128, 255])):
        result = shown(made(saved(image, transparency=transparency), "32"))
        assert result.mode == "RGBA"
        assert result.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_clear_pixels_do_not_bleed(mode: str) -> None:
    """Half opaque dark, half transparent white: scaled down, no visible pixel turns light."""
    image = Image.new(mode, (64, 64), (0,) * (len(mode) - 1) + (255,))
    image.paste((255,) * (len(mode) - 1) + (0,), (0, 0, 64, 29))
    result = shown(made(saved(image), "8"))
    shades = [pixel(result, 4, y) for y in range(8)]
    assert any(0 < alpha < 255 for *_, alpha in shades), "an edge worth testing"
    assert all(colour[0] <= 2 for *colour, alpha in shades if alpha > 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_laid_on_the_background_for_jpeg(mode: str) -> None:
    """The hidden colour of clear pixels never shows; the background does."""
    if mode == "P":
        data = saved(Image.new("P", (20, 20), 0), transparency=0)
    elif mode == "PA":
        data = saved(Image.new("RGBA", (20, 20), (255, 0, 0, 0)).convert("PA"), "TIFF")
    else:
        data = saved(Image.new(mode, (20, 20), (255, 0, 0, 0) if mode == "RGBA" else (80, 0)))
    for background, expected in (("#ffffff", (255, 255, 255)), ("#204080", (32, 64, 128))):
        result = shown(made(data, format="jpeg", background=background))
        assert near(pixel(result.convert("RGB"), 10, 10), expected, 4)


def test_half_clear_pixels_mix_with_the_background() -> None:
    """Alpha 128 is half of each."""
    data = saved(Image.new("RGBA", (20, 20), (255, 0, 0, 128)))
    assert near(pixel(shown(made(data, format="jpeg")), 10, 10), (255, 127, 127), 4)


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Where each pass of an interlaced PNG starts, and its steps (PNG 3rd edition, 8.1)."""


def test_an_interlaced_png_is_the_same_picture() -> None:
    """An interlaced PNG has the same pixels as one stored in rows, at odd sizes too."""
    image = noise(37, 21)
    rows = b""
    for left, top, across, down in ADAM7:
        for y in range(top, 21, down):
            rows += b"\x00" + b"".join(bytes(pixel(image, x, y)) for x in range(left, 37, across))
    plain = _png(37, 21, 8, 2, rows)
    header = b"IHDR" + plain[16:28] + b"\x01"
    data = plain[:12] + header + struct.pack(">I", zlib.crc32(header)) + plain[33:]
    assert Image.open(BytesIO(data)).info["interlace"] == 1
    assert shown(made(data)).tobytes() == image.tobytes()


def test_the_first_page_of_a_tiff_is_taken() -> None:
    """Of several pages the first is used, with a warning."""
    first, second = corners(), Image.new("RGB", (80, 60), "black")
    picture = made(saved(first, "TIFF", save_all=True, append_images=[second]))
    assert picture.warnings == (Warn.FRAMES_DROPPED,)
    assert ImageChops.difference(shown(picture), first).getbbox() is None


def test_lab_tiffs_come_out_in_their_colours() -> None:
    """Lab, which no output format holds, is converted to sRGB."""
    image = corners()
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    result = shown(made(saved(lab, "TIFF")))
    assert max(ImageStat.Stat(ImageChops.difference(result, image)).mean) < 6
