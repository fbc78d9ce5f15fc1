import io
import json
import os
import pty
import termios
import threading
from dataclasses import asdict

import pytest
from facts import KINDS, a_fact, an_item
from snapshots import NOW, snapshot

from downloader.config.settings import Mode
from downloader.model.failures import FailureKind, Stage
from downloader.model.hosts import HostWait
from downloader.model.items import Failed, Outcome, Skipped, Stored, Unchanged
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Sample
from downloader.telemetry.progress import Progress
from downloader.telemetry.snapshot import Snapshot, Speedometer
from downloader.telemetry.views import Silence, Style, View, view


def shown(style: Style, *snapshots: Snapshot, mode: Mode = "run") -> str:
    """What a run off a terminal prints."""
    stream = io.StringIO()
    play(view(style, stream, mode=mode), *snapshots)
    return stream.getvalue()


def play(form: View, *snapshots: Snapshot) -> None:
    for each in snapshots:
        form.show(each)
    form.close(snapshots[-1])


def on_a_terminal(style: Style, *snapshots: Snapshot, mode: Mode = "run", columns: int = 150) -> str:
    """What a run on a pseudo-terminal prints."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
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
        form = view(style, stream, mode=mode)
        form.outcome(a_failure())
        form.stopping(12, 10.0)
        play(form, *snapshots)
    reader.join()
    os.close(master)
    return b"".join(received).decode()


def a_failure(number: int = 1) -> Failed:
    return Failed(
        item=an_item(number), stage=Stage.DOWNLOAD, kind=FailureKind.HTTP_STATUS, message="gone\x1b[2J", http_status=404
    )


@pytest.mark.parametrize("style", ["auto", "plain"])
def test_off_a_terminal_lines_are_plain(style: Style) -> None:
    """One whole line at the end, without control characters."""
    text = shown(style, snapshot(elapsed_s=1.0))
    assert text.startswith("0:01: downloaded 110/190 (9.5/s)")
    assert text.count("\n") == 1
    assert text.strip().isprintable()


def test_lines_are_seconds_apart() -> None:
    """A thousand looks in a moment make no line, only the end does; then one every five seconds of the run."""
    assert shown("plain", *[snapshot(elapsed_s=1.0)] * 1000).count("\n") == 1
    assert shown("plain", *[snapshot(elapsed_s=step / 10) for step in range(201)]).count("\n") == 4 + 1


def test_json_lines_are_json() -> None:
    """Each line is one JSON object with every field of the snapshot."""
    (line,) = shown("json", snapshot(elapsed_s=1.0)).splitlines()
    expected = json.loads(json.dumps(asdict(snapshot(elapsed_s=1.0))))
    assert json.loads(line) == {"event": "progress", "mode": "run", **expected}


def test_json_has_an_event_for_each_outcome_on_request() -> None:
    stream = io.StringIO()
    form = view("json-items", stream)
    outcomes = [fact for kind in KINDS if isinstance(fact := a_fact(kind, an_item(1)), Outcome)]
    for outcome in outcomes:
        form.outcome(outcome)
    form.stopping(3, 10.0)
    form.close(NOW)
    stopping, *items, progress = map(json.loads, stream.getvalue().splitlines())
    assert stopping == {"event": "stopping", "in_hand": 3, "grace_s": 10.0}
    states = {Stored: "succeeded", Unchanged: "unchanged", Failed: "failed", Skipped: "skipped"}
    assert [item["state"] for item in items] == [states[type(outcome)] for outcome in outcomes]
    assert {item["event"] for item in items} == {"item"}
    assert progress["event"] == "progress"


def test_json_has_no_outcomes_otherwise() -> None:
    stream = io.StringIO()
    form = view("json", stream)
    form.outcome(a_failure())
    form.close(NOW)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["progress"]


def test_none_is_silent() -> None:
    """`none` prints nothing, on a terminal or off it."""
    assert shown("none", NOW) == on_a_terminal("none", NOW) == ""
    assert isinstance(view("none"), Silence)


def test_a_few_failures_are_shown_and_the_rest_counted() -> None:
    """Three at once, then the number of the others; a second later the next three."""
    stream = io.StringIO()
    form = view("plain", stream)
    for number in range(10):
        form.outcome(a_failure(number))
    form.show(snapshot(elapsed_s=0.1))
    form.outcome(a_failure(10))
    form.show(snapshot(elapsed_s=0.2))
    lines = stream.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["failed"] * 4
    assert "gone\\x1b[2J" in lines[0]
    assert "failed: 7 more" in lines[3]
    form.show(snapshot(elapsed_s=1.2))
    assert len(stream.getvalue().splitlines()) == 5


@pytest.mark.parametrize("style", ["auto", "bar"])
def test_a_terminal_shows_a_bar_for_each_stage(style: Style) -> None:
    """Both stages with their figures, failures as they happen, and the answer to Ctrl-C."""
    text = on_a_terminal(style, snapshot(total_known=False), NOW)
    for part in (
        *("download  110/190", "2.0 MiB/s", "waiting: a.test (429, 41 items, 12 s)", "transform 70/190", "queue 5/64"),
        *("failed 3 (404 x 2, dns x 1)", "reading the list", "1:15 left", "limit: download", "█"),
        *("failed: ", "stopping: finishing 12 in hand, 10 s at most; Ctrl-C again stops at once"),
    ):
        assert part in text


def test_a_narrow_terminal_keeps_the_figures() -> None:
    text = on_a_terminal("bar", NOW, columns=40)
    assert "download  110/190 9.5/s, 2.0 MiB/s" in text
    assert "█" not in text


def test_fetch_has_one_bar() -> None:
    bars = on_a_terminal("bar", NOW, mode="fetch")
    assert "download" in bars
    assert "transform" not in bars


def test_bars_start_no_thread() -> None:
    """tqdm's monitor would be a thread of its own while processes are started."""
    before = threading.active_count()
    on_a_terminal("bar", NOW)
    assert threading.active_count() == before


