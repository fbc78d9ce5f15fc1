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


def source(
    path: Path, *kept: str, caption: str | None = None, all_files: bool = False, is_only: bool = True
) -> TarSource:
    counters = SourceCounters()
    return TarSource(
        path=str(path), is_only=is_only, all_files=all_files, caption=caption, kept=kept, counters=counters
    )


def rows(path: Path, *kept: str, caption: str | None = None) -> list[Row]:
    tar = source(path, *kept, caption=caption)
    tar.check()
    return list(tar.rows())


def content(row: Row) -> bytes:
    assert isinstance(row.what, FileSpan)
    with Path(row.what.path).open("rb") as file:
        file.seek(row.what.offset)
        return file.read(row.what.length)


def why(row: Row) -> str:
    assert isinstance(row.what, Invalid)
    return row.what.reason


def with_size(member: str, size: int, path: Path) -> None:
    """Give a member of a tar another size, with a checksum that is right."""
    data = bytearray(path.read_bytes())
    at = data.index(member.encode() + b"\0")
    header = data[at : at + 512]
    header[124:136] = size.to_bytes(12, "big", signed=True) if size < 0 else bytes([0x80]) + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    data[at : at + 512] = header
    path.write_bytes(data)


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


def test_json_that_is_nested_too_deeply_is_none(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [("0.jpg", b"0"), ("0.json", b"[" * 500_000), ("1.jpg", b"1")])
    assert [row.columns for row in rows(path, "x")] == [{"x": ""}, {"x": ""}]


def test_paths_that_begin_with_a_dot_are_those_without(tmp_path: Path) -> None:
    """As `tar -c .` writes them."""
    path = tar_of(tmp_path / "a.tar", [("./a/0.jpg", b"0"), ("./a/0.txt", b"zero"), ("/b//1.jpg", b"1")])
    assert [(row.inside, row.source, row.columns) for row in rows(path, "txt")] == [
        ("a/0.jpg", f"{path}/a/0.jpg", {"txt": "zero"}),
        ("b/1.jpg", f"{path}/b/1.jpg", {"txt": ""}),
    ]


def test_a_sample_of_very_many_images_is_not_held(tmp_path: Path) -> None:
    """All of these have the key `photos`; the first rows come before the tar was read to its end."""
    names = [f"photos.{number}.{extension}" for number in range(2500) for extension in ("jpg", "cls")]
    path = tar_of(tmp_path / "a.tar", [("photos.txt", b"a caption"), *((name, b"") for name in names)])
    tar = source(path, "txt")
    reading = tar.rows()
    first = next(reading)
    assert tar.counters.left_alone <= 1000
    found = [first, *reading]
    assert [row.inside for row in found] == names[::2]
    assert {row.columns["txt"] for row in found} == {"a caption"}


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
    assert f"{path}: damaged at byte 1536, after 0.jpg" in damage.what.reason
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


def test_a_text_that_is_cut_off_keeps_what_was_readable(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [("0.jpg", b"0"), ("1.jpg", b"1"), ("1.txt", b"c" * 2000)])
    path.write_bytes(path.read_bytes()[:2700])
    first, second, damage = rows(path, "txt")
    assert (content(first), content(second)) == (b"0", b"1")
    assert "after 1.txt (unexpected end of data)" in why(damage)


@pytest.mark.parametrize("size", [-1, -1024, -(10**15)])
def test_a_size_that_leads_backwards_is_damage(tmp_path: Path, size: int) -> None:
    path = tar_of(tmp_path / "a.tar", [(f"{number}.jpg", b"x") for number in range(3)])
    with_size("1.jpg", size, path)
    first, damage = rows(path)
    assert content(first) == b"x"
    assert f"damaged at byte 1024, after 0.jpg (a member of {size} bytes)" in why(damage)


@pytest.mark.parametrize("size", [2**40, 2**62, 2**70])
def test_a_size_that_leads_beyond_the_end(tmp_path: Path, size: int) -> None:
    """An image fails by itself; anything else is damage."""
    path = tar_of(tmp_path / "a.tar", [("0.jpg", b"x"), ("1.jpg", b"x"), ("2.jpg", b"x")])
    with_size("1.jpg", size, path)
    assert [row.what for row in rows(path)] == [FileSpan(str(path), 512, 1), FileSpan(str(path), 1536, size)]
    tar_of(path, [("0.jpg", b"x"), ("1.cls", b"x"), ("2.jpg", b"x")])
    with_size("1.cls", size, path)
    first, damage = rows(path)
    assert content(first) == b"x"
    assert "after 1.cls" in why(damage)


def test_an_end_in_the_middle_is_damage(tmp_path: Path) -> None:
    """A block that was lost, and tars that were joined; an end with many zeros after it is none."""
    path = tar_of(tmp_path / "a.tar", [(f"{number}.jpg", b"x") for number in range(3)])
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(3 * 1024**2))
    assert len(rows(path)) == 3
    path.write_bytes(whole[:1024] + bytes(512) + whole[1536:])
    first, damage = rows(path)
    assert content(first) == b"x"
    assert "damaged at byte 1024, after 0.jpg (an end mark with other bytes after it" in why(damage)
    path.write_bytes(whole + whole)
    *images, damage = rows(path)
    assert len(images) == 3
    assert "joined" in why(damage)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_without_end_are_not_followed(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 9
    header = info.tobuf(tarfile.GNU_FORMAT) + b"9 a=bcde\n".ljust(512, b"\0")
    path = tar_of(tmp_path / "a.tar", [("0.jpg", b"x"), ("1.jpg", b"x")])
    whole = path.read_bytes()
    path.write_bytes(whole[:1024] + header * 2000 + whole[1024:])
    first, damage = rows(path)
    assert content(first) == b"x"
    assert "more than 16 headers of one member" in why(damage)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no tar", "is no tar"),
        (b"", "is no tar"),
        (bytes(100), "is no tar"),
        (b"\x1f\x8b" + bytes(600), "must not be compressed"),
    ],
)
def test_what_is_no_tar_is_refused_or_fails_beside_others(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=reason):
        source(path).check()
    with pytest.raises(SourceError, match=reason):
        next(source(path).rows())
    one_of_many = source(path, is_only=False)
    one_of_many.check()
    (row,) = one_of_many.rows()
    assert (row.source, reason in why(row)) == (str(path), True)


def test_an_empty_tar_has_no_rows(tmp_path: Path) -> None:
    assert rows(tar_of(tmp_path / "a.tar", [])) == []
