"""Versions of this program and of what its results depend on."""

import platform
from importlib.metadata import version

from downloader import __version__


def versions(*packages: str) -> dict[str, str]:
    """The versions that matter for results, and those of further packages that were used."""
    return {
        "downloader": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in ("httpx", "pillow", *packages)},
    }
