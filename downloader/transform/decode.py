"""Decode bytes into pixels: the header first, pixels once it is acceptable; every failure has its kind."""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImagePalette,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from downloader.model.failures import FailureKind
from downloader.transform import bmp, color, isobmff, jpeg, png, sniff, tiff, webp
from downloader.transform.picture import ImageError, plain
from downloader.transform.readable import Readable, damaged, ends_early, unsupported
from downloader.transform.rows import LastRow

_READERS = (
    AvifImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Imported here by name: when asked for a format it has not loaded, Pillow loads all of its forty plugins."""

_OUT_OF_MEMORY = "there was not enough memory to decode the image: raise --worker-memory, or run fewer --processes"

_DECODER_BYTES_PER_PIXEL = {"jpeg": 6, "webp": 16}
"""Decoder memory per pixel, for decoders that report exhaustion as corruption.

JPEG: all coefficients of a progressive image (2 bytes, 3 colours). WebP: the two canvases of libwebp and Pillow's two
copies (4 bytes each).
"""


def identify(data: bytes) -> str:
    """The format: one of `sniff.FORMATS`, or `heif`; raises `ImageError` if it cannot be read."""
    found = sniff.identify(data)
    if isinstance(found, sniff.Rejected):
        raise ImageError(found.kind, _refusal(found))
    if found.format == "heif" and not _heif_readable():
        raise ImageError(
            FailureKind.UNSUPPORTED_FORMAT,
            "this is a HEIC image, which needs one more package: pip install pillow-heif",
        )
    return found.format


def inspect(name: str, data: bytes) -> Readable:
    """Read what the structure of the file says; raises `ImageError` if it can be no image."""
    if name == "png":
        return png.inspect(data)
    if name in {"avif", "heif"}:
        return isobmff.inspect(name, data)
    return Readable(data=data)


def open_image(name: str, source: Readable) -> ImageFile.ImageFile:
    """Open bytes of a known format: reads the header, decodes no pixel, tries only that format's parser.

    Pillow's format names are ours in upper case.
    """
    try:
        image = _opened(name, source.data)
    except Exception:
        repaired = _repaired(name, source.data)
        if repaired is None:
            raise
        image = repaired
    image.info |= source.info
    if name == "png" and image.mode == "P":
        image.palette = ImagePalette.raw("RGB", png.palette_entries(source.data))
    return image


def _opened(name: str, data: bytes) -> ImageFile.ImageFile:
    if name == "tiff":
        return tiff.open_image(data)
    if name == "bmp":
        return bmp.BmpFile(data)
    return Image.open(BytesIO(data), formats=[name.upper()])


def _repaired(name: str, data: bytes) -> ImageFile.ImageFile | None:
    """The file opened without the parts that no pixel depends on; None if that does not help."""
    for repair in _repairs(name, data):
        with suppress(Exception):
            image = _opened(name, repair.data)
            if repair.profile_lost:
                image.info.setdefault("icc_profile", None)
            return image
    return None


def _repairs(name: str, data: bytes) -> Iterable[jpeg.Repair]:
    if name == "jpeg":
        return jpeg.repairs(data)
    other = isobmff.without_exif(data) if name == "avif" else webp.repaired(data) if name == "webp" else None
    return [] if other is None else [jpeg.Repair(data=other, profile_lost=False)]


def _refusal(found: sniff.Rejected) -> str:
    advice = f": {found.advice}" if found.advice else ""
    if found.kind is FailureKind.NOT_AN_IMAGE:
        return f"not an image: it looks like {found.label}{advice}"
    unsupported = ", which is not supported" if found.kind is FailureKind.UNSUPPORTED_FORMAT else ""
    return f"this is {found.label}{unsupported}{advice}"


def _heif_readable() -> bool:
    """Whether the optional package pillow-heif is installed; looked up only when there is a HEIC image."""
    try:
        import pillow_heif  # noqa: PLC0415 - optional, and slow to load
    except ImportError:
        return False
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return True


@contextmanager
def decoding(name: str, data: bytes) -> Iterator[None]:
    """Turn every exception of a decoder into an `ImageError` with its failure kind.

    Pillow raises almost anything on damaged files (OSError, ValueError, TypeError, SyntaxError, KeyError, IndexError,
    struct.error, ...), so every `Exception` is caught, and the kind is decided by looking at the file itself.
    """
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY) from error
    except Exception as error:
        raise _diagnosis(name, data, error) from error


def _diagnosis(name: str, data: bytes, error: Exception) -> ImageError:
    reason = plain(error)
    if isinstance(error, Image.DecompressionBombError):
        advice = "raise it if you trust the file"
        return ImageError(FailureKind.IMAGE_TOO_LARGE, f"a frame of it has more pixels than --max-pixels: {advice}")
    if "out of memory" in reason.lower() or _short_of_memory(name, data):
        return ImageError(FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY)
    if name == "tiff":
        return tiff.failure(data)
    if "truncated" in reason.lower() or sniff.ends_early(name, data):
        return ends_early(name)
    if isinstance(error, UnidentifiedImageError):
        reason = _reason_of_refusal(name, data)
    if name == "jpeg" and (kind := jpeg.rare_kind(data)):
        return unsupported(kind)
    return damaged(name, reason)


def _short_of_memory(name: str, data: bytes) -> bool:
    """Whether memory is too short now for a decoder that does not report it."""
    sides = sniff.sides(name, data)
    if sides is None or name not in _DECODER_BYTES_PER_PIXEL:
        return False
    try:
        bytearray(sides[0] * sides[1] * _DECODER_BYTES_PER_PIXEL[name])  # only reserved: nothing is written to it
    except MemoryError:
        return True
    return False


def _reason_of_refusal(name: str, data: bytes) -> str:
    """Why Pillow could not open the file; `Image.open` itself does not tell."""
    factory: Any = Image.OPEN[name.upper()][0]
    try:
        factory(BytesIO(data), "")
    except Exception as error:  # noqa: BLE001 - as in `decoding`
        return plain(error)
    return "its header is not understood"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """A decoded image, not yet turned upright.

    `size` is the full stored size; `reduction` says how much smaller than that the pixels are (1, 2, 4 or 8). `cut` is
    true if the file ended early and the image is what it had.
    """

    image: Image.Image
    size: tuple[int, int]
    reduction: float
    cut: bool = False


_KEPT_OF_TIFF = frozenset((FailureKind.TRUNCATED_IMAGE, FailureKind.CORRUPT_IMAGE))
"""Failures of a TIFF that leave some of its strips or tiles."""


def load(
    name: str, source: Readable, image: ImageFile.ImageFile, *, reduction: int = 1, keep_cut: bool = False
) -> Pixels:
    """Decode the pixels of the current frame, a JPEG at 1/`reduction` of its size.

    With `keep_cut`, a file that ends early yields what it has instead of failing.
    """
    with decoding(name, source.data):
        pixels = _decoded(name, source, image, reduction=reduction, keep_cut=keep_cut)
        if name == "png":
            png.check_pixels(source.data)
    if source.visible is None:
        return pixels
    visible = pixels.image.crop(source.visible)
    return replace(pixels, image=visible, size=visible.size)


def check_frames(name: str, source: Readable) -> None:
    """Raise `ImageError` if frames of an animation lack pixels that their decoder would not miss."""
    if name == "png":
        png.check_frames(source.data)


def _decoded(name: str, source: Readable, image: ImageFile.ImageFile, *, reduction: int, keep_cut: bool) -> Pixels:
    last = LastRow(image, png.last_row(source.data)) if name == "png" else None
    reduction = reduction if reduction == 1 or jpeg.scalable(source.data) else 1
    try:
        with decoding(name, source.data):
            pixels = _load(image, reduction)
            if last is None or not last.untouched() or png.has_all_rows(source.data):
                return pixels
        raise ends_early(name)
    except ImageError as failure:
        if name == "png" and failure.kind is FailureKind.CORRUPT_IMAGE and (other := png.without_sum(source.data)):
            return _load(open_image(name, replace(source, data=other)), 1)
        if name == "tiff" and keep_cut and failure.kind in _KEPT_OF_TIFF:
            return replace(_load(tiff.open_what_is_left(source.data), 1), cut=True)
        if failure.kind is not FailureKind.TRUNCATED_IMAGE:
            raise
        cut = failure
    if name == "jpeg" and (whole := _whole_without_end(source, reduction)):
        return whole
    if not keep_cut:
        raise cut
    if name == "jpeg":  # given an end, libjpeg fills what is missing, without which progressive images show nothing
        image = open_image(name, replace(source, data=source.data + jpeg.END))
    else:  # rows decoded so far are in the image already; there is nothing left to read
        image.tile = []
    if last is not None and last.untouched():
        last.wipe()
    return replace(_load(image, reduction), cut=True)


_STRIP_ROWS = 256


def _whole_without_end(source: Readable, reduction: int) -> Pixels | None:
    """The pixels of a JPEG that lacks its end marker and nothing else; None if it lacks more.

    Such a file may go on in any way without a change to its pixels.
    """
    data = source.data.rstrip(b"\xff")
    if not jpeg.scans_cover_all(data):
        return None
    noisy, ended = (replace(source, data=data + end) for end in (jpeg.NOISE + jpeg.END, jpeg.END))
    one, other = (_sum_of(_load(open_image("jpeg", each), 1).image) for each in (noisy, ended))  # at full scale
    return _load(open_image("jpeg", ended), reduction) if one == other else None


def _sum_of(image: Image.Image) -> int:
    """A checksum of the pixels, taken in strips, so that an image is not in memory twice."""
    total = 0
    for top in range(0, image.height, _STRIP_ROWS):
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))
        total = zlib.crc32(strip.tobytes(), total)
    return total


def _load(image: ImageFile.ImageFile, reduction: int) -> Pixels:
    size = image.size
    drafted = None
    if reduction > 1:
        drafted = image.draft(None, (max(1, size[0] // reduction), max(1, size[1] // reduction)))
    color.clear_colour_in_8_bits(image)
    grey = bool(image.tile) and image.tile[0][3] == "LA;16B"
    image.load()
    if drafted is None:
        loaded = image.convert("LA") if grey else image  # Pillow spreads deep grey with alpha over RGBA
        return Pixels(image=loaded, size=image.size, reduction=1)  # not `size`: TIFF is turned upright while loading
    return Pixels(image=image, size=size, reduction=size[0] / drafted[1][2])
