"""Making the report of an output: gathers what its journal, its timeline and its results say, and writes one file.

Never needed for the results, so whatever is missing is left out, and the page says so.
"""

import logging
import time
from array import array
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Any

from downloader.config.fields import Section
from downloader.config.load import each_section, show_value
from downloader.config.settings import Settings
from downloader.errors import DownloaderError, OutputError
from downloader.journal import StoredItem
from downloader.model.items import ORIGINAL, File, FileSpan, Output
from downloader.model.urls import masked
from downloader.places import state_folder
from downloader.report.content import Pair, ReportContent, ShownSetting
from downloader.report.markup import data_url, size
from downloader.report.page import page
from downloader.report.recording import histograms_of, histograms_of_items, phases_of
from downloader.sinks.reading import ResultReader
from downloader.storage.interface import Store
from downloader.storage.places import open_store
from downloader.telemetry.timeline import load_timeline
from downloader.workspace import GROUPS_FOLDER, REPORT, TIMELINE, OutputView, open_output

_log = logging.getLogger("downloader")

OpenResult = Callable[[Output], BufferedIOBase]
"""Opens a result, as `ResultReader.open` does."""

SHEET_S = 5.0
"""Seconds that the contact sheet of `downloader report` may take."""
_SHEET_SHARE = 0.01
"""Share of a run that its contact sheet may take."""
_THUMBNAIL_S = 0.15
"""Seconds that must be left for a thumbnail: Pillow is loaded for the first one. So runs below 15 s make none."""
_MAX_GROUPS = 500
_MAX_PAIRS = 12
_MAX_EMBEDDED_BYTES = 48 * 1024
"""Results up to here are shown as they are, without decoding them: 12 of them are less than 1 MB."""
_MAX_READ_BYTES = 32 * 1024**2
_MAX_NAMES = 20_000
"""Items of the timeline that are named: 100,000 spans are of some 10,000."""
_MAX_LISTED = 20
_TIMED_ITEMS = 20_000
_SHOWN_FORMATS = frozenset({"jpeg", "png", "webp", "avif", "gif"})
"""What every browser shows."""


def report_run(view: OutputView, output: str, state: Path, duration_s: float) -> None:
    """Leave the report of a run that took so long. One that cannot be made is a warning: the results are there."""
    try:
        with closing(open_store(output)) as store:
            html = build_report(view, output, state, _reader(store, state).open, sheet_s=_SHEET_SHARE * duration_s)
        write_report(html, state / REPORT)
    except DownloaderError as problem:
        _log.warning("%s", problem)


def rebuild_report(output: str, state_dir: str | None = None) -> Path:
    """Make the report of an output anew, and return its path on this machine; works beside a run, too.

    Raises:
        JournalError: there is no journal, or it cannot be read.
        OutputError: the report cannot be written.
    """
    state = state_folder(output, state_dir)
    with open_output(output, state_dir) as view, closing(open_store(output)) as store:
        write_report(build_report(view, output, state, _reader(store, state).open), state / REPORT)
    return state / REPORT


def _reader(store: Store, state: Path) -> ResultReader:
    return ResultReader(store, state / GROUPS_FOLDER)


