"""`process` touches no network: no socket but multiprocessing's own, no TLS, no proxy setting."""

import subprocess
import sys
from pathlib import Path

import unmeasured
from support import Command, picture

WATCHED = """
import os, socket, sys

def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] == socket.AF_UNIX:
        return
    if event.startswith(("socket.__new__", "socket.get", "ssl.")) or event == "import" and arguments[0] == "ssl":
        os.write(2, f"{event} {arguments}\\n".encode())

sys.addaudithook(watch)  # in the worker processes too, which import this module again

from downloader import OutputOptions, RunOptions, Settings, run

if __name__ == "__main__":
    summary = run(
        Settings(
            mode="process", sources="photos", output=OutputOptions(output="out"), run=RunOptions(progress="none")
        )
    )
    loaded = {"ssl", "httpx", "httpcore", "httptools", "certifi", "downloader.http.session"} & set(sys.modules)
    print(summary.succeeded, sorted(loaded))
"""


def photos(folder: Path) -> None:
    (folder / "photos").mkdir()
    for number in range(3):
        (folder / "photos" / f"{number}.jpg").write_bytes(picture(seed=number))


def test_no_socket_is_opened_and_no_tls_is_loaded(tmp_path: Path) -> None:
    photos(tmp_path)
    (tmp_path / "program.py").write_text(WATCHED)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=unmeasured.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("3 []\n", "")


def test_proxy_settings_are_not_read(cli: Command) -> None:
    """Of no use to HTTP, they would end a run that needs it; this one does not."""
    photos(cli.folder)
    done = cli("process", "photos", "-o", "out", https_proxy="https://x", all_proxy="nonsense://")
    assert done.code == 0, done.err
    assert "3 of 3 succeeded" in done.err
