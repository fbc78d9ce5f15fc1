"""Downloads, checks, resizes and stores images: threads for I/O, processes for CPU, a bounded queue between.

    from downloader import Settings, run

    if __name__ == "__main__":  # worker processes import the main module again
        summary = run(Settings(sources=("urls.txt",)))

Importing the package starts nothing; `run` and `Settings` are loaded when first used, because a worker process imports
this module too and needs neither.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from downloader.config.settings import Settings
    from downloader.pipeline import run
    from downloader.report.summary import Summary

__all__ = ["Settings", "Summary", "__version__", "run"]
__version__ = "0.1.0"

_HOMES = {
    "Settings": "downloader.config.settings",
    "Summary": "downloader.report.summary",
    "run": "downloader.pipeline",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415 - only when asked for

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
