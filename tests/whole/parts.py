"""A body in two versions, and servers that stop in the middle of it."""

import json
import random
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import Any

from support import Command, Site

MEBI = 1024**2
OLD = random.Random(1).randbytes(24 * MEBI)
NEW = random.Random(2).randbytes(24 * MEBI)
PLAIN = ("-o", "out", "--progress", "none")
STALLED = ("--timeout", "0.5", "--retries", "0")
"""Options with which a body that stalls fails soon."""


class Gate:
    """Lets the body of a server pass up to a position, and says when it has come that far."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, position: int) -> None:
        if position >= self.at and not self.opened.is_set():
            self.reached.set()
            self.opened.wait(60)


def asked_from(site: Site) -> list[int]:
    """Where each request for a range began."""
    return [int(seen["range"].removeprefix("bytes=").partition("-")[0]) for _, seen in site.seen if "range" in seen]


def recorded_part(cli: Command) -> dict[str, Any] | None:
    """What the journal says of the only unfinished body, if it says something yet."""
    path = cli.folder / "out/.downloader/journal.sqlite3"
    if path.exists():
        with closing(sqlite3.connect(path)) as db, suppress(sqlite3.OperationalError):  # not made yet
            if rows := db.execute("SELECT part FROM items WHERE part IS NOT NULL").fetchall():
                return dict(json.loads(rows[0][0]))
    return None


def wait_for_part(cli: Command, size: int) -> None:
    """Wait until the journal says that at least `size` bytes of the body are safe."""
    until = time.monotonic() + 30
    while sum(each["at"] - each["start"] for each in (recorded_part(cli) or {"segments": ()})["segments"]) < size:
        assert time.monotonic() < until, "no part is recorded"
        time.sleep(0.02)
