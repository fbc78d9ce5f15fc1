"""What tests of the whole command share."""

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from support import Command

QUIET = ("--progress", "none", "-p", "2")


def run(cli: Command, *arguments: object, code: int = 0, stdin: str = "") -> dict[str, Any]:
    """A run into `out` with its summary; every row has its place in it."""
    done = cli("run", *arguments, "-o", "out", *QUIET, "--json", stdin=stdin)
    assert done.code == code, done.err
    summary: dict[str, Any] = done.json
    assert summary["total"] == sum(summary[name] for name in ("succeeded", "failed", "skipped", "pending"))
    return summary


def made(folder: Path) -> dict[str, bytes]:
    """Every file of an output by its relative path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".downloader" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def kind_and_size(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image.format, image.size
