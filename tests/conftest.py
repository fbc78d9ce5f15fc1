import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Command, Site, served
from wire import MakeRun, client_sockets

from downloader.storage.local import LocalStore


@pytest.fixture
def cli(tmp_path: Path) -> Command:
    """The command, run in a folder of the test's own."""
    return Command(tmp_path)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server."""
    with served() as found:
        yield found


@pytest.fixture
def other_site() -> Iterator[Site]:
    """Another one, which to HTTP is another origin."""
    with served() as found:
        yield found


@pytest.fixture(params=["httpcore", "httptools"])
def make_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeRun]:
    """Makes runs without proxies, over each transport; they are closed in the end, when no socket may be left open."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    before = {entry.fd for entry in client_sockets()}
    make = MakeRun(request.param)
    yield make
    for run in make.made:
        run.transport.close()
    assert {entry.fd for entry in client_sockets()} <= before


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Certificate for good.test and its key, as files."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command")
    folder = tmp_path_factory.mktemp("tls")
    made = (str(folder / "certificate.pem"), str(folder / "key.pem"))
    subject = ["-subj", "/CN=good.test", "-addext", "subjectAltName=DNS:good.test"]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-out", made[0], "-keyout", made[1]],
        check=True,
        capture_output=True,
    )
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of `store`."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> Iterator[LocalStore]:
    store = LocalStore(root)
    yield store
    store.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    chromium = os.environ.get("DOWNLOADER_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed: apt-get install chromium, or name one in DOWNLOADER_CHROMIUM")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()
