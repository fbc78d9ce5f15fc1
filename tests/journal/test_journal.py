import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from facts import KINDS, a_fact, item_of, names, open_items, plan, url_row
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from downloader.errors import IllegalTransition, JournalError
from downloader.journal import SCHEMA_VERSION, Journal, OverwritePolicy, make_key
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    File,
    Item,
    Part,
    Partial,
    PreviousResult,
    Requeued,
    Row,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
    Validator,
)
from downloader.model.states import LIVE, TERMINAL, TRANSITIONS, State
from downloader.naming.names import clashes

PATHS: dict[State, tuple[type[Fact], ...]] = {
    State.PENDING: (),
    State.FETCHED: (Fetched,),
    State.TRANSFORMED: (Fetched, Transformed),
    State.STORED: (Fetched, Transformed, Stored),
    State.FAILED: (Failed,),
    State.SKIPPED: (Skipped,),
}
SOURCES = [f"https://{host}/{name}" for host in ("a.example", "b.example") for name in ("x", "X", "straße", "STRASSE")]


def contents(path: Path) -> list[str]:
    """Everything in the file."""
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


@pytest.mark.parametrize(("state", "kind"), list(product(State, KINDS)))
def test_a_fact_moves_an_item_or_leaves_the_journal_as_it_was(tmp_path: Path, state: State, kind: type[Fact]) -> None:
    """Each (state, fact) pair follows TRANSITIONS, or the whole batch it came in is refused and nothing changes."""
    path = tmp_path / "journal"
    with closing(Journal(path)) as journal:
        item, other = plan(journal, "https://h/a", "https://h/b")
        journal.record([a_fact(step, item) for step in PATHS[state]])
        before = contents(path)
        batch = [a_fact(Fetched, other), a_fact(kind, item)]
        if after := TRANSITIONS[state].get(kind):
            journal.record(batch)
            assert Counter(journal.counts().by_state) == {**dict.fromkeys(State, 0), State.FETCHED: 1} | Counter(
                {after: 1 + (after is State.FETCHED)}
            )
        else:
            with pytest.raises(IllegalTransition):
                journal.record(batch)
            assert contents(path) == before


