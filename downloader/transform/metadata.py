"""Metadata of a file: its orientation, its copyright, and what of it goes into the output.

None of it can be trusted. A damaged block counts as absent: an image never fails because of it.
"""

import html
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import ExifTags, Image, TiffImagePlugin

from downloader.config.settings import Metadata

_TEXT_LIMIT_BYTES = 4096
"""The longest copyright or artist text that is kept; a real notice has a line or two."""

_BLOCK_LIMIT_BYTES = 65_000
"""The longest EXIF or XMP block that is kept: what fits into one JPEG segment of 65,533 bytes with its header."""

_ORIENTATIONS = range(1, 9)
_MAKER_NOTE = 0x927C
_PIXEL_SIDES = (0xA002, 0xA003)
"""PixelXDimension and PixelYDimension (EXIF 2.32, table 4)."""

_STRUCTURE_TAGS = frozenset(
    (
        *range(0x00FE, 0x010D),  # NewSubfileType to CellLength: sides, bits, compression of the old file
        0x0111,
        *range(0x0115, 0x011A),
        *range(0x011C, 0x0128),
        *range(0x013D, 0x0157),
        0x0200,
        *range(0x0201, 0x020A),
        0x02BC,  # XMP
        0x828D,
        0x828E,
        0x83BB,  # IPTC
        0x8649,  # Photoshop resources
        0x8773,  # ICC profile
        0x935C,  # Photoshop layers
        0xC4A5,  # print image matching
    )
)
"""TIFF 6.0 and TIFF/EP tags that describe how the *source file* stores pixels; they would be wrong in another file."""

_DIRECTORIES: tuple[tuple[str, dict[int, str], Callable[[Image.Exif], Mapping[int, object]]], ...] = (
    ("Image", ExifTags.TAGS, lambda exif: exif),
    ("EXIF", ExifTags.TAGS, lambda exif: exif.get_ifd(ExifTags.IFD.Exif)),
    ("GPS", ExifTags.GPSTAGS, lambda exif: exif.get_ifd(ExifTags.IFD.GPSInfo)),
)
_DESCRIBED_DIRECTORIES: dict[Metadata, tuple[str, ...]] = {
    "copyright": ("Image",),
    "all-but-gps": ("Image", "EXIF"),
    "all": ("Image", "EXIF", "GPS"),
}
_RIGHTS = frozenset({int(ExifTags.Base.Artist), int(ExifTags.Base.Copyright)})
_UNDESCRIBED = _STRUCTURE_TAGS | {
    int(ExifTags.Base.Orientation),
    _MAKER_NOTE,
    *(int(directory) for directory in ExifTags.IFD),
}

_IPTC_COPYRIGHT, _IPTC_BYLINE = 116, 80
"""Datasets of record 2 (IPTC-IIM 4.2, 2:116 and 2:80)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Metadata for one output file; empty bytes where there is none.

    `complete` is false if the policy would keep more, but it is too long to be written.
    """

    exif: bytes = b""
    xmp: bytes = b""
    comment: bytes = b""
    complete: bool = True


def _exif(image: Image.Image) -> Image.Exif | None:
    """The EXIF block as Pillow reads it, also from XMP (orientation), PNG eXIf, WebP, AVIF and TIFF; None if damaged.

    For PNG, Pillow decodes all pixels to find it, so call this only after they have been decoded.
    """
    try:
        return image.getexif()
    except Exception:  # noqa: BLE001 - Pillow raises almost anything on damaged EXIF; see the module docstring
        return None


