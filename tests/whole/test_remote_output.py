"""An output behind a URL: results there, state on this machine, found again by every command."""

import json
from pathlib import Path

import pytest
from support import Command, Site

from downloader.places import state_folder
from downloader.storage.object_store import ObjectStore


@pytest.fixture
def output(tmp_path: Path) -> str:
    return f"memory://bucket{tmp_path}"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/downloader"


def test_each_command_works_on_a_url(cli: Command, site: Site, output: str, state: Path) -> None:
    site.pages["/a.bin"] = b"bytes"
    arguments = ("fetch", f"{site.url}/a.bin", "-o", output, "--progress", "none", "--json", "--shards", "1")
    done = cli(*arguments)
    assert (done.code, done.json["succeeded"]) == (0, 1), done.err
    store = ObjectStore(output)
    [name] = store.names(excluded=".downloader", unlisted=[])
    with store.open(".downloader/summary.json") as file:
        assert json.load(file)["succeeded"] == 1
    assert [path.parent for path in state.glob("*/journal.sqlite3")] == [state_folder(output)]
    assert cli(*arguments).json["new"] == 0
    assert cli("status", output, "--json").json["succeeded"] == 1
    assert cli("verify", output, "--json").json["good"]
    store.remove(name)
    assert cli("verify", output, "--repair", "--json").json["missing"] == [name]
    assert cli("retry", output, "--progress", "none", "--json", "--shards", "1").json["succeeded"] == 1
    assert cli("verify", output, "--json").json["good"]


def test_a_machine_without_the_state_says_so(cli: Command, output: str, tmp_path: Path) -> None:
    for command in ("status", "verify", "retry"):
        done = cli(command, output, "--state-dir", tmp_path / "elsewhere")
        assert done.code == 3
        assert "no state of it in" in done.err
    assert not (tmp_path / "elsewhere").exists()


def test_the_state_folder_is_chosen(cli: Command, site: Site, output: str, tmp_path: Path, state: Path) -> None:
    site.pages["/a.bin"] = b"bytes"
    chosen = ("--state-dir", tmp_path / "mine")
    assert cli("fetch", f"{site.url}/a.bin", "-o", output, "--progress", "none", "--shards", "1", *chosen).code == 0
    assert cli("status", output, "--json", *chosen).json["succeeded"] == 1
    assert not state.exists()


def test_two_outputs_share_no_state() -> None:
    urls = ("s3://a/b", "s3://a/c", "s3://a-b", "gs://a/b", "s3://a/B")
    assert len({state_folder(url) for url in urls}) == len(urls)
    assert state_folder("s3://a/b/") == state_folder("s3://a/b")


@pytest.mark.parametrize("url", ["https://host/x", "s3://key:secret@bucket/x", "s3://bucket/../x", "s3:///x"])
def test_urls_that_are_no_outputs_are_refused(cli: Command, url: str) -> None:
    done = cli("fetch", "http://127.0.0.1:1/a", "-o", url)
    assert done.code == 2
    assert "secret" not in done.err


def test_the_state_of_a_folder_is_in_it(cli: Command) -> None:
    done = cli("fetch", "http://127.0.0.1:1/a", "-o", "out", "--state-dir", "state")
    assert done.code == 2
    assert "--state-dir is for outputs given as URLs" in done.err
