"""Convert pixels to one of the few working modes, and colours to sRGB.

The working modes are L, LA, RGB, RGBA and CMYK. Everything else a file may hold is converted to one of them here, once,
before resampling: resampling palettes or single bits picks colours instead of mixing them, and Pillow's plain
conversion of deep grey clips it to white.
"""

from functools import cache, lru_cache
from io import BytesIO
from math import isfinite
from typing import Literal, cast

from PIL import Image, ImageCms

PROFILE_LIMIT_BYTES = 4 * 1024**2
"""Larger ICC profiles are ignored. Real ones stay below 2 MiB (CMYK press profiles); libvips has a similar limit."""

_PROFILE_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
"""Data colour space signatures (ICC.1:2022, table 19) that have a working mode."""

_BROKEN_PROFILE = (ImageCms.PyCMSError, OSError, ValueError)
"""What Pillow and this module raise for a profile that cannot be used."""

_SAME_COLOURS_LEVELS = 1
"""A profile that moves no colour of the probe by more than this many of 255 levels counts as sRGB."""

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
"""With black point compensation, the usual choice for photographs (Adobe's default): keeps colours both spaces hold."""

_WORKING = frozenset(("L", "LA", "RGB", "RGBA", "CMYK"))
_NEAREST = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
"""The working mode that can hold another mode without loss; RGB for those not listed."""


def to_working(image: Image.Image) -> Image.Image:
    """The image in a working mode; itself if it is in one already.

    1-bit becomes grey; palettes become RGB, with alpha if they have transparency; 16-bit, 32-bit and floating point
    grey is scaled to 8 bits; Lab, YCbCr and HSV become RGB. A single transparent colour becomes alpha.
    """
    mode, clear = image.mode, image.info.get("transparency")
    if mode == "P":
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if mode in {"I", "F"} or mode.startswith("I;16"):
        image = eight_bit(image)
    elif mode == "LAB":
        image = _lab_to_rgb(image)
    elif mode not in _WORKING:
        image = image.convert(_NEAREST.get(mode, "RGB"))
    return image if clear is None else _clear_colour_as_alpha(image, clear)


def _clear_colour_as_alpha(image: Image.Image, clear: object) -> Image.Image:
    """Alpha from the single colour that a PNG (tRNS) or GIF marks as transparent."""
    if image.mode == "L" and isinstance(clear, int):
        image.info["transparency"] = clear
        return image.convert("LA")
    if image.mode == "RGB" and isinstance(clear, tuple):
        image.info["transparency"] = clear
        return image.convert("RGBA")
    return image


