"""Identifying a file by its first bytes."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import corners, noise, saved

from downloader.model.failures import FailureKind
from downloader.transform import jpeg, sniff


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_formats_that_are_read_are_known_by_magic(name: str) -> None:
    """The content decides the format; there is no file name."""
    assert sniff.identify(saved(corners(), name)) == sniff.Recognized(name.lower())


@pytest.mark.parametrize(
    ("data", "kind", "label"),
    [
        (b"", FailureKind.NOT_AN_IMAGE, "an empty file"),
        (b"\x00" * 3000, FailureKind.NOT_AN_IMAGE, "a run of zero bytes"),
        (b"<!DOCTYPE html><html>", FailureKind.NOT_AN_IMAGE, "an HTML page"),
        (b"\n\n  <html><body><svg/></body>", FailureKind.NOT_AN_IMAGE, "an HTML page"),
        (b"\xef\xbb\xbf<html>", FailureKind.NOT_AN_IMAGE, "an HTML page"),
        ("<html>".encode("utf-16"), FailureKind.NOT_AN_IMAGE, "an HTML page"),
        (b'<?xml version="1.0"?><feed/>', FailureKind.NOT_AN_IMAGE, "an XML document"),
        (b'{"error": "not found"}', FailureKind.NOT_AN_IMAGE, "a JSON document"),
        (b"404 not found\n", FailureKind.NOT_AN_IMAGE, "a text file"),
        (b"\x01\x02\x03\x04whatever", FailureKind.NOT_AN_IMAGE, "data of no known image format"),
        (b"%PDF-1.7", FailureKind.NOT_AN_IMAGE, "a PDF document"),
        (b"PK\x03\x04....", FailureKind.NOT_AN_IMAGE, "a ZIP archive"),
        (b"\x00\x00\x00\x18ftypisom....", FailureKind.NOT_AN_IMAGE, "a video"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", FailureKind.NOT_AN_IMAGE, "an AVI video"),
        (b"BM, the company, said", FailureKind.NOT_AN_IMAGE, "a text file"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', FailureKind.UNSUPPORTED_FORMAT, "an SVG drawing"),
        (b'<?xml version="1.0"?><!-- x --><svg:svg>', FailureKind.UNSUPPORTED_FORMAT, "an SVG drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", FailureKind.UNSUPPORTED_FORMAT, "a PostScript or EPS drawing"),
        (b"8BPS\x00\x01", FailureKind.UNSUPPORTED_FORMAT, "a Photoshop document"),
        (b"\xff\x0a\xfa\x7f", FailureKind.UNSUPPORTED_FORMAT, "a JPEG XL image"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", FailureKind.UNSUPPORTED_FORMAT, "a JPEG XL image"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", FailureKind.UNSUPPORTED_FORMAT, "a camera raw file"),
        (b"P6\n2 2\n255\n", FailureKind.UNSUPPORTED_FORMAT, "a PNM image"),
        (b"\x00\x00\x01\x00\x01\x00", FailureKind.UNSUPPORTED_FORMAT, "a Windows icon"),
        (b"\x89PNG\n\x1a\n", FailureKind.CORRUPT_IMAGE, "a PNG image that was changed on its way as if it were text"),
    ],
)
def test_everything_else_is_refused_by_name(data: bytes, kind: FailureKind, label: str) -> None:
    """Data that cannot be read is described in words, with the right kind."""
    found = sniff.identify(data)
    assert isinstance(found, sniff.Rejected)
    assert (found.kind, found.label) == (kind, label)


@pytest.mark.parametrize(
    ("major", "others", "name"),
    [
        (b"heic", (b"mif1",), "heif"),
        (b"mif1", (b"heic",), "heif"),
        (b"mif1", (b"avif", b"miaf"), "avif"),
        (b"avis", (), "avif"),
    ],
)
def test_heic_and_avif_share_a_container(major: bytes, others: tuple[bytes, ...], name: str) -> None:
    """The brands distinguish HEIC from AVIF."""
    body = b"ftyp" + major + b"\x00\x00\x00\x00" + b"".join(others)
    assert sniff.identify((len(body) + 4).to_bytes(4, "big") + body) == sniff.Recognized(name)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
def test_a_cut_file_is_told_from_a_whole_one(name: str) -> None:
    """An intact file does not end early; one that lacks its last tenth or half does."""
    data = saved(noise(60, 40), name)
    assert not sniff.ends_early(name.lower(), data)
    for share in (0.9, 0.5):
        assert sniff.ends_early(name.lower(), data[: int(len(data) * share)])


@pytest.mark.parametrize("lead", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b" "])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF"])
def test_an_image_behind_text_is_told(name: str, lead: bytes) -> None:
    """What scripts write before an image by mistake makes it unreadable everywhere; the message says so."""
    found = sniff.identify(lead + saved(noise(8, 8), name))
    assert isinstance(found, sniff.Rejected)
    assert (found.kind, found.label) == ("corrupt_image", f"a {name} image behind {len(lead)} bytes of text")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {})],
)
def test_declared_sides_are_those_of_the_image(name: str, options: dict[str, bool], mode: str) -> None:
    """For formats whose decoders allocate early, the sides are read without one."""
    if (name, mode) != ("JPEG", "RGBA"):
        assert sniff.sides(name.lower(), saved(corners(300, 70, mode), name, **options)) == (300, 70)
    assert sniff.sides("png", saved(corners())) is None


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (
            gzip.compress(b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", mtime=0),
            "a compressed SVG drawing",
        ),
        (saved(noise(60, 40), "TGA", compression="tga_rle"), "a Targa image"),
        (saved(noise(60, 40), "TGA"), "a Windows cursor or a Targa image"),
        (saved(noise(60, 40), "DIB"), "a bitmap without its file header"),
    ],
)
def test_images_without_a_magic_number_are_known_by_their_structure(data: bytes, label: str) -> None:
    found = sniff.identify(data)
    assert isinstance(found, sniff.Rejected)
    assert (found.kind, found.label) == (FailureKind.UNSUPPORTED_FORMAT, label)


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    """Sniffing never raises, and never loops."""
    found = sniff.identify(data)
    if isinstance(found, sniff.Recognized):
        assert found.format in (*sniff.FORMATS, "heif")
    for name in (*sniff.FORMATS, "heif"):
        assert sniff.ends_early(name, data) in {True, False}
        sides = sniff.sides(name, data)
        assert sides is None or min(sides) > 0
    jpeg.rare_kind(data)
    jpeg.scans_cover_all(data)
    assert all(repair.data[:2] == data[:2] for repair in jpeg.repairs(data))