class JournalMachine(RuleBasedStateMachine):
    """A journal and a dictionary that are told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal"
        self.journal = Journal(self.path)
        self.items: dict[str, Item] = {}
        self.states: dict[str, State] = {}
        self.plan: list[str] = []
        """In the order in which they were listed."""
        self.listed: Counter[str] = Counter()
        self.is_retry = False
        self.written: set[str] = set()
        """Items that have results of some run."""
        self.fetched_before: set[str] = set()
        """Items whose bytes were fetched when this plan began."""

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()

    @initialize()
    def begin_first(self) -> None:
        self.begin()

    @rule()
    def begin(self) -> None:
        self.journal.begin_plan()
        self.fetched_before = {key for key, state in self.states.items() if state in {State.FETCHED, State.TRANSFORMED}}
        self.plan = []
        self.listed.clear()
        self.is_retry = False

    @precondition(lambda self: not self.is_retry)
    @rule(
        sources=st.lists(st.sampled_from(SOURCES), max_size=12),
        overwrite=st.sampled_from(["never", "changed", "always"]),
    )
    def list_rows(self, sources: list[str], *, overwrite: OverwritePolicy) -> None:
        done = 0
        for source in sources:
            key = make_key(url_row(source), self.listed[source]).hex()
            self.listed[source] += 1
            self.plan.append(key)
            if overwrite == "always" and self.states.get(key) in TERMINAL:
                self.states[key] = State.PENDING
            if overwrite == "changed" and self.states.get(key) is State.STORED:
                self.states[key] = State.PENDING
            done += self.states.setdefault(key, State.PENDING) in TERMINAL
        assert self.journal.plan_rows([url_row(source) for source in sources], 0, names, overwrite=overwrite) == done
        for item in open_items(self.journal):
            known = self.items.setdefault(item.key, item)
            assert (known.id, known.source, known.name) == (item.id, item.source, item.name), "an item has changed"

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def learn(self, data: st.DataObject) -> None:
        states = dict(self.states)
        batch: list[Fact] = []
        for key in data.draw(st.lists(st.sampled_from(sorted(self.items)), max_size=6)):
            kinds = [kind for kind in KINDS if kind in TRANSITIONS[states[key]]]
            kind = data.draw(st.sampled_from([k for k in kinds if k is not Unchanged or key in self.written]))
            states[key] = TRANSITIONS[states[key]][kind]
            if kind is Stored:
                self.written.add(key)
            batch.append(a_fact(kind, self.items[key]))
        self.journal.record(batch)
        self.states = states

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def learn_nonsense(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.items)))
        kind = data.draw(st.sampled_from([kind for kind in KINDS if kind not in TRANSITIONS[self.states[key]]]))
        with pytest.raises(IllegalTransition):
            self.journal.record([a_fact(kind, self.items[key])])

    @rule(kinds=st.sets(st.sampled_from(["http_status", "dns"])))
    def retry(self, kinds: set[str]) -> None:
        """What failed so, and what has no outcome, of whatever plan, is the new plan; no other outcome moves."""
        self.begin()
        self.is_retry = True
        numbers = list(self.journal.plan_again(lambda kind, status: kind in kinds and status == 404, batch=3))
        ids = {key: item.id for key, item in self.items.items()}
        again = [
            key
            for key, state in self.states.items()
            if state in LIVE or (state is State.FAILED and "http_status" in kinds)
        ]
        assert sum(numbers) == len(again)
        self.plan = sorted(again, key=lambda key: ids[key])
        for key in again:
            if self.states[key] is State.FAILED:
                self.states[key] = State.PENDING

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = Journal(self.path)
        self.begin()

    @invariant()
    def counts_are_conserved(self) -> None:
        counts = self.journal.counts()
        assert counts.by_state == {state: list(self.states.values()).count(state) for state in State}
        assert sum(counts.failures.values()) == counts.by_state[State.FAILED]
        assert sum(counts.skips.values()) == counts.by_state[State.SKIPPED]
        assert counts.bytes_written == 7 * len(self.written)
        assert {key for key, state in self.states.items() if state is State.STORED} <= self.written

    @invariant()
    def what_is_open_is_in_the_order_of_this_plan(self) -> None:
        pending = self.journal.open_urls(0, 10_000)
        assert [item.key for _, item in pending] == [key for key in self.plan if self.states[key] is State.PENDING]
        assert [number for number, _ in pending] == sorted({number for number, _ in pending})
        fetched = {fetched.item.key for fetched in self.journal.fetched()}
        assert fetched == {key for key, state in self.states.items() if state in {State.FETCHED, State.TRANSFORMED}}
        staged = [item_of(task).key for _, task in self.journal.open_local(0, 10_000)]
        assert staged == [key for key in self.plan if key in fetched & self.fetched_before]
        assert self.journal.unaccounted() == sum(self.states[key] in LIVE for key in self.plan)

    @invariant()
    def no_two_names_clash(self) -> None:
        assert not any(clashes(a.name, b.name) for a, b in combinations(self.items.values(), 2))


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_names_stay_when_the_list_is_reordered(tmp_path: Path) -> None:
    """A source planned before keeps its output name, whatever stands before it now; its item counts as renewed."""
    sources = ["https://a/cat.jpg", "https://b/CAT.jpg", "https://c/cat.jpg"]
    with closing(Journal(tmp_path / "journal")) as journal:
        first = {item.key: item.name for item in plan(journal, *sources)}
        items = plan(journal, "https://d/cat.jpg", *reversed(sources))
        assert {item.key: item.name for item in items if item.renewed} == first
        assert [item.source for item in items if not item.renewed] == ["https://d/cat.jpg"]
        assert len({item.name.stem.casefold() for item in items}) == 4


def test_the_first_of_a_list_gets_the_plain_name(tmp_path: Path) -> None:
    """Names are claimed in the order of the rows: the first is as wished, later ones that fold alike give way."""
    with closing(Journal(tmp_path / "journal")) as journal:
        stems = [item.name.stem for item in plan(journal, "https://a/Cat", "https://b/cat", "https://c/dog")]
    assert (stems[0], stems[2]) == ("Cat", "dog")
    assert stems[1].startswith("cat-")


def test_the_nth_listing_of_a_source_is_an_item_of_its_own(tmp_path: Path) -> None:
    """Three listings make three items with keys by occurrence; the next run finds them, and makes a fourth."""
    source = "https://h/a"
    with closing(Journal(tmp_path / "journal")) as journal:
        keys = [item.key for item in plan(journal, source, source, source)]
        assert keys == [make_key(url_row(source), n).hex() for n in range(3)]
        assert [item.key for item in plan(journal, source, source)] == keys[:2]
        assert [item.renewed for item in plan(journal, *[source] * 4)] == [True, True, True, False]


def test_an_outcome_holds_until_it_is_to_be_redone(tmp_path: Path) -> None:
    """A planned row with an outcome is counted and not live; with `overwrite` it is pending, its old outcome forgotten.

    What was written stays known, since it is still there.
    """
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        journal.record([a_fact(kind, item) for kind in PATHS[State.STORED]])
        journal.begin_plan()
        assert journal.plan_rows([url_row("https://h/a")], 0, names) == 1
        assert open_items(journal) == []
        (again,) = plan(journal, "https://h/a", overwrite="always")
        assert (again.id, again.name) == (item.id, item.name)
        (record,) = journal.records()
        assert (record["state"], record["sha256"], record["attempts"]) == ("pending", None, 0)
        assert [output["path"] for output in record["outputs"]] == ["a.png"]
        assert again.previous == PreviousResult(validator=Validator(), sha256=None, outputs=(("a.png", 7),))


def test_open_urls_come_in_pages(tmp_path: Path) -> None:
    """Pages put together are all of them, in list order, each once."""
    with closing(Journal(tmp_path / "journal")) as journal:
        items = plan(journal, *(f"https://h/{number}" for number in range(25)))
        journal.record([a_fact(Failed, items[3])])
        paged: list[Item] = []
        last = 0
        while page := journal.open_urls(last, 7):
            assert len(page) <= 7
            paged += [item for _, item in page]
            last = page[-1][0]
        assert paged == [item for item in items if item is not items[3]]


def test_open_urls_of_a_host_are_its_own(tmp_path: Path) -> None:
    """Of one host (small letters, port apart), between two turns, in order, outcomes and other runs left out."""
    with closing(Journal(tmp_path / "journal")) as journal:
        plan(journal, "https://one.example/old")
        items = plan(
            journal,
            "https://one.example/0",
            "https://two.example/1",
            "https://u:p@ONE.example/2",
            "https://one.example:8443/3",
            "https://one.example/4",
            "https://one.example/5",
        )
        numbers = [number for number, _ in journal.open_urls(0, 10)]
        first, last = numbers[0], numbers[-1]
        journal.record([a_fact(Skipped, items[4])])
        assert [item for _, item in journal.open_urls_of_host("one.example", first, last, 10)] == [
            items[0],
            items[2],
            items[5],
        ]
        assert [item for _, item in journal.open_urls_of_host("one.example", first + 1, last, 1)] == [items[2]]
        assert [item for _, item in journal.open_urls_of_host("one.example:8443", first, last, 10)] == [items[3]]


def test_a_fetched_item_comes_back_with_what_is_known_of_its_bytes(tmp_path: Path) -> None:
    """open_local() of the next run and fetched() give the recorded fact again, all fields but the timings."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        fact = a_fact(Fetched, item)
        journal.record([fact])
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()
        plan_again = journal.plan_again(lambda *_: False)
        assert sum(plan_again) == 1
        ((_, task),) = journal.open_local(0, 10)
        for found in (task, *journal.fetched()):
            assert isinstance(found, Fetched)
            assert {**_fields(found), "item": found.item.id, "spans": 0} == {
                **_fields(fact),
                "item": item.id,
                "spans": 0,
            }


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def test_records_tell_everything_about_each_item(tmp_path: Path) -> None:
    """One record an item in list order, with the facts' numbers, merged timings and the row's columns."""
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()
        journal.plan_rows([url_row("https://h/a", label="cat"), url_row("https://h/b")], 0, names)
        one, two = open_items(journal)
        journal.record([*(a_fact(kind, one) for kind in PATHS[State.STORED]), a_fact(Failed, two)])
        stored, failed = journal.records()
    assert stored == {
        "key": one.key,
        "source": "https://h/a",
        "state": "succeeded",
        "stage": None,
        "kind": None,
        "message": None,
        "http_status": 200,
        "attempts": 2,
        "final_url": "https://h/a",
        "media_type": "image/png",
        "bytes": 10,
        "sha256": "cd",
        "width": 4,
        "height": 3,
        "outputs": [
            {"variant": None, "path": "a.png", "format": "PNG", "width": 4, "height": 3, "bytes": 7, "sha256": "ef"}
        ],
        "warnings": ["icc_ignored"],
        "perceptual_hash": None,
        "blurhash": None,
        "timings_s": {"body": 0.25, "decode": 0.5, "write": 0.125},
        "columns": {"label": "cat"},
    }
    assert (failed["state"], failed["stage"], failed["kind"], failed["message"], failed["http_status"]) == (
        "failed",
        "download",
        "http_status",
        "404 Not Found",
        404,
    )
    assert (failed["outputs"], failed["warnings"], failed["columns"]) == ([], [], {})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"state": "failed"}, [2]),
        ({"state": "fetched"}, [0, 1]),
        ({"kind": "too_small"}, [3]),
        ({"state": "failed", "kind": "too_small"}, []),
    ],
)
def test_records_can_be_narrowed_down(tmp_path: Path, filters: dict[str, str], expected: list[int]) -> None:
    """By state, by kind, by both; `fetched` is what users call everything between download and output."""
    with closing(Journal(tmp_path / "journal")) as journal:
        items = plan(journal, *(f"https://h/{number}" for number in range(4)))
        journal.record([a_fact(Fetched, items[0]), a_fact(Fetched, items[1]), a_fact(Transformed, items[1])])
        journal.record([a_fact(Failed, items[2]), a_fact(Skipped, items[3])])
        found = list(journal.records(**filters))
    assert [record["key"] for record in found] == [items[number].key for number in expected]
    assert {record["state"] for record in found} <= {"fetched", "failed", "skipped"}


