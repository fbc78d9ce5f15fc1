"""How a TIFF stores its pixels, and whether that form is read: decided by its first directory. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from downloader.model.failures import FailureKind
from downloader.transform import readable, tiff_directory
from downloader.transform.picture import ImageError
from downloader.transform.tiff_directory import Directory


class Tag(IntEnum):
    """The tags that say how pixels are stored (TIFF 6.0)."""

    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    CHANNELS = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    PREDICTOR = 317
    COLOUR_MAP = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    SUB_DIRECTORIES = 330
    INK_SET = 332
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    OLD_JPEG = 513
    SUBSAMPLING = 530
    DNG_VERSION = 50706


class Photometric(IntEnum):
    """What samples mean."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    CMYK = 5
    YCBCR = 6
    CIELAB = 8
    ICCLAB = 9


class Format(IntEnum):
    """What kind of number a sample is."""

    UNSIGNED = 1
    SIGNED = 2
    FLOAT = 3


UNCOMPRESSED, OLD_JPEG, JPEG, DEFLATE = 1, 6, 7, 8
DEFLATES = frozenset((DEFLATE, 32946))
LZW, PACKBITS, LZMA = 5, 32773, 34925
_FAX = frozenset((2, 3, 4, 32771))
BYTES = frozenset((UNCOMPRESSED, LZW, *DEFLATES, PACKBITS, LZMA, 50000))
"""Compressions of bytes, whatever the samples are."""

FORGIVING = _FAX | {OLD_JPEG, JPEG}
"""Compressions whose decoders fill what is missing, and do not tell."""

_UNSUPPORTED_COMPRESSIONS = {
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32809: "ThunderScan",
    32908: "PixarFilm",
    32909: "PixarLog",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGILog",
    34677: "SGILog24",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy DNG",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    48124: "Jetraw",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_UNSUPPORTED_PHOTOMETRICS = {
    4: "a transparency mask",
    10: "ITU L*a*b* colours",
    32803: "the samples of a camera sensor",
    32844: "LogL samples",
    32845: "LogLuv colours",
    34892: "the linear samples of a camera",
    51177: "a depth map",
}
_FORMATS = {4: Format.UNSIGNED}
"""Undefined samples are read as numbers, as other readers do."""

_COLOURS = {
    Photometric.RGB: 3,
    Photometric.CMYK: 4,
    Photometric.YCBCR: 3,
    Photometric.CIELAB: 3,
    Photometric.ICCLAB: 3,
}
_MAX_CHANNELS = 32
"""More of them are measurements, not a picture, and need as many times the memory."""

_SMALL_TILE = 2**20
"""Pixels of a tile that may belong to an image of any size."""

_GREY = frozenset((Photometric.WHITE_IS_ZERO, Photometric.BLACK_IS_ZERO))
_CAMERA = frozenset((32803, 34892))
_FLOAT_BITS = frozenset((16, 32, 64))
_WIDE_BITS = frozenset((24, 32, 64))
_MAX_PACKED_BITS = 16


