"""Which item had which bytes first: the journal remembers it when told to, and nothing else does."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from facts import a_fact, names, url_row

from downloader.journal import Journal
from downloader.model.items import Failed, Fetched, Item, Requeued, Stored, Transformed

ONE, OTHER = "1" * 64, "2" * 64


def fetched(item: Item, sha256: str | None = ONE) -> Fetched:
    fact = a_fact(Fetched, item)
    assert isinstance(fact, Fetched)
    return replace(fact, sha256=sha256)


def three(journal: Journal, *, track_bodies: bool = True) -> list[Item]:
    journal.begin_plan(track_bodies=track_bodies)
    journal.plan_rows([url_row(f"https://h/{name}") for name in "abc"], 0, names)
    return [item for _, item in journal.open_urls(0, 9)]


def test_the_first_item_owns_its_bytes(tmp_path: Path) -> None:
    """The second to come with them is told whose they are, the first is not, and it stays so in the next run."""
    path = tmp_path / "journal"
    with closing(Journal(path)) as journal:
        first, second, _ = three(journal)
        assert journal.find_duplicate(first, ONE) is None
        journal.record([fetched(first), fetched(second)])
        assert journal.find_duplicate(first, ONE) is None
        assert journal.find_duplicate(second, ONE) == "https://h/a"
        assert journal.find_duplicate(second, OTHER) is None
    with closing(Journal(path, read_only=True)) as journal:
        assert journal.find_duplicate(second, ONE) == "https://h/a"


def test_asking_changes_nothing(tmp_path: Path) -> None:
    """Ownership comes with the recorded bytes, not with the question."""
    with closing(Journal(tmp_path / "journal")) as journal:
        first, second, _ = three(journal)
        assert journal.find_duplicate(second, ONE) is None
        journal.record([fetched(first)])
        assert journal.find_duplicate(second, ONE) == "https://h/a"


def test_an_owner_that_fails_loses_its_bytes(tmp_path: Path) -> None:
    """The next to come with them owns them from then on, also after the first was done again."""
    with closing(Journal(tmp_path / "journal")) as journal:
        first, second, third = three(journal)
        journal.record([fetched(first), a_fact(Failed, first)])
        assert journal.find_duplicate(second, ONE) is None
        journal.record([fetched(second)])
        journal.record([a_fact(Requeued, first), fetched(first)])
        assert journal.find_duplicate(third, ONE) == "https://h/b"
        assert journal.find_duplicate(first, ONE) == "https://h/b"


def test_an_owner_whose_bytes_change_loses_the_old_ones(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "journal")) as journal:
        first, second, third = three(journal)
        journal.record([fetched(first), a_fact(Requeued, first)])
        assert journal.find_duplicate(second, ONE) == "https://h/a", "it may bring the same bytes again"
        journal.record([fetched(first, OTHER)])
        assert journal.find_duplicate(second, ONE) is None
        journal.record([fetched(second)])
        assert journal.find_duplicate(third, ONE) == "https://h/b"
        assert journal.find_duplicate(third, OTHER) == "https://h/a"


@pytest.mark.parametrize("sha256", [ONE, None])
def test_bodies_are_tracked_on_request_only(tmp_path: Path, sha256: str | None) -> None:
    """Without `track_bodies`, or without a checksum, nothing is remembered."""
    with closing(Journal(tmp_path / "journal")) as journal:
        first, second, _ = three(journal, track_bodies=sha256 is None)
        journal.record([fetched(first, sha256), a_fact(Transformed, first), a_fact(Stored, first)])
        assert journal.find_duplicate(second, ONE) is None