def test_records_come_in_pages_without_a_gap(tmp_path: Path) -> None:
    """More items than one query reads are all shown, once each, in list order."""
    sources = [f"https://h/{number}" for number in range(2100)]
    with closing(Journal(tmp_path / "journal")) as journal:
        plan(journal, *sources)
        assert [record["source"] for record in journal.records()] == sources


def test_file_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    """A path with undecodable bytes is planned, found live and fetched, and shown, byte for byte."""
    source = "/pictures/caf\udce9.jpg"
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()
        row = Row(source=source, what=File(source), inside="caf\udce9.jpg")
        journal.plan_rows([row], 0, lambda *_: names(url_row("x"), 0, make_key(row, 0).hex()))
        (item,) = open_items(journal)
        assert isinstance(item, Item)
        journal.record([Fetched(item=item, path=source, bytes=1, staged=False)])
    with closing(Journal(tmp_path / "journal")) as journal:
        (fetched,) = journal.fetched()
        (record,) = journal.records()
    assert (fetched.path, fetched.item.source, record["source"]) == (source, source, source)


def test_a_journal_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    """It raises JournalError that says so, and the file is byte for byte as before."""
    path = tmp_path / "journal"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(JournalError, match="newer version"):
            Journal(path, read_only=read_only)
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_journal_is_said_to_be_damaged(tmp_path: Path, *, read_only: bool) -> None:
    """A corrupt file raises JournalError naming it, and is left as it is."""
    path = tmp_path / "journal"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(JournalError, match="journal cannot be used") as raised:
        Journal(path, read_only=read_only)
    assert str(path) in str(raised.value)
    assert path.read_bytes() == b"no database at all" * 100


