"""Where results go: what is in the way costs its item, a place that takes no more ends the run, URLs are refused."""

import os
import sys
from pathlib import Path

import pytest
from filesystems import immutable, mounted
from support import Command, Site, noisy, picture

QUIET = ("--progress", "none")


def listed(cli: Command, site: Site, *names: str) -> None:
    """A table with these names; `good` is the last of them."""
    site.pages = {f"/{number}": picture(32, 32) for number in range(len(names) + 1)}
    rows = [f'{site.url}/{number},"{name}"\n' for number, name in enumerate((*names, "good"))]
    (cli.folder / "list.csv").write_text("url,name\n" + "".join(rows))


def fetch(cli: Command) -> list[tuple[str, str | None, str]]:
    """State, kind and message of each item; the same command again has nothing to do."""
    command = ("fetch", "list.csv", "--name-column", "name", "-o", "out", *QUIET)
    code = cli(*command).code
    assert cli(*command).code == code
    return [(record["state"], record["kind"], record["message"] or "") for record in cli.records()]


def test_what_is_in_the_way_costs_its_item(cli: Command, site: Site) -> None:
    """Of the list itself or of before: files where folders should be, folders where files should, links, a pipe."""
    out = cli.folder / "out"
    (out / "folder").mkdir(parents=True)
    (out / "file").touch()
    (out / "loop").symlink_to("loop")
    os.mkfifo(out / "pipe")
    listed(cli, site, "a", "a/b", "folder", "file/a", "loop/a", "pipe/a")
    one, other, *refused, last = fetch(cli)
    assert {one[:2], other[:2]} == {("succeeded", None), ("failed", "write")}, "whichever came first"
    assert last[0] == "succeeded"
    assert [(state, kind) for state, kind, _ in refused] == [("failed", "write")] * 4
    assert all(message.startswith("out/") for _, _, message in refused)


def test_names_of_any_length_are_stored(cli: Command, site: Site) -> None:
    """Long names, long paths, long letters: shortened, all different, and no run ends for them."""
    listed(cli, site, "x" * 300, "x" * 301, "d/" * 2500 + "x", "d/" * 2501 + "x", "日" * 200, "é" * 90 + "/x")
    assert fetch(cli) == [("succeeded", None, "")] * 7
    paths = [record["outputs"][0]["path"] for record in cli.records()]
    assert len(set(paths)) == 7
    assert max(len(path.encode()) for path in paths) < 800


def test_a_protected_subfolder_costs_its_items(cli: Command, site: Site) -> None:
    (cli.folder / "out" / "sub").mkdir(parents=True)
    with immutable(cli.folder / "out" / "sub"):
        listed(cli, site, "sub/a")
        refused, good = fetch(cli)
    assert refused[:2] == ("failed", "write")
    assert good[0] == "succeeded"


@pytest.mark.parametrize("options", ["size=400k", "nr_inodes=16", "size=1m,ro"])
def test_a_place_that_takes_no_more_ends_the_run(cli: Command, site: Site, options: str) -> None:
    """No room for bytes, none for files, read-only: exit 3, no traceback, and what was done is shown."""
    site.pages = {f"/{number}.jpg": noisy(128, number) for number in range(30)}
    with mounted(cli.folder / "out", options):
        done = cli.spawn("fetch", *(site.url + page for page in site.pages), "-o", "out", *QUIET)
        assert done.code == 3
        assert "defect" not in done.err
        if "ro" not in options:
            assert cli("status", "out", "--json").json["failed"] == 0


@pytest.mark.parametrize(
    ("output", "package", "module"),
    [("s3://b/x", "s3fs", "s3fs"), ("gs://b", "gcsfs", "gcsfs"), ("az://b", "adlfs", "adlfs")],
)
def test_an_object_store_without_its_package(
    cli: Command, monkeypatch: pytest.MonkeyPatch, output: str, package: str, module: str
) -> None:
    """Exit 2 with one line that says what to install, and no folder is made of the URL."""
    monkeypatch.setitem(sys.modules, module, None)  # what Python takes for "not installed"
    done = cli("run", "http://127.0.0.1:9/a.jpg", "-o", output, *QUIET, XDG_STATE_HOME=str(cli.folder / "state"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"pip install {package}" in done.err
    assert not (cli.folder / output.split(":", maxsplit=1)[0]).exists()


@pytest.mark.parametrize("output", ["https://h/x", "s3:/b/x", "file://elsewhere/x"])
def test_other_urls_are_refused_as_outputs(cli: Command, output: str) -> None:
    """Exit 2 with a message, and no folder is made of the URL."""
    done = cli("run", "http://127.0.0.1:9/a.jpg", "-o", output, *QUIET)
    assert done.code == 2
    assert output in done.err
    assert list(cli.folder.iterdir()) == []


def test_a_file_url_is_a_folder(cli: Command, site: Site, tmp_path: Path) -> None:
    site.pages = {"/a.jpg": picture()}
    assert cli("fetch", f"{site.url}/a.jpg", "-o", f"file://{tmp_path}/my%20out", *QUIET).code == 0
    assert (tmp_path / "my out" / "a.jpg").is_file()


def test_a_source_without_items_is_told(cli: Command) -> None:
    """Nothing failed, so exit 0; but not in silence."""
    (cli.folder / "empty.txt").write_text("# nothing\n")
    (cli.folder / "in" / ".hidden").mkdir(parents=True)
    (cli.folder / "in" / "notes.txt").touch()
    done = cli("run", "empty.txt", "in", "-", "-o", "out", *QUIET, "--json")
    assert done.code == 0
    assert done.json["cautions"] == ["no items in empty.txt", "no items in in", "no items in stdin"]
    assert done.json["left_alone"] == 2
    assert "no items in empty.txt" in done.err


def test_a_url_that_is_not_resolved_is_not_transformed(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture()}
    done = cli(
        "run", f"{site.url}/a.jpg", "http://nowhere.invalid/a.jpg", "-o", "out", "--progress", "plain", "--retries", "0"
    )
    assert done.code == 1
    assert "downloaded 1/1" in done.err
    assert "transformed 1/1" in done.err


def test_messages_about_names_that_are_not_utf8_are_kept(cli: Command) -> None:
    """The name of the list stands in the message, that of a file in another one's; neither ends the run."""
    data = picture()
    (cli.folder / "in").mkdir()
    for name in ("caf\udce9-1.jpg", "caf\udce9-2.jpg"):
        (cli.folder / "in" / name).write_bytes(data)
    assert cli("process", "in", "-o", "out", "--dedup", *QUIET).code == 0
    assert sorted(record["state"] for record in cli.records()) == ["skipped", "succeeded"]
    (cli.folder / "caf\udce9.txt").write_text("no url\n")
    assert cli("fetch", "caf\udce9.txt", "-o", "raw", *QUIET).code == 1
    (bad,) = cli.records("raw")
    assert "caf\udce9.txt:1:" in bad["message"]
