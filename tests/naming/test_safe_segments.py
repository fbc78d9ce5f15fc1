import unicodedata
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naming_cases import NAMES, assert_safe_path

from downloader.naming.segments import (
    IMAGE_EXTENSIONS,
    MAX_PATH_BYTES,
    MAX_SEGMENT_BYTES,
    bounded_path,
    safe_segment,
    split_image_extension,
)


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
    """Every extension of an image that can be read is removed to make a stem; others stay."""
    assert split_image_extension("icon.svg") == ("icon.svg", "")
    for extension in IMAGE_EXTENSIONS:
        assert split_image_extension(f"v1.2.{extension.upper()}") == ("v1.2", extension)
    assert split_image_extension("v1.2") == ("v1.2", "")


SEGMENTS = st.lists(NAMES.map(safe_segment) | st.just("*"), min_size=1, max_size=8)
LONG = st.lists(st.sampled_from(["d", "e", "*", "\u65e5\u672c" * 20, "x" * 150]), min_size=1, max_size=400)


@given(SEGMENTS | LONG, NAMES.map(safe_segment))
def test_paths_are_bounded_as_a_whole(folders: list[str], last: str) -> None:
    """Law: any path fits, in bytes; short ones are left alone, and the last name and the folders of variants stay."""
    path = "/".join((*folders, last))
    bounded = bounded_path(path, "*")
    if folders.count("*") < 100:
        assert len(bounded.encode()) <= MAX_PATH_BYTES
        assert bounded_path(bounded, "*") == bounded
    assert (bounded == path) == (len(path.encode()) <= MAX_PATH_BYTES)
    assert bounded.rpartition("/")[2] == last
    assert bounded.split("/").count("*") == folders.count("*")


@given(LONG, LONG)
def test_paths_that_were_cut_stay_apart(one: list[str], other: list[str]) -> None:
    """Law: two paths are the same after cutting only if they were before."""
    paths = ["/".join((*folders, "a")) for folders in (one, other)]
    assert (bounded_path(paths[0], "*") == bounded_path(paths[1], "*")) == (paths[0] == paths[1])


def test_cut_paths_keep_their_outer_folders() -> None:
    """Items of one folder stay together in one, found where it would have been."""
    cut = [bounded_path("photos/" + "d/" * 2500 + name, "*") for name in ("a", "b")]
    assert [path.rpartition("/")[0] for path in cut] == [cut[0].rpartition("/")[0]] * 2
    assert cut[0].startswith("photos/d/d/d/")
    assert len(cut[0]) > MAX_PATH_BYTES - 20
