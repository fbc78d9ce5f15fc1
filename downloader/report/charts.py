"""The charts of the report: frames that the script of the page fills, with tables beside them. Pure."""

from collections.abc import Sequence
from typing import Any

from downloader.model.spans import Phase
from downloader.report.content import ReportContent
from downloader.report.markup import count, duration, folded, percent, section, shortened, table, text, visible
from downloader.report.recording import LaneFigures, Recording, lanes_of, largest, mean, rate, rows_of

_MEBI = 1024**2
_NAME_CHARS = 90
"""Characters of a source in the timeline; 100,000 spans are of some 10,000 items."""


def over_time(recording: Recording) -> str:
    """Throughput, queue, CPU and memory over time."""
    tables = [
        ("throughput", "Items a second", _ITEMS),
        ("transfer", "MiB a second", _BYTES),
        ("queue", "Files waiting in the hand-off queue", ()),
        ("cpu", "CPUs in use, by stage", _CPUS),
        ("memory", "Resident memory in MiB, by stage", _MEMORY),
    ]
    charts = []
    for identity, title, columns in tables:
        if identity == "queue":
            heads: Sequence[str] = ("#mean depth", "#largest depth")
            cells = [mean(recording, "queue_depth", "queue_samples"), largest(recording, "queue_max")]
        else:
            make = largest if identity == "memory" else rate
            unit = _MEBI if identity in {"transfer", "memory"} else 1
            heads = [f"#{name}" for name, _ in columns]
            cells = [make(recording, series, unit) for _, series in columns]
        rows = [[text(cell) for cell in row] for row in rows_of(recording, cells)]
        charts.append(_figure(identity, title, folded("as a table", table(title, ("from", *heads), rows))))
    help_text = '<p class="note">Drag to zoom, double-click for all of it; the charts move together.</p>'
    return section("over-time", "Over time", f'{help_text}<div class="charts">{"".join(charts)}</div>')


_ITEMS = (("fetched", "downloaded"), ("transformed", "transformed"), ("stored", "stored"), ("failed", "failed"))
_BYTES = (("downloaded", "bytes_downloaded"), ("written", "bytes_written"))
_CPUS = (("parent", "cpu_parent_s"), ("shards", "cpu_shards_s"), ("transform processes", "cpu_workers_s"))
_MEMORY = (("parent", "rss_parent_bytes"), ("shards", "rss_shards_bytes"), ("transform processes", "rss_workers_bytes"))


def _figure(identity: str, title: str, beside: str) -> str:
    return (
        f'<figure class="chart"><figcaption id="{identity}-t">{text(title)}</figcaption>'
        f'<div id="chart-{identity}" class="plot" role="img" aria-labelledby="{identity}-t"></div>{beside}</figure>'
    )


def timeline(recording: Recording) -> str:
    """One lane for each thread and process."""
    lanes = lanes_of(recording)
    actions = [
        *_ACTIONS,
        *([("slice", "to a slice with all spans", "in full")] if recording["spans"]["stride"] > 1 else []),
    ]
    buttons = "".join(
        f'<button type="button" data-zoom="{action}" aria-label="{label}">{sign}</button>'
        for action, label, sign in actions
    )
    legend = "".join(
        f'<li><span class="swatch phase-{phase}"></span>{text(phase.replace("_", " "))}</li>'
        for phase in Phase
        if phase is not Phase.QUEUE
    )
    return section(
        "timeline",
        "Timeline",
        f'<p class="note">{text(_sampling(recording))} Zoomed out, the height of a lane shows what share of the time '
        f'it was busy. Drag, turn the wheel or use the keys + \u2212 ← → 0.</p><div class="tools">{buttons}</div>'
        f'<div id="chart-timeline" class="plot" tabindex="0" role="img" aria-label="timeline of {len(lanes)} threads '
        f'and processes; the table below has their busy shares"></div>'
        f'<p id="timeline-info" class="info" aria-live="polite"></p><ul class="legend">{legend}</ul>'
        f"{folded('lanes as a table', _lane_table(lanes))}",
    )


_ACTIONS = (
    ("in", "zoom in", "+"),
    ("out", "zoom out", "\u2212"),
    ("left", "earlier", "←"),
    ("right", "later", "→"),
    ("all", "show all of it", "all"),
)


def _sampling(recording: Recording) -> str:
    spans = recording["spans"]
    if spans["stride"] == 1:
        return f"All {count(spans['count'])} spans are drawn."
    return (
        f"{count(spans['count'])} of {count(spans['seen'])} spans are drawn: those of one in {count(spans['stride'])} "
        f"slices of {spans['slice_s']} s, each of them whole ('in full' goes to the nearest); busy shares and all "
        "other figures count everything."
    )


def _lane_table(lanes: Sequence[LaneFigures]) -> str:
    rows = [[text(lane.label), duration(lane.busy_s), percent(lane.busy_share)] for lane in lanes]
    return table("Threads and processes", ("lane", "#busy", "#share of the run"), rows)


def chart_data(content: ReportContent) -> dict[str, Any] | None:
    """What the script draws."""
    recording = content.recording
    if recording is None:
        return None
    lanes = [
        {"label": lane.label, "number": lane.number, "kind": lane.kind, "busy": recording["lanes"][lane.number]["busy"]}
        for lane in lanes_of(recording)
    ]
    kept = ("duration_s", "bucket_s", "queue_size", "series", "spans")
    names = {number: visible(shortened(source, _NAME_CHARS)) for number, source in content.sources.items()}
    return {**{name: recording[name] for name in kept}, "lanes": lanes, "names": names}
