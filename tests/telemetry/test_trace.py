"""`--trace`: the laws of the trace-event format, the arrows between stages, and a file that is always one."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from facts import KINDS, a_fact, an_item
from telemetry_laws import check_laws

from downloader.errors import OutputError
from downloader.model.items import Fetched, Item, Stored, Transformed
from downloader.model.spans import Phase, Span
from downloader.telemetry.interface import ProcessUsage, Sample
from downloader.telemetry.trace import TraceWriter

SAMPLE = Sample(
    at_s=11.0,
    listed=1,
    planned=True,
    finished_before=0,
    queue_depth=3,
    queue_size=8,
    parent=ProcessUsage(1.0, 50 * 1024**2),
)


def facts_of(item: Item, lane: str, worker: str, at_s: float) -> list[Any]:
    body = (Span(Phase.BODY, at_s, at_s + 0.1, lane),)
    spans = (Span(Phase.QUEUE, at_s + 0.1, at_s + 0.2, worker), Span(Phase.DECODE, at_s + 0.2, at_s + 0.3, worker))
    write = (Span(Phase.WRITE, at_s + 0.4, at_s + 0.5, "writer"),)
    return [
        Fetched(item=item, path="p", bytes=1, staged=True, spans=body),
        Transformed(item=item, renditions=(), width=1, height=1, sha256="", spans=spans),
        Stored(item=item, outputs=(), spans=write),
    ]


def test_a_trace_has_lanes_arrows_and_counters(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    trace = TraceWriter(path, started_s=10.0)
    trace.facts(facts_of(an_item(1), "download_0", "transform-4711", 10.0))
    trace.facts(facts_of(an_item(2), "shard-1/download_0", "transform-4712", 10.0))
    trace.sample(SAMPLE)
    trace.sample(SAMPLE)
    trace.close()
    trace.close()
    events = json.loads(path.read_bytes())
    check_laws(events)
    flows = [event for event in events if event["name"] == "handoff"]
    assert [(event["ph"], event["id"]) for event in flows] == [("s", 1), ("f", 1), ("s", 2), ("f", 2)]
    decode = next(event for event in events if event["name"] == "decode")
    assert decode["pid"] == 4711
    assert decode["args"]["queued_ms"] == pytest.approx(100)
    assert {event["args"]["name"] for event in events if event["name"] == "process_name"} >= {
        "shard-1",
        "transform-4711",
    }
    counters = [event for event in events if event["ph"] == "C"]
    assert [(event["name"], event["args"]) for event in counters] == [
        ("memory (MiB)", {"parent": 50}),
        ("queue depth", {"depth": 3}),
    ]


def test_what_is_on_disk_while_the_run_is_at_work_lacks_its_bracket_only(tmp_path: Path) -> None:
    """Viewers read that, so a run may be killed at any time."""
    path = tmp_path / "t.json"
    trace = TraceWriter(path, started_s=0.0)
    for number in range(20):
        trace.facts(facts_of(an_item(number), "download_0", "transform-4711", float(number)))
        text = path.read_text()
        assert text.endswith(",\n")
        check_laws(json.loads(text.rstrip(",\n") + "]"))
    trace.close()


def test_a_compressed_trace_is_the_same_and_readable_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    trace = TraceWriter(path, started_s=0.0)
    trace.facts(facts_of(an_item(), "download_0", "transform-4711", 1.0))
    with gzip.open(path) as file:
        assert file.read1().endswith(b",\n")
    trace.close()
    check_laws(json.loads(gzip.decompress(path.read_bytes())))


def test_sources_are_masked_and_cannot_break_the_format(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    hostile = 'https://user:secret@h/"},\n\udc80\u202e</script>'
    item = Item(id=1, key="", source=hostile, what=an_item().what, name=an_item().name)
    trace = TraceWriter(path, started_s=0.0)
    trace.facts(facts_of(item, "download_0", "transform-4711", 1.0))
    trace.close()
    assert "secret" not in path.read_text()
    body = next(event for event in json.loads(path.read_text()) if event["name"] == "body")
    assert body["args"]["source"] == hostile.replace("user:secret", "***")


def test_every_kind_of_fact_keeps_the_laws(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    trace = TraceWriter(path, started_s=2.0)  # some spans begin before that
    trace.facts([a_fact(kind, an_item(number)) for number, kind in enumerate(KINDS)])
    trace.close()
    check_laws(json.loads(path.read_bytes()))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"--trace .*gone/t\.json: cannot be written"):
        TraceWriter(tmp_path / "gone" / "t.json", started_s=0.0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_ends_the_trace_and_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        trace = TraceWriter(Path("/dev/full"), started_s=0.0)
        trace.facts(facts_of(an_item(), "download_0", "transform-4711", 1.0))
        trace.close()
    assert "the trace ends here" in caplog.text
