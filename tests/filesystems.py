"""Real file systems that refuse, for tests; skipped where they cannot be had."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ANYWHERE = "of this machine; needs root and Linux"


@contextmanager
def mounted(path: Path, options: str) -> Iterator[Path]:
    """A file system in memory."""
    path.mkdir(parents=True)
    mount = shutil.which("mount")
    if os.geteuid() or mount is None:
        pytest.skip(f"mounts a file system {ANYWHERE}")
    if subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False
    ).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """A folder in which not even root may write."""
    chattr = shutil.which("chattr")
    if (
        os.geteuid()
        or chattr is None
        or subprocess.run([chattr, "+i", path], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"protects a folder {ANYWHERE}")
    try:
        yield
    finally:
        subprocess.run([chattr, "-i", path], check=True)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """A file system in memory that takes no more."""
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)
    yield


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: when it was changed, and its content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted((folder, *folder.rglob("*")))
    }
