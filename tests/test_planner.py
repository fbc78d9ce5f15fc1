"""The planner: batches into the journal, readers told of each; and the rules against mixing results."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from facts import names, url_row

from downloader import OutputOptions, Settings, TransformOptions
from downloader.config.values import Size
from downloader.errors import ConfigError, SourceError
from downloader.journal import Journal
from downloader.model.items import Row
from downloader.naming.rules import NamingRules
from downloader.planner import Planner, UrlRows, check_same_results, plan_sources
from downloader.stop import Stop

RULES = NamingRules.from_settings(Settings())


class Reader:
    def __init__(self) -> None:
        self.told: list[str] = []

    def plan_grew(self) -> None:
        self.told.append("grew")

    def plan_complete(self) -> None:
        self.told.append("complete")


def test_batches_are_small_at_first_and_readers_hear_of_each(tmp_path: Path) -> None:
    """1,000 rows, then 2,000, then the rest; the end is told once."""
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()
        rows = (url_row(f"https://h/{number}") for number in range(3500))
        reader = Reader()
        planner = Planner(plan_sources(journal, rows, names, "never"), [reader], Stop())
        planner.run()
        assert (planner.listed, planner.finished_before, planner.is_complete) == (3500, 0, True)
        assert reader.told == ["grew", "grew", "grew", "complete"]


def test_a_run_that_drains_stops_planning_after_a_batch(tmp_path: Path) -> None:
    stop = Stop()
    stop.draining.set()
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()
        reader = Reader()
        rows = (url_row(f"https://h/{number}") for number in range(3500))
        planner = Planner(plan_sources(journal, rows, names, "never"), [reader], stop)
        planner.run()
        assert (planner.listed, planner.is_complete, reader.told[-1]) == (1000, True, "complete")


def test_the_end_is_told_when_a_source_fails(tmp_path: Path) -> None:
    """Nobody waits for rows that never come."""
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()

        def rows() -> Iterator[Row]:
            yield url_row("https://h/1")
            raise OSError("gone")

        reader = Reader()
        planner = Planner(plan_sources(journal, rows(), names, "never"), [reader], Stop())
        with pytest.raises(OSError, match="gone"):
            planner.run()
        assert reader.told == ["complete"]


def test_rows_before_a_list_breaks_off_are_kept(tmp_path: Path) -> None:
    """They are in the journal before the run ends, for `retry` or the repaired list."""
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()

        def rows() -> Iterator[Row]:
            yield from (url_row(f"https://h/{number}") for number in range(1001))
            raise SourceError("list.gz:1002: the list cannot be read any further")

        planner = Planner(plan_sources(journal, rows(), names, "never"), [], Stop())
        with pytest.raises(SourceError, match="any further"):
            planner.run()
        assert planner.listed == len(journal.open_urls(0, 2000)) == 1001


def test_the_names_of_a_long_list_are_the_same_every_time(tmp_path: Path) -> None:
    """More rows than a batch has, repeats near and far, names that meet: in the order of the list, all different."""
    listed = [f"https://h/{folder}/{number}.jpg" for number in range(1500) for folder in "ab"]
    listed += [listed[0], listed[2999], listed[0]]
    given = []
    for out in ("one", "two"):
        with closing(Journal(tmp_path / out)) as journal:
            journal.begin_plan()
            list(plan_sources(journal, map(url_row, listed), RULES.names, "never"))
            items = [item for _, item in journal.open_urls(0, 4000)]
        assert [item.source for item in items] == listed
        given.append([item.name.stem for item in items])
    assert given[0] == given[1]
    assert len(set(given[0])) == 3003
    assert given[0][0] == "0"


def test_the_index_of_hosts_is_made_by_the_thread_that_writes(tmp_path: Path) -> None:
    """Once, when rows of one host are first asked for, and not by the thread that asks."""
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.begin_plan()
        list(plan_sources(journal, iter([url_row("https://h/1"), url_row("https://g/2")]), names, "never"))
        calls = []

        def call(work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            calls.append(work)
            work()

        rows = UrlRows(journal, call, lambda item: item.source)
        assert [entry.task for entry in rows.following(0, 9)] == ["https://h/1", "https://g/2"]
        assert calls == []
        for _ in range(2):
            assert [entry.task for entry in rows.of_host("g", 0, 9, 9)] == ["https://g/2"]
        assert len(calls) == 1


def settings(mode: str = "run", **transform: object) -> Settings:
    return Settings(mode=mode, transform=TransformOptions(**transform))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("earlier", "now", "difference"),
    [
        (settings(), settings("fetch"), "kind of result"),
        (settings(quality=80), settings(quality=81), "quality"),
        (settings(), settings(resize=(Size(width=8, height=8),)), "resize"),
    ],
)
def test_other_results_are_refused_by_name(earlier: Settings, now: Settings, difference: str) -> None:
    with pytest.raises(ConfigError, match=difference):
        check_same_results(earlier, now)


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        (None, settings()),
        (settings(), settings("process")),
        (settings("fetch", quality=80), settings("fetch", quality=81)),
        (settings(item_timeout=1.0, max_pixels=9), settings(item_timeout=2.0, max_pixels=8)),
    ],
)
def test_what_does_not_change_results_may_change(earlier: Settings | None, now: Settings) -> None:
    """Limits, the command where it makes the same, and transform settings where nothing is transformed."""
    check_same_results(earlier, now)


def test_originals_and_none_are_never_mixed_and_always_replaces_the_rest() -> None:
    anew = Settings(output=OutputOptions(overwrite="always"), transform=TransformOptions(quality=1))
    check_same_results(settings(quality=80), anew)
    with pytest.raises(ConfigError, match="without --keep-originals"):
        check_same_results(settings(), Settings(output=OutputOptions(overwrite="always", keep_originals=True)))
