"""Tars as sources: the spans are those of tarfile, samples give their columns, and damage is named."""

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import SourceError
from downloader.model.items import FileSpan, Invalid, Row
from downloader.sources.counters import SourceCounters
from downloader.sources.tar import TarSource, sample_key


def tar_of(path: Path, members: Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> Path:  # noqa: A002 - as tarfile
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def source(path: Path, *kept: str, caption: str | None = None, all_files: bool = False) -> TarSource:
    counters = SourceCounters()
    return TarSource(path=str(path), all_files=all_files, caption=caption, kept=kept, counters=counters)


def rows(path: Path, *kept: str, caption: str | None = None) -> list[Row]:
    tar = source(path, *kept, caption=caption)
    tar.check()
    return list(tar.rows())


def content(row: Row) -> bytes:
    assert isinstance(row.what, FileSpan)
    with Path(row.what.path).open("rb") as file:
        file.seek(row.what.offset)
        return file.read(row.what.length)


names = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/."), min_size=1, max_size=120),
    min_size=1,
    max_size=3,
).map("/".join)


@given(
    st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_every_image_is_a_span_of_the_tar(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]], kind: int
) -> None:
    """Long names and names in any script, empty members too: bytes and path are those that were packed."""
    path = tar_of(tmp_path_factory.mktemp("tar") / "a.tar", [(f"{name}.jpg", data) for name, data in members], kind)
    found = rows(path)
    assert [(row.inside, content(row)) for row in found] == [(f"{name}.jpg", data) for name, data in members]
    assert all(row.source == f"{path}/{row.inside}" for row in found)


@pytest.mark.parametrize(
    ("name", "key"),
    [("000.jpg", "000"), ("a/b.c.jpg", "a/b"), ("a.b/c.d.json", "a.b/c"), ("x", "x"), ("a/.hidden.jpg", "a/")],
)
def test_the_key_of_a_sample_ends_at_the_first_dot(name: str, key: str) -> None:
    assert sample_key(name) == key


def test_json_and_txt_of_a_sample_are_the_columns_of_its_images(tmp_path: Path) -> None:
    """Whatever their order; a caption comes from the JSON, or else from the text; other members are left alone."""
    path = tar_of(
        tmp_path / "a.tar",
        [
            ("0.json", json.dumps({"caption": "a bear", "width": 3}).encode()),
            ("0.jpg", b"0"),
            ("1.jpg", b"1"),
            ("1.txt", "ein Bär".encode()),
            ("1.cls", b"7"),
            ("2.jpg", b"2"),
            ("2.json", b"[1]"),
        ],
    )
    tar = source(path, "caption", "width", caption="caption")
    assert [row.columns for row in tar.rows()] == [
        {"caption": "a bear", "width": "3"},
        {"caption": "ein Bär", "width": ""},
        {"caption": "", "width": ""},
    ]
    assert tar.counters.left_alone == 1
    assert all(row.columns == {} for row in rows(path))


def test_with_all_files_every_member_is_taken(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [("0.jpg", b"0"), ("0.json", b"{}"), ("README", b"x")])
    assert [row.inside for row in source(path, all_files=True).rows()] == ["0.jpg", "README"]


def test_links_devices_and_sparse_files_fail_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("s.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE), ("d.jpg", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    reasons = [row.what.reason for row in rows(path) if isinstance(row.what, Invalid)]
    assert len(reasons) == 3
    assert "link to /etc/passwd" in reasons[0]
    assert "link" in reasons[1]
    assert "device" in reasons[2]


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar program")
def test_a_sparse_file_of_the_tar_program(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1024**2)
        file.seek(1024**2)
        file.write(b"end")
    subprocess.run(["tar", "--sparse", "-cf", "a.tar", "a.jpg"], cwd=tmp_path, check=True)
    (row,) = rows(tmp_path / "a.tar")
    assert isinstance(row.what, Invalid)
    assert "--sparse" in row.what.reason


def test_a_tar_that_is_cut_off_keeps_what_was_readable(tmp_path: Path) -> None:
    """In the middle of a header, which is damage; in the middle of an image, which fails by itself."""
    path = tar_of(tmp_path / "a.tar", [(f"{number}.jpg", bytes(600)) for number in range(3)])
    data = path.read_bytes()
    path.write_bytes(data[: 512 + 1024 + 100])
    first, damage = rows(path)
    assert first.inside == "0.jpg"
    assert isinstance(damage.what, Invalid)
    assert f"{path}: damaged at byte 1536" in damage.what.reason
    path.write_bytes(data[: 512 + 300])
    (cut,) = rows(path)
    assert isinstance(cut.what, FileSpan)


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [(f"{number}.jpg", bytes(600)) for number in range(3)])
    data = bytearray(path.read_bytes())
    data[1536:1546] = b"x" * 10
    path.write_bytes(data)
    *images, damage = rows(path)
    assert [row.inside for row in images] == ["0.jpg"]
    assert isinstance(damage.what, Invalid)
    assert "byte 1536" in damage.what.reason


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.XHDTYPE, 8 * 1024**3
    with path.open("wb") as file:
        file.write(tar_of(tmp_path / "b.tar", [("0.jpg", b"0")]).read_bytes()[:1024])
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(9 * 1024**3)  # takes no room on disk
    first, damage = rows(path)
    assert content(first) == b"0"
    assert isinstance(damage.what, Invalid)
    assert "a header of 8589934592 bytes" in damage.what.reason


@pytest.mark.parametrize("data", [b"no tar", b"\x1f\x8b" + bytes(600), bytes(100)])
def test_what_is_no_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(SourceError, match="is no tar"):
        source(tmp_path / "a.tar").check()


def test_an_empty_tar_has_no_rows(tmp_path: Path) -> None:
    assert rows(tar_of(tmp_path / "a.tar", [])) == []
