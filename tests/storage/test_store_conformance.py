"""What every store does: whole files under names, durable on request, never outside, never over a file unasked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import STORES, staged

from downloader.storage.interface import NameRefused, NameTaken, Store


@pytest.fixture(params=sorted(STORES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "around" / "root"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def store(kind: str, root: Path) -> Iterator[Store]:
    store = STORES[kind](root)
    yield store
    store.close()


@pytest.fixture
def staging(root: Path) -> Path:
    return root.parent.parent / "staging"


def put(store: Store, staging: Path, name: str, content: bytes = b"new", *, replace: bool = False) -> None:
    path = staged(staging, "file", content)
    store.sync_staged([path])
    store.check(name, replace=replace)
    store.put(path, name)
    store.sync([name])


def read(store: Store, name: str) -> bytes:
    with store.open(name) as file:
        return file.read()


@pytest.mark.parametrize("name", ["a.jpg", "deep/down/a.jpg", "ein Bär\n.jpg", ".hidden", "x/a.jpg.jpg"])
def test_a_file_that_was_put_is_there_under_its_name(store: Store, staging: Path, name: str) -> None:
    put(store, staging, name, b"content")
    assert (read(store, name), store.size(name), store.exists(name)) == (b"content", 7, True)
    assert list(store.names(excluded="-", unlisted=[])) == [name]
    assert list(staging.iterdir()) == []


def test_another_store_of_the_same_place_has_the_file(kind: str, store: Store, staging: Path, root: Path) -> None:
    put(store, staging, "a/b.jpg", b"content")
    again = STORES[kind](root)
    assert read(again, "a/b.jpg") == b"content"
    again.close()


def test_a_name_that_was_only_checked_has_no_file(store: Store) -> None:
    store.check("a/b.jpg", replace=False)
    assert (store.exists("a/b.jpg"), store.size("a/b.jpg")) == (False, None)
    assert list(store.names(excluded="-", unlisted=[])) == []
    with pytest.raises(FileNotFoundError):
        store.open("a/b.jpg")


def test_many_files_at_once(store: Store, staging: Path) -> None:
    """More than are flushed at the same time, in one folder and in many; and none at all."""
    names = [f"{number % 7}/{number}.jpg" for number in range(50)]
    paths = [staged(staging, str(number), b"x" * number) for number in range(50)]
    store.sync_staged(paths)
    for path, name in zip(paths, names, strict=True):
        store.check(name, replace=False)
        store.put(path, name)
    store.sync(names)
    assert [store.size(name) for name in names] == list(range(50))
    assert sorted(store.names(excluded="-", unlisted=[])) == sorted(names)
    store.sync_staged([])
    store.sync([])


def test_a_file_is_replaced_only_when_asked(store: Store, staging: Path) -> None:
    put(store, staging, "a.jpg", b"old")
    with pytest.raises(NameTaken, match=r"^a\.jpg$"):
        store.check("a.jpg", replace=False)
    assert read(store, "a.jpg") == b"old"
    put(store, staging, "a.jpg", b"new", replace=True)
    assert read(store, "a.jpg") == b"new"


def test_a_reader_of_a_file_that_is_replaced_reads_it_whole(store: Store, staging: Path) -> None:
    put(store, staging, "a.jpg", b"old" * 100_000)
    with store.open("a.jpg") as file:
        start = file.read(3)
        put(store, staging, "a.jpg", b"new", replace=True)
        assert start + file.read() == b"old" * 100_000


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_below_a_file_is_refused(store: Store, staging: Path, replace: bool) -> None:
    put(store, staging, "a", b"file")
    for name in ("a/b", "a/b/c"):
        with pytest.raises(NameRefused, match="a file and a folder want the same name"):
            store.check(name, replace=replace)
    store.sync([])
    assert read(store, "a") == b"file"


def test_a_file_in_place_of_a_folder_is_refused(store: Store, staging: Path) -> None:
    put(store, staging, "a/b", b"file")
    for replace in (False, True):
        with pytest.raises(NameRefused, match="a file and a folder want the same name"):
            store.check("a", replace=replace)
    assert not store.exists("a")
    assert read(store, "a/b") == b"file"


def test_a_folder_that_comes_after_the_check_is_refused(store: Store, staging: Path) -> None:
    store.check("a", replace=False)
    put(store, staging, "a/b", b"file")
    with pytest.raises(NameRefused, match="a file and a folder want the same name"):
        store.put(staged(staging, "late", b"late"), "a")
    assert list(store.names(excluded="-", unlisted=[])) == ["a/b"]


@pytest.mark.parametrize("name", ["../out.jpg", "a/../../out.jpg", "../new/out.jpg", "/{around}/out.jpg"])
def test_a_name_outside_is_refused(store: Store, root: Path, name: str) -> None:
    """Nothing is made there, and what is there is not removed."""
    mine = root.parent / "out.jpg"
    mine.write_bytes(b"mine")
    name = name.format(around=str(root.parent).lstrip("/"))
    for replace in (False, True):
        with pytest.raises(NameRefused):
            store.check(name, replace=replace)
    store.remove(name)
    assert sorted(path.name for path in root.parent.iterdir()) == ["out.jpg", root.name]
    assert mine.read_bytes() == b"mine"


def test_a_file_is_removed_and_nothing_else(store: Store, staging: Path) -> None:
    for name in ("a/b", "a/c", "d"):
        put(store, staging, name)
    for name in ("a/b", "a/b", "nothing", "a", "d/e", "no/where"):
        store.remove(name)
    assert sorted(store.names(excluded="-", unlisted=[])) == ["a/c", "d"]


def test_excluded_folders_are_not_listed(store: Store, staging: Path) -> None:
    """At any depth; a file of this name is."""
    for name in ("a", ".state/b", "c/.state/d", "c/e", "f/.state"):
        put(store, staging, name)
    assert sorted(store.names(excluded=".state", unlisted=[])) == ["a", "c/e", "f/.state"]
