"""Bad input ends with one clear line and the right exit code, never a traceback, and loses nothing."""

import sqlite3
from pathlib import Path

import pytest
from support import Command, picture


@pytest.fixture(autouse=True)
def _photo(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(picture())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run"], "SOURCE"),
        (["run", "absent.txt"], "absent.txt"),
        (["run", "x.jpg", "--threads", "many"], "--threads"),
        (["run", "x.jpg", "--threads", "0"], "--threads"),
        (["run", "x.jpg", "-p", "-3"], "--processes"),
        (["run", "x.jpg", "--resize", "huge"], "--resize"),
        (["run", "x.jpg", "-r", "a=1 a=2"], "--resize"),
        (["run", "x.jpg", "--fit", "round"], "--fit"),
        (["run", "x.jpg", "--max-size", "lots"], "--max-size"),
        (["run", "x.jpg", "--header", "no colon"], "--header"),
        (["run", "x.jpg", "--background", "mauve-ish"], "--background"),
        (["run", "x.jpg", "--name", "{nonsense}"], "--name"),
        (["run", "x.jpg", "--name", "{column[title]}"], "--keep-columns"),
        (["run", "x.jpg", "--keep-columns", "a,,b"], "--keep-columns"),
        (["run", "x.jpg", "--input-format", "xlsx"], "--input-format"),
        (["run", "-", "--input-format", "parquet"], "stdin"),
        (["run", "x.jpg", "--proxy", "gopher://x"], "--proxy"),
        (["run", "x.jpg", "--ca-file", "absent.pem"], "--ca-file"),
        (["run", "x.jpg", "--cookies", "x.jpg"], "--cookies"),
        (["run", "x.jpg", "--no-such-option"], "--no-such-option"),
        (["run", "x.jpg", "--config", "absent.toml"], "absent.toml"),
        (["process", "https://example.com/x.jpg"], "network"),
        (["status", "out", "--state", "happy"], "--state"),
        (["bench"], "not there yet"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_told_in_a_line(cli: Command, arguments: list[str], named: str) -> None:
    """Exit 2, and what is wrong is named."""
    done = cli(*arguments)
    assert done.code == 2, done.err
    assert named in done.err
    assert "defect" not in done.err
    assert not (cli.folder / "downloads" / ".downloader" / "summary.json").exists()


@pytest.mark.parametrize(
    ("name", "data", "named"),
    [
        ("t.csv", b"URL,TEXT\nhttp://127.0.0.1:9/,x\n", "t.csv:1: there is no column 'url'; there are 'URL', 'TEXT'"),
        ("t.csv", b"", "t.csv: empty"),
        ("t.tsv", "url\n".encode("utf-16-le"), "t.tsv:1: UTF-16 or UTF-32 without a byte order mark"),
        ("t.txt", b"<html>\n" * 500, "t.txt:1: not a list but a web page"),
        ("t.jsonl", b'{"URL": "http://127.0.0.1:9/"}\n', "t.jsonl:1: there is no column 'url'"),
        ("t.parquet", b"url\n", "t.parquet:1: the list cannot be read"),
        ("t.csv.zst", b"url\n", "t.csv.zst:1: the list cannot be read"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(cli: Command, name: str, data: bytes, named: str) -> None:
    """Exit 2, with the file, the line where there is one, and the columns there are; nothing was done."""
    (cli.folder / name).write_bytes(data)
    done = cli("run", name, "-o", "out", "--progress", "none")
    assert done.code == 2, done.err
    assert named in done.err
    assert cli("status", "out", "--json").json["total"] == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[download]\ntimeotu = 3\n", "bad.toml:2: timeotu"),
        ("[downlod]\ntimeout = 3\n", "bad.toml:1: [downlod]"),
        ("[download\n", "bad.toml"),
        ('[download]\nretries = "often"\n', "bad.toml:2: retries"),
        ("threads = 3\n", "threads"),
    ],
)
def test_a_wrong_configuration_file_is_told(cli: Command, text: str, named: str) -> None:
    """File, line and key are named."""
    (cli.folder / "bad.toml").write_text(text)
    done = cli("run", "x.jpg", "--config", "bad.toml")
    assert done.code == 2
    assert named in done.err


def test_a_wrong_environment_variable_is_told(cli: Command) -> None:
    """The variable is named as it was written."""
    done = cli("run", "x.jpg", DOWNLOADER_DOWNLOAD__TIMEOUT="soon")
    assert done.code == 2
    assert "DOWNLOADER_DOWNLOAD__TIMEOUT" in done.err


def test_a_wrong_proxy_variable_matters_only_to_downloads(cli: Command) -> None:
    """`run` refuses it; `process` touches no network and does not read it."""
    wrong = {"https_proxy": "https://proxy.test", "http_proxy": "gopher://proxy.test"}
    assert cli("process", "x.jpg", "-o", "out", "--progress", "none", **wrong).code == 0
    done = cli("run", "https://127.0.0.1:9/x.jpg", "-o", "other", "--progress", "none", **wrong)
    assert done.code == 2
    assert "proxy" in done.err


def test_an_output_that_is_a_file(cli: Command) -> None:
    """Exit 3, and the file is left as it is."""
    (cli.folder / "out").write_text("mine")
    done = cli("run", "x.jpg", "-o", "out")
    assert done.code == 3
    assert "out" in done.err
    assert (cli.folder / "out").read_text() == "mine"


def test_other_transform_settings_on_one_output(cli: Command) -> None:
    """Two kinds of results do not mix: refused with the setting named, unless --overwrite always."""
    assert cli("process", "x.jpg", "-o", "out", "-r", "50", "--progress", "none").code == 0
    done = cli("process", "x.jpg", "-o", "out", "-r", "60", "--progress", "none")
    assert done.code == 2
    assert "resize" in done.err
    (cli.folder / "own.toml").write_text("[transform.jpeg]\nprogressive = true\n")
    done = cli("process", "x.jpg", "-o", "out", "-r", "50", "--config", "own.toml", "--progress", "none")
    assert done.code == 2
    assert "jpeg.progressive" in done.err
    assert cli("process", "x.jpg", "-o", "out", "-r", "60", "--overwrite", "always", "--progress", "none").code == 0


@pytest.mark.parametrize("harm", ["newer", "garbage"])
def test_a_journal_that_cannot_be_used(cli: Command, harm: str) -> None:
    """Exit 3 for a journal of a newer version and for one that is damaged, by run and by status."""
    assert cli("process", "x.jpg", "-o", "out", "--progress", "none").code == 0
    path = cli.folder / "out/.downloader/journal.sqlite3"
    if harm == "newer":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        path.write_bytes(b"no database" * 1000)
    for command in (["process", "x.jpg", "-o", "out"], ["status", "out"]):
        done = cli(*command)
        assert done.code == 3, done.err
        assert "journal" in done.err
