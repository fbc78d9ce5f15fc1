"""Real file systems that refuse: one name costs its item, a place that takes no more ends the run."""

import os
from pathlib import Path

import pytest
from filesystems import immutable, mounted
from stores import staged

from downloader.errors import OutputError
from downloader.storage.interface import NameRefused, NameTaken
from downloader.storage.local import LocalStore


def put(store: LocalStore, root: Path, name: str, content: bytes = b"new") -> None:
    path = staged(root / ".staging", "file", content)
    assert store.sync_staged([path]) == {}
    store.check(name, replace=True)
    store.put(path, name)
    assert store.sync([name]) == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x" * 256, "the name is too long for this file system"),
        ("日" * 86, "the name is too long for this file system"),  # 258 bytes of UTF-8
        ("x" * 256 + "/a", "the name is too long for this file system"),
        ("d/" * 2500 + "a", "the name is too long for this file system"),
        ("file/a", "a file and a folder want the same name"),
        ("file/a/b", "a file and a folder want the same name"),
        ("folder", "a file and a folder want the same name"),
        ("loop/a", "a symbolic link in its path leads back to itself"),
        ("dangling/a", "a folder in its path was removed, or is a symbolic link that leads nowhere"),
        ("pipe/a", "a file and a folder want the same name"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(store: LocalStore, root: Path, name: str, reason: str) -> None:
    """Each is named with its reason, and the next name is stored."""
    (root / "file").touch()
    (root / "folder" / "sub").mkdir(parents=True)
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nothing")
    os.mkfifo(root / "pipe")
    with pytest.raises(NameRefused) as caught:
        put(store, root, name)
    assert reason in str(caught.value)
    put(store, root, "good")


@pytest.mark.parametrize("name", ["x" * 255, "日" * 85])
def test_a_name_of_just_the_limit_is_taken(store: LocalStore, root: Path, name: str) -> None:
    """255 bytes, whatever the letters."""
    put(store, root, name)
    assert store.size(name) == 3


def test_what_is_no_file_is_in_the_way(store: LocalStore, root: Path) -> None:
    """A pipe or a dangling link is not replaced unasked, and a pipe is never waited for."""
    os.mkfifo(root / "pipe")
    (root / "dangling").symlink_to("nothing")
    for name in ("pipe", "dangling"):
        with pytest.raises(NameTaken):
            store.check(name, replace=False)
    with pytest.raises(IsADirectoryError, match="not a regular file"):
        store.open("pipe")


def test_a_protected_subfolder_costs_its_items(store: LocalStore, root: Path) -> None:
    (root / "sub").mkdir()
    put(store, root, "sub/old")
    with immutable(root / "sub"):
        for name in ("sub/a", "sub/new/a"):
            with pytest.raises(NameRefused, match="Operation not permitted"):
                put(store, root, name)
        store.remove("sub/old")  # stays, without ending the run
        put(store, root, "a")
    assert sorted(store.names(excluded=".staging", unlisted=[])) == ["a", "sub/old"]


def test_a_protected_root_ends_the_run(store: LocalStore, root: Path) -> None:
    (root / ".staging").mkdir()
    (root / "old").touch()
    with immutable(root):
        with pytest.raises(OutputError, match="Operation not permitted"):
            put(store, root, "a")
        with pytest.raises(OutputError):
            store.check("new/a", replace=False)
        with pytest.raises(OutputError):
            store.remove("old")


@pytest.mark.parametrize("options", ["size=1m", "size=1m,ro"])
def test_a_mount_below_the_root_costs_its_items(store: LocalStore, root: Path, options: str) -> None:
    """Read-only, full or neither: files cannot be moved there, and the others do not need it."""
    with mounted(root / "sub", options):
        for name in ("sub/a", "sub/new/a"):
            with pytest.raises(NameRefused):
                put(store, root, name)
        put(store, root, "a")


def test_a_file_system_without_room_for_one_more_folder_ends_the_run(tmp_path: Path) -> None:
    """The same for its bytes: see the tests of whole runs."""
    with mounted(tmp_path / "small", "nr_inodes=5") as root:
        store = LocalStore(root)
        store.check("a/b/a", replace=False)
        with pytest.raises(OutputError, match="No space left on device; the same command continues once it can"):
            store.check("c/d/e/f/a", replace=False)
        store.close()


def test_a_folder_that_cannot_be_read_is_flushed_as_far_as_the_system_allows(store: LocalStore, root: Path) -> None:
    """Opening it may be forbidden where writing into it is not."""
    put(store, root, "sub/a")
    (root / "sub").chmod(0o300)
    put(store, root, "sub/b")
    (root / "sub").chmod(0o700)
    assert store.size("sub/b") == 3
