"""Opening a TIFF: by Pillow where it reads the form right, otherwise from its samples.

Pillow knows a TIFF by a table of combinations, some of which it reads wrong, and libtiff says only that it failed. So
the directory is read here first. Pillow is given one that was written anew, with nothing in it that pixels or metadata
do not need. Of forms it does not read, libtiff (through Pillow) undoes only the compression of rows of bytes.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Any, cast

from PIL import Image, ImageChops, TiffImagePlugin

from downloader.transform import color, samples, tiff_blocks, tiff_directory, tiff_layout
from downloader.transform.picture import ImageError
from downloader.transform.readable import ends_early
from downloader.transform.tiff_directory import Directory, Entry, can_be_copied, longs, shorts
from downloader.transform.tiff_layout import Block, Format, Layout, Photometric, Tag

_DECODER_TAGS = frozenset((292, 293, 347, *range(512, 522), *range(529, 533)))
"""Options of fax and JPEG compression, and of YCbCr colours; libtiff reads them."""

_PIXEL_TAGS = frozenset((*Tag, *_DECODER_TAGS, 254, 255, 288, 289, 290, 291, 333, 334, 340, 341))
_LINK_TAGS = frozenset((34665, 34853, 40965))
"""Links to directories of EXIF; those of a BigTIFF have another form, which Pillow does not read here."""

_READ_BY_PILLOW = frozenset(
    (
        (Photometric.WHITE_IS_ZERO, 1, 1),
        (Photometric.BLACK_IS_ZERO, 1, 1),
        (Photometric.WHITE_IS_ZERO, 8, 1),
        (Photometric.BLACK_IS_ZERO, 8, 1),
        (Photometric.RGB, 8, 3),
        (Photometric.RGB, 8, 4),
        (Photometric.RGB, 16, 3),
        (Photometric.RGB, 16, 4),
        (Photometric.CMYK, 8, 4),
        (Photometric.CIELAB, 8, 3),
    )
)
"""Meaning, bits and number of channels of what Pillow reads right."""

_ASSOCIATED, _UNASSOCIATED, _COREL = 1, 2, 999
"""Alpha by which colours have been multiplied, alpha by which they have not, and what Corel Draw writes for it."""

_GREY = frozenset((Photometric.WHITE_IS_ZERO, Photometric.BLACK_IS_ZERO))
_PACKED_BITS = 16
"""Wider samples of a grey image are measurements whose white is not known."""

_MODES = {
    Photometric.WHITE_IS_ZERO: "L",
    Photometric.BLACK_IS_ZERO: "L",
    Photometric.RGB: "RGB",
    Photometric.CMYK: "CMYK",
    Photometric.CIELAB: "LAB",
    Photometric.ICCLAB: "LAB",
}
_FROM_SIGNED = [value ^ 128 for value in range(256)]
Columns = Iterator[tuple[int, bytes]]
"""Rows of columns of tiles, with the number of the first channel in them."""

_KINDS = {Format.UNSIGNED: "unsigned", Format.SIGNED: "signed", Format.FLOAT: "float"}


class TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF that is decoded on `load`, as its layout says."""

    def __init__(self, data: bytes, directory: Directory, layout: Layout, *, is_cut: bool, keep: bool = False) -> None:
        self._data = data
        self._directory = directory
        self._layout = layout
        self._is_cut = is_cut
        self._keep = keep
        super().__init__(BytesIO(_for_pillow(data, directory, layout)))

    def load(self) -> Any:  # noqa: ANN401 - a private type of Pillow
        """Decode the pixels; those that can be decoded, if damaged ones are to be kept."""
        if self.tile and self._is_cut:
            raise ends_early("tiff")
        if self.tile and not _pillow_reads(self._layout):
            self.tile = []
            self._take(_picture(self._data, self._directory, self._layout, keep=self._keep))
        try:
            return super().load()
        except OSError:
            if not self._keep:
                raise
            self.tile = []
            return super().load()

    def _take(self, picture: Image.Image) -> None:
        self._mode = picture.mode
        self.im = picture.im
        self.palette = picture.palette
        self.load_end()


