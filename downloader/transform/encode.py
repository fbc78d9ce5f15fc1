"""Encode finished pixels into the bytes of one file, with one encoder per output format."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, PngImagePlugin

from downloader.config.settings import TransformOptions
from downloader.model.failures import FailureKind
from downloader.transform.metadata import Blocks
from downloader.transform.picture import ImageError, plain

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif", "gif": "gif"}
"""File name extensions, without the dot, by output format."""

SIDE_LIMITS_PX = {"jpeg": 65_500, "webp": 16_383, "avif": 65_536, "gif": 65_535, "png": 2**31 - 1}
"""The longest side a format can hold.

jpeg: JPEG_MAX_DIMENSION of libjpeg; webp: WEBP_MAX_DIMENSION of libwebp (14 bits); avif: AV1 specification 5.5.1,
16-bit frame sizes; gif: 16 bits (GIF89a, 18); png: PNG 3rd edition, 11.2.1.
"""

MODES = {
    "jpeg": ("L", "RGB"),
    "png": ("L", "LA", "RGB", "RGBA"),
    "webp": ("RGB", "RGBA"),
    "avif": ("L", "RGB", "RGBA"),
    "gif": ("L", "RGB", "RGBA"),
}
"""Working modes that an encoder accepts as they are."""


def check_sides(name: str, width: int, height: int) -> None:
    """Refuse a size that the format cannot hold, before any work is done on it."""
    limit = SIDE_LIMITS_PX[name]
    if max(width, height) > limit:
        raise ImageError(
            FailureKind.ENCODE,
            f"the output would be {width} x {height} pixels, but {name} holds at most {limit} on a side: "
            "give --resize, or another --format",
        )


def suited(image: Image.Image, name: str) -> Image.Image:
    """The image in a mode the encoder accepts; for formats without alpha, it must be gone already."""
    if image.mode in MODES[name]:
        return image
    return image.convert({"L": "RGB", "LA": "RGBA"}[image.mode])


def encode(image: Image.Image, name: str, settings: TransformOptions, blocks: Blocks, profile: bytes | None) -> bytes:
    """The bytes of a still image."""
    return _save(suited(image, name), name, **_options(name, settings, blocks, profile))


@dataclass(frozen=True, slots=True, kw_only=True)
class Animation:
    """Frames of one size, how long each is shown, and how often the animation plays (0: for ever)."""

    frames: list[Image.Image]
    durations_ms: list[int]
    plays: int


def encode_animation(
    animation: Animation, name: str, settings: TransformOptions, blocks: Blocks, profile: bytes | None
) -> bytes:
    """The bytes of an animation."""
    first, *rest = _same_mode([suited(frame, name) for frame in animation.frames])
    options = _options(name, settings, blocks, profile) | {"duration": animation.durations_ms}
    if name == "gif":
        options["disposal"] = 2  # each frame stands alone: a transparent one must not show the one before
        if animation.plays != 1:  # absent means once; the number in the file counts the repetitions
            options["loop"] = max(animation.plays - 1, 0)
    elif name in {"webp", "png"}:
        options["loop"] = animation.plays
    return _save(first, name, save_all=True, append_images=rest, **options)


def _same_mode(frames: list[Image.Image]) -> list[Image.Image]:
    """The frames in one mode that holds them all; encoders apply the mode of the first to the rest."""
    modes = {frame.mode for frame in frames}
    if len(modes) == 1:
        return frames
    mode = "RGBA" if modes & {"LA", "RGBA"} else "RGB"
    return [frame.convert(mode) for frame in frames]


def _save(image: Image.Image, name: str, **options: Any) -> bytes:  # noqa: ANN401 - the encoder's own options
    out = BytesIO()
    try:
        image.save(out, format=name, **options)
    except MemoryError:
        raise
    except Exception as error:
        if "memory" in plain(error).lower():  # as libwebp and libavif say it
            raise MemoryError from error
        raise ImageError(FailureKind.ENCODE, f"the {name} encoder refused the image ({plain(error)})") from error
    return out.getvalue()


def _options(name: str, settings: TransformOptions, blocks: Blocks, profile: bytes | None) -> dict[str, Any]:
    """Options of one encoder.

    Everything that goes into the file besides pixels is set every time, even to an empty value: if it is left out, some
    encoders copy it from the source and others do not.
    """
    match name:
        case "jpeg":
            own: dict[str, Any] = {
                "quality": settings.jpeg.quality or settings.quality,
                "subsampling": settings.jpeg.subsampling,
                "progressive": settings.jpeg.progressive,
                "optimize": False,  # costs another pass
                "comment": blocks.comment,
                "xmp": blocks.xmp,
            }
        case "png":
            own = {"compress_level": settings.png.compress_level, "pnginfo": _png_text(blocks)}
        case "webp":
            own = {
                "quality": settings.webp.quality or settings.quality,
                "method": settings.webp.method,
                "lossless": settings.webp.lossless,
                "xmp": blocks.xmp,
                "exif": blocks.exif.removeprefix(b"Exif\x00\x00"),  # the WebP container wants the TIFF block alone
            }
        case "avif":
            own = {
                "quality": settings.avif.quality or settings.quality,
                "speed": settings.avif.speed,
                "max_threads": 1,
                "xmp": blocks.xmp,
            }
        case _:
            return {"comment": blocks.comment}  # GIF has no place for the rest
    return {"exif": blocks.exif, "icc_profile": profile or b""} | own


def _png_text(blocks: Blocks) -> PngImagePlugin.PngInfo:
    """XMP as PNG stores it: an iTXt chunk of this keyword (XMP specification part 3, 1.1.5)."""
    text = PngImagePlugin.PngInfo()
    if blocks.xmp:
        text.add_itxt("XML:com.adobe.xmp", blocks.xmp.decode("utf-8", "replace"))
    return text
