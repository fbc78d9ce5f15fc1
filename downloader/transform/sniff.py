"""Identify a file by its first bytes, never by its name. Pure.

Answers which image format it is (or what else it looks like, in words for the user), and whether a file of a known
format ends before it should. Magic numbers are those of the formats' own specifications.
"""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from downloader.model.failures import FailureKind
from downloader.transform import jpeg

FORMATS = ("jpeg", "png", "gif", "webp", "avif", "bmp", "tiff")
"""The formats that are read. No others: Pillow would run Ghostscript for EPS, and rare parsers are the least secure."""

_HEAD_BYTES = 1024
"""How much of a text is examined: what the WHATWG "MIME Sniffing" standard reads (1,445 bytes), rounded down."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """A format that can be read: one of `FORMATS`, or `heif` if its plugin is installed."""

    format: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Data that cannot be read: `label` says what it looks like ("an HTML page"), `advice` what to do about it."""

    kind: FailureKind
    label: str
    advice: str = ""


_CONVERT = "convert it to JPEG or PNG first"

_KNOWN = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)

_UNSUPPORTED = (
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"8BPS", "a Photoshop document"),
    (b"%!PS", "a PostScript or EPS drawing"),
    (b"\xc5\xd0\xd3\xc6", "an EPS drawing"),
    (b"\x00\x00\x01\x00", "a Windows icon"),
    (b"\x00\x00\x02\x00", "a Windows cursor or a Targa image"),
    (b"icns", "a macOS icon"),
    (b"DDS ", "a DDS texture"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"qoif", "a QOI image"),
    (b"farbfeld", "a farbfeld image"),
    (b"\x01\xda\x00\x01", "an SGI image"),
    (b"\x01\xda\x00\x02", "an SGI image"),
    (b"\x01\xda\x01\x01", "an SGI image"),
    (b"\x01\xda\x01\x02", "an SGI image"),
    (b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (b"/* XPM */", "an X pixmap"),
    (b"gimp xcf", "a GIMP document"),
    (b"SIMPLE  =", "a FITS image"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"AT&TFORM", "a DjVu document"),
    (b"BPG\xfb", "a BPG image"),
    (b"FLIF", "a FLIF image"),
    (b"\x8aMNG\r\n\x1a\n", "an MNG animation"),
    (b"\x8bJNG\r\n\x1a\n", "a JNG image"),
    (b"II\xbc\x01", "a JPEG XR image"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIRS", "a camera raw file"),
    (b"IIU\x00", "a camera raw file"),
)

_OTHER = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"OggS", "an Ogg sound or video file"),
    (b"ID3", "an MP3 sound file"),
    (b"fLaC", "a FLAC sound file"),
    (b"FLV\x01", "a Flash video"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"wOFF", "a web font"),
    (b"wOF2", "a web font"),
    (b"SQLite format 3\x00", "an SQLite database"),
)

_MAGIC: tuple[tuple[bytes, Recognized | Rejected], ...] = (
    *((magic, Recognized(name)) for magic, name in _KNOWN),
    *((magic, Rejected(FailureKind.UNSUPPORTED_FORMAT, label, _CONVERT)) for magic, label in _UNSUPPORTED),
    *((magic, Rejected(FailureKind.NOT_AN_IMAGE, label)) for magic, label in _OTHER),
)

