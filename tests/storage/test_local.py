"""A folder as a store: links are not followed out of it, and what is to be durable has been flushed to disk."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from stores import staged

from downloader.errors import OutputError
from downloader.storage.interface import NameRefused, NameTaken
from downloader.storage.local import LocalStore


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of the user's outside the store."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"mine")
    return folder


def test_no_link_is_followed_out_of_the_root(store: LocalStore, root: Path, elsewhere: Path) -> None:
    """Neither to write nor to remove, and no folder is made behind it."""
    (root / "link").symlink_to(elsewhere)
    for name in ("link/a.jpg", "link/new.jpg", "link/deep/new.jpg"):
        with pytest.raises(NameRefused, match="leads out of the output folder"):
            store.check(name, replace=True)
        store.remove(name)
    assert [path.name for path in elsewhere.iterdir()] == ["a.jpg"]


def test_a_link_into_nothing_is_no_folder(store: LocalStore, root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path / "nothing")
    (root / "in").symlink_to(root / "nothing")
    for name in ("out/a", "out/b/a", "in/a", "in/b/a"):
        with pytest.raises(NameRefused):
            store.check(name, replace=True)
    store.sync([])
    assert sorted(path.name for path in root.iterdir()) == ["in", "out"]


def test_links_within_the_root_are_followed(store: LocalStore, root: Path, tmp_path: Path) -> None:
    """Also where the root itself is reached through one."""
    (root / "real").mkdir()
    (root / "link").symlink_to("real")
    (tmp_path / "root-link").symlink_to(root)
    linked = LocalStore(tmp_path / "root-link")
    for each, name in ((store, "link/a"), (linked, "link/b")):
        each.check(name, replace=False)
        each.put(staged(tmp_path / "staging", "file", b"new"), name)
        each.sync([name])
    linked.close()
    assert sorted(path.name for path in (root / "real").iterdir()) == ["a", "b"]


def test_a_link_under_the_name_of_a_file_is_replaced_itself(store: LocalStore, root: Path, elsewhere: Path) -> None:
    (root / "a.jpg").symlink_to(elsewhere / "a.jpg")
    with pytest.raises(NameTaken):
        store.check("a.jpg", replace=False)
    store.check("a.jpg", replace=True)
    store.put(staged(root, "staged", b"new"), "a.jpg")
    assert (elsewhere / "a.jpg").read_bytes() == b"mine"
    assert not (root / "a.jpg").is_symlink()
    (root / "b.jpg").symlink_to(elsewhere / "a.jpg")
    store.remove("b.jpg")
    assert (elsewhere / "a.jpg").exists()
    assert not (root / "b.jpg").is_symlink()


def test_links_are_listed_and_not_entered(store: LocalStore, root: Path, elsewhere: Path) -> None:
    (root / "link").symlink_to(elsewhere)
    (root / "loop").symlink_to(root)
    assert sorted(store.names(excluded="-", unlisted=[])) == ["link", "loop"]


def test_a_folder_is_no_file(store: LocalStore, root: Path) -> None:
    (root / "a").mkdir()
    assert (store.size("a"), store.exists("a"), store.exists("x" * 300)) == (None, False, False)
    with pytest.raises(IsADirectoryError):
        store.open("a")


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Device and inode of everything that was flushed to disk."""
    flushed: list[tuple[int, int]] = []
    fsync = os.fsync

    def recording(handle: int) -> None:
        fsync(handle)
        flushed.append(identity(os.fstat(handle)))

    monkeypatch.setattr(os, "fsync", recording)
    return flushed


def identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def test_what_is_synced_has_been_flushed(
    store: LocalStore, root: Path, tmp_path: Path, flushed: list[tuple[int, int]]
) -> None:
    """Every staged file; then every folder that got a file, and those that got a new folder."""
    (root / "old").mkdir()
    names = [f"old/new/{number % 3}/{number}" for number in range(20)]
    paths = [staged(tmp_path / "staging", str(number), b"x") for number in range(20)]
    store.sync_staged(paths)
    assert sorted(flushed) == sorted(identity(Path(path).stat()) for path in paths)
    flushed.clear()
    for path, name in zip(paths, names, strict=True):
        store.check(name, replace=False)
        store.put(path, name)
    assert flushed == []
    store.sync(names)
    folders = [root / "old", root / "old/new", *(root / "old/new" / str(number) for number in range(3))]
    assert sorted(flushed) == sorted(identity(folder.stat()) for folder in folders)
    flushed.clear()
    store.sync(names[:1])
    assert flushed == [identity(folders[2].stat())]


def test_a_full_disk_ends_the_run(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out only while flushing, as file systems that allocate late do."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = staged(tmp_path / "staging", "file", b"x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device; the same command continues once it can"):
        store.sync_staged([path])
    with pytest.raises(OutputError, match="No space left on device"):
        store.sync(["a"])


def test_a_root_that_is_gone_ends_the_run(store: LocalStore, root: Path, tmp_path: Path) -> None:
    store.check("a", replace=False)
    shutil.rmtree(root)
    with pytest.raises(OutputError, match="cannot be written"):
        store.put(staged(tmp_path / "staging", "file", b"x"), "a")
    with pytest.raises(OutputError, match="cannot be read"):
        list(store.names(excluded="-", unlisted=[]))
