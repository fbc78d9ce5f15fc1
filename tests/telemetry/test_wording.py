import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import NOW, snapshot

from downloader.model.hosts import HostWait
from downloader.telemetry.wording import WORDS, BarText, counted_causes, duration, fitted, plain_line, rate, size

RUN, FETCH, PROCESS = WORDS["run"], WORDS["fetch"], WORDS["process"]


def test_a_line_has_everything() -> None:
    """Each figure with its word; what failed on the way counts as neither downloaded nor expected."""
    assert plain_line(NOW, RUN) == (
        "0:10: downloaded 110/190 (9.5/s), 2.0 MiB/s, transformed 70/190 (12/s), queue 5/64, 1:15 left, "
        "failed 3 (404 x 2, dns x 1), limit: download, waiting: a.test (429, 41 items, 12 s) and 1 more"
    )


def test_words_fit_the_command() -> None:
    """Without a transform stage there is no word of it; local files are read, not downloaded."""
    assert "transform" not in plain_line(NOW, FETCH)
    assert "queue" not in plain_line(NOW, FETCH)
    line = plain_line(snapshot(bytes_per_s=0.0), PROCESS)
    assert line.startswith("0:10: read 110/190 ")
    assert "limit: read" in line
    assert "download" not in line


def test_a_total_that_still_grows_has_a_plus_and_no_end() -> None:
    line = plain_line(snapshot(total_known=False, remaining_s=None), RUN)
    assert "110/190+ " in line
    assert "70/190+ " in line
    assert "reading the list" in line
    assert "left" not in line


def test_nothing_has_failed_yet() -> None:
    assert "failed 0" in plain_line(snapshot(failed=0, failures={}, statuses={}), RUN)


def test_causes_are_statuses_and_kinds_the_most_frequent_first() -> None:
    failures = {"http_status": 5, "dns": 3, "tls": 3}
    assert counted_causes(failures, {404: 4}) == [("404", 4), ("dns", 3), ("tls", 3), ("http_status", 1)]
    line = plain_line(snapshot(failed=12, failures={**failures, "write": 1}, statuses={404: 4, 500: 1}), RUN)
    assert "failed 12 (404 x 4, dns x 3, tls x 3, others x 2)" in line


@pytest.mark.parametrize(
    ("waits", "text"),
    [
        ([HostWait("a.test", 1, 2.4)], "waiting: a.test (1 items, 2 s)"),
        ([HostWait("a" * 99, 1, 2.4, "timeout")], f"waiting: {'a' * 37}... (timeout, 1 items, 2 s)"),
    ],
)
def test_what_a_run_waits_for(waits: list[HostWait], text: str) -> None:
    assert plain_line(snapshot(waits=waits), RUN).endswith(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**20, "5.0 MiB"), (2**41, "2048.0 GiB")],
)
def test_sizes(size_bytes: float, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(("per_s", "text"), [(0, "0/s"), (0.25, "0.2/s"), (9.94, "9.9/s"), (12.4, "12/s")])
def test_rates(per_s: float, text: str) -> None:
    assert rate(per_s) == text


texts = st.text("abc", min_size=1, max_size=30)


@given(texts, st.lists(texts, max_size=5), st.integers(10, 200))
def test_a_bar_gives_way_before_the_figures_do(done: str, details: list[str], columns: int) -> None:
    """The line fits; a bar is only drawn where every detail has room; the details are the first ones."""
    before, behind, bar = fitted(BarText(done, tuple(details)), columns)
    assert before == done
    assert ", ".join(details).startswith(behind)
    assert len(before) + len(behind) + bar + (4 if bar else 1) <= max(columns, len(done) + 1)
    if bar:
        assert 4 <= bar <= 20


def test_at_40_columns_there_are_figures() -> None:
    before, behind, _ = fitted(BarText("download  1234/5000", ("45/s", "12.3 MiB/s", "waiting: a.test")), 40)
    assert (before, behind) == ("download  1234/5000", "45/s, 12.3 MiB/s")
