import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_cases import check, read

from downloader.config.settings import OutputOptions, Settings, SourceOptions
from downloader.errors import SourceError
from downloader.model.items import File, Row
from downloader.sources import SourceCounters
from downloader.sources.folder import IMAGE_EXTENSIONS, FolderSource, entries


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def folder_source(
    root: object, *, output: object = "nowhere", all_files: bool = False, counters: SourceCounters | None = None
) -> FolderSource:
    return FolderSource(path=str(root), output=str(output), all_files=all_files, counters=counters or SourceCounters())


def walked(root: Path, counters: SourceCounters | None = None, *, all_files: bool = False) -> list[str]:
    """The paths below a folder of its rows."""
    return [str(row.inside) for row in folder_source(root, all_files=all_files, counters=counters).rows()]


@contextmanager
def no_superuser() -> Iterator[None]:
    """File permissions apply inside, even where tests run as root."""
    if os.geteuid():
        yield
        return
    nobody = 65_534
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A folder that all users may enter, unlike `tmp_path`."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_paths_below_the_root_folder_have_one_slash() -> None:
    """`/` ends in the slash that other folders lack."""
    row = next(folder_source("/", all_files=True).rows())
    assert row.source == f"/{row.inside}"


def test_a_row_tells_its_place(tmp_path: Path) -> None:
    """The source is the path as named, `inside` the part below the folder, both with `/`."""
    make(tmp_path, "in/d/a.jpg")
    (row,) = folder_source(f"{tmp_path}/in//").rows()
    assert row == Row(
        source=f"{tmp_path}/in/d/a.jpg", what=File(f"{tmp_path}/in/d/a.jpg"), inside="d/a.jpg", where=f"{tmp_path}/in//"
    )


def test_the_order_is_that_of_names(tmp_path: Path) -> None:
    """Files of a folder come first, then its subfolders, both sorted, whatever the order of the file system."""
    make(tmp_path, "b/2.jpg", "b/1.jpg", "b/c/0.jpg", "a/9.jpg", "z.jpg", "B.jpg", "10.jpg")
    assert walked(tmp_path) == ["10.jpg", "B.jpg", "z.jpg", "a/9.jpg", "b/1.jpg", "b/2.jpg", "b/c/0.jpg"]


def test_images_are_taken_and_the_rest_is_counted(tmp_path: Path) -> None:
    """A file with an image extension in any case is a row; other files are left alone and counted."""
    images = [f"{number:02}.{extension}" for number, extension in enumerate(sorted(IMAGE_EXTENSIONS))]
    make(tmp_path, *images, "UPPER.JPG", "a.js", "b.txt", "jpg", "c.jpg.part", "d/e", ".hidden.jpg", ".git/f.jpg")
    counters = SourceCounters()
    assert walked(tmp_path, counters) == [*images, "UPPER.JPG"]
    assert counters.left_alone == 7, "a hidden folder counts as one"


def test_pictures_that_cannot_be_read_are_items_too(tmp_path: Path) -> None:
    """Each fails with its reason instead of missing in the output without a word."""
    names = [
        f"a.{extension}"
        for extension in ["apng", "avifs", "dng", "heic", "jp2", "jxl", "mpo", "psd", "svg", "svgz", "svs", "tga"]
    ]
    make(tmp_path, *names)
    assert walked(tmp_path) == names


def test_all_files_takes_everything_but_state(tmp_path: Path) -> None:
    """`--all-files` takes every file, hidden ones too, but never the state folder of an earlier output."""
    make(tmp_path, "a.svg", "README", ".hidden", ".d/x", ".downloader/journal.sqlite3", "sub/.downloader/report.html")
    counters = SourceCounters()
    assert walked(tmp_path, counters, all_files=True) == [".hidden", "README", "a.svg", ".d/x"]
    assert counters.left_alone == 0


@pytest.mark.parametrize("all_files", [False, True])
def test_the_output_is_no_input(tmp_path: Path, all_files: bool) -> None:
    """An output folder inside the input is never read, even if it is created during the walk."""
    make(tmp_path, "a.jpg", "b/c.jpg")
    output = tmp_path / "b" / "out"
    rows = folder_source(tmp_path, output=output, all_files=all_files).rows()
    assert next(rows).inside == "a.jpg"
    make(output, "a.jpg")
    assert [row.inside for row in rows] == ["b/c.jpg"]


def test_a_folder_is_not_its_own_output(tmp_path: Path) -> None:
    """Input and output may not be one folder, by whatever names."""
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(SourceError, match="-o"):
        check(Settings(sources=(f"{tmp_path}/in/",), output=OutputOptions(output=f"{tmp_path}/link")))


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    """Linked files and folders are read, no folder twice, so a link to a parent folder makes no loop."""
    make(tmp_path, "in/a.jpg", "in/d/b.jpg", "far/c.jpg")
    (tmp_path / "in" / "d" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "in" / "far2").symlink_to(tmp_path / "far")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "far" / "c.jpg")
    assert walked(tmp_path / "in") == ["a.jpg", "link.jpg", "d/b.jpg", "far/c.jpg"]


