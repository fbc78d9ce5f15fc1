"""The recorded timeline: what facts and samples become, and the file that it is kept in."""

import json
import logging
from array import array
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from facts import KINDS, a_fact, an_item

from downloader.model.items import Fetched, Stored
from downloader.model.spans import Phase, Span
from downloader.telemetry.interface import ProcessUsage, Sample
from downloader.telemetry.timeline import MAX_LANES, OTHER_LANES, Timeline, TimelineRecorder, load_timeline


def a_sample(at_s: float, **values: Any) -> Sample:
    return Sample(at_s=at_s, listed=1, planned=True, finished_before=0, **values)


def fetched(lane: str, start_s: float, end_s: float, item_id: int = 1) -> Fetched:
    span = Span(Phase.BODY, start_s, end_s, lane)
    return Fetched(item=an_item(item_id), path="p", bytes=1000, staged=True, spans=(span,))


def test_spans_become_lanes_busy_shares_and_latencies() -> None:
    timeline = Timeline(started_s=100.0)
    timeline.take(fetched("download_1", 100.0, 100.3), now_s=101.0)
    timeline.look(a_sample(100.4))
    made = timeline.to_json()
    assert [lane["name"] for lane in made["lanes"]] == ["download_1"]
    assert list(b64decode(made["lanes"][0]["busy"])) == pytest.approx([255, 127.5], abs=1)
    assert made["phases"] == {"body": {"-14": 1}}
    assert made["spans"]["count"] == made["spans"]["seen"] == 1
    assert array("I", b64decode(made["spans"]["length"]))[0] * made["spans"]["unit_s"] == pytest.approx(0.3, abs=1e-5)
    assert sum(made["series"]["bytes_downloaded"]) == 1000
    assert made["series"]["downloaded"] == [0, 1]


def test_waiting_in_the_queue_is_a_latency_but_keeps_no_lane_busy() -> None:
    timeline = Timeline(started_s=0.0)
    spans = (Span(Phase.QUEUE, 0.0, 1.0, "transform-7"), Span(Phase.DECODE, 1.0, 1.5, "transform-7"))
    timeline.take(Stored(item=an_item(), outputs=(), spans=spans), now_s=2.0)
    made = timeline.to_json()
    assert set(made["phases"]) == {"queue", "decode"}
    assert made["spans"]["count"] == 1


def test_the_write_of_a_batch_is_one_span_of_the_writer() -> None:
    """Each outcome of a batch tells it; each item has waited for it, but the writer has done it once."""
    timeline = Timeline(started_s=0.0)
    write = Span(Phase.WRITE, 1.0, 1.1, "writer")
    for number in range(3):
        timeline.take(Stored(item=an_item(number), outputs=(), spans=(write,)), now_s=2.0)
    made = timeline.to_json()
    assert sum(made["phases"]["write"].values()) == 3
    assert made["spans"]["count"] == 1


def test_samples_become_queue_memory_and_cpu_time() -> None:
    timeline = Timeline(started_s=0.0)
    for tenth in range(11):
        at_s = tenth / 10
        usage = ProcessUsage(cpu_s=0.5 * at_s, rss_bytes=1000)
        timeline.look(a_sample(at_s, queue_depth=tenth, queue_size=8, parent=usage))
    series = timeline.to_json()["series"]
    assert sum(series["queue_depth"]) == 55
    assert sum(series["queue_samples"]) == 11
    assert max(series["queue_max"]) == 10
    assert sum(series["cpu_parent_s"]) == pytest.approx(0.5)
    assert max(series["rss_parent_bytes"]) == 1000


def test_cpu_time_that_is_told_late_makes_no_gaps() -> None:
    """Shards tell it every now and then, in another rhythm than that of the samples."""
    timeline = Timeline(started_s=0.0)
    for tenth in range(101):
        told_s = tenth / 10 // 0.7 * 0.7
        timeline.look(a_sample(tenth / 10, shards=ProcessUsage(cpu_s=1.5 * told_s)))
    made = timeline.to_json()
    rates = [seconds / made["bucket_s"] for seconds in made["series"]["cpu_shards_s"]]
    assert rates[2:48] == pytest.approx([1.5] * 46, rel=0.2)
    assert sum(made["series"]["cpu_shards_s"]) == pytest.approx(1.5 * 9.8)


def test_lanes_are_bounded() -> None:
    timeline = Timeline(started_s=0.0)
    for number in range(MAX_LANES + 20):
        timeline.take(fetched(f"transform-{number}", 0.0, 0.1), now_s=1.0)
    names = [lane["name"] for lane in timeline.to_json()["lanes"]]
    assert len(names) == MAX_LANES + 1
    assert names[-1] == OTHER_LANES


def test_it_is_saved_while_the_run_is_at_work_and_at_its_end(tmp_path: Path) -> None:
    """So a kill costs the last seconds of it."""
    path = tmp_path / "timeline.json"
    recorder = TimelineRecorder(path, started_s=0.0)
    recorder.facts([a_fact(kind, an_item()) for kind in KINDS])
    recorder.sample(a_sample(1.0))
    assert load_timeline(path) is None
    recorder.sample(a_sample(20.0))
    saved = load_timeline(path)
    assert saved is not None
    assert saved["duration_s"] == 20.0
    recorder.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["timeline.json"]


def test_one_that_cannot_be_saved_is_a_warning_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "timeline.new").mkdir()
    recorder = TimelineRecorder(tmp_path / "timeline.json", started_s=0.0)
    with caplog.at_level(logging.WARNING):
        recorder.close()
        recorder.close()
    assert [record.message for record in caplog.records if "cannot be written" in record.message] == [
        f"{tmp_path}/timeline.json: cannot be written: Is a directory; the report will lack it"
    ]


def test_without_its_folder_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The output is gone; the run says so itself."""
    recorder = TimelineRecorder(tmp_path / "gone" / "timeline.json", started_s=0.0)
    with caplog.at_level(logging.WARNING):
        recorder.close()
    assert caplog.records == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 99}', b"\xff"])
def test_a_file_of_another_version_or_a_damaged_one_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "timeline.json"
    path.write_bytes(content)
    assert load_timeline(path) is None


def test_it_is_json_whatever_happened() -> None:
    timeline = Timeline(started_s=5.0)
    for kind in KINDS:  # their spans begin before the run
        timeline.take(a_fact(kind, an_item()), now_s=6.0)
    assert json.loads(json.dumps(timeline.to_json()))["spans"]["count"] == 3
