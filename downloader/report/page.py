"""The report as one HTML file: offline, and under a policy that lets nothing run or load but what it brings.

Scripts and styles are allowed by their hashes. Texts of strangers are text everywhere: in elements they are escaped,
and the script reads its data from an inert block and writes it as text.
"""

from functools import cache
from importlib.resources import files

from downloader.report import charts, sections
from downloader.report.content import ReportContent
from downloader.report.markup import data_block, foreign, source_hash, text

UPLOT_VERSION = "1.6.32"
UPLOT_SHA256 = {
    f"uPlot-{UPLOT_VERSION}.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    f"uPlot-{UPLOT_VERSION}.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""The files of the npm package `uplot`, unchanged; MIT, see `assets/uPlot.LICENSE`."""
_PARTS = ("headline", "advice", "over-time", "timeline", "latency", "failures", "samples", "settings")


def page(content: ReportContent) -> str:
    """The whole page."""
    script, library = asset("report.js"), asset(f"uPlot-{UPLOT_VERSION}.iife.min.js")
    style = asset(f"uPlot-{UPLOT_VERSION}.min.css") + asset("report.css")
    policy = (
        f"default-src 'none'; script-src {source_hash(library)} {source_hash(script)}; "
        f"style-src {source_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    recording = content.recording
    parts = [sections.headline(content), sections.advice(content)]
    if recording is not None:
        parts += [charts.over_time(recording), charts.timeline(recording)]
    parts += [part(content) for part in _AFTER]
    links = "".join(
        f'<a href="#{name}">{name.replace("-", " ")}</a>'
        for name in _PARTS
        if recording is not None or name not in {"over-time", "timeline"}
    )
    began = ""
    if recording is not None:
        began = f", begun {text(recording['started_at'].replace('T', ' ').removesuffix('+00:00'))} UTC"
    missing = "" if recording is not None else _NO_RECORDING
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f'<meta name="color-scheme" content="light dark"><title>downloader: {text(content.output)}</title>'
        f"<style>{style}</style></head><body>"
        f'<header><h1>downloader: {foreign(content.output)}</h1><p class="note">counts over all runs on this output; '
        f"charts and rates of the last run{began}</p><nav aria-label='sections'>{links}</nav></header><main>{missing}"
        "<noscript><p>Charts and filters need JavaScript; the tables are complete without it.</p></noscript>"
        f"{''.join(parts)}</main>{data_block('data', charts.chart_data(content))}"
        f"<script>{library}</script><script>{script}</script></body></html>\n"
    )


_AFTER = (sections.latency, sections.failures, sections.contact_sheet, sections.settings)
_NO_RECORDING = (
    '<p class="note">There is no recording of the last run, so there are no charts: it ran with --no-report, '
    "or was killed within its first seconds.</p>"
)


@cache
def asset(name: str) -> str:
    """A file of this package's data."""
    return files("downloader.report").joinpath("assets", name).read_text("utf-8")