_TIFF_MAGIC = frozenset((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"))
_BMP_HEADERS = frozenset((12, *range(16, 65, 4), 108, 124))
"""Sizes of the known BMP headers (those of OS/2 may end early); the two letters of magic alone would match text."""

_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|title|meta|iframe|h1|div|p|br|a|table)\b", re.IGNORECASE
)
_GZIP = b"\x1f\x8b"
_SVG = re.compile(rb"<(?:\w+:)?svg\b", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
_LEAD = re.compile(rb"(?:\xef\xbb\xbf|[\s\x00]){1,64}")
"""What scripts write before an image by mistake. No browser and no library looks behind it."""

_PNM = re.compile(rb"P[1-7][\s#]")
_PNM = re.compile(rb"P[1-7Ff][\s#]")
_PCX = re.compile(rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]")


def identify(data: bytes) -> Recognized | Rejected:
    """Identify these bytes."""
    by_magic = next((what for magic, what in _MAGIC if data.startswith(magic)), None)
    if data.startswith(_GZIP) and _SVG.search(_unpacked(data)):
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a compressed SVG drawing", "render it to PNG first")
    return by_magic or _container(data) or _loose(data) or _text_or_nothing(data)


def _container(data: bytes) -> Recognized | Rejected | None:
    """Identify formats whose first bytes only name the container."""
    if data[:4] == b"RIFF":
        return _riff(data)
    if data[4:8] == b"ftyp":
        return _iso_media(data)
    if data[:4] in _TIFF_MAGIC:
        return _tiff(data)
    return None


def _loose(data: bytes) -> Recognized | Rejected | None:
    """Identify formats that have no fixed magic number."""
    if data[:2] == b"BM" and _u32(data, 14) in _BMP_HEADERS:
        return Recognized("bmp")
    if data[1:4] == b"PNG":  # the rest of the signature exists to detect this (PNG 3rd edition, 5.2)
        return Rejected(
            FailureKind.CORRUPT_IMAGE, "a PNG image that was changed on its way as if it were text", "fetch it again"
        )
    lead = _LEAD.match(data)
    if lead and (known := next((name for magic, name in _KNOWN if data.startswith(magic, lead.end())), None)):
        return Rejected(
            FailureKind.CORRUPT_IMAGE, f"a {known.upper()} image behind {lead.end()} bytes of text", "fetch it again"
        )
    if _PNM.match(data):
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a PNM image", _CONVERT)
    if _u32(data, 0) in _BMP_HEADERS and data[12:14] == b"\x01\x00":  # one plane
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a bitmap without its file header", _CONVERT)
    if _is_targa(data):
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a Targa image", _CONVERT)
    if _PCX.match(data):
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a PCX image", _CONVERT)
    if data[:2] == b"BA" and data[14:16] == b"BM":
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "an array of OS/2 bitmaps", _CONVERT)
    return None


def _is_targa(data: bytes) -> bool:
    """Whether all fields of the header have values that Truevision's specification (TGA 2.0, C.2) allows."""
    if len(data) < 18 or data[1] > 1 or data[2] not in {1, 2, 3, 9, 10, 11}:  # noqa: PLR2004 - bytes of the header
        return False
    has_map, is_mapped, depth = data[1] == 1, data[2] in {1, 9}, data[16]
    return (
        has_map == is_mapped
        and (has_map or not any(data[3:8]))
        and any(data[12:14])
        and any(data[14:16])
        and depth in ({8, 16} if is_mapped else {8, 15, 16, 24, 32})
    )


