"""The sections of the report as HTML. Pure."""

from collections.abc import Mapping
from typing import Any

from downloader.model.failures import FailureKind, is_transient
from downloader.report.content import Pair, ReportContent
from downloader.report.markup import count, duration, folded, foreign, percent, section, shortened, size, table, text
from downloader.report.remedies import remedy

_SOURCE_CHARS = 160
_MESSAGE_CHARS = 300


def headline(content: ReportContent) -> str:
    """The headline numbers."""
    summary = content.summary
    figures = [
        ("succeeded", f"{count(summary['succeeded'])} of {count(summary['total'])}"),
        ("failed", count(summary["failed"])),
        ("skipped", count(summary["skipped"])),
        ("pending", count(summary["pending"])),
        ("duration of the last run", duration(summary.get("duration_s") or 0.0)),
        ("items a second", _number(summary.get("attempted_per_s"))),
        ("downloaded", size(summary["bytes_downloaded"])),
        ("written", size(summary["bytes_written"])),
        ("limited by", text(summary.get("bottleneck") or "\u2013")),
    ]
    figures += _stage_figures(summary)
    cells = "".join(
        f'<div class="figure{" bad" if name == "failed" and summary["failed"] else ""}">'
        f"<dt>{text(name)}</dt><dd>{value}</dd></div>"
        for name, value in figures
    )
    return section("headline", "Headline", f'<dl class="figures">{cells}</dl>{_notes(summary)}')


