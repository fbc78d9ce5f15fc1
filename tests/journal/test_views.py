"""What the journal says of open items, failures, files and times."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from facts import a_fact, names, plan, url_row

from downloader.journal import CommonFailure, Journal, Written, WrittenFile
from downloader.model.failures import FailureKind
from downloader.model.items import (
    Failed,
    Fetched,
    File,
    FileSpan,
    Invalid,
    Item,
    Output,
    RecheckRequested,
    Row,
    Stored,
    Transformed,
    Unchanged,
)
from downloader.model.spans import Phase, Span
from downloader.model.states import State


def spans(**seconds: float) -> tuple[Span, ...]:
    return tuple(Span(Phase(phase), 10.0, 10.0 + value, "lane") for phase, value in seconds.items())


def fact(fact_type: Any, item: Item, /, **values: Any) -> Any:
    return replace(a_fact(fact_type, item), **values)


def timings(journal: Journal) -> dict[str, float]:
    (record,) = journal.records()
    seconds: dict[str, float] = record["timings_s"]
    return seconds


MIXED = (
    url_row("https://h/1"),
    Row("/p/2.jpg", File("/p/2.jpg")),
    Row("/p/a.tar/3.jpg", FileSpan("/p/a.tar", 512, 100)),
    url_row("https://h/4"),
    Row("x", Invalid("list.csv:4: no URL")),
    Row("/p/6.jpg", File("/p/6.jpg")),
)


def test_open_items_are_urls_or_local(tmp_path: Path) -> None:
    """Each item without an outcome is in one of the two views, in the order of the list, with its location."""
    with closing(Journal(tmp_path / "journal")) as journal:
        plan(journal, *MIXED)
        urls, local = journal.open_urls(0, 9), journal.open_local(0, 9)
        assert [(number, item.what) for number, item in urls] == [(1, MIXED[0].what), (4, MIXED[3].what)]
        assert [(number, item.what) for number, item in local if isinstance(item, Item)] == [
            (number, MIXED[number - 1].what) for number in (2, 3, 5, 6)
        ]
        assert journal.open_urls(1, 9) == urls[1:]
        assert journal.open_local(2, 2) == local[1:3]
        assert journal.unaccounted() == 6


def test_bytes_of_this_run_are_not_open_but_those_of_an_earlier_run_are(tmp_path: Path) -> None:
    """An item is handed out once a run: what was downloaded now is on its way, what an earlier run left is not."""
    with closing(Journal(tmp_path / "journal")) as journal:
        plan(journal, *MIXED)
        first, second = (item for _, item in journal.open_urls(0, 9))
        journal.record([fact(Fetched, first), fact(Fetched, second), fact(Transformed, second)])
        assert [number for number, _ in journal.open_local(0, 9)] == [2, 3, 5, 6]
        journal.begin_plan()
        assert journal.open_local(0, 9) == []
        journal.plan_rows(MIXED[:4], 0, names)
        tasks = [task for _, task in journal.open_local(0, 9)]
        assert [isinstance(task, Fetched) for task in tasks] == [True, False, False, True]
        assert journal.open_urls(0, 9) == []


def test_a_fetched_span_of_a_file_starts_where_it_did(tmp_path: Path) -> None:
    """Used in place it has its offset; a staged copy of it starts at 0."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, MIXED[2])
        journal.record([Fetched(item=item, path="/p/a.tar", bytes=100, staged=False, offset=512)])
        assert [found.offset for found in journal.fetched()] == [512]
    with closing(Journal(tmp_path / "other")) as journal:
        (item,) = plan(journal, MIXED[2])
        journal.record([Fetched(item=item, path="/out/staging/1.body", bytes=100, staged=True)])
        assert [found.offset for found in journal.fetched()] == [0]


def test_urls_of_a_host_are_the_same_with_and_without_their_index(tmp_path: Path) -> None:
    """The index changes only how long it takes, may be asked for twice, and is there for the next run."""
    path = tmp_path / "journal"
    with closing(Journal(path)) as journal:
        plan(journal, "https://one/old")
        plan(journal, *(f"https://{host}/{number}" for number in range(50) for host in ("one", "two")))
        without = journal.open_urls_of_host("two", 0, 90, 30)
        assert [item.source for _, item in without] == [f"https://two/{number}" for number in range(30)]
        assert len(journal.open_urls_of_host("one", 0, 1000, 1000)) == 50, "earlier runs do not count"
        journal.index_hosts()
        journal.index_hosts()
        assert journal.open_urls_of_host("two", 0, 90, 30) == without
    with closing(Journal(path)) as journal:
        assert [item.source for _, item in journal.open_urls_of_host("two", 0, 90, 2)] == [
            "https://two/0",
            "https://two/1",
        ]