def _tag(image: Image.Image, tag: int) -> object:
    """The value of a tag of the main directory; None if absent or damaged."""
    exif = _exif(image)
    try:
        return None if exif is None else exif.get(tag)
    except Exception:  # noqa: BLE001 - values are parsed on access, and fail as the block does
        return None


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 if there is none or its value is undefined."""
    if not any(key in image.info for key in ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")):
        return 1  # the fast path; TIFF, which stores the tag elsewhere, is turned upright by Pillow while loading
    value = _tag(image, ExifTags.Base.Orientation)
    return value if isinstance(value, int) and value in _ORIENTATIONS else 1


def kept(image: Image.Image, policy: Metadata, size: tuple[int, int]) -> Blocks:
    """The part of the source's metadata that goes into an output of this size, in pixels.

    - `none`: nothing.
    - `copyright`: copyright notice and author, from EXIF, IPTC or XMP, rewritten as EXIF Copyright and Artist.
    - `all-but-gps`: EXIF without position and maker note (opaque, may hold a position), XMP unless it mentions GPS.
    - `all`: EXIF, XMP and the comment.

    In every case the orientation is removed (it is in the pixels now), EXIF pixel sides are those of the output, and
    the source's embedded thumbnail is left out.
    """
    if policy == "none" or not (image.info or hasattr(image, "tag_v2")):
        return Blocks()
    if policy == "copyright":
        return Blocks(exif=_rights_block(image))
    with_gps = policy == "all"
    exif, exif_fits = _whole_exif(image, size, with_gps=with_gps)
    return Blocks(
        exif=exif or _rights_block(image),
        xmp=_whole_xmp(image, with_gps=with_gps),
        comment=_comment(image) if with_gps else b"",
        complete=exif_fits and len(_packet(image)) <= _BLOCK_LIMIT_BYTES,
    )


def described(image: Image.Image, policy: Metadata) -> str | None:
    """The part of the source's EXIF that `kept` would keep, as a JSON object of texts; None if there is none.

    Names are those of the tags, after `Image`, `EXIF` or `GPS` for the directory they are in, as in img2dataset. Blobs
    and structure tags are left out, so is the orientation: it is in the pixels.
    """
    has_block = bool({"exif", "Raw profile type exif"} & image.info.keys()) or hasattr(image, "tag_v2")
    exif = _exif(image) if has_block else None
    if policy == "none" or not exif:
        return None
    texts: dict[str, str] = {}
    for prefix, names, read in _DIRECTORIES:
        if prefix in _DESCRIBED_DIRECTORIES[policy]:
            for tag, value in _directory(exif, read).items():
                is_wanted = tag in _RIGHTS if policy == "copyright" else tag not in _UNDESCRIBED
                if is_wanted and (text := _described_value(value)):
                    texts[f"{prefix} {names.get(tag, f'0x{tag:04X}')}"] = text
    return json.dumps(texts) if texts else None


def _directory(exif: Image.Exif, read: Callable[[Image.Exif], Mapping[int, object]]) -> dict[int, object]:
    """The tags of a directory; none if it is damaged."""
    try:
        return dict(read(exif))
    except Exception:  # noqa: BLE001 - values are parsed on access; see the module docstring
        return {}


def _described_value(value: object) -> str:
    """A value as text; empty for blobs and what is too long."""
    if isinstance(value, bytes):
        try:
            text = value.rstrip(b"\0").decode("ascii")
        except UnicodeDecodeError:
            return ""
    elif isinstance(value, tuple):
        text = f"[{', '.join(map(_described_value, value))}]"
    elif isinstance(value, TiffImagePlugin.IFDRational):
        text = f"{value.numerator}/{value.denominator}" if value.denominator != 1 else str(value.numerator)
    else:
        text = str(value)
    text = text.replace("\0", "").strip()
    return text if len(text) <= _TEXT_LIMIT_BYTES and text.isprintable() else ""


def _rights_block(image: Image.Image) -> bytes:
    """An EXIF block with copyright and artist only; empty if the source names neither."""
    iptc, xmp = _iptc(image), _xmp(image)
    artist = _ascii_tag(_tag(image, ExifTags.Base.Artist)) or iptc.get(_IPTC_BYLINE) or _xmp_text(xmp, b"creator")
    rights = _ascii_tag(_tag(image, ExifTags.Base.Copyright)) or iptc.get(_IPTC_COPYRIGHT) or _xmp_text(xmp, b"rights")
    return _exif_of_texts({ExifTags.Base.Artist: artist, ExifTags.Base.Copyright: rights})


def _ascii_tag(value: object) -> bytes:
    """The bytes of an ASCII tag as they are in the file; Pillow decodes them as Latin-1."""
    raw = value.encode("latin-1", "replace") if isinstance(value, str) else value
    return raw.strip(b"\x00 ")[:_TEXT_LIMIT_BYTES] if isinstance(raw, bytes) else b""


def _exif_of_texts(texts: dict[int, bytes]) -> bytes:
    """A little-endian EXIF block with one directory of ASCII tags (TIFF 6.0 section 2; tags in ascending order)."""
    texts = {int(tag): text + b"\x00" for tag, text in texts.items() if text}
    if not texts:
        return b""
    entries, values = b"", b""
    values_at = 8 + 2 + 12 * len(texts) + 4
    for tag, text in sorted(texts.items()):
        inline = len(text) <= 4  # noqa: PLR2004 - a value of up to 4 bytes is stored in the entry itself
        field = text.ljust(4, b"\x00") if inline else struct.pack("<I", values_at + len(values))
        entries += struct.pack("<HHI", tag, 2, len(text)) + field
        values += b"" if inline else text + b"\x00" * (len(text) % 2)
    return b"Exif\x00\x00II*\x00" + struct.pack("<IH", 8, len(texts)) + entries + struct.pack("<I", 0) + values


def _iptc(image: Image.Image) -> dict[int, bytes]:
    """Datasets of IPTC record 2 in the Photoshop block of a JPEG, the first of each number."""
    resources = image.info.get("photoshop")
    block = resources.get(0x0404) if isinstance(resources, dict) else None  # 0x0404: the IPTC-NAA resource
    found: dict[int, bytes] = {}
    at = 0
    while isinstance(block, bytes) and block[at : at + 2] == b"\x1c\x02" and at + 5 <= len(block):
        length = int.from_bytes(block[at + 3 : at + 5], "big")
        found.setdefault(block[at + 2], block[at + 5 : at + 5 + min(length, _TEXT_LIMIT_BYTES)].strip(b"\x00 "))
        at += 5 + length
    return found


def _packet(image: Image.Image) -> bytes:
    """The XMP packet as it is; empty if there is none."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    return packet.rstrip(b"\x00") if isinstance(packet, bytes) else b""


