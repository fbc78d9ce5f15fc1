"""Metadata of outputs: exactly what the policy names."""

import json
import struct
from io import BytesIO
from typing import Any

import pytest
from making import corners, made, noise, pixel, saved, shown
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from downloader.config.settings import TransformOptions
from downloader.config.values import parse_sizes
from downloader.model.failures import Warn
from downloader.transform.image import Picture, render

OUTPUTS = ("jpeg", "png", "webp", "avif")
COPYRIGHT, ARTIST, MODEL, ORIENTATION = 0x8298, 0x013B, 0x0110, 0x0112
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
PIXEL_X, PIXEL_Y, MAKER_NOTE = 0xA002, 0xA003, 0x927C

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="1">'
    '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Jane &amp; Co</rdf:li></rdf:Alt></dc:rights>'
    "<dc:creator><rdf:Seq><rdf:li>Jane</rdf:li></rdf:Seq></dc:creator>{more}</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def camera_exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[COPYRIGHT], exif[ARTIST], exif[MODEL], exif[ORIENTATION] = "(c) Ann", "Ann", "Cam 1", orientation
    exif[0x0100], exif[0x0111] = 4711, 4711  # tags that describe how a TIFF stores its pixels
    exif.get_ifd(EXIF_IFD).update({PIXEL_X: 640, PIXEL_Y: 480, MAKER_NOTE: b"secret place", 0x9286: b"a comment"})
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (48.0, 8.0, 0.0)})
    return exif.tobytes()


def photo(name: str = "JPEG", **more: object) -> bytes:
    return saved(corners(80, 60), name, exif=camera_exif(), **more)


def exif_of(picture: Picture) -> Image.Exif:
    return shown(picture).getexif()


@pytest.mark.parametrize("output", OUTPUTS)
def test_none_leaves_nothing(output: str) -> None:
    """With `none` no encoder copies anything from the source."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = photo(icc_profile=profile, comment=b"hello", xmp=XMP.format(more="").encode())
    picture = made(data, format=output, metadata="none")
    assert not exif_of(picture)
    assert not {"exif", "xmp", "icc_profile", "comment", "XML:com.adobe.xmp"} & set(shown(picture).info)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_copyright_keeps_notice_and_author_only(name: str, output: str) -> None:
    """Default policy: Copyright and Artist survive in every format, everything else is gone."""
    assert dict(exif_of(made(photo(name), format=output))) == {COPYRIGHT: "(c) Ann", ARTIST: "Ann"}


@pytest.mark.parametrize("source", ["exif", "xmp", "iptc"])
def test_copyright_is_found_where_it_stands(source: str) -> None:
    """Rights come from EXIF, else from IPTC, else from XMP; text that is not ASCII is kept byte for byte."""
    notice = "© Zoë"
    if source == "exif":
        exif = Image.Exif()
        exif[COPYRIGHT] = notice.encode()
        data = saved(corners(), "JPEG", exif=exif.tobytes())
    elif source == "xmp":
        notice = "© Jane & Co"
        data = saved(corners(), "JPEG", xmp=XMP.format(more="").encode())
    else:
        record = b"\x1c\x02\x74" + len(notice.encode()).to_bytes(2, "big") + notice.encode()
        record = b"\x1c\x02\x50\x00\x03Zoe" + record
        block = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + len(record).to_bytes(4, "big") + record
        plain = saved(corners(), "JPEG")
        data = plain[:2] + b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block + plain[2:]
    exif = exif_of(made(data))
    assert str(exif[COPYRIGHT]).encode("latin-1").decode() == notice
    assert exif.get(ARTIST) == {"exif": None, "xmp": "Jane", "iptc": "Zoe"}[source]


@pytest.mark.parametrize("output", OUTPUTS)
def test_all_but_gps_has_no_place(output: str) -> None:
    """No GPS directory and no maker note in any format, the rest of EXIF is there."""
    xmp = XMP.format(more="<exif:GPSLatitude>48,8N</exif:GPSLatitude>").encode()
    picture = made(photo(xmp=xmp), format=output, metadata="all-but-gps")
    exif = exif_of(picture)
    assert (exif[MODEL], exif[COPYRIGHT]) == ("Cam 1", "(c) Ann")
    assert not exif.get_ifd(GPS_IFD)
    assert MAKER_NOTE not in exif.get_ifd(EXIF_IFD)
    assert b"GPS" not in picture.renditions[0].data
    assert b"secret place" not in picture.renditions[0].data


def test_all_but_gps_keeps_harmless_xmp() -> None:
    """XMP that does not mention GPS is kept, without its orientation."""
    info = shown(made(photo(xmp=XMP.format(more="").encode()), metadata="all-but-gps")).info
    assert b"Jane" in info["xmp"]
    assert b"Orientation" not in info["xmp"]


@pytest.mark.parametrize("output", OUTPUTS)
def test_all_is_all_that_is_still_true(output: str) -> None:
    """Orientation is gone, the pixel sides are the output's, GPS and the rest stay."""
    picture = made(photo(xmp=XMP.format(more="").encode(), comment=b"hello"), "40", format=output, metadata="all")
    image = shown(picture)
    exif = image.getexif()
    camera = exif.get_ifd(EXIF_IFD)
    assert image.size == (30, 40)
    assert (camera[PIXEL_X], camera[PIXEL_Y], camera[MAKER_NOTE]) == (30, 40, b"secret place")
    assert ORIENTATION not in exif
    assert exif.get_ifd(GPS_IFD)[2] == (48.0, 8.0, 0.0)
    assert not {0x0100, 0x0111} & set(exif)
    assert b"Jane" in picture.renditions[0].data
    if output == "jpeg":
        assert image.info["comment"] == b"hello"