def a_sample(**changes: object) -> Sample:
    values: dict[str, object] = {"at_s": 104.0, "listed": 20, "planned": True, "finished_before": 4, **changes}
    return Sample(**values)  # type: ignore[arg-type]


def test_progress_shows_what_the_counters_and_the_sample_say() -> None:
    """Items of earlier runs count as done; those that ended without bytes never come to the transforms."""
    stream = io.StringIO()
    counters = RunCounters(fetched=5, succeeded=3, skipped=1, ended_before_transform=2)
    counters.failed["dns"] = 1
    progress = Progress(view("plain", stream), counters, started_s=100.0, grace_s=10.0)
    progress.sample(a_sample(queue_depth=2, queue_size=8))
    assert stream.getvalue() == ""
    progress.close()
    assert stream.getvalue() == (
        "0:04: downloaded 9/18 (1.2/s), transformed 7/18 (0.8/s), queue 2/8, failed 1 (dns x 1)\n"
    )


def test_the_stop_is_told_once() -> None:
    stream = io.StringIO()
    progress = Progress(view("plain", stream), RunCounters(), started_s=100.0, grace_s=10.0)
    progress.sample(a_sample())
    progress.sample(a_sample(is_stopping=True, in_hand=3))
    progress.sample(a_sample(is_stopping=True, in_hand=2))
    assert stream.getvalue() == "stopping: finishing 3 in hand, 10 s at most; Ctrl-C again stops at once\n"


def test_a_run_that_stands_still_has_no_rate() -> None:
    """Twenty items in two seconds, then none for a minute: the rates are those of now, and there is no end in sight."""
    counters, speedometer = RunCounters(), Speedometer(0.0)
    for second in range(63):
        counters.fetched = counters.succeeded = min(10 * second, 20)
        now = speedometer.snapshot(
            a_sample(at_s=float(second), listed=30, finished_before=0, received_bytes=1024 * second), counters
        )
    assert (now.downloads_per_s, now.transforms_per_s, now.remaining_s) == (0, 0, None)
    assert now.bytes_per_s == 1024  # of a large file that is not complete
    last = speedometer.last(now)
    assert last.downloads_per_s == pytest.approx(20 / 62)


@pytest.mark.parametrize(("depth", "limit"), [(8, "transform"), (0, "download"), (4, None)])
def test_the_queue_tells_which_stage_is_the_limit_now(depth: int, limit: str | None) -> None:
    speedometer = Speedometer(0.0)
    for second in range(10):
        now = speedometer.snapshot(a_sample(at_s=float(second), queue_depth=depth, queue_size=8), RunCounters())
    assert now.limit == limit


def test_waits_are_passed_on() -> None:
    waits = [HostWait(f"{name}.test", 1, 2.0) for name in "abcd"]
    assert Speedometer(0.0).snapshot(a_sample(waits=waits), RunCounters()).waits == tuple(waits[:3])
