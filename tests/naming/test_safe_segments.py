import unicodedata
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naming_cases import NAMES, assert_safe_path

from downloader.naming.segments import IMAGE_EXTENSIONS, MAX_SEGMENT_BYTES, safe_segment, split_image_extension
from downloader.sources import folder


@given(NAMES)
def test_safe_segment_is_safe(text: str) -> None:
    """Law: whatever comes in, one harmless name of at most 150 bytes comes out."""
    name = safe_segment(text)
    assert_safe_path(name)
    assert "/" not in name
    assert len(name.encode()) <= MAX_SEGMENT_BYTES
    assert unicodedata.is_normalized("NFC", name)


@given(NAMES)
def test_safe_segment_is_idempotent(text: str) -> None:
    """Law: a safe name is left as it is."""
    assert safe_segment(safe_segment(text)) == safe_segment(text)


@given(st.from_regex(r"[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,140}[a-z]", fullmatch=True))
def test_ordinary_names_survive(text: str) -> None:
    """Law: names of plain letters keep every one of them, but for Windows devices."""
    assert safe_segment(text) in {text, f"_{text}"}
    assert (safe_segment(text) != text) == PureWindowsPath(text).is_reserved()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unnamed"),
        (".", "unnamed"),
        ("..", "unnamed"),
        (". . .", "unnamed"),
        (".bashrc", "bashrc"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..\\x", "_x"),
        ("C:x", "C_x"),
        ("\\\\server\\share", "__server_share"),
        ("CON", "_CON"),
        ("nul.jpg", "_nul.jpg"),
        ("Com1 .tar.gz", "_Com1 .tar.gz"),
        ("CONIN$", "_CONIN$"),
        ("console", "console"),
        ("a\r\nb", "a__b"),
        ("\x1b]0;x\x07", "_]0;x_"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("a\udcff.jpg", "a_.jpg"),
        ("e\u0301.jpg", "é.jpg"),
        ("<img onerror>", "_img onerror_"),
        ("x. . ", "x"),
        ("v1.2", "v1.2"),
        ("é" * 100 + ".jpeg", "é" * 72 + ".jpeg"),
        ("x" * 300, "x" * 150),
        ("CON" + " " * 300 + "x", "_CON"),
    ],
)
def test_hostile_segments(text: str, expected: str) -> None:
    """Each hostile name of the security table becomes this harmless one."""
    assert safe_segment(text) == expected


def test_every_image_file_loses_its_extension() -> None:
    """Every extension by which a folder recognises an image is removed to make a stem."""
    assert folder.IMAGE_EXTENSIONS <= IMAGE_EXTENSIONS
    for extension in IMAGE_EXTENSIONS:
        assert split_image_extension(f"v1.2.{extension.upper()}") == ("v1.2", extension)
    assert split_image_extension("v1.2") == ("v1.2", "")