def test_damage_inside_raises_and_does_not_spread(tmp_path: Path) -> None:
    """Pages overwritten in the middle: reading raises JournalError, no sqlite3 exception comes out."""
    path = tmp_path / "journal"
    with closing(Journal(path)) as journal:
        plan(journal, *(f"https://h/{number}" for number in range(500)))
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(JournalError), closing(Journal(path)) as journal:
        list(journal.records())


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """A read-only look where no run has been raises JournalError and leaves no file behind."""
    with pytest.raises(JournalError, match="no run has written here"):
        Journal(tmp_path / ".downloader" / "journal", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_remembers_is_there_for_the_next(tmp_path: Path) -> None:
    """meta texts survive closing, and the latest wins; an unknown name is None."""
    with closing(Journal(tmp_path / "journal")) as journal:
        assert journal.meta("summary") is None
        journal.set_meta("summary", "one")
        journal.set_meta("summary", "two")
    with closing(Journal(tmp_path / "journal", read_only=True)) as journal:
        assert journal.meta("summary") == "two"


def test_a_part_is_known_to_the_next_run_until_its_item_has_all_its_bytes(tmp_path: Path) -> None:
    """`Partial` facts replace each other, survive a failure, and go with `Fetched`; their files are not swept."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        later = a_fact(Partial, item)
        assert isinstance(later, Partial)
        journal.record([Partial(item=item, part=Part(name="old", bytes=1)), later])
        assert [item.part for item in open_items(journal)] == [later.part]
        journal.record([a_fact(Failed, item)])
        assert list(journal.parts()) == [later.part.name]
        journal.record([a_fact(Requeued, item)])
        assert [item.part for item in open_items(journal)] == [later.part]
        journal.record([a_fact(Fetched, item)])
        assert [fetched.item.part for fetched in journal.fetched()] == [None]
        assert list(journal.parts()) == []


def test_a_reopened_item_knows_what_is_stored_of_it(tmp_path: Path) -> None:
    """`--overwrite changed`: pending again, with validator, sha256 and outputs, which `Unchanged` brings back whole."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        fetched = a_fact(Fetched, item)
        assert isinstance(fetched, Fetched)
        journal.record([fetched, a_fact(Transformed, item), a_fact(Stored, item)])
        before = list(journal.records())
        (again,) = plan(journal, "https://h/a", overwrite="changed")
        assert again.previous == PreviousResult(validator=fetched.validator, sha256="cd", outputs=(("a.png", 7),))
        journal.record([Unchanged(item=again, attempts=2, http_status=200)])
        assert list(journal.records()) == before


def test_only_what_was_stored_is_reopened(tmp_path: Path) -> None:
    """`--overwrite changed` leaves failures and skips to `retry`."""
    with closing(Journal(tmp_path / "journal")) as journal:
        failed, skipped = plan(journal, "https://h/a", "https://h/b")
        journal.record([a_fact(Failed, failed), a_fact(Skipped, skipped)])
        assert plan(journal, "https://h/a", "https://h/b", overwrite="changed") == []


def test_a_new_name_is_one_that_nobody_owns(tmp_path: Path) -> None:
    """A name the server gives is claimed like any other: never another item's, and the item's own without end."""
    with closing(Journal(tmp_path / "journal")) as journal:
        first, second = plan(journal, "https://h/a", "https://h/b")
        assert journal.rename(first, names(url_row("x/new"), 0, first.key)).name.stem == "new"
        assert journal.rename(first, names(url_row("x/new"), 0, first.key)).name.stem == "new"
        assert journal.rename(second, names(url_row("x/NEW"), 0, second.key)).name.stem == f"NEW-{second.key[:8]}"
        assert [item.name.stem for item in open_items(journal)] == ["new", f"NEW-{second.key[:8]}"]


def test_rows_with_the_same_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hashes of 8 bits instead of 64, each of 600 rows is an item, and is found again."""
    monkeypatch.setattr("downloader.journal.keys.HASH_BYTES", 1)
    sources = [f"https://h/{number}" for number in range(300)] * 2
    with closing(Journal(tmp_path / "journal")) as journal:
        items = plan(journal, *sources)
        assert len({item.key for item in items}) == 600
        assert [item.key for item in plan(journal, *reversed(sources))] == [
            make_key(url_row(f"https://h/{number}"), occurrence).hex()
            for occurrence in range(2)
            for number in reversed(range(300))
        ]
        assert journal.counts().by_state[State.PENDING] == 600


def test_requeued_bytes_are_forgotten(tmp_path: Path) -> None:
    """An item whose staged bytes were lost is a plain item again."""
    with closing(Journal(tmp_path / "journal")) as journal:
        (item,) = plan(journal, "https://h/a")
        journal.record([a_fact(Fetched, item), a_fact(Requeued, item)])
        assert open_items(journal) == [item]
        assert list(journal.fetched()) == []


def test_a_snapshot_is_of_one_moment(tmp_path: Path) -> None:
    """What another connection records meanwhile is not in it; an error of the reader is not called the journal's."""
    with closing(Journal(tmp_path / "journal")) as writing:
        writing.begin_plan()
        writing.plan_rows([url_row("https://h/a")], 0, names)
        with closing(Journal(tmp_path / "journal", read_only=True, in_use=True)) as reading:
            with reading.snapshot():
                assert len(list(reading.records())) == 1
                writing.plan_rows([url_row("https://h/b", label="late")], 1, names)
                assert len(list(reading.records())) == 1
                assert reading.shape().kept == {}
            assert len(list(reading.records())) == 2
            assert reading.shape().kept == {"label": {"text"}}
            with pytest.raises(OSError, match="no room"), reading.snapshot():
                raise OSError("no room")
            assert len(list(reading.records())) == 2