def open_image(data: bytes) -> TiffFile:
    """Open a TIFF; raises `ImageError` if its form is not read, or if it has no usable directory."""
    directory = tiff_directory.read(data)
    layout = tiff_layout.read(data, directory)
    silent = layout.compression in tiff_layout.FORGIVING or layout.compression == tiff_layout.UNCOMPRESSED
    is_cut = tiff_blocks.end_before_pixels(data, layout) if silent else tiff_blocks.lack_blocks(layout)
    if layout.photometric == Photometric.YCBCR and layout.compression == tiff_layout.UNCOMPRESSED:
        data, layout = tiff_blocks.repaired(data, layout)  # only libtiff joins subsampled colours
    return TiffFile(data, directory, layout, is_cut=is_cut)


def open_what_is_left(data: bytes) -> TiffFile:
    """Open a damaged TIFF so that it yields the pixels that can be decoded, and zeros in place of the others."""
    directory = tiff_directory.read(data)
    data, layout = tiff_blocks.repaired(data, tiff_layout.read(data, directory))
    return TiffFile(data, directory, layout, is_cut=False, keep=True)


def failure(data: bytes) -> ImageError:
    """Why a TIFF that was opened cannot be decoded."""
    try:
        return tiff_blocks.failure(data, tiff_layout.read(data, tiff_directory.read(data)))
    except ImageError as refused:
        return refused


def _pillow_reads(layout: Layout) -> bool:
    if layout.compression in tiff_layout.FORGIVING or layout.photometric == Photometric.YCBCR:
        return True
    form = (layout.photometric, layout.bits, layout.channels)
    return (
        form in _READ_BY_PILLOW
        and layout.format == Format.UNSIGNED
        and layout.fill_order == 1
        and not layout.planar
        and len(layout.extra) <= layout.channels - layout.colours
        and {*layout.extra} <= {0, _ASSOCIATED, _UNASSOCIATED}
    )


def _for_pillow(data: bytes, directory: Directory, layout: Layout) -> bytes:
    """The file with a directory for Pillow: the image's own, or that of a grey one in place of other samples."""
    dropped = _PIXEL_TAGS | _LINK_TAGS if directory.big else _PIXEL_TAGS
    entries = {tag: entry for tag, entry in directory.entries.items() if tag not in dropped and can_be_copied(entry)}
    if _pillow_reads(layout):
        decoder = ((tag, directory.entries[tag]) for tag in _DECODER_TAGS & directory.entries.keys())
        entries |= {tag: entry for tag, entry in decoder if can_be_copied(entry)}
        entries |= _image_entries(directory, layout)
    else:
        entries |= _grey_entries(directory.order, layout.width, layout.height)
    return tiff_directory.with_directory(data, directory.order, entries, directory.following)


def _image_entries(directory: Directory, layout: Layout) -> dict[int, Entry]:
    """The tags of an image that Pillow reads."""
    order = directory.order
    entries: dict[int, Entry] = {
        Tag.WIDTH: longs(order, (layout.width,)),
        Tag.HEIGHT: longs(order, (layout.height,)),
        Tag.BITS: shorts(order, (layout.bits,) * layout.channels),
        Tag.COMPRESSION: shorts(order, (layout.compression,)),
        Tag.PHOTOMETRIC: shorts(order, (layout.photometric,)),
        Tag.FILL_ORDER: shorts(order, (layout.fill_order,)),
        Tag.CHANNELS: shorts(order, (layout.channels,)),
        Tag.PLANAR: shorts(order, (2 if layout.planar else 1,)),
        Tag.PREDICTOR: shorts(order, (layout.predictor,)),
    }
    if layout.extra and layout.channels > layout.colours:
        entries[Tag.EXTRA_SAMPLES] = shorts(order, layout.extra)
    if layout.photometric == Photometric.PALETTE:
        entries[Tag.COLOUR_MAP] = shorts(order, (value * 257 for value in _colour_map(directory, layout)))
    if layout.blocks:
        entries |= _block_entries(layout, order, layout.block_width, layout.blocks)
    return entries


