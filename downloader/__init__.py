"""Downloads, checks, resizes and stores images: threads for I/O, processes for CPU, a bounded queue between.

    from downloader import Settings, run

    if __name__ == "__main__":  # worker processes import the main module again
        summary = run(Settings(sources="urls.txt"))

Everything public is here, and is loaded when it is first used: importing the package costs little and starts nothing,
since worker processes import it too.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from downloader.config.settings import (
        AvifOptions,
        ConcurrencyOptions,
        DownloadOptions,
        JpegOptions,
        OutputOptions,
        PngOptions,
        RunOptions,
        Settings,
        SourceOptions,
        TransformOptions,
        WebpOptions,
    )
    from downloader.config.values import Percent, Size
    from downloader.errors import (
        CannotGoOn,
        ConfigError,
        DownloaderError,
        IllegalTransition,
        JournalError,
        OutputError,
        OutputLocked,
        SourceError,
        Unaccounted,
    )
    from downloader.model.failures import FailureKind, SkipReason, Stage, Warn
    from downloader.model.states import State
    from downloader.pipeline import retry, run
    from downloader.report.summary import QueueFigures, StageFigures, Summary
    from downloader.stop import Stop
    from downloader.transform.picture import Encoded, ImageError, ImageSkipped, Picture
    from downloader.transform.single import process_image
    from downloader.verification import Findings, verify
    from downloader.workspace import OutputView, open_output, stored_settings

__all__ = [
    "AvifOptions",
    "CannotGoOn",
    "ConcurrencyOptions",
    "ConfigError",
    "DownloadOptions",
    "DownloaderError",
    "Encoded",
    "FailureKind",
    "Findings",
    "IllegalTransition",
    "ImageError",
    "ImageSkipped",
    "JournalError",
    "JpegOptions",
    "OutputError",
    "OutputLocked",
    "OutputOptions",
    "OutputView",
    "Percent",
    "Picture",
    "PngOptions",
    "QueueFigures",
    "RunOptions",
    "Settings",
    "Size",
    "SkipReason",
    "SourceError",
    "SourceOptions",
    "Stage",
    "StageFigures",
    "State",
    "Stop",
    "Summary",
    "TransformOptions",
    "Unaccounted",
    "Warn",
    "WebpOptions",
    "__version__",
    "open_output",
    "process_image",
    "retry",
    "run",
    "stored_settings",
    "verify",
]
__version__ = "0.1.0"

_HOMES = {
    "config.settings": (
        "AvifOptions",
        "ConcurrencyOptions",
        "DownloadOptions",
        "JpegOptions",
        "OutputOptions",
        "PngOptions",
        "RunOptions",
        "Settings",
        "SourceOptions",
        "TransformOptions",
        "WebpOptions",
    ),
    "config.values": (
        "Percent",
        "Size",
    ),
    "errors": (
        "CannotGoOn",
        "ConfigError",
        "DownloaderError",
        "IllegalTransition",
        "JournalError",
        "OutputError",
        "OutputLocked",
        "SourceError",
        "Unaccounted",
    ),
    "model.failures": (
        "FailureKind",
        "SkipReason",
        "Stage",
        "Warn",
    ),
    "model.states": ("State",),
    "pipeline": (
        "retry",
        "run",
    ),
    "report.summary": (
        "QueueFigures",
        "StageFigures",
        "Summary",
    ),
    "stop": ("Stop",),
    "transform.picture": (
        "Encoded",
        "Picture",
        "ImageError",
        "ImageSkipped",
    ),
    "transform.single": ("process_image",),
    "verification": (
        "Findings",
        "verify",
    ),
    "workspace": (
        "OutputView",
        "open_output",
        "stored_settings",
    ),
}
"""Where each name is defined."""


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module  # noqa: PLC0415 - only when needed

            value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
