"""Standard streams that are closed, full or without a reader: the exit code is right, and nothing else is harmed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from support import Command, picture

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


@pytest.fixture
def no_reader() -> Iterator[IO[bytes]]:
    """The end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stream:
        yield stream


def shell(folder: Path, arguments: str, **streams: object) -> "subprocess.CompletedProcess[str]":
    """The command with redirections, as a shell does them."""
    command = f"exec '{sys.executable}' -m downloader {arguments}"
    return subprocess.run(["sh", "-c", command], cwd=folder, text=True, timeout=60, check=False, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams(cli: Command, closed: str) -> None:
    """No file of the run becomes a standard stream: the journal least of all."""
    (cli.folder / "a.jpg").write_bytes(picture())
    done = shell(cli.folder, f"process a.jpg -o out -p 1 --json --progress plain {closed}")
    assert done.returncode == 0
    assert [record["state"] for record in cli.records()] == ["succeeded"]


@needs_full
def test_a_summary_that_cannot_be_written(cli: Command) -> None:
    """One line says so, and where to read it; the run itself is complete."""
    (cli.folder / "a.jpg").write_bytes(picture())
    done = shell(cli.folder, f"process a.jpg -o out -p 1 --json --progress none > {FULL}", stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
    assert "`downloader status out --json`" in done.stderr
    assert [record["state"] for record in cli.records()] == ["succeeded"]


@needs_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = shell(tmp_path, f"--help > {FULL}", stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (3, "downloader: stdout cannot be written: No space left on device\n")


def test_results_without_a_reader(tmp_path: Path, no_reader: IO[bytes]) -> None:
    """Exit 141, as other tools under `| head`, and not a word."""
    done = shell(tmp_path, "config show", stdout=no_reader, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, "")


def test_messages_without_a_reader(cli: Command, no_reader: IO[bytes]) -> None:
    """Progress and messages are lost; the run is not."""
    (cli.folder / "a.jpg").write_bytes(picture())
    done = shell(cli.folder, "process a.jpg -o out -p 1 --json", stdout=subprocess.PIPE, stderr=no_reader)
    assert done.returncode == 0
    assert json.loads(done.stdout)["succeeded"] == 1
