"""Bytes into pixels: header first, pixels once the header is acceptable, every failure with its kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from downloader.model.failures import FailureKind
from downloader.transform import color, sniff
from downloader.transform.picture import Unusable, plain

# The number of pixels is checked by us, before decoding and with a limit the user can set; Pillow's own limit would
# only add a warning or an error that names no option.
Image.MAX_IMAGE_PIXELS = None

_READERS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Loaded here by name: asked for a format it has not loaded yet, Pillow loads all of its forty plugins."""

_OUT_OF_MEMORY = "there was not enough memory to decode the image: raise --worker-memory, or run fewer --processes"

_UNSAID_BYTES_PER_PIXEL = {"jpeg": 6, "webp": 16}
"""What a decoder may ask for, where the lack of it looks like damage.

All coefficients of a progressive JPEG (2 bytes, 3 colours); of WebP the two canvases of libwebp and Pillow's two copies
(4 bytes each).
"""

_UNKNOWN_TIFF = ("unknown pixel mode", "unknown data organization", "decoder")
"""What Pillow says of a TIFF that is whole, but of a kind it does not read."""


def identify(data: bytes) -> str:
    """The format: one of `sniff.FORMATS`, or `heif`; raises `Unusable` where it is none that can be read."""
    found = sniff.identify(data)
    if isinstance(found, sniff.Refused):
        raise Unusable(found.kind, _refusal(found))
    if found.format == "heif" and not _heif_readable():
        raise Unusable(
            FailureKind.UNSUPPORTED_FORMAT,
            "this is a HEIC image, which needs one more package: pip install pillow-heif",
        )
    return found.format


def open_image(name: str, data: bytes) -> ImageFile.ImageFile:
    """Open bytes of a known format: the header is read, no pixel decoded. Only that format's parser is tried.

    Pillow's names of the formats are ours in capitals.
    """
    return Image.open(BytesIO(data), formats=[name.upper()])


def _refusal(found: sniff.Refused) -> str:
    advice = f": {found.advice}" if found.advice else ""
    if found.kind is FailureKind.NOT_AN_IMAGE:
        return f"not an image: it looks like {found.label}{advice}"
    unsupported = ", which is not supported" if found.kind is FailureKind.UNSUPPORTED_FORMAT else ""
    return f"this is {found.label}{unsupported}{advice}"


def _heif_readable() -> bool:
    """Whether the optional package pillow-heif is installed; asked only when a HEIC image comes."""
    try:
        import pillow_heif  # noqa: PLC0415 - optional, and slow to load
    except ImportError:
        return False
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return True


@contextmanager
def decoding(name: str, data: bytes) -> Iterator[None]:
    """Give every exception of a decoder its failure kind.

    Pillow raises nearly anything on damaged files (OSError, ValueError, TypeError, SyntaxError, KeyError, IndexError,
    struct.error, ...), so all of `Exception` is taken here, and what the file itself looks like decides the kind.
    """
    try:
        yield
    except Unusable:
        raise
    except MemoryError as error:
        raise Unusable(FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY) from error
    except Exception as error:
        raise _diagnosis(name, data, error) from error


def _diagnosis(name: str, data: bytes, error: Exception) -> Unusable:
    reason = plain(error)
    if isinstance(error, Image.DecompressionBombError):
        advice = "raise it if you trust the file"
        return Unusable(FailureKind.IMAGE_TOO_LARGE, f"a frame of it has more pixels than --max-pixels: {advice}")
    if "out of memory" in reason.lower() or _short_of_memory(name, data):
        return Unusable(FailureKind.OUT_OF_MEMORY, _OUT_OF_MEMORY)
    if "truncated" in reason.lower() or sniff.ends_early(name, data):
        advice = "fetch it again, or take what is there with --truncated keep"
        return Unusable(FailureKind.TRUNCATED_IMAGE, f"the {name} image ends early: {advice}")
    if isinstance(error, UnidentifiedImageError):
        reason = _reason_of_refusal(name, data)
    process = sniff.jpeg_process(data) if name == "jpeg" else None
    if process or (name == "tiff" and any(word in reason for word in _UNKNOWN_TIFF)):
        kind = f"{process} JPEG" if process else f"kind of TIFF ({reason})"
        return Unusable(FailureKind.UNSUPPORTED_FORMAT, f"this {kind} is not supported: convert it to PNG first")
    return Unusable(FailureKind.CORRUPT_IMAGE, f"the {name} image is damaged ({reason}): fetch it again or replace it")


def _short_of_memory(name: str, data: bytes) -> bool:
    """Whether there is not enough memory now for a decoder that does not tell."""
    sides = sniff.sides(name, data)
    if sides is None or name not in _UNSAID_BYTES_PER_PIXEL:
        return False
    try:
        bytearray(sides[0] * sides[1] * _UNSAID_BYTES_PER_PIXEL[name])  # promised only; nothing is written to it
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


@contextmanager
def growing_to(limit: int) -> Iterator[None]:
    """Let Pillow refuse an image that grows beyond so many pixels: frames of a GIF may reach outside its first one."""
    Image.MAX_IMAGE_PIXELS = (limit + 1) // 2  # Pillow warns at this number, and refuses at twice of it
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """A decoded image, as it lies in the file.

    `size` is the stored size in full; `reduction` says how much smaller than that the pixels are (1, 2, 4 or 8). `cut`
    is true where the file ended early and the image is what was there.
    """

    image: Image.Image
    size: tuple[int, int]
    reduction: float
    cut: bool = False


def load(name: str, data: bytes, image: ImageFile.ImageFile, *, reduction: int = 1, keep_cut: bool = False) -> Pixels:
    """Decode the pixels of the current frame, a JPEG at 1/`reduction` of its size.

    With `keep_cut`, a file that ends early gives what it has instead of failing.
    """
    try:
        with decoding(name, data):
            return _load(image, reduction)
    except Unusable as failure:
        if not keep_cut or failure.kind is not FailureKind.TRUNCATED_IMAGE:
            raise
    with decoding(name, data):
        if name == "jpeg":  # given an end, libjpeg fills what is missing; progressive images need that to show at all
            image = open_image(name, data + b"\xff\xd9")
        else:  # rows decoded so far are in the image already; there is nothing left to read
            image.tile = []
        return replace(_load(image, reduction), cut=True)


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
