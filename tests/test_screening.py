"""What is wanted: items whose results are there already, bytes that another item had before."""

import threading
from pathlib import Path

import pytest
from facts import an_item

from downloader.model.failures import SkipReason
from downloader.model.items import Fetched, Item, PreviousResult, Skipped, Validator
from downloader.screening import Duplicates, Screening
from downloader.sinks.files import FilesSink
from downloader.storage.local import LocalStore


def fetched(item: Item, path: Path, data: bytes = b"bytes", *, sha256: str | None = None) -> Fetched:
    path.write_bytes(data)
    return Fetched(item=item, path=str(path), bytes=len(data), staged=True, sha256=sha256)


@pytest.fixture
def sink(tmp_path: Path) -> FilesSink:
    root = tmp_path / "out"
    root.mkdir()
    (root / "a.png").write_bytes(b"somebody's")
    return FilesSink(LocalStore(root))


def test_an_item_whose_output_is_somebody_elses_is_skipped(sink: FilesSink) -> None:
    """`a.png` was there before any run; the item would be named `a` with whatever extension."""
    found = Screening(sink).before_fetch(an_item())
    assert isinstance(found, Skipped)
    assert (found.reason, found.message) == (
        SkipReason.EXISTS,
        "a.png is there already; --overwrite always replaces it",
    )


@pytest.mark.parametrize(("size", "is_kept"), [(10, True), (11, False)])
def test_results_of_an_earlier_run_count_only_while_they_are_there(
    sink: FilesSink, size: int, *, is_kept: bool
) -> None:
    """Otherwise the source is not asked whether it has changed, but fetched anew."""
    previous = PreviousResult(validator=Validator(etag='"v1"'), sha256="ab", outputs=(("a.png", size),))
    item = Item(**{name: getattr(an_item(), name) for name in Item.__slots__} | {"renewed": True, "previous": previous})
    found = Screening(sink).before_fetch(item)
    assert isinstance(found, Item)
    assert found.previous == (previous if is_kept else None)


def test_without_dedup_bytes_are_not_even_hashed(sink: FilesSink, tmp_path: Path) -> None:
    fact = fetched(an_item(), tmp_path / "body")
    assert Screening(sink).after_fetch(fact) is fact


def test_the_second_item_with_the_same_bytes_is_left_out(sink: FilesSink, tmp_path: Path) -> None:
    """Its staged bytes go; the first keeps its own, with the checksum that was needed."""
    screening = Screening(sink, Duplicates(lambda _item, _sha256: None))
    first = screening.after_fetch(fetched(an_item(1), tmp_path / "1"))
    assert isinstance(first, Fetched)
    assert first.sha256 is not None
    second = screening.after_fetch(fetched(an_item(2), tmp_path / "2"))
    assert isinstance(second, Skipped)
    assert (second.reason, second.message) == (SkipReason.DUPLICATE, "the same bytes as https://h/a")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["1"]
    assert isinstance(screening.after_fetch(fetched(an_item(3), tmp_path / "3", b"others")), Fetched)


def test_one_of_many_threads_owns_the_bytes() -> None:
    """Before and after the journal knows of it: exactly one item of 64 is the first."""
    for is_recorded in (False, True):
        recorded: dict[str, Item] = {}

        def source_of(item: Item, digest: str, recorded: dict[str, Item] = recorded) -> str | None:
            first = recorded.get(digest)
            return None if first is None or first.id == item.id else first.source

        duplicates = Duplicates(source_of)
        owners: list[int] = []

        def claim(
            number: int,
            duplicates: Duplicates = duplicates,
            owners: list[int] = owners,
            recorded: dict[str, Item] = recorded,
            is_recorded: bool = is_recorded,
        ) -> None:
            item = an_item(number)
            if duplicates.claim(item, "ab") is None:
                owners.append(number)
                if is_recorded:
                    recorded["ab"] = item
                    duplicates.facts([Fetched(item=item, path="x", bytes=1, staged=True, sha256="ab")])

        threads = [threading.Thread(target=claim, args=(number,)) for number in range(1, 65)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(owners) == 1
