"""The report in a real browser: `make test-browser`.

No console error, no request but the file, marks drawn, zoom, keys and filters at work, hostile names shown as text,
nothing wider than a phone, and frames as fast as the screen asks for them, also after a million items.
"""

import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

from report_cases import HOSTILE, hostile_content, recording_of

from downloader.config.load import dump
from downloader.config.settings import Settings
from downloader.journal import Journal
from downloader.report.content import ReportContent
from downloader.report.markup import visible
from downloader.report.page import page as html_page
from downloader.report.summary import Summary
from downloader.run_report import rebuild_report

pytestmark = pytest.mark.browser

FRAME_S = 1 / 60
STEPS = ["in"] * 9 + ["right"] * 4 + ["out"] * 9
MEASURE = """async (steps) => {
  const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const took = [];
  await frames();
  for (const step of steps) {
    const start = performance.now();
    document.querySelector(`[data-zoom=${step}]`).click();
    await frames();
    took.push(performance.now() - start);
  }
  return took;
}"""
"""Milliseconds from each zoom step until two frames later; at 60 frames a second that is 33."""
DRAWN = """() => {
  const canvas = document.querySelector("#chart-timeline canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colors = new Set();
  for (let i = 0; i < pixels.length; i += 4)
    if (pixels[i + 3] > 200) colors.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
  return colors.size;
}"""
"""How many opaque colours the timeline has; frames, texts and grid have a few."""