def test_every_size_has_its_own_sides_in_exif() -> None:
    """With several sizes, each output has its own in EXIF."""
    picture = made(photo(), "40 20", metadata="all")
    sides = [shown(picture, index).getexif().get_ifd(EXIF_IFD) for index in range(2)]
    assert [(side[PIXEL_X], side[PIXEL_Y]) for side in sides] == [(30, 40), (15, 20)]


@pytest.mark.parametrize("policy", ["copyright", "all-but-gps", "all"])
def test_the_embedded_thumbnail_does_not_leak(policy: str) -> None:
    """The thumbnail of the source shows what a crop removed, so no output carries it."""
    thumbnail = saved(noise(32, 32), "JPEG")
    second = 8 + 2 + 12 + 4  # where the directory of the thumbnail begins
    block = struct.pack("<4sI", b"II*\x00", 8)
    block += struct.pack("<HHHI4sI", 1, COPYRIGHT, 2, 2, b"x", second)
    block += struct.pack("<HHHII", 2, 0x0201, 4, 1, second + 2 + 24 + 4)
    block += struct.pack("<HHIII", 0x0202, 4, 1, len(thumbnail), 0)
    data = saved(corners(), "JPEG", exif=b"Exif\x00\x00" + block + thumbnail)
    assert Image.open(BytesIO(data)).getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] == len(thumbnail), (
        "a thumbnail worth testing"
    )
    output = made(data, metadata=policy).renditions[0].data
    assert output.count(b"\xff\xd8\xff") == 1


def test_damaged_rights_are_no_reason_to_fail() -> None:
    """Untrusted metadata: broken IPTC, XMP and tags of odd types count as absent."""
    exif = Image.Exif()
    exif[COPYRIGHT] = 7
    xmp = b"<dc:rights><rdf:li" + b"\xff\xfe" * 40
    for policy in ("copyright", "all-but-gps", "all"):
        picture = made(saved(corners(), "JPEG", exif=exif.tobytes(), xmp=xmp), metadata=policy)
        assert pixel(shown(picture), 20, 15)