def _stage_figures(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    figures = []
    for name, workers in (("download", "threads"), ("transform", "processes")):
        stage = (summary.get("stages") or {}).get(name)
        if stage:
            figures.append((f"{name}: {stage[workers]} {workers}", f"{percent(stage['busy_share'])} busy"))
    if queue := summary.get("queue"):
        figures.append((f"queue of {queue['size']}", f"{percent(queue['full_share'])} full"))
    rss = summary.get("peak_rss_bytes") or {}
    figures += [(f"peak memory, {name}", size(rss[key])) for name, key in _MEMORY if rss.get(key)]
    return figures


_MEMORY = (("parent", "parent"), ("largest worker", "worker_max"))


def _number(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:,.1f}" if value < 100 else count(value)  # noqa: PLR2004 - three digits


def _notes(summary: Mapping[str, Any]) -> str:
    notes = [f"given up: {summary['gave_up']}"] if summary.get("gave_up") else []
    notes += [summary["bottleneck_reason"]] if summary.get("bottleneck_reason") else []
    notes += ["stopped early"] if summary.get("interrupted") else []
    notes += [f"caution: {caution}" for caution in summary.get("cautions") or ()]
    return "".join(f'<p class="note">{text(note)}</p>' for note in notes)


def advice(content: ReportContent) -> str:
    """What would make the next run better."""
    found = content.summary.get("advice") or []
    entries = "".join(f"<li>{text(sentence)}</li>" for sentence in found)
    return section("advice", "Advice", f"<ul>{entries}</ul>" if found else "<p>Nothing to improve was noticed.</p>")


def latency(content: ReportContent) -> str:
    """How long each phase took."""
    if not content.phases:
        return section("latency", "Latency by phase", "<p>No item was worked on.</p>")
    longest = max(figures.p99_s for figures in content.phases)
    rows = [
        [
            text(figures.phase.replace("_", " ")),
            count(figures.number),
            duration(figures.p50_s),
            duration(figures.p90_s),
            duration(figures.p99_s),
            f'<meter class="wide" min="0" max="1" value="{figures.p99_s / longest:.3f}" aria-hidden="true"></meter>',
        ]
        for figures in content.phases
    ]
    heads = ("phase", "#items", "#p50", "#p90", "#p99", "")
    return section("latency", "Latency by phase", table(f"Latency by phase: {content.phases_basis}", heads, rows))


def failures(content: ReportContent) -> str:
    """What failed, where and why, with filters."""
    if not content.failures:
        return section("failures", "Failures", "<p>No item failed.</p>")
    kinds = sorted({group.kind for group in content.failures})
    options = "".join(f'<option value="{text(kind)}">{text(kind)}</option>' for kind in kinds)
    filters = (
        '<form class="filters" role="search" aria-label="filter failures">'
        f'<label>kind <select id="filter-kind"><option value="">all</option>{options}</select></label>'
        '<label>host or text <input id="filter-text" type="search" autocomplete="off"></label>'
        '<label class="check"><input id="filter-transient" type="checkbox"> only those that `retry` takes</label>'
        '<output id="filter-count" aria-live="polite"></output></form>'
    )
    shown = len(content.failures)
    more = ""
    if content.failure_groups > shown:
        more = f"the {count(shown)} largest of {count(content.failure_groups)} groups; "
    more += f"downloader status {content.output} --items --state failed lists every item"
    return section("failures", "Failures", f"{filters}{_failure_table(content)}<p class='note'>{text(more)}</p>")


def _failure_table(content: ReportContent) -> str:
    rows = []
    for group in content.failures:
        transient = "1" if _is_transient(group.kind, group.http_status) else ""
        status = f" {group.http_status}" if group.http_status and group.kind == FailureKind.HTTP_STATUS else ""
        host = foreign(group.host) if group.host else "this machine"
        examples = "".join(
            f'<li>{foreign(shortened(source, _SOURCE_CHARS))}<div class="message">'
            f"{foreign(shortened(message, _MESSAGE_CHARS))}</div></li>"
            for source, message in group.examples
        )
        rows.append(
            f'<tr data-kind="{text(group.kind)}" data-transient="{transient}" data-items="{group.items}">'
            f'<th scope="row">{text(group.kind)}{status}</th><td>{host}</td>'
            f'<td class="n">{count(group.items)}</td><td><ul>{examples}</ul></td>'
            f"<td>{text(remedy(group.kind, group.http_status))}</td></tr>"
        )
    heads = "".join(
        f'<th scope="col"{" class=n" if name == "items" else ""}>{name}</th>'
        for name in ("kind", "host", "items", "examples", "what to do")
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="failures by kind and host">'
        '<table id="failure-table" class="stacked"><caption>Failures by kind and host, over all runs</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _is_transient(kind: str, http_status: int | None) -> bool:
    try:
        return is_transient(FailureKind(kind), http_status)
    except ValueError:
        return False


def contact_sheet(content: ReportContent) -> str:
    """Some results, beside what they were made of where that is at hand."""
    if not content.pairs:
        return section("samples", "Samples", f"<p>No image to show: {_more_samples(content)}.</p>")
    cells = "".join(_pair(pair) for pair in content.pairs)
    note = f"{len(content.pairs)} results from evenly spread places of the list: {_more_samples(content)}"
    return section("samples", "Samples", f'<p class="note">{note}</p><ul class="sheet">{cells}</ul>')


def _more_samples(content: ReportContent) -> str:
    return (
        "large results, and originals that are on this machine, are added by "
        f"<code>downloader report {text(content.output)}</code>, which takes the time for thumbnails"
    )


def _pair(pair: Pair) -> str:
    images = [
        f'<figure><img src="{url}" alt="{name}: {text(shortened(pair.source, _SOURCE_CHARS))}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, url in (("before", pair.before), ("after", pair.after))
        if url
    ]
    return (
        f'<li><div class="pair">{"".join(images)}</div><div class="source">'
        f"{foreign(shortened(pair.source, _SOURCE_CHARS))}</div><div>{text(pair.caption)}</div></li>"
    )


def settings(content: ReportContent) -> str:
    """The settings of the last run, and the versions that it used."""
    versions = [[text(name), text(version)] for name, version in (content.summary.get("versions") or {}).items()]
    changed = [
        [f"{text(name)}.{text(setting.name)}", _code(setting.value), _code(setting.default)]
        for name, values in content.settings
        for setting in values
        if setting.value != setting.default
    ]
    parts = [
        table("Settings other than their defaults", ("setting", "value", "default"), changed),
        table("Versions", ("package", "version"), versions),
    ]
    every = "".join(
        table(f"[{name}]", ("setting", "value"), [[text(setting.name), _code(setting.value)] for setting in values])
        for name, values in content.settings
    )
    folds = folded("all settings", f'<div class="columns">{every}</div>') if every else ""
    if content.listed:
        listed = table("Sources as named", ("source",), [[foreign(source)] for source in content.listed])
        folds += folded("sources as named", listed)
    return section("settings", "Settings and versions", f'<div class="pairs">{"".join(parts)}</div>{folds}')


def _code(value: str) -> str:
    return f"<code>{text(value)}</code>"