def test_a_link_to_nowhere_becomes_a_row(tmp_path: Path) -> None:
    """A dangling or circular link named like an image is a row that will fail; it does not disappear."""
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "gone").symlink_to("nowhere")
    counters = SourceCounters()
    assert walked(tmp_path, counters) == ["gone.jpg", "loop.png"]
    assert counters.left_alone == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("all_files", [False, True])
def test_pipes_are_left_alone(tmp_path: Path, all_files: bool) -> None:
    """Only regular files are opened, whatever their names: reading a pipe would block forever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    counters = SourceCounters()
    assert walked(tmp_path, counters, all_files=all_files) == []
    assert counters.left_alone == 2


def test_a_folder_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    """The kind of an entry counts, not its name."""
    make(tmp_path, "album.jpg/a.jpg")
    assert walked(tmp_path) == ["album.jpg/a.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    """Any bytes can name a file on Linux; the path of the row opens that file."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.jpg")).write_bytes(b"here")
    (row,) = folder_source(tmp_path).rows()
    assert row.inside == "\udcff\udcfe.jpg"
    assert Path(row.source).read_bytes() == b"here"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_closed_folder_becomes_a_row(public_path: Path) -> None:
    """A subfolder that may not be read is a row; opening it tells why. The walk continues."""
    make(public_path, "a.jpg", "closed/b.jpg", "open/c.jpg")
    closed = public_path / "closed"
    closed.chmod(0)
    with no_superuser():
        rows = list(folder_source(public_path).rows())
        with pytest.raises(PermissionError):
            Path(rows[1].source).read_bytes()
    assert [row.inside for row in rows] == ["a.jpg", "closed", "open/c.jpg"]
    assert rows[1].source == str(closed)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_closed_source_stops_the_run(public_path: Path) -> None:
    """A folder or list named as source that may not be read is refused before the run, and during it."""
    make(public_path, "in/a.jpg", "urls.txt")
    (public_path / "in").chmod(0)
    (public_path / "urls.txt").chmod(0)
    with no_superuser():
        for name in ("in", "urls.txt"):
            chosen = Settings(sources=(str(public_path / name),))
            with pytest.raises(SourceError, match="permission denied"):
                check(chosen)
            with pytest.raises(SourceError, match="ermission denied"):
                list(read(chosen))


def test_a_folder_that_vanishes_becomes_a_row(tmp_path: Path) -> None:
    """A subfolder removed during the walk is a row that will fail as not found."""
    make(tmp_path, "a.jpg", "b/c.jpg")
    rows = folder_source(tmp_path).rows()
    next(rows)
    shutil.rmtree(tmp_path / "b")
    assert [row.inside for row in rows] == ["b"]


def test_deep_trees_are_walked(tmp_path: Path) -> None:
    """Depth is bounded by the file system only, not by Python's stack."""
    deepest = tmp_path
    for _ in range(sys.getrecursionlimit() + 1):
        deepest /= "d"
        deepest.mkdir()
    (deepest / "a.jpg").touch()
    found = walked(tmp_path)
    (deepest / "a.jpg").unlink()
    while deepest != tmp_path:  # too deep for the recursive clean-up of pytest
        deepest.rmdir()
        deepest = deepest.parent
    assert [name.count("/") > sys.getrecursionlimit() for name in found] == [True]


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in {".", "..", ".downloader"}
)


@settings(max_examples=25, deadline=None)
@given(st.sets(names, max_size=12), st.integers(min_value=1, max_value=5))
def test_large_folders_are_read_in_batches(files: set[str], batch: int) -> None:
    """Law: whatever the size of a batch, every file is found once, in sorted order."""
    with tempfile.TemporaryDirectory() as root:
        make(Path(root), *files)
        assert [name for name, _ in entries(root, batch)] == sorted(files)


def test_settings_reach_the_walk(tmp_path: Path) -> None:
    """`--all-files`, the output folder and the counters are passed on."""
    make(tmp_path, "in/a.jpg", "in/b.txt", "in/out/c.jpg")
    chosen = Settings(sources=(f"{tmp_path}/in",), mode="process", output=OutputOptions(output=f"{tmp_path}/in/out"))
    check(chosen)
    counters = SourceCounters()
    assert [row.inside for row in read(chosen, None, counters)] == ["a.jpg"]
    assert counters.left_alone == 1
    everything = Settings(sources=chosen.sources, output=chosen.output, source=SourceOptions(all_files=True))
    assert [row.inside for row in read(everything)] == ["a.jpg", "b.txt"]