def write_report(html: str, path: Path) -> None:
    """Write a report under any local path, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = path.with_suffix(".html.new")
    try:
        temporary.write_text(html, "utf-8")
        temporary.replace(path)
    except OSError as problem:
        raise OutputError(f"{path}: cannot be written: {problem.strerror}; the results are stored") from problem


def build_report(
    view: OutputView, output: str, state: Path, open_result: OpenResult, *, sheet_s: float = SHEET_S
) -> str:
    """The report of an output as HTML.

    Args:
        view: of its journal.
        output: the output, as the user writes it.
        state: the folder with its state.
        open_result: opens its results.
        sheet_s: seconds that the contact sheet may take; what is not ready by then is left out.

    Raises:
        JournalError: the journal cannot be read.
    """
    settings = view.settings()
    recording = load_timeline(state / TIMELINE)
    failures, groups = view.failure_groups(_MAX_GROUPS)
    if recording is not None:
        histograms, basis = histograms_of(recording), "every item of the last run"
    else:
        timings = view.timings(_TIMED_ITEMS)
        histograms, basis = histograms_of_items(timings), f"a sample of {len(timings)} items, of all runs"
    return page(
        ReportContent(
            output=masked(output),
            summary=view.summary(),
            failures=failures,
            failure_groups=groups,
            phases=phases_of(histograms),
            phases_basis=basis,
            recording=recording,
            sources=view.sources(_drawn_items(recording)) if recording is not None else {},
            pairs=list(_pairs(view.stored_samples(_MAX_PAIRS), open_result, time.monotonic() + sheet_s)),
            settings=_shown_settings(settings) if settings else (),
            listed=[masked(source) for source in settings.sources[:_MAX_LISTED]] if settings else (),
        )
    )


def _drawn_items(recording: dict[str, Any]) -> list[int]:
    ids = array("I", b64decode(recording["spans"]["item"]))
    return list(islice(dict.fromkeys(ids), _MAX_NAMES))


# -- settings ----------------------------------------------------------------------------------------------------------


def _shown_settings(settings: Settings) -> list[tuple[str, list[ShownSetting]]]:
    return [(name, _shown_section(values)) for name, values in each_section(settings)]


def _shown_section(section: Section) -> list[ShownSetting]:
    default = type(section)()
    return [
        ShownSetting(
            name,
            show_value(option, _without_secrets(name, getattr(section, name))),
            show_value(option, getattr(default, name)),
        )
        for name, option in section.options().items()
    ]


def _without_secrets(name: str, value: Any) -> Any:  # noqa: ANN401 - the value of any option
    """A value fit to be shown; any header may be a secret."""
    if name == "header":
        return tuple(f"{header.partition(':')[0]}: ***" for header in value)
    return masked(value) if isinstance(value, str) else value


# -- contact sheet -----------------------------------------------------------------------------------------------------


def _pairs(items: Sequence[StoredItem], open_result: OpenResult, end_s: float) -> Iterator[Pair]:
    for item in items:
        results = [output for output in item.outputs if output.variant != ORIGINAL and output.format]
        if not results:  # of `fetch`: bytes that no transform process has decoded are not decoded here either
            continue
        originals = [output for output in item.outputs if output.variant == ORIGINAL]
        has_time = time.monotonic() + _THUMBNAIL_S < end_s
        after = _after(results[0], open_result, has_time=has_time)
        before = _thumbnail_url(_before(item, originals, open_result)) if has_time else None
        if after or before:
            yield Pair(source=item.source, caption=_caption(item, results), before=before, after=after)


def _caption(item: StoredItem, results: Sequence[Output]) -> str:
    first = results[0]
    more = f", and {len(results) - 1} more" if results[1:] else ""
    made = f"{first.width} \u00d7 {first.height} {first.format}, {size(first.bytes)}{more}"
    return f"{item.width} \u00d7 {item.height} → {made}"


def _after(output: Output, open_result: OpenResult, *, has_time: bool) -> str | None:
    shown_format = (output.format or "").lower()
    is_small = output.bytes <= _MAX_EMBEDDED_BYTES and shown_format in _SHOWN_FORMATS
    if not is_small and not has_time:
        return None
    data = _read_output(output, open_result)
    if is_small and data is not None:
        return data_url(f"image/{shown_format}", data)
    return _thumbnail_url(data)


def _before(item: StoredItem, originals: Sequence[Output], open_result: OpenResult) -> bytes | None:
    """The source's bytes, where they are on this machine still."""
    if originals:
        return _read_output(originals[0], open_result)
    if not isinstance(item.what, File | FileSpan):
        return None
    try:
        with Path(item.what.path).open("rb") as file:
            file.seek(item.what.offset if isinstance(item.what, FileSpan) else 0)
            return _limited(file.read(item.what.length if isinstance(item.what, FileSpan) else _MAX_READ_BYTES + 1))
    except OSError:
        return None


def _read_output(output: Output, open_result: OpenResult) -> bytes | None:
    try:
        with open_result(output) as file:
            return _limited(file.read(_MAX_READ_BYTES + 1))
    except OSError:  # removed since
        return None


def _limited(data: bytes) -> bytes | None:
    return data if len(data) <= _MAX_READ_BYTES else None


def _thumbnail_url(data: bytes | None) -> str | None:
    if data is None:
        return None
    from downloader.transform.thumbnail import thumbnail  # noqa: PLC0415 - Pillow, where an image is to be decoded

    made = thumbnail(data)
    return data_url("image/jpeg", made) if made is not None else None