def _grey_entries(order: str, width: int, height: int) -> dict[int, Entry]:
    """The tags of an 8-bit grey image with nothing in it."""
    return {
        Tag.WIDTH: longs(order, (width,)),
        Tag.HEIGHT: longs(order, (height,)),
        Tag.BITS: shorts(order, (8,)),
        Tag.PHOTOMETRIC: shorts(order, (Photometric.BLACK_IS_ZERO,)),
        Tag.CHANNELS: shorts(order, (1,)),
        Tag.STRIP_OFFSETS: longs(order, (8,)),
        Tag.STRIP_BYTES: longs(order, (0,)),
    }


def _block_entries(layout: Layout, order: str, width: int, blocks: tuple[Block, ...]) -> dict[int, Entry]:
    """The tags of strips or tiles of this width."""
    offsets = longs(order, (block.offset for block in blocks))
    sizes = longs(order, (block.size for block in blocks))
    height = longs(order, (layout.block_height,))
    if layout.tiled:
        shape: dict[int, Entry] = {Tag.TILE_WIDTH: longs(order, (width,)), Tag.TILE_HEIGHT: height}
        return shape | {Tag.TILE_OFFSETS: offsets, Tag.TILE_BYTES: sizes}
    return {Tag.ROWS_PER_STRIP: height, Tag.STRIP_OFFSETS: offsets, Tag.STRIP_BYTES: sizes}


def _colour_map(directory: Directory, layout: Layout) -> list[int]:
    """8-bit reds, then greens, then blues. Values are 16-bit, unless none of them is larger than 8 bits hold."""
    wanted = 3 << layout.bits
    values = directory.numbers(Tag.COLOUR_MAP)[:wanted]
    if not values:
        raise tiff_layout.damaged("it has no palette")
    shift = 8 if max(values) >= 256 else 0  # noqa: PLR2004 - as libtiff decides
    return [value >> shift for value in values] + [0] * (wanted - len(values))


def _picture(data: bytes, directory: Directory, layout: Layout, *, keep: bool) -> Image.Image:
    """The image made of its samples, in 8 bits."""
    if layout.photometric in _GREY and (layout.format != Format.UNSIGNED or layout.bits > _PACKED_BITS):
        grey = _wide_grey(_columns(data, directory.order, layout, keep=keep), directory.order, layout)
        return ImageChops.invert(grey) if layout.photometric == Photometric.WHITE_IS_ZERO else grey
    channels = _channels(_columns(data, directory.order, layout, keep=keep), directory.order, layout)
    alpha = _alpha(layout)
    picked = channels[: layout.colours + (alpha is not None)]
    if layout.photometric == Photometric.PALETTE:
        return _with_palette(picked, _colour_map(directory, layout))
    if layout.photometric == Photometric.WHITE_IS_ZERO:
        picked[0] = ImageChops.invert(picked[0])
    if layout.photometric == Photometric.CIELAB:
        picked[1:3] = (channel.point(_FROM_SIGNED) for channel in picked[1:3])
    mode = _MODES[Photometric(layout.photometric)]
    return Image.merge(mode + (alpha or ""), picked) if len(picked) > 1 else picked[0]


def _alpha(layout: Layout) -> str | None:
    """The letter of alpha in Pillow's modes; None if there is none, or if the colours cannot have it."""
    if layout.photometric in {Photometric.CMYK, Photometric.CIELAB, Photometric.ICCLAB}:
        return None
    if layout.channels <= layout.colours:
        return None
    if not layout.extra:  # TIFF 6.0 wants a tag that says so
        return "A" if layout.photometric == Photometric.RGB else None
    return {_ASSOCIATED: "a", _UNASSOCIATED: "A", _COREL: "A"}.get(layout.extra[0])


def _with_palette(channels: list[Image.Image], colour_map: list[int]) -> Image.Image:
    colours = len(colour_map) // 3
    image = channels[0].convert("P")
    image.putpalette(bytes(v for i in range(colours) for v in colour_map[i::colours]))
    if len(channels) > 1:
        image = image.convert("RGB")
        image.putalpha(channels[1])
    return image


