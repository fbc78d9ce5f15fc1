"""What a report shows of a journal."""

from pathlib import Path

import pytest
from facts import a_fact, plan

from downloader.journal import Journal
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Item, Stored, Transformed


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite3")


def failed(item: Item, kind: FailureKind, status: int | None = None) -> Failed:
    return Failed(item=item, stage=Stage.DOWNLOAD, kind=kind, message=f"of {item.source}", http_status=status)


def test_failures_are_grouped_by_kind_host_and_status(journal: Journal) -> None:
    """The largest first, with the first and the last of each as examples; sources are masked."""
    items = plan(journal, *(f"https://u:pw@h{number % 2}/{number}" for number in range(5)))
    journal.record([failed(item, FailureKind.HTTP_STATUS, 404) for item in items[:4]])
    journal.record([failed(items[4], FailureKind.TIMEOUT)])
    groups, number = journal.failure_groups(2)
    assert number == 3
    assert [(group.kind, group.host, group.http_status, group.items) for group in groups] == [
        ("http_status", "h0", 404, 2),
        ("http_status", "h1", 404, 2),
    ]
    assert [source for source, _ in groups[0].examples] == ["https://***@h0/0", "https://***@h0/2"]
    assert groups[0].examples[0][1] == f"of {items[0].source}"
    journal.close()


def test_samples_and_timings_come_from_all_over_the_list(journal: Journal) -> None:
    items = plan(journal, *(f"https://h/{number}" for number in range(40)))
    for item in items:
        journal.record([a_fact(kind, item) for kind in (Fetched, Transformed, Stored)])
    samples = journal.stored_samples(4)
    assert [sample.source for sample in samples] == ["https://h/0", "https://h/10", "https://h/20", "https://h/30"]
    assert samples[0].outputs[0].path == "a.png"
    timings = journal.timings(20)
    assert len(timings) == 20
    assert timings[0] == {"body": 0.25, "decode": 0.5, "write": 0.125}
    assert journal.sources(range(2, 4)) == {2: "https://h/1", 3: "https://h/2"}
    journal.close()


def test_an_empty_journal_has_nothing_to_show(journal: Journal) -> None:
    assert journal.failure_groups(10) == ([], 0)
    assert journal.stored_samples(12) == []
    assert journal.timings(100) == []
    assert journal.sources([]) == {}
    journal.close()