def _xmp(image: Image.Image) -> bytes:
    """The XMP packet; empty if there is none, it is not UTF-8, or it is too long to keep."""
    packet = _packet(image)
    return b"" if len(packet) > _BLOCK_LIMIT_BYTES or b"\x00" in packet else packet


def _xmp_text(packet: bytes, name: bytes) -> bytes:
    """The first text of the Dublin Core property `name` (XMP specification part 1, 8.3), as UTF-8."""
    start = packet.find(b"<dc:" + name)
    end = packet.find(b"</dc:" + name, start)
    if start < 0 or end < 0:
        return b""
    match = re.search(rb"<rdf:li[^>]*>([^<]*)<", packet[start:end])
    text = html.unescape(match[1].decode("utf-8", "replace")) if match else ""
    return text.strip().encode("utf-8")[:_TEXT_LIMIT_BYTES]


def _whole_exif(image: Image.Image, size: tuple[int, int], *, with_gps: bool) -> tuple[bytes, bool]:
    """The EXIF block rewritten without what is no longer true, and whether all of it could be kept.

    Empty if there is none or it cannot be written. If it is too long, the maker note is dropped first.
    """
    exif = _exif(image)
    if not exif:
        return b"", True
    try:
        camera = exif.get_ifd(ExifTags.IFD.Exif)
        for tag, side in zip(_PIXEL_SIDES, size, strict=True):
            if tag in camera:
                camera[tag] = side
        if not with_gps:
            camera.pop(_MAKER_NOTE, None)
        for tag in [tag for tag in exif if tag in _STRUCTURE_TAGS or tag == ExifTags.Base.Orientation]:
            del exif[tag]
        if not with_gps and ExifTags.IFD.GPSInfo in exif:
            del exif[ExifTags.IFD.GPSInfo]
        block = exif.tobytes()
        fits = len(block) <= _BLOCK_LIMIT_BYTES
        if not fits and camera.pop(_MAKER_NOTE, None) is not None:
            block = exif.tobytes()
    except Exception:  # noqa: BLE001 - values of a type that their tag does not allow; see the module docstring
        return b"", True
    return block if len(block) <= _BLOCK_LIMIT_BYTES else b"", fits


def _whole_xmp(image: Image.Image, *, with_gps: bool) -> bytes:
    """The XMP packet without orientation; unless `with_gps`, none at all if it mentions GPS."""
    packet = _xmp(image)
    if not with_gps and b"gps" in packet.lower():
        return b""
    return re.sub(rb'tiff:Orientation="\d*"|<tiff:Orientation>\d*</tiff:Orientation>', b"", packet)


def _comment(image: Image.Image) -> bytes:
    comment = image.info.get("comment", b"")
    return comment[:_TEXT_LIMIT_BYTES] if isinstance(comment, bytes) else b""


def has_gain_map(image: Image.Image, data: bytes) -> bool:
    """Whether a JPEG carries an HDR gain map, which Pillow does not decode.

    Ultra HDR (Android) and ISO 21496-1 mark it in an application segment of the first picture; Apple does so in the
    second picture of a multi-picture file.
    """
    segments = getattr(image, "applist", ())
    if any(b"hdrgm:" in content or b"urn:iso:std:iso:ts:21496" in content for _, content in segments):
        return True
    return "mp" in image.info and b"HDRGainMap" in data