def _channels(columns: Columns, order: str, layout: Layout) -> list[Image.Image]:
    """Every channel as 8-bit grey."""
    scaled = layout.photometric != Photometric.PALETTE
    channels = [Image.new("L", (layout.width, layout.height)) for _ in range(layout.channels)]
    for index, (first, rows) in enumerate(columns):
        size = len(rows) // layout.height
        unpacked = samples.eight_bit(rows, layout.bits, _order_of(layout, order), scaled=scaled)
        row = Image.frombytes("L", (size * 8 // layout.bits, layout.height), unpacked)
        step = 1 if layout.planar else layout.channels
        used = row.crop((0, 0, layout.block_width * step, layout.height)).tobytes()
        left = index % layout.across * layout.block_width
        for channel in range(step):
            piece = Image.frombytes("L", (layout.block_width, layout.height), used[channel::step])
            channels[first + channel].paste(piece, (left, 0))
    return channels


def _wide_grey(columns: Columns, order: str, layout: Layout) -> Image.Image:
    """Grey of numbers that have no fixed white, scaled to 8 bits."""
    canvas = Image.new("F", (layout.width, layout.height))
    step = 1 if layout.planar else layout.channels
    for index, (first, rows) in enumerate(columns):
        if first == 0:
            values = samples.as_floats(rows, layout.bits, _order_of(layout, order), _KINDS[Format(layout.format)])[
                ::step
            ]
            piece = Image.frombytes("F", (layout.block_width, layout.height), values.tobytes())
            canvas.paste(piece, (index % layout.across * layout.block_width, 0))
    _, high = cast("tuple[float, float]", canvas.getextrema())
    is_whole = layout.format != Format.FLOAT and high < 2**31  # what Pillow's mode I holds
    return color.eight_bit(canvas.convert("I") if is_whole else canvas)


def _order_of(layout: Layout, order: str) -> str:
    """The byte order of samples: predictor 3 has the upper byte first in all files."""
    return ">" if layout.predictor == 3 else order  # noqa: PLR2004 - Photoshop's


def _columns(data: bytes, order: str, layout: Layout, *, keep: bool) -> Columns:
    """The rows of each column of tiles (strips are one column), with the number of the first channel in them."""
    step = 1 if layout.planar else layout.channels
    group = samples.group_bytes(layout.bits)
    padded = -(-layout.row_bytes // group) * group
    for plane in range(layout.channels if layout.planar else 1):
        grid = _plane(data, order, layout, plane, keep=keep)
        for column in range(layout.across):
            left = column * layout.row_bytes
            rows = grid.crop((left, 0, left + padded, layout.height)).tobytes()
            if layout.predictor == 2:  # noqa: PLR2004 - horizontal differences
                rows = samples.undo_differences(rows, padded, step, layout.bits // 8, order)
            elif layout.predictor == 3:  # noqa: PLR2004 - floating point
                rows = samples.undo_float_differences(rows, padded, step, layout.bits // 8)
            yield plane, rows


def _plane(data: bytes, order: str, layout: Layout, plane: int, *, keep: bool) -> Image.Image:
    """The bytes of a plane, without their compression: a row of tiles has them side by side."""
    count = layout.blocks_of_plane
    blocks = layout.blocks[plane * count : (plane + 1) * count]
    width = layout.row_bytes * layout.across
    entries = _grey_entries(order, width, layout.height) | {
        Tag.COMPRESSION: shorts(order, (layout.compression,)),
        Tag.FILL_ORDER: shorts(order, (layout.fill_order,)),
    }
    if layout.tiled:
        del entries[Tag.STRIP_OFFSETS], entries[Tag.STRIP_BYTES]
    entries |= _block_entries(layout, order, layout.row_bytes, blocks)
    image = TiffImagePlugin.TiffImageFile(BytesIO(tiff_directory.with_directory(data, order, entries)))
    try:
        image.load()
    except OSError:
        if not keep:
            raise
    return image