def clear_colour_in_8_bits(image: Image.Image) -> None:
    """Scale the transparent colour of a PNG from the file's depth to the 8 bits of Pillow's pixels.

    Pillow scales samples of 2, 4 and 16 bits while decoding, but leaves this colour as the file has it, so that it
    would match no pixel. Call it before the pixels are decoded, while the depth is still known.
    """
    clear = image.info.get("transparency")
    tiles = getattr(image, "tile", ())
    depth = tiles[0][3] if tiles else ""
    if isinstance(clear, int) and depth in _GREY_LEVELS:  # of 16 bits in the file, those beyond the depth do not count
        levels = _GREY_LEVELS[depth]
        image.info["transparency"] = clear % levels * (255 // (levels - 1))
    elif isinstance(clear, int) and depth == "I;16B":
        image.info["transparency"] = clear >> 8
    elif isinstance(clear, tuple) and depth == "RGB;16B":
        image.info["transparency"] = tuple(sample >> 8 for sample in clear)
    elif isinstance(clear, tuple) and depth == "RGB":
        image.info["transparency"] = tuple(sample % 256 for sample in clear)


_GREY_LEVELS = {"L;2": 4, "L;4": 16, "L": 256}


def eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey as 8-bit grey, scaled and never clipped.

    16-bit samples are divided by 256. For wider ones (TIFF) the file does not say which value is white, so white is the
    smallest usual value that is not exceeded: 1 (floating point), 255, 65535; beyond these, and for negative samples,
    the darkest sample becomes black and the lightest white.
    """
    if image.mode.startswith("I;16"):
        wide = image if image.mode == "I;16" else image.convert("I")  # Pillow scales no other byte order
        return wide.point(lambda sample: sample * (1 / 256)).convert("L")
    floats = image.convert("F")
    low, high = cast("tuple[float, float]", floats.getextrema())
    if not (isfinite(low) and isfinite(high)):
        return floats.convert("L")
    black, white = low, high
    if low >= 0:
        usual = (1, 255, 65535) if image.mode == "F" else (255, 65535)
        black, white = 0, next((top for top in usual if high <= top), high)
    scale = 255 / ((white - black) or 1)
    return floats.point(lambda sample: sample * scale - black * scale).convert("L")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(_built_in("LAB"), _built_in("sRGB"), "LAB", "RGB", _INTENT)
    return _apply(image, transform)


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """The image with its colours in sRGB, and whether the profile was understood.

    A broken profile, or one for pixels of another kind, counts as no profile: colours are assumed to be sRGB, and CMYK
    is converted without one.
    """
    understood = True
    if profile:
        try:
            return _through_profile(image, profile), True
        except _BROKEN_PROFILE:
            understood = False
    return (image.convert("RGB") if image.mode == "CMYK" else image), understood


def keepable(image: Image.Image, profile: bytes, *, grey_stays: bool) -> bool:
    """Whether the profile may be written along with these pixels instead of converting them.

    Never if it is broken, never for CMYK (the output is RGB), and a grey one only if the output is grey too.
    """
    space = _PROFILE_SPACES.get(profile[16:20])
    if not ((space == "RGB" and image.mode in {"RGB", "RGBA"}) or (space == "L" and image.mode == "L" and grey_stays)):
        return False
    try:
        _transform(profile, space)
    except _BROKEN_PROFILE:
        return False
    return True


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert with the profile; grey stays grey, and alpha stays as it is."""
    has_alpha = image.mode in {"LA", "RGBA"}
    mode = image.mode.removesuffix("A")
    space = _PROFILE_SPACES.get(profile[16:20])
    grey_in_rgb = mode == "L" and space == "RGB"  # common in JPEG: grey pixels, the profile of an RGB space
    if space is None or not (space == mode or grey_in_rgb):
        raise ValueError("the profile is for other pixels")
    transform = _transform(profile, space)
    if transform is None:
        return image
    colours = image.convert(space) if image.mode != space else image
    converted = _apply(colours, transform)
    if mode == "L":
        converted = converted.convert("L")
    if has_alpha:
        converted.putalpha(image.getchannel("A"))
    return converted


@lru_cache(maxsize=8)  # a batch repeats few profiles, and a key may take 4 MiB
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from the profile to sRGB for pixels of `mode`; None if the profile is sRGB in effect."""
    if len(profile) > PROFILE_LIMIT_BYTES:
        raise ValueError("the profile is too large")
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    transform = ImageCms.buildTransform(
        source, _built_in("sRGB"), mode, "RGB", _INTENT, ImageCms.Flags.BLACKPOINTCOMPENSATION
    )
    return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform to sRGB has no effect, tested on 512 colours (8 levels a channel) or on 256 greys."""
    if mode == "L":
        probe = Image.frombytes("L", (256, 1), bytes(range(256)))
    else:
        levels = range(0, 256, 36)
        probe = Image.frombytes(
            "RGB", (512, 1), bytes(v for r in levels for g in levels for b in levels for v in (r, g, b))
        )
    before, after = probe.convert("RGB").tobytes(), _apply(probe, transform).tobytes()
    return max(abs(a - b) for a, b in zip(before, after, strict=True)) <= _SAME_COLOURS_LEVELS


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    if result is None:
        raise ValueError("the transform gave no image")
    return result


@cache
def _built_in(space: Literal["LAB", "sRGB"]) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space))


def flatten(image: Image.Image, background: str) -> Image.Image:
    """The image without alpha, laid on the background colour; itself if it has none."""
    if image.mode not in {"LA", "RGBA"}:
        return image
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return canvas


def pad(image: Image.Image, size: tuple[int, int], offset: tuple[int, int], background: str) -> Image.Image:
    """The image on a larger canvas of the background colour. Transparency inside the image stays."""
    if image.mode in {"L", "LA"} and len({background[1:3], background[3:5], background[5:7]}) > 1:
        image = image.convert("RGB" if image.mode == "L" else "RGBA")  # grey cannot hold this background
    canvas = Image.new(image.mode, size, background)
    canvas.paste(image, offset)
    return canvas
