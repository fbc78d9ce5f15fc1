"""Contents of reports for tests: hostile texts, and the recording of a run that never was."""

from dataclasses import replace
from typing import Any

from downloader.model.counts import FailureGroup
from downloader.model.items import Fetched, Item, OutputName, Stored, Transformed, Url
from downloader.model.spans import Phase, Span
from downloader.report.content import Pair, ReportContent, ShownSetting
from downloader.report.recording import histograms_of, phases_of
from downloader.report.summary import Summary
from downloader.telemetry.interface import ProcessUsage, Sample
from downloader.telemetry.timeline import Timeline

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "\u202egpj.exe",
    "a\u2066b\u2069\u0000\u001b[31m",
    "'\"><b onmouseover=alert(2)>",
    "caf\udce9.jpg",
    "]]>&lt;&amp;{{7*7}}",
)


def recording_of(items: int, *, threads: int = 32, processes: int = 8, per_s: float = 300.0) -> dict[str, Any]:
    """A run of so many items, as the recorder would have recorded it."""
    timeline = Timeline(0.0)
    for number in range(1, items + 1):
        at_s = number / per_s
        item = Item(id=number, key="", source="", what=Url("https://h/"), name=OutputName(stem="a", extension=None))
        lane, worker = f"download_{number % threads}", f"transform-{4000 + number % processes}"
        waits = min(threads / per_s, 0.1)
        body = (
            Span(Phase.CONNECT, at_s, at_s + waits / 4, lane),
            Span(Phase.FIRST_BYTE, at_s + waits / 4, at_s + waits / 2, lane),
            Span(Phase.BODY, at_s + waits / 2, at_s + waits, lane),
        )
        begun_s = at_s + 2 * waits
        work = (
            Span(Phase.QUEUE, at_s + waits, begun_s, worker),
            Span(Phase.DECODE, begun_s, begun_s + 0.012, worker),
            Span(Phase.RESIZE, begun_s + 0.012, begun_s + 0.018, worker),
            Span(Phase.ENCODE, begun_s + 0.018, begun_s + 0.024, worker),
        )
        written_s = begun_s - begun_s % 0.1
        write = (Span(Phase.WRITE, written_s, written_s + 0.05, "writer"),)
        timeline.take(Fetched(item=item, path="p", bytes=100_000, staged=True, spans=body), at_s)
        timeline.take(Transformed(item=item, renditions=(), width=1, height=1, sha256="", spans=work), at_s)
        timeline.take(Stored(item=item, outputs=(), spans=write), at_s)
        if number % 30 == 0:
            parent, workers = ProcessUsage(0.4 * at_s, 10**8), ProcessUsage(1.5 * at_s, 3 * 10**8)
            timeline.look(
                Sample(
                    at_s=at_s,
                    listed=number,
                    planned=True,
                    finished_before=0,
                    queue_depth=number % 65,
                    queue_size=64,
                    parent=parent,
                    workers=workers,
                )
            )
    return timeline.to_json()


def hostile_content(recording: dict[str, Any] | None) -> ReportContent:
    """A report in which every text of a stranger is hostile."""
    text = " ".join(HOSTILE)
    failures = [
        FailureGroup(kind="http_status", host=text, http_status=404, items=5, examples=((text, text),)),
        FailureGroup(
            kind="timeout", host="slow.example", http_status=None, items=2, examples=(("https://s/", "slow"),)
        ),
        FailureGroup(kind="of a newer version", host="", http_status=None, items=1, examples=()),
    ]
    summary = replace(Summary(total=10, succeeded=2, failed=8), cautions=(text,), gave_up=text).to_json()
    if recording is not None:
        recording = {**recording, "lanes": [{**lane, "name": text + lane["name"]} for lane in recording["lanes"]]}
    return ReportContent(
        output=text,
        summary={**summary, "advice": [text], "versions": {text: text}},
        failures=failures,
        failure_groups=9,
        phases=phases_of(histograms_of(recording)) if recording is not None else (),
        phases_basis=text,
        recording=recording,
        sources=dict.fromkeys(range(1, 50), text),
        pairs=[Pair(source=text, caption=text, before=None, after="data:image/png;base64,AA==")],
        settings=[("run", [ShownSetting("trace", text, "none")])],
        listed=[text],
    )