def _unpacked(data: bytes) -> bytes:
    """The beginning of gzip-compressed data."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[:_HEAD_BYTES], _HEAD_BYTES)
    except zlib.error:
        return b""


def _riff(data: bytes) -> Recognized | Rejected:
    """RIFF containers: WebP, or sound and video."""
    kind = data[8:12]
    if kind == b"WEBP":
        return Recognized("webp")
    labels = {b"AVI ": "an AVI video", b"WAVE": "a WAV sound file"}
    return Rejected(FailureKind.NOT_AN_IMAGE, labels.get(kind, "a RIFF file that holds no image"))


def _iso_media(data: bytes) -> Recognized | Rejected:
    """ISO base media files (ISO/IEC 14496-12): a major brand, then compatible ones in the same box."""
    end = min(_u32(data, 0, big=True), _HEAD_BYTES)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in {b"avif", b"avis"}:
        return Recognized("avif")
    if brands[0] in {b"mif1", b"msf1", *_HEIF_BRANDS}:
        return (
            Recognized("avif")
            if {b"avif", b"avis"} & set(brands) and brands[0] not in _HEIF_BRANDS
            else Recognized("heif")
        )
    if brands[0] == b"crx ":
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a camera raw file", _CONVERT)
    if brands[0] in {b"jxl ", b"jp2 ", b"jpx "}:
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a JPEG XL or JPEG 2000 image", _CONVERT)
    return Rejected(FailureKind.NOT_AN_IMAGE, "a video")


def _tiff(data: bytes) -> Recognized | Rejected:
    """TIFF, or the camera raw formats that borrow its header."""
    if data[8:10] == b"CR":
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "a camera raw file", _CONVERT)
    return Recognized("tiff")


def _text_or_nothing(data: bytes) -> Rejected:
    """The best description of data without a magic number."""
    head = data[:_HEAD_BYTES]
    if not head.strip(b"\x00"):
        return Rejected(FailureKind.NOT_AN_IMAGE, "a run of zero bytes" if data else "an empty file")
    text = head.replace(b"\x00", b"").removeprefix(b"\xef\xbb\xbf").lstrip()  # UTF-16 pages: without their zero bytes
    html, svg = _HTML.search(text), _SVG.search(text)
    if svg and (html is None or svg.start() < html.start()):
        return Rejected(FailureKind.UNSUPPORTED_FORMAT, "an SVG drawing", "render it to PNG first")
    if html:
        return Rejected(FailureKind.NOT_AN_IMAGE, "an HTML page", "look at what the URL shows in a browser")
    label = {b"<": "an XML document", b"{": "a JSON document", b"[": "a JSON document"}.get(text[:1])
    if label is None:
        label = "data of no known image format" if _CONTROL.search(head) else "a text file"
    return Rejected(FailureKind.NOT_AN_IMAGE, label)


def ends_early(name: str, data: bytes) -> bool:
    """Whether a file of the format `name` stops before its own structure says it should.

    Used only once decoding has failed, to distinguish a truncated file (fetch it again) from a damaged one. TIFF may
    store its directory anywhere, so it cannot be told there.
    """
    ends = _ENDS.get(name)
    return ends is not None and not ends(data)


def _jpeg_has_end(data: bytes) -> bool:
    """An end-of-image marker after the last start-of-scan marker (ITU-T T.81 B.1.1.3)."""
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _png_has_end(data: bytes) -> bool:
    """Chunks run without a gap to IEND (PNG 3rd edition, 5.3: length, type, data, CRC)."""
    at = 8
    while at + 8 <= len(data):
        kind = data[at + 4 : at + 8]
        if kind == b"IEND":
            return True
        at += 12 + _u32(data, at, big=True)
    return False


def _iso_boxes_fit(data: bytes) -> bool:
    """The top-level boxes end within the file; size 0 means until its end, 1 that a 64-bit size follows the type."""
    at = 0
    while at + 8 <= len(data):
        size = _u32(data, at, big=True)
        if size == 0:
            return True
        if size == 1 and at + 16 <= len(data):
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # noqa: PLR2004 - smaller than its own header: damaged, not truncated
            return True
        at += size
    return at == len(data)


def _gif_has_end(data: bytes) -> bool:
    """The trailer (GIF89a section 27), perhaps with padding after it."""
    return data.rstrip(b"\x00").endswith(b";")


_ENDS: dict[str, Callable[[bytes], bool]] = {
    "jpeg": _jpeg_has_end,
    "png": _png_has_end,
    "gif": _gif_has_end,
    "webp": lambda data: len(data) >= 8 + _u32(data, 4),  # RIFF: the size of all that follows
    "bmp": lambda data: len(data) >= _u32(data, 2),  # the file size in the file header
    "avif": _iso_boxes_fit,
    "heif": _iso_boxes_fit,
}


_ISPE = re.compile(rb"ispe\x00{4}(.{8})", re.DOTALL)
_META_BYTES = 65_536
"""How far into a file its description is searched for; it has a few hundred bytes, before the pixels."""


def sides(name: str, data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels as the file declares them; None if they are not found, and for other formats.

    For formats whose size must be known before the decoder is called: libwebp allocates all pixels when it opens a
    file, and libavif reports an image beyond its own limit as broken.
    """
    width = height = 0
    if name == "jpeg" and (frame := jpeg.frame(data)) is not None:
        width, height = frame.width, frame.height
    elif name == "webp" and len(data) >= 30:  # noqa: PLR2004 - RFC 9649: two headers and 10 bytes; no file is shorter
        width, height = _webp_sides(data)
    elif name in {"avif", "heif"}:  # the largest of its pictures, tiles and thumbnails: ISO/IEC 23008-12, 6.5.3
        declared = (struct.unpack(">II", sides) for sides in _ISPE.findall(data[:_META_BYTES]))
        width, height = max(declared, key=lambda sides: sides[0] * sides[1], default=(0, 0))
    return (width, height) if width and height else None


def _webp_sides(data: bytes) -> tuple[int, int]:
    """The sides of the canvas by the first chunk of a WebP (RFC 9649, 2.5 to 2.7)."""
    match data[12:16]:
        case b"VP8X":  # each 24 bits, less 1
            return 1 + _u32(data, 24) % 2**24, 1 + (_u32(data, 26) >> 8)
        case b"VP8L":  # each 14 bits, less 1, behind a signature byte
            packed = _u32(data, 21)
            return 1 + packed % 2**14, 1 + (packed >> 14) % 2**14
        case b"VP8 ":  # each 14 bits and 2 for scaling, behind frame tag and start code
            return _u32(data, 26) % 2**14, (_u32(data, 26) >> 16) % 2**14
    return 0, 0


def _u32(data: bytes, at: int, *, big: bool = False) -> int:
    """An unsigned 32-bit number; 0 where the file is too short."""
    piece = data[at : at + 4]
    return struct.unpack(">I" if big else "<I", piece)[0] if len(piece) == 4 else 0  # noqa: PLR2004