def test_the_index_of_hosts_changes_no_answer(tmp_path: Path) -> None:
    """The query names the index once it is there, so SQLite would refuse one that does not serve it."""
    with closing(Journal(tmp_path / "journal")) as journal:
        plan(journal, *(f"https://frequent/{number}" for number in range(50)), "https://rare/1")
        before = [journal.open_urls_of_host(host, 0, 99, 9) for host in ("rare", "frequent", "none")]
        journal.index_hosts()
        assert [journal.open_urls_of_host(host, 0, 99, 9) for host in ("rare", "frequent", "none")] == before
        assert [len(rows) for rows in before] == [1, 9, 0]


def test_failures_of_a_run_have_something_in_common(tmp_path: Path) -> None:
    """The most frequent kind, and of those the most frequent host; earlier runs do not count."""
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.record([a_fact(Failed, item) for item in plan(journal, *(f"https://x/{n}" for n in range(9)))])
        items = plan(journal, "https://a/1", "https://a/2", "https://b/3", "https://a/4", "https://a/5")
        assert journal.common_failure() is None
        journal.record([a_fact(Failed, item) for item in items[:3]])
        journal.record([fact(Failed, item, kind=FailureKind.DNS, http_status=None) for item in items[3:]])
        assert journal.common_failure() == CommonFailure(failed=5, kind="http_status", of_kind=3, host="a", of_host=2)


def test_written_files_are_known_by_their_items(tmp_path: Path) -> None:
    """In pages; what is no item's can be told from them; a requeued item keeps its files until others are stored."""

    def output(path: str) -> Output:
        return Output(variant=None, path=path, format="png", width=1, height=1, bytes=7, sha256="ef")

    with closing(Journal(tmp_path / "journal")) as journal:
        items = plan(journal, "https://h/a", "https://h/b", "https://h/c")
        for item, paths in zip(items[:2], (("a.png", "a-big.png"), ("caf\udce9.png",)), strict=True):
            stored = Stored(item=item, outputs=tuple(output(path) for path in paths))
            journal.record([a_fact(Fetched, item), a_fact(Transformed, item), stored])
        (first,) = journal.written(0, 1)
        assert first == Written(
            item_id=items[0].id,
            state=State.STORED,
            files=tuple(WrittenFile(path=path, bytes=7, sha256="ef") for path in ("a.png", "a-big.png")),
        )
        assert [written.item_id for written in journal.written(first.item_id, 9)] == [items[1].id]
        journal.requeue([first.item_id])
        states = [(written.item_id, written.state) for written in journal.written(0, 9)]
        assert states == [(items[0].id, State.PENDING), (items[1].id, State.STORED)]
        assert journal.unowned(["a.png", "b.png", "a-big.png", "c/a.png"]) == ["b.png", "c/a.png"]


def test_seconds_of_an_item_are_collected_from_its_facts(tmp_path: Path) -> None:
    """Each stage adds its phases, also within one batch; a phase that two of them report is added up."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        journal.record([fact(Fetched, item, spans=spans(dns=0.5, body=1.25))])
        assert timings(journal) == {"dns": 0.5, "body": 1.25}
        transformed = fact(Transformed, item, spans=spans(queue=0.25, decode=0.125))
        journal.record([transformed, fact(Failed, item, spans=spans(queue=0.5, write=0.75))])
        assert timings(journal) == {"dns": 0.5, "body": 1.25, "queue": 0.75, "decode": 0.125, "write": 0.75}


def test_seconds_begin_anew_with_the_bytes(tmp_path: Path) -> None:
    """What was fetched again starts from nothing, and a fact without phases leaves all as it is."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        journal.record([fact(Failed, item, spans=spans(dns=3.0))])
        assert timings(journal) == {"dns": 3.0}
        (item,) = plan(journal, "https://h/a", overwrite="always")
        assert timings(journal) == {}
        journal.record([fact(Fetched, item, spans=spans(body=0.000001)), fact(Failed, item, spans=())])
        assert timings(journal) == {"body": 0.000001}


def test_a_recheck_replaces_its_own_phases_only(tmp_path: Path) -> None:
    """The phases of the stored results stay, those of the last look at the source are the last look's."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        journal.record([fact(Fetched, item, spans=spans(first_byte=2.0, body=1.0))])
        journal.record([fact(Stored, item, spans=spans(write=0.5))])
        for seconds in (0.25, 0.125):
            journal.record(
                [RecheckRequested(item=item), Unchanged(item=item, spans=spans(first_byte=seconds, dns=0.5))]
            )
            assert timings(journal) == {"first_byte": seconds, "body": 1.0, "write": 0.5, "dns": 0.5}
