"""Cookie files as browsers' extensions, curl and wget write them."""

from pathlib import Path

import pytest

from downloader.config.settings import DownloadOptions
from downloader.http.credentials import read_cookies
from downloader.http.request_builder import RequestBuilder

ROW = "h.test\tFALSE\t/\tFALSE\t0\tk\t1"


def cookie(tmp_path: Path, data: str | bytes, url: str = "http://h.test/a.jpg") -> str | None:
    """The Cookie field of a request, with the cookies of a file."""
    path = tmp_path / "cookies.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    builder = RequestBuilder(DownloadOptions(), read_cookies(str(path)), None)
    sent = dict(builder.build(url, [], use_netrc=False).headers.raw)
    return sent[b"Cookie"].decode() if b"Cookie" in sent else None


@pytest.mark.parametrize(
    "data",
    [
        ROW,
        f"{ROW}\n",
        f"# Netscape HTTP Cookie File\n\n{ROW}\n",
        f"# HTTP Cookie File\r\n# other words\r\n \r\n{ROW}\r\n",
        f"\ufeff# Netscape HTTP Cookie File\n{ROW}\n",
        f"\ufeff{ROW}",
        f"\ufeff{ROW}\r\n".encode("utf-16-le"),
        f"\ufeff{ROW}\r\n".encode("utf-16-be"),
        f"#HttpOnly_{ROW}\n",
        ROW.replace("h.test\tFALSE", "h.test\tTRUE"),
        ROW.replace("h.test\tFALSE", ".h.test\tTRUE"),
        ROW.replace("h.test\tFALSE", ".h.test\tFALSE"),
        ROW.replace("h.test\tFALSE", "H.Test\tfalse"),
        ROW.replace("\t/\t", "\t\t"),
        ROW.replace("\t0\t", "\t\t"),
        ROW.replace("\t0\t", "\t-1\t"),
        ROW.replace("\t0\t", "\t4102444800.5\t"),
        ROW.replace("\t0\t", "\t13300000000000000\t"),
    ],
)
def test_forms_of_one_cookie(tmp_path: Path, data: str | bytes) -> None:
    """The first line, the mark, line ends, dots and flags may all be otherwise."""
    assert cookie(tmp_path, data) == "k=1"


@pytest.mark.parametrize(
    ("row", "url", "sent"),
    [
        ("h.test\tFALSE\t/\tFALSE\t0\tk", "http://h.test/", "k="),
        ("h.test\tFALSE\t/\tFALSE\t0\tk\t", "http://h.test/", "k="),
        ("h.test\tFALSE\t/\tFALSE\t0\t\tk", "http://h.test/", "k="),
        ("h.test\tFALSE\t/\tFALSE\t0\tk\t\u00fc", "http://h.test/", "k=\u00fc"),
        ("h.test\tFALSE\t/\tTRUE\t0\tk\t1", "http://h.test/", None),
        ("h.test\tFALSE\t/\tTRUE\t0\tk\t1", "https://h.test/", "k=1"),
        ("h.test\tFALSE\t/a\tFALSE\t0\tk\t1", "http://h.test/b", None),
        ("h.test\tFALSE\t/\tFALSE\t1\tk\t1", "http://h.test/", None),
        ("h.test\tTRUE\t/\tFALSE\t0\tk\t1", "http://www.h.test/", "k=1"),
        ("h.test\tFALSE\t/\tFALSE\t0\tk\t1", "http://www.h.test/", None),
        ("localhost\tFALSE\t/\tFALSE\t0\tk\t1", "http://localhost:8080/", "k=1"),
        ("127.0.0.1\tTRUE\t/\tFALSE\t0\tk\t1", "http://127.0.0.1:8080/", "k=1"),
        ("# comment\t\t\t\t\t\t", "http://h.test/", None),
    ],
)
def test_which_cookies_go_where(tmp_path: Path, row: str, url: str, sent: str | None) -> None:
    """By domain, path, scheme and time; a value may be empty."""
    assert cookie(tmp_path, row, url) == sent


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("h.test FALSE / FALSE 0 k 1", r":1: .* 1 fields separated by tabs, not 7"),
        (f"{ROW}\nh.test\tFALSE\t/\tFALSE\t0", r":2: .* 5 fields"),
        (f"{ROW}\tx", r":1: .* 8 fields"),
        ('[{"domain": "h.test"}]', r":1: .* 1 fields"),
        (ROW.replace("FALSE", "no"), r":1: .* TRUE or FALSE"),
        (ROW.replace("\t0\t", "\tsoon\t"), r":1: .* a time in seconds"),
        (ROW.replace("\tk\t1", "\t\t"), r":1: .* no domain or no name"),
        (ROW.replace("h.test", "."), r":1: .* no domain or no name"),
        (ROW + "\0", r":1: .* control characters"),
        (ROW.replace("\t1", "\ta\rb"), r":1: .* control characters"),
        (b"\xff\xfe\x00\xd8", "not a cookie file"),
        (b"\x93\x94\xff", "not a cookie file"),
    ],
)
def test_what_is_no_cookie_is_named(tmp_path: Path, data: str | bytes, why: str) -> None:
    """File and line are named, and no value is shown."""
    with pytest.raises(ValueError, match=r"^--cookies .*cookies\.txt.*" + why):
        cookie(tmp_path, data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(ValueError, match=r"^--cookies .*nothing: No such file"):
        read_cookies(str(tmp_path / "nothing"))
