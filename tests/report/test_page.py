"""The page: offline, under a strict policy, with every foreign text as text, and small."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import HOSTILE, hostile_content, recording_of

from downloader.report.content import ReportContent
from downloader.report.markup import data_block, text, visible
from downloader.report.page import UPLOT_SHA256, UPLOT_VERSION, asset, page
from downloader.report.summary import Summary


class Elements(HTMLParser):
    """What a browser would make of a page: its elements with their attributes and the text in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(hostile_content(recording_of(60)))


def test_the_library_is_the_published_one() -> None:
    """Its files are those of the npm package, byte by byte, and say their version; its licence is beside them."""
    assert UPLOT_VERSION in asset(f"uPlot-{UPLOT_VERSION}.iife.min.js").partition("\n")[0]
    for name, digest in UPLOT_SHA256.items():
        assert hashlib.sha256(asset(name).encode()).hexdigest() == digest
    assert "MIT License" in asset("uPlot.LICENSE")


def test_only_what_the_page_brings_may_run(hostile: str) -> None:
    """The policy allows the scripts and the style by hash and nothing else; there is no inline handler or style."""
    elements = Elements(hostile)
    policy = next(a["content"] or "" for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["default-src"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert directives["img-src"] == "data:"
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", hostile, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies]
        assert directives[directive].split() == [f"'sha256-{digest}'" for digest in hashes]
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert "unsafe" not in policy


def test_nothing_is_asked_for(hostile: str) -> None:
    elements = Elements(hostile)
    asked = [a[name] or "" for _, a in elements.found for name in ("src", "href", "action", "srcset") if name in a]
    assert {link.partition(":")[0] if not link.startswith("#") else "#" for link in asked} <= {"#", "data"}


def test_hostile_texts_stay_text(hostile: str) -> None:
    """No element, comment or attribute comes of them, and what cannot be seen is shown by its number."""
    elements = Elements(hostile)
    assert sum(tag == "script" for tag, _ in elements.found) == 3
    assert [a["src"] for tag, a in elements.found if tag == "img"] == ["data:image/png;base64,AA=="]
    assert not any(character in hostile for character in "\u202e\u2066\u2069\u0000\u001b\udce9")
    shown = " ".join(elements.texts["bdi"])
    assert all(visible(each) in shown for each in HOSTILE)
    assert "\\u202egpj.exe" in shown


def test_the_data_block_is_inert_and_whole(hostile: str) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', hostile, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    assert data["names"]["1"].startswith("</script><img")
    assert "<" not in found[1]


@settings(max_examples=50)
@given(st.text())
def test_any_text_survives_escaping(value: str) -> None:
    elements = Elements(f"<p>{text(value)}</p>")
    assert "".join(elements.texts.get("p", [])) == visible(value)
    assert json.loads(data_block("x", value).partition(">")[2].removesuffix("</script>")) == value
    assert [tag for tag, _ in elements.found] == ["p"]


def test_without_a_recording_the_page_says_so() -> None:
    html = page(ReportContent(output="out", summary=Summary().to_json()))
    assert "There is no recording of the last run" in html
    assert 'id="timeline"' not in html
    assert "No item failed" in html
    assert "null" in html


def test_every_chart_has_a_table_and_every_image_a_text(hostile: str) -> None:
    elements = Elements(hostile)
    charts = [a for tag, a in elements.found if (a.get("class") or "") == "plot"]
    assert len(charts) == 6
    assert all("aria-label" in a or "aria-labelledby" in a for a in charts)
    assert hostile.count("as a table") == 6
    assert all(a["alt"] for tag, a in elements.found if tag == "img")
    identities = [a["id"] for _, a in elements.found if "id" in a]
    assert len(identities) == len(set(identities))
    labels = {a["aria-labelledby"] for _, a in elements.found if "aria-labelledby" in a}
    assert labels <= set(identities)


def test_a_long_run_makes_no_larger_page() -> None:
    """20,000 items have 140,000 spans; the sample is bounded, and the page says what it shows."""
    recording = recording_of(20_000)
    html = page(ReportContent(output="out", summary=Summary().to_json(), recording=recording))
    assert recording["spans"]["seen"] > 100_000 >= recording["spans"]["count"]
    assert "slices of 0.25 s, each of them whole" in html
    assert len(html) < 4_000_000
