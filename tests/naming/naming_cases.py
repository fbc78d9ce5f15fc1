"""Hostile names, rows and checks shared by the tests of names."""

import re
import sys
from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import strategies as st

from downloader.model.items import File, Row, Url
from downloader.naming.names import output_path
from downloader.naming.rules import NamingRules

KEY = "0123456789abcdef" * 4

ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=sys.maxunicode))
"""All characters, including lone surrogates (undecodable bytes)."""
NASTY_TEXT = st.text(
    st.sampled_from("aA.. //\\:-_*%\0\n\x85\u202e\udcffcon1é\u0301\u0131K\U0001f600\u200d"), max_size=12
)
DEVICE_TEXT = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", " ", ".", ".."]),
        st.sampled_from(["CON", "prn", "Aux", "NUL", "COM1", "lpt9", "COM¹", "conin$", "CONOUT$"]),
        st.sampled_from(["", " ", ".", ".txt", ":", " .jpg", ".tar.gz", " " * 200 + "x"]),
    ),
)
NAMES = ANY_TEXT | NASTY_TEXT | DEVICE_TEXT


def url(text: str) -> Row:
    return Row(source=text, what=Url(text))


def file(inside: str) -> Row:
    return Row(source=f"in/{inside}", what=File(f"in/{inside}"), inside=inside)


def path_of(row: Row, rules: NamingRules, index: int = 0) -> str:
    """The path of the result of a row that has one size and no rivals."""
    name = rules.name_for(row, index, KEY)
    return output_path(name, KEY, None, "png" if name.extension is None else name.extension)


def assert_safe_path(path: str) -> None:
    """On every system, the path consists of plain names below the place where it starts."""
    assert not PurePosixPath(path).is_absolute()
    windows = PureWindowsPath(path)
    assert not windows.drive
    assert not windows.root
    assert path.split("/") == list(windows.parts)
    for part in path.split("/"):
        assert part not in {"", ".", ".."}
        assert not part.startswith(".")
        assert not part.endswith((".", " "))
        assert not PureWindowsPath(part).is_reserved()
        assert not re.search(r'[\x00-\x1f\x7f-\x9f<>:"\\|?*\u202a-\u202e\u2066-\u2069\ud800-\udfff]', part)
        assert len(part.encode()) <= 255