@dataclass
class Seen:
    """What a browser told while it showed a page."""

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Opener:
    """Opens reports, and says in the end whether the browser had anything to complain of."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self._browser = browser
        self._folder = folder
        self.opened: list[Seen] = []

    def __call__(self, html: str, *, width: int = 1400, scheme: str = "light") -> Seen:
        path = self._folder / "report.html"
        path.write_text(html, "utf-8")
        return self.file(path, width=width, scheme=scheme)

    def file(self, path: Path, *, width: int = 1400, scheme: str = "light") -> Seen:
        context = self._browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(20_000)
        seen = Seen(context.new_page())
        seen.page.on("console", lambda message: seen.problems.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.problems.append(str(error)))
        seen.page.on("dialog", lambda dialog: seen.problems.append(f"dialog: {dialog.message}"))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(path.as_uri())
        seen.page.wait_for_selector("html[data-ready]")
        self.opened.append(seen)
        return seen


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(browser, tmp_path)
    yield opener
    for seen in opener.opened:
        assert seen.problems == []
        assert [url for url in seen.requests if not url.startswith("data:")] == seen.requests[:1]
        assert seen.requests[0].startswith("file:")
        seen.page.context.close()


def content(items: int) -> ReportContent:
    return ReportContent(
        output="out", summary=Summary(total=items, succeeded=items).to_json(), recording=recording_of(items)
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_hostile_texts_are_shown_as_text(opened: Opener, width: int, scheme: str) -> None:
    """Nothing of them runs or loads, also where the script writes them; and the page is no wider than the screen."""
    seen = opened(html_page(hostile_content(recording_of(60))), width=width, scheme=scheme)
    assert seen.page.evaluate("document.querySelectorAll('img').length") == 1
    shown = seen.page.inner_text("#failure-table")
    assert all(visible(each) in shown.replace("\u00a0", " ") for each in HOSTILE)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    hover(seen)
    assert "</script><img src=x" in seen.page.inner_text("#timeline-info")


def hover(seen: Seen) -> None:
    """Move over the timeline until it names an item."""
    for _ in range(4):
        seen.page.click("[data-zoom=in]")
    seen.page.locator("#chart-timeline").scroll_into_view_if_needed()
    box = seen.page.locator("#chart-timeline .u-over").bounding_box()
    for y in range(4, int(box["height"]), 6):
        for x in range(10, int(box["width"]), 40):
            seen.page.mouse.move(box["x"] + x, box["y"] + y)
            if "item" in seen.page.inner_text("#timeline-info"):
                return
    pytest.fail("no span was found under the pointer")


def test_charts_and_timeline_are_drawn(opened: Opener) -> None:
    seen = opened(html_page(content(600)))
    assert seen.page.locator(".plot canvas").count() == 6
    assert seen.page.evaluate(DRAWN) > 8
    assert seen.page.get_attribute("#chart-timeline", "data-drawn") == "spans"


def test_zoom_by_buttons_keys_wheel_and_dragging(opened: Opener) -> None:
    """All charts show the same stretch of time; busy shares far out, spans close by."""
    seen = opened(html_page(content(14_000)))
    page, plot = seen.page, "#chart-timeline"
    assert page.get_attribute(plot, "data-drawn") == "shares"
    for _ in range(6):
        page.click("[data-zoom=in]")
    page.wait_for_selector(f"{plot}[data-drawn=spans]")
    page.focus(plot)
    page.keyboard.press("0")
    page.wait_for_selector(f"{plot}[data-drawn=shares]")
    for _ in range(6):
        page.keyboard.press("+")
    page.wait_for_selector(f"{plot}[data-drawn=spans]")
    page.keyboard.press("Home")
    page.wait_for_selector(f"{plot}[data-drawn=shares]")
    page.locator(plot).scroll_into_view_if_needed()
    box = page.locator(f"{plot} .u-over").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 50)
    for _ in range(20):
        page.mouse.wheel(0, -100)
    page.wait_for_selector(f"{plot}[data-drawn=spans]")
    page.mouse.dblclick(box["x"] + 300, box["y"] + 50)
    page.wait_for_selector(f"{plot}[data-drawn=shares]")
    page.locator("#chart-throughput").scroll_into_view_if_needed()
    box = page.locator("#chart-throughput .u-over").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 108, box["y"] + 50, steps=4)
    page.mouse.up()
    page.wait_for_selector(f"{plot}[data-drawn=spans]")


def test_failures_are_filtered(opened: Opener) -> None:
    page = opened(html_page(hostile_content(None))).page
    rows = page.locator("#failure-table tbody tr:visible")
    assert rows.count() == 3
    assert page.inner_text("#filter-count") == "8 items in 3 of 3 groups"
    page.select_option("#filter-kind", "timeout")
    assert rows.count() == 1
    page.select_option("#filter-kind", "")
    page.fill("#filter-text", "SLOW.example")
    assert rows.count() == 1
    page.fill("#filter-text", "onerror")
    assert page.inner_text("#filter-count") == "5 items in 1 of 3 groups"
    page.fill("#filter-text", "")
    page.check("#filter-transient")
    assert page.inner_text("#filter-count") == "2 items in 1 of 3 groups"
    page.keyboard.press("Enter")
    assert page.locator("#filter-transient").is_checked()


def test_everything_is_reached_by_keyboard(opened: Opener) -> None:
    """Links, zoom buttons, the timeline, filters and folded tables, each with a name."""
    page = opened(html_page(hostile_content(recording_of(60)))).page
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(({ id, dataset, tagName }) => id || dataset.zoom || tagName.toLowerCase())(document.activeElement)"
            )
        )
    assert {"a", "summary", "in", "all", "chart-timeline", "filter-kind", "filter-text"} <= reached
    unnamed = "[...document.querySelectorAll('button, [role=img], select, input')].filter((e) => !(e.ariaLabel || "
    unnamed += "e.getAttribute('aria-labelledby') || e.labels?.length)).length"
    assert page.evaluate(unnamed) == 0


def test_it_follows_the_colour_scheme(opened: Opener) -> None:
    page = opened(html_page(content(600))).page
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) != light
    assert page.locator(".plot canvas").count() == 6


def test_a_hundred_thousand_spans_are_moved_at_the_rate_of_the_screen(opened: Opener) -> None:
    """32 threads and 8 processes: the median step takes the two frames that are waited for, and a third at most."""
    report = content(16_500)
    assert report.recording is not None
    assert 90_000 < report.recording["spans"]["count"] <= 100_000
    page = opened(html_page(report)).page
    steps_ms = page.evaluate(MEASURE, STEPS)
    sys.stderr.write(f"steps: median {statistics.median(steps_ms):.1f} ms, longest {max(steps_ms):.1f} ms\n")
    assert statistics.median(steps_ms) < 1000 * 3 * FRAME_S


def test_a_million_items(opened: Opener, tmp_path: Path) -> None:
    """Less than 10 MB, built in seconds, and as quick to move as a small one."""
    state = tmp_path / "out" / ".downloader"
    state.mkdir(parents=True)
    _fill(state / "journal.sqlite3", 1_000_000)
    (state / "timeline.json").write_text(json.dumps(recording_of(1_000_000)))
    started_s = time.monotonic()
    path = rebuild_report(str(tmp_path / "out"))
    built_s, size_bytes = time.monotonic() - started_s, path.stat().st_size
    assert size_bytes < 10_000_000
    assert built_s < 20
    page = opened.file(path).page
    steps_ms = page.evaluate(MEASURE, STEPS)
    median_ms = statistics.median(steps_ms)
    sys.stderr.write(f"{size_bytes / 1e6:.1f} MB, built in {built_s:.1f} s, median step {median_ms:.1f} ms\n")
    assert median_ms < 1000 * 3 * FRAME_S
    assert "slices of 0.25 s, each of them whole" in page.inner_text("#timeline")
    page.click("[data-zoom=slice]")
    page.wait_for_selector("#chart-timeline[data-drawn=spans]")
    assert page.evaluate(DRAWN) > 8  # colours of phases, where there would be the pale ones of shares only


def _fill(path: Path, items: int) -> None:
    """A journal of finished items, a twentieth of them failed at 4,000 hosts."""
    with closing(Journal(path)) as journal:
        journal.set_meta("settings", json.dumps(dump(Settings(sources="urls.txt"))))
    rows = (
        (
            number,
            number.to_bytes(32, "big"),
            f"https://h{number % 4000}.example.com/images/{number:08}.jpg",
            f"h{number % 4000}.example.com",
            f"{number}",
            "failed" if number % 20 == 0 else "succeeded",
            ("dns", "connect", "timeout", "corrupt_image")[number // 20 % 4] if number % 20 == 0 else None,
            "a message that says what happened and what to do" if number % 20 == 0 else None,
            '{"connect": 0.02, "body": 0.1, "decode": 0.01}',
        )
        for number in range(1, items + 1)
    )
    sql = (
        "INSERT INTO items (id, hash, key, source, what, host, fold, stem, sequence, state, kind, message, timings) "
        "VALUES (?1, ?1, ?2, ?3, 'url', ?4, ?5, ?5, ?1, ?6, ?7, ?8, ?9)"
    )
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(sql, rows)
