"""The files sink: names of outputs, what exists already, and what is removed after a commit."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import ObservedStore, fetched, images, item

from downloader.model.failures import FailureKind, SkipReason, Stage
from downloader.model.items import (
    ORIGINAL,
    Failed,
    Outcome,
    PreviousResult,
    Skipped,
    Stored,
    Unchanged,
    Validator,
)
from downloader.sinks.files import FilesSink
from downloader.storage.local import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


@pytest.fixture
def store(root: Path) -> Iterator[LocalStore]:
    store = LocalStore(root)
    yield store
    store.close()


@pytest.fixture
def sink(store: LocalStore) -> FilesSink:
    return FilesSink(store)


def paths(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Stored)
    return [output.path for output in outcome.outputs]


def previous(*outputs: tuple[str, int]) -> PreviousResult:
    return PreviousResult(validator=Validator(), sha256=None, outputs=outputs)


def test_outputs_are_named_after_item_size_and_encoder(sink: FilesSink, staging: Path) -> None:
    one, several, bytes_kept, bare = sink.store(
        [
            images(item(1, "a"), staging, to="webp"),
            images(item(2, "b"), staging, variants=("thumb", ORIGINAL)),
            fetched(item(3, "c.d", extension="tar"), staging),
            fetched(item(4, "e", extension=""), staging),
        ]
    )
    assert paths(one) == ["a.webp"]
    assert paths(several) == ["b-thumb.jpg", "originals/b.jpg"]
    assert paths(bytes_kept) == ["c.d.tar"]
    assert paths(bare) == ["e"]


def test_a_file_of_the_users_own_is_kept(sink: FilesSink, root: Path, staging: Path) -> None:
    (root / "a.jpg").write_bytes(b"mine")
    (skipped,) = sink.store([images(item(1, "a"), staging)])
    assert isinstance(skipped, Skipped)
    assert (skipped.reason, skipped.message) == (
        SkipReason.EXISTS,
        "a.jpg is there already; --overwrite always replaces it",
    )
    assert (root / "a.jpg").read_bytes() == b"mine"


def test_a_file_of_the_users_own_is_replaced_on_request(store: LocalStore, root: Path, staging: Path) -> None:
    (root / "a.jpg").write_bytes(b"mine")
    (stored,) = FilesSink(store, replace=True).store([images(item(1, "a"), staging)])
    assert paths(stored) == ["a.jpg"]
    assert (root / "a.jpg").read_bytes() == b"image"


def test_a_folder_in_the_way_fails_the_whole_item(store: LocalStore, root: Path, staging: Path) -> None:
    """Known before its first file is moved."""
    (root / "a-large.jpg").mkdir()
    result = images(item(1, "a"), staging, variants=("small", "large"))
    (failed,) = FilesSink(store, replace=True).store([result])
    assert isinstance(failed, Failed)
    assert failed.kind is FailureKind.WRITE
    assert "a file and a folder want the same name" in failed.message
    assert [path.name for path in root.iterdir()] == ["a-large.jpg"]


def test_a_link_out_of_the_output_fails_the_item(sink: FilesSink, root: Path, staging: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (failed,) = sink.store([images(item(1, "link/deep/a"), staging)])
    assert isinstance(failed, Failed)
    assert failed.kind is FailureKind.WRITE
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_staged_bytes_that_are_gone_cost_their_item(sink: FilesSink, staging: Path) -> None:
    """A virus scanner may take a file away; the others of the batch are stored."""
    result = images(item(1, "a"), staging)
    Path(result.renditions[0].path).unlink()
    failed, stored = sink.store([result, images(item(2, "b"), staging)])
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.stage) == (FailureKind.WRITE, Stage.OUTPUT)
    assert "cannot be made durable" in failed.message
    assert paths(stored) == ["b.jpg"]


def test_of_an_item_that_cannot_be_stored_whole_nothing_stays(
    sink: FilesSink, root: Path, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only found out at its second file; an item of an earlier run keeps what is known to be its own."""
    replace = os.replace

    def refusing(source: str, target: str) -> None:
        if target.endswith("-l.jpg"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    (failed,) = sink.store([images(item(1, "a"), staging, variants=("s", "l"))])
    assert isinstance(failed, Failed)
    assert failed.message.endswith("a-l.jpg: this file system does not take the name; other names come from --name")
    assert list(root.iterdir()) == []
    sink.store([images(item(2, "b", renewed=True), staging, variants=("s", "l"))])
    assert [path.name for path in root.iterdir()] == ["b-s.jpg"]


def test_a_folder_that_vanishes_before_it_is_flushed_costs_its_items(
    store: LocalStore, root: Path, staging: Path
) -> None:
    """What could not be made durable is no result, though the rename succeeded."""

    def before(step: str, _: tuple[str, ...]) -> None:
        if step == "sync":
            shutil.rmtree(root / "sub")

    lost, kept = FilesSink(ObservedStore(store, before)).store(
        [images(item(1, "sub/a"), staging), images(item(2, "b"), staging)]
    )
    assert isinstance(lost, Failed)
    assert "cannot be made durable" in lost.message
    assert paths(kept) == ["b.jpg"]
    (again,) = FilesSink(store).store([images(item(3, "sub/c"), staging)])
    assert isinstance(again, Failed)
    (again,) = FilesSink(store).store([images(item(4, "sub/d"), staging)])
    assert paths(again) == ["sub/d.jpg"]


@pytest.mark.parametrize("name", ["a-s.jpg", "a-l.avif"])
def test_existing_outputs_are_found_with_every_size_and_extension(store: LocalStore, root: Path, name: str) -> None:
    (root / name).write_bytes(b"mine")
    sink = FilesSink(store, variants=("s", "l"))
    assert sink.existing_output(item(1, "a")) == name
    assert sink.existing_output(item(2, "b")) is None


def test_an_existing_output_with_the_extension_of_the_name(sink: FilesSink, root: Path) -> None:
    (root / "a.jpg").write_bytes(b"mine")
    assert sink.existing_output(item(1, "a", extension="bin")) is None
    assert sink.existing_output(item(1, "a", extension="jpg")) == "a.jpg"


def test_what_may_be_replaced_does_not_exist(store: LocalStore, root: Path) -> None:
    """If results replace, if the folder was empty before the first run, and for outputs of an earlier run."""
    (root / "a.jpg").write_bytes(b"there")
    assert FilesSink(store, replace=True).existing_output(item(1, "a")) is None
    assert FilesSink(store, is_foreign=False).existing_output(item(1, "a")) is None
    assert FilesSink(store).existing_output(item(1, "a", renewed=True)) is None


def test_outputs_are_there_with_the_size_they_had(sink: FilesSink, root: Path) -> None:
    (root / "a.jpg").write_bytes(b"1234")
    (root / "b.jpg").write_bytes(b"12")
    assert sink.has_outputs(previous(("a.jpg", 4), ("b.jpg", 2)))
    assert not sink.has_outputs(previous(("a.jpg", 4), ("b.jpg", 3)))
    assert not sink.has_outputs(previous(("a.jpg", 4), ("c.jpg", 2)))


def test_settling_removes_what_was_replaced_under_another_name(sink: FilesSink, root: Path, staging: Path) -> None:
    """The image is a PNG now; nothing else is removed, and nothing before `settle`."""
    for name in ("a.jpg", "a-l.jpg", "b.jpg", "mine.jpg"):
        (root / name).write_bytes(b"old")
    earlier = previous(("a.jpg", 3), ("a-l.jpg", 3), ("gone.jpg", 3))
    outcomes = sink.store([images(item(1, "a", renewed=True, previous=earlier), staging, to="png")])
    assert paths(outcomes[0]) == ["a.png"]
    assert (root / "a.jpg").exists()
    sink.settle(outcomes)
    assert sorted(path.name for path in root.iterdir()) == ["a.png", "b.jpg", "mine.jpg"]


def test_settling_keeps_outputs_of_items_that_were_not_stored(sink: FilesSink, root: Path) -> None:
    """What an earlier run stored is still the result of an item that failed or did not change."""
    (root / "a.jpg").write_bytes(b"old")
    of = item(1, "a", renewed=True, previous=previous(("a.jpg", 3)))
    failed = Failed(item=of, stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="no such host")
    sink.settle([failed, Unchanged(item=of)])
    assert (root / "a.jpg").read_bytes() == b"old"
