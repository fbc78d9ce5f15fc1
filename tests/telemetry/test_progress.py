import io
import json
import os
import pty
import termios
import threading
from dataclasses import asdict, replace

import pytest

from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Sample
from downloader.telemetry.progress import Progress, Silence, Snapshot, Style, view

NOW = Snapshot(
    total=200,
    total_known=True,
    done_before=20,
    downloaded=90,
    not_downloaded=10,
    transformed=50,
    failed=3,
    queue_depth=5,
    queue_size=64,
    bytes_downloaded=3 * 1024**2,
    elapsed_s=10.0,
)


def shown(style: Style, *snapshots: Snapshot, transforms: bool = True) -> str:
    """What a run off a terminal prints."""
    stream = io.StringIO()
    bars = view(style, stream, transforms=transforms)
    for snapshot in snapshots:
        bars.show(snapshot)
    bars.close(snapshots[-1])
    return stream.getvalue()


def on_a_terminal(style: Style, *snapshots: Snapshot, transforms: bool = True) -> str:
    """What a run on a pseudo-terminal prints."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 120))
    received: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(master, 65_536):
                received.append(data)
        except OSError:  # Linux: the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w") as stream:
        bars = view(style, stream, transforms=transforms)
        for snapshot in snapshots:
            bars.show(snapshot)
        bars.close(snapshots[-1])
    reader.join()
    os.close(master)
    return b"".join(received).decode()


@pytest.mark.parametrize("style", ["auto", "plain"])
def test_off_a_terminal_lines_are_plain(style: Style) -> None:
    """One whole line at the end, without control characters; rates count only what this run did."""
    text = shown(style, NOW)
    assert text == "10 s: downloaded 110/200 (9/s), transformed 70/190 (5/s), queue 5/64, failed 3\n"


def test_a_total_that_still_grows_has_a_plus() -> None:
    """`+` behind both totals while the list is being read."""
    text = shown("plain", replace(NOW, total_known=False))
    assert "downloaded 110/200+ " in text
    assert "transformed 70/190+ " in text


def test_fetch_speaks_of_no_transforms() -> None:
    """Without a transform stage lines and bars tell of downloads alone."""
    assert shown("plain", NOW, transforms=False) == "10 s: downloaded 110/200 (9/s), failed 3\n"
    bars = on_a_terminal("bar", NOW, transforms=False)
    assert "download" in bars
    assert "transform" not in bars


def test_lines_are_seconds_apart() -> None:
    """A thousand looks in a moment make no line; only the end does."""
    assert shown("plain", *[NOW] * 1000).count("\n") == 1


def test_nothing_done_in_no_time_has_a_rate() -> None:
    """No division by zero at the very start."""
    assert "(0/s)" in shown("plain", replace(NOW, elapsed_s=0.0))


def test_json_lines_are_json() -> None:
    """Each line is one JSON object with every field of the snapshot."""
    (line,) = shown("json", NOW).splitlines()
    assert json.loads(line) == {"event": "progress", "transforms": True, **asdict(NOW)}


def test_none_is_silent() -> None:
    """`none` prints nothing, on a terminal or off it."""
    assert shown("none", NOW) == on_a_terminal("none", NOW) == ""
    assert isinstance(view("none"), Silence)


@pytest.mark.parametrize("style", ["auto", "bar"])
def test_a_terminal_shows_a_bar_for_each_stage(style: Style) -> None:
    """Both stages with their numbers, megabytes, queue and failures, and the list while it is read."""
    text = on_a_terminal(style, replace(NOW, total_known=False), NOW)
    for part in ("download", "120/200", "3 MiB", "transform", "70/190", "queue 5/64, failed 3", "reading the list"):
        assert part in text


def test_bars_start_no_thread() -> None:
    """tqdm's monitor would be a thread of its own while processes are started."""
    before = threading.active_count()
    stream = io.StringIO()
    bars = view("bar", stream)
    assert threading.active_count() == before
    bars.close(NOW)


def test_progress_shows_what_the_counters_and_the_sample_say() -> None:
    """Items of earlier runs count as done; those that ended without bytes never come to the transforms."""
    stream = io.StringIO()
    counters = RunCounters(fetched=5, succeeded=3, skipped=1, ended_before_transform=2)
    counters.failed["dns"] = 1
    progress = Progress(view("plain", stream), counters, started_s=100.0)
    progress.sample(Sample(at_s=104.0, listed=20, planned=True, finished_before=4, queue_depth=2, queue_size=8))
    assert stream.getvalue() == ""
    progress.close()
    assert stream.getvalue() == "4 s: downloaded 9/20 (1/s), transformed 7/18 (1/s), queue 2/8, failed 1\n"


def test_a_url_that_failed_while_being_fetched_is_not_transformed() -> None:
    """Both bars are full in the end, and no number says that it was downloaded or transformed."""
    counters = RunCounters(fetched=2, succeeded=2, ended_before_transform=1)
    counters.failed["dns"] = 1
    stream = io.StringIO()
    progress = Progress(view("json", stream), counters, started_s=0.0)
    progress.sample(Sample(at_s=1.0, listed=3, planned=True, finished_before=0))
    progress.close()
    shown = json.loads(stream.getvalue())
    assert {name: shown[name] for name in ("total", "downloaded", "not_downloaded", "transformed", "failed")} == {
        "total": 3,
        "downloaded": 2,
        "not_downloaded": 1,
        "transformed": 2,
        "failed": 1,
    }