class Block(NamedTuple):
    """A strip or tile: where it lies, its length, and how many rows it has."""

    offset: int
    size: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the pixels lie in the file. A strip is a tile of the image's width."""

    width: int
    height: int
    bits: int
    channels: int
    compression: int
    photometric: int
    format: int
    planar: bool
    predictor: int
    fill_order: int
    extra: tuple[int, ...]
    subsampling: tuple[int, int]
    tiled: bool
    block_width: int
    block_height: int
    blocks: tuple[Block, ...]

    @property
    def colours(self) -> int:
        """Channels without the extra ones."""
        return _COLOURS.get(Photometric(self.photometric), 1)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a block."""
        return (self.block_width * self.bits * (1 if self.planar else self.channels) + 7) // 8

    @property
    def across(self) -> int:
        """Blocks side by side."""
        return -(-self.width // self.block_width)

    def block_bytes(self, rows: int) -> int:
        """Bytes of a block of so many rows before it is compressed."""
        if self.subsampling == (1, 1) or self.planar:
            return rows * self.row_bytes
        across, down = self.subsampling
        return -(-self.block_width // across) * -(-rows // down) * (across * down + 2)

    def rows_of_block(self, index: int) -> int:
        """Rows of the strip or tile of this number; the last strip may have fewer."""
        above = index % self.blocks_of_plane // self.across * self.block_height
        return self.block_height if self.tiled else min(self.block_height, self.height - above)

    @property
    def blocks_of_plane(self) -> int:
        """Blocks of one plane."""
        return self.across * -(-self.height // self.block_height)


def unsupported(what: str) -> ImageError:
    """The failure of an intact TIFF of a form that is not read."""
    return readable.unsupported(f"a TIFF with {what}")


def damaged(reason: str) -> ImageError:
    """The failure of a TIFF that is not what TIFF prescribes."""
    return readable.damaged("tiff", reason)


def read(data: bytes, directory: Directory) -> Layout:
    """The layout of the first image; raises `ImageError` if it is of a form that is not read, or damaged."""
    if not directory.entries or (directory.cut and not directory.numbers(Tag.HEIGHT)):
        if directory.cut:
            raise ImageError(
                FailureKind.TRUNCATED_IMAGE, "the tiff image ends before its directory of tags: fetch it again"
            )
        raise damaged("it has no directory of tags")
    _refuse_camera_raw(data, directory)
    layout = _without_blocks(directory)
    _refuse_unsupported(layout, directory)
    return _with_blocks(layout, data, directory)


def _refuse_camera_raw(data: bytes, directory: Directory) -> None:
    """Cameras put a small preview first; the image is in another directory, as the sensor saw it."""
    linked = (
        tiff_directory.read_at(data, at, order=directory.order, big=directory.big)
        for at in directory.numbers(Tag.SUB_DIRECTORIES)[:16]
        if at < len(data) - 1
    )
    is_raw = Tag.DNG_VERSION in directory.entries or any(sub.number(Tag.PHOTOMETRIC, 0) in _CAMERA for sub in linked)
    if is_raw:
        raise ImageError(
            FailureKind.UNSUPPORTED_FORMAT,
            "this is a camera raw file, which is not supported: convert it to JPEG or PNG first",
        )


def _without_blocks(directory: Directory) -> Layout:
    """The layout but for the places of strips and tiles."""
    width, height = directory.number(Tag.WIDTH, 0), directory.number(Tag.HEIGHT, 0)
    if width <= 0 or height <= 0:
        raise damaged("it does not say its size")
    compression = directory.number(Tag.COMPRESSION, UNCOMPRESSED)
    depths = directory.numbers(Tag.BITS) or ((8,) if compression in {JPEG, OLD_JPEG} else (1,))
    guess = 3 if compression == OLD_JPEG and directory.number(Tag.PHOTOMETRIC, 6) in {2, 6} else len(depths)
    channels = directory.number(Tag.CHANNELS, guess)
    formats = directory.numbers(Tag.SAMPLE_FORMAT) or (Format.UNSIGNED,)
    if not 0 < channels <= 2**16 or (len(depths) < channels and len(depths) > 1):
        raise damaged("its numbers of channels contradict each other")
    if len(set(depths[:channels])) > 1:
        raise unsupported(f"channels of different depths ({', '.join(map(str, depths[:channels]))} bits)")
    if len(set(formats[:channels])) > 1:
        raise unsupported("channels of different kinds of numbers")
    planar = directory.number(Tag.PLANAR, 1) == 2 and channels > 1  # noqa: PLR2004 - "planar format"
    tiled = Tag.TILE_OFFSETS in directory.entries and Tag.STRIP_OFFSETS not in directory.entries
    block_width, block_height = width, directory.number(Tag.ROWS_PER_STRIP, height)
    if tiled:
        block_width, block_height = directory.number(Tag.TILE_WIDTH, 0), directory.number(Tag.TILE_HEIGHT, 0)
    elif not 0 < block_height < height:
        block_height = height
    if min(block_width, block_height) <= 0:
        raise damaged("its tiles have no size")
    if tiled and block_width * block_height > 4 * width * height + _SMALL_TILE:
        raise damaged("its tiles are much larger than the image")
    photometric = _photometric(directory, compression, channels)
    return Layout(
        width=width,
        height=height,
        bits=depths[0],
        channels=channels,
        compression=compression,
        photometric=photometric,
        format=_FORMATS.get(formats[0], formats[0]),
        planar=planar,
        predictor=directory.number(Tag.PREDICTOR, 1),
        fill_order=directory.number(Tag.FILL_ORDER, 1),
        extra=directory.numbers(Tag.EXTRA_SAMPLES),
        subsampling=_subsampling(directory) if photometric == Photometric.YCBCR else (1, 1),
        tiled=tiled,
        block_width=block_width,
        block_height=block_height,
        blocks=(),
    )


def _subsampling(directory: Directory) -> tuple[int, int]:
    """How many pixels share a colour, across and down (TIFF 6.0 section 21)."""
    across, down = (*directory.numbers(Tag.SUBSAMPLING), 2, 2)[:2]
    if across not in {1, 2, 4} or down not in {1, 2, 4}:
        raise damaged(f"its colours are subsampled {across} x {down}")
    return across, down


def _photometric(directory: Directory, compression: int, channels: int) -> int:
    """What samples mean; if the file does not say, as libtiff guesses."""
    if compression == OLD_JPEG:
        return Photometric.YCBCR if channels > 1 else Photometric.BLACK_IS_ZERO
    guess = Photometric.RGB if channels >= 3 else Photometric.BLACK_IS_ZERO  # noqa: PLR2004 - red, green and blue
    if compression in _FAX:
        guess = Photometric.WHITE_IS_ZERO
    return directory.number(Tag.PHOTOMETRIC, guess)


def _refuse_unsupported(layout: Layout, directory: Directory) -> None:
    """Raise `ImageError` for an intact file of a form that is not read."""
    if layout.photometric in _UNSUPPORTED_PHOTOMETRICS:
        raise unsupported(_UNSUPPORTED_PHOTOMETRICS[layout.photometric])
    if layout.photometric not in set(Photometric):
        raise unsupported(f"colours of an unknown kind (PhotometricInterpretation {layout.photometric})")
    if layout.compression not in BYTES | FORGIVING:
        name = _UNSUPPORTED_COMPRESSIONS.get(layout.compression)
        raise unsupported(f"{name} compression" if name else f"an unknown compression (number {layout.compression})")
    if layout.format not in set(Format):
        raise unsupported("complex numbers" if layout.format in {5, 6} else f"samples of format {layout.format}")
    if layout.channels > _MAX_CHANNELS:
        raise unsupported(f"{layout.channels} channels")
    if layout.channels < layout.colours:
        raise damaged("it has fewer channels than its colours need")
    if layout.photometric == Photometric.CMYK and directory.number(Tag.INK_SET, 1) != 1:
        raise unsupported("inks other than cyan, magenta, yellow and black")
    _refuse_samples(layout)
    if layout.compression in FORGIVING:
        _refuse_coded(layout)
    elif layout.photometric == Photometric.YCBCR:
        _refuse_ycbcr(layout)


def _refuse_samples(layout: Layout) -> None:
    """Kinds of numbers that cannot be shown."""
    grey = layout.photometric in _GREY
    if layout.format == Format.FLOAT:
        if layout.bits not in _FLOAT_BITS:
            raise unsupported(f"{layout.bits}-bit floating-point samples")
        if not grey:
            raise unsupported("floating-point colours")
    elif layout.format == Format.SIGNED:
        if not grey and layout.photometric != Photometric.CIELAB:
            raise unsupported("signed colours")
        if grey and layout.bits not in {8, 16, 32, 64}:
            raise unsupported(f"signed {layout.bits}-bit samples")
    if not 0 < layout.bits <= _MAX_PACKED_BITS and layout.bits not in _WIDE_BITS:
        raise unsupported(f"{layout.bits}-bit samples")
    if layout.photometric == Photometric.PALETTE and layout.bits > 8:  # noqa: PLR2004 - what a palette image holds
        raise unsupported(f"a palette of {layout.bits} bits")
    if layout.photometric in {Photometric.CIELAB, Photometric.ICCLAB} and layout.bits not in {8, 16}:
        raise unsupported(f"{layout.bits}-bit L*a*b* colours")
    _refuse_predictor(layout)


def _refuse_predictor(layout: Layout) -> None:
    if layout.predictor == 2 and (layout.bits not in {8, 16, 32} or layout.format == Format.FLOAT):  # noqa: PLR2004
        raise unsupported(f"differences of {layout.bits}-bit samples (Predictor 2)")
    if layout.predictor == 3 and layout.format != Format.FLOAT:  # noqa: PLR2004 - for floating point only
        raise damaged("its predictor is for other samples")
    if layout.predictor not in {1, 2, 3}:
        raise unsupported(f"an unknown predictor (number {layout.predictor})")


def _refuse_coded(layout: Layout) -> None:
    """Forms of JPEG and fax compression that the decoder does not read."""
    if layout.compression in _FAX:
        if layout.bits != 1 or layout.channels != 1 or layout.photometric not in {0, 1, 3}:
            raise unsupported("fax compression of samples that are not black and white")
    elif layout.bits != 8:  # noqa: PLR2004 - of a usual sample
        raise unsupported(f"{layout.bits}-bit JPEG compression")
    elif layout.channels != layout.colours or layout.photometric in {3, 8, 9}:
        raise unsupported(f"JPEG compression of {layout.channels} channels of this kind")


def _refuse_ycbcr(layout: Layout) -> None:
    if layout.bits != 8 or layout.channels != 3:  # noqa: PLR2004 - the form TIFF 6.0 describes
        raise unsupported(f"{layout.channels} channels of {layout.bits}-bit YCbCr colours")
    if layout.planar and layout.subsampling != (1, 1):
        raise unsupported("subsampled YCbCr colours in planes")


def _with_blocks(layout: Layout, data: bytes, directory: Directory) -> Layout:
    """The layout with its strips or tiles; fewer than the image needs where the file lists fewer."""
    old_jpeg = layout.compression == OLD_JPEG and directory.number(Tag.OLD_JPEG, 0)
    offsets = directory.numbers(Tag.TILE_OFFSETS if layout.tiled else Tag.STRIP_OFFSETS)
    sizes = directory.numbers(Tag.TILE_BYTES if layout.tiled else Tag.STRIP_BYTES)
    if not offsets and not old_jpeg:
        raise damaged("it does not say where its pixels are")
    needed = layout.blocks_of_plane * (layout.channels if layout.planar else 1)
    blocks = tuple(_blocks(layout, len(data), offsets[:needed], sizes))
    return replace(layout, blocks=blocks)


def _blocks(layout: Layout, end: int, offsets: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[Block]:
    """The strips or tiles. A missing size is as long as the pixels are, or reaches to the next one."""
    places = sorted({*offsets, end})
    behind = dict(pairwise(places))
    for index, offset in enumerate(offsets):
        rows = layout.rows_of_block(index)
        size = sizes[index] if index < len(sizes) else 0
        if not size and offset:
            raw = layout.block_bytes(rows)
            size = raw if layout.compression == UNCOMPRESSED else max(behind.get(offset, end) - offset, 0)
        yield Block(offset, size, rows)