def test_metadata_too_long_for_a_segment_is_left_out() -> None:
    """A JPEG segment holds 65,533 bytes: longer EXIF or XMP is dropped with a warning, never an `encode` failure."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.format(more="x" * 70_000))
    exif = Image.Exif()
    exif[COPYRIGHT] = "c" * 50_000
    exif.get_ifd(EXIF_IFD)[MAKER_NOTE] = b"m" * 60_000
    data = saved(corners(), pnginfo=text, exif=exif.tobytes())
    for policy in ("copyright", "all-but-gps", "all"):
        picture = made(data, format="jpeg", metadata=policy)
        assert str(exif_of(picture)[COPYRIGHT]).startswith("ccc")
        assert len(picture.renditions[0].data) < 70_000
        assert picture.warnings == (() if policy == "copyright" else (Warn.METADATA_DROPPED,))


@pytest.mark.parametrize("block", ["exif", "xmp"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_longest_metadata_that_is_kept_fits_every_format(output: str, block: str) -> None:
    """A block just below the limit goes into each format whole, without a warning; one just above does not."""
    for length, warnings in ((64_500, ()), (65_500, (Warn.METADATA_DROPPED,))):
        exif = Image.Exif()
        exif[0x010E] = "d" * (length if block == "exif" else 10)
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", "<x>" + "x" * (length if block == "xmp" else 10) + "</x>")
        picture = made(saved(corners(), pnginfo=text, exif=exif.tobytes()), format=output, metadata="all")
        assert picture.warnings == warnings
        assert (len(picture.renditions[0].data) > length) == (not warnings)
        assert shown(picture).size == (80, 60)


@pytest.mark.parametrize("name", OUTPUTS)
def test_xmp_goes_through_png_and_back(name: str) -> None:
    """XMP of a PNG (iTXt) is kept by `all` in every format."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.format(more=""))
    info = shown(made(saved(corners(), pnginfo=text), format=name, metadata="all")).info
    assert "© Jane" in info["xmp"].decode()


def test_a_gain_map_that_is_dropped_is_said() -> None:
    """An Ultra HDR JPEG loses its gain map, which is a warning; a plain JPEG is not warned about."""
    assert made(saved(corners(), "JPEG", xmp=b'<x hdrgm:Version="1.0"/>')).warnings == (Warn.HDR_GAINMAP_DROPPED,)
    apple = saved(corners(), "MPO", save_all=True, append_images=[noise(8, 8)]) + b"<HDRGainMap:HDRGainMapVersion>"
    assert made(apple).warnings == (Warn.HDR_GAINMAP_DROPPED,)
    assert made(saved(corners(), "JPEG", xmp=b"<x/>")).warnings == ()


def test_the_second_picture_of_an_mpo_is_gone() -> None:
    """An MPO becomes a single JPEG, without a warning about frames."""
    picture = made(saved(corners(), "MPO", save_all=True, append_images=[noise(8, 8)]))
    assert picture.warnings == ()
    assert picture.renditions[0].data.count(b"\xff\xd8\xff") == 1


DESCRIBED: dict[str, set[str]] = {
    "none": set(),
    "copyright": {"Image Artist", "Image Copyright"},
    "all-but-gps": {"Image Artist", "Image Copyright", "Image Model", "EXIF ExifImageWidth", "EXIF ExifImageHeight"},
}
DESCRIBED["all-but-gps"] |= {"EXIF UserComment"}
DESCRIBED["all"] = DESCRIBED["all-but-gps"] | {"GPS GPSLatitudeRef", "GPS GPSLatitude"}


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("policy", DESCRIBED)
def test_exif_as_text_is_what_the_policy_keeps(policy: Any, name: str) -> None:
    """By tag, without what describes the old file, blobs and the orientation; only where it is asked for."""
    data = photo(name)
    picture = render(data, TransformOptions(metadata=policy, resize=parse_sizes("20")), reads_exif=True)
    texts = json.loads(picture.exif or "{}")
    assert set(texts) == DESCRIBED[policy]
    assert texts.get("Image Model", "Cam 1") == "Cam 1"
    assert texts.get("GPS GPSLatitude", "[48, 8, 0]") == "[48, 8, 0]"
    assert made(data, metadata=policy).exif is None


def test_without_exif_there_is_no_text() -> None:
    assert render(saved(corners()), TransformOptions(metadata="all"), reads_exif=True).exif is None


def test_damaged_exif_is_no_text_and_no_failure() -> None:
    """Every byte of the block changed, one at a time: an image, and text or none."""
    block = camera_exif()
    for index in range(6, len(block)):
        broken = block[:index] + bytes([block[index] ^ 0xFF]) + block[index + 1 :]
        picture = render(saved(corners(8, 8), "JPEG", exif=broken), TransformOptions(metadata="all"), reads_exif=True)
        assert isinstance(json.loads(picture.exif or "{}"), dict)
