"""What a program can do with this package, as small typed functions; mypy and pyright check this file.

`python examples/library.py SOURCE OUTPUT` makes thumbnails of a folder, a list or an image.
"""

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from downloader import (
    ConcurrencyOptions,
    ConfigError,
    DownloaderError,
    DownloadOptions,
    FailureKind,
    ImageError,
    ImageSkipped,
    JpegOptions,
    OutputOptions,
    RunOptions,
    Settings,
    Size,
    SkipReason,
    SourceOptions,
    State,
    Stop,
    Summary,
    TransformOptions,
    open_output,
    process_image,
    retry,
    run,
    stored_settings,
    verify,
)


def thumbnails(source: str | Path | Sequence[str], output: Path) -> Summary:
    """Make thumbnails of images, downloaded where the source says so."""
    return run(
        Settings(
            sources=source,
            transform=TransformOptions(resize="256x256", format="webp"),
            output=OutputOptions(output=output),
            run=RunOptions(progress="none"),
        )
    )


def everything_set(urls: Path) -> Settings:
    """Values are given as on the command line, or as what they stand for."""
    return Settings(
        sources=[urls, "https://example.com/cat.jpg"],
        concurrency=ConcurrencyOptions(threads="auto", processes=4, per_host=2),
        download=DownloadOptions(max_size="10M", min_speed=0, header=["X-Team: cats"], cookies=Path("cookies.txt")),
        transform=TransformOptions(
            resize=["thumb=256", Size(name="large", width=1600)],
            max_pixels="50M",
            jpeg=JpegOptions(quality=90, progressive=True),
        ),
        source=SourceOptions(input_format="csv", keep_columns="title,licence", dedup=True),
        run=RunOptions(progress="none", allow_failures="5%"),
    )


def bytes_as_they_are(urls: Path, output: Path) -> Summary:
    """Download only: what `downloader fetch` does."""
    return run(Settings(mode="fetch", sources=urls, output=OutputOptions(output=output)))


def within(settings: Settings, seconds: float) -> Summary:
    """Stop a run after some time: items in hand are finished, and the same call resumes the others."""
    stop = Stop()
    timer = threading.Timer(seconds, stop.draining.set)
    timer.start()
    try:
        return run(settings, stop=stop)
    finally:
        timer.cancel()


def retry_gently(output: Path) -> Summary:
    """Retry transient failures with the stored settings, one download per host at a time."""
    stored = stored_settings(output)
    return retry(replace(stored, concurrency=replace(stored.concurrency, per_host=1)))


def retry_crashes(output: Path) -> Summary:
    """Retry failures of one kind."""
    return retry(stored_settings(output), lambda kind, _status: kind is FailureKind.WORKER_CRASH)


def failed_sources(output: Path) -> list[str]:
    """Look at an output, also while a run works on it."""
    with open_output(output) as view:
        return [record["source"] for record in view.records(state=State.FAILED)]


def skips(output: Path) -> Counter[SkipReason]:
    """Count why items were skipped; records hold the values of `State`, `FailureKind` and `SkipReason`."""
    with open_output(output) as view:
        return Counter(SkipReason(record["kind"]) for record in view.records(state=State.SKIPPED))


def is_sound(output: Path) -> bool:
    """Re-hash every result."""
    findings = verify(output)
    return findings.good or not (findings.missing or findings.changed)


def webp_of(image: bytes | Path) -> bytes | None:
    """Make one image in memory; None if it is too small to be wanted."""
    try:
        picture = process_image(image, TransformOptions(resize="64x64", format="webp", min_side=16))
    except ImageSkipped as skipped:
        if skipped.reason is SkipReason.TOO_SMALL:
            return None
        raise
    except ImageError as error:
        raise SystemExit(f"{error.kind}: {error.message}") from error
    return picture.renditions[0].data


def quality_of(text: str) -> TransformOptions:
    """A wrong value is a ConfigError, which is a ValueError."""
    try:
        return TransformOptions(quality=int(text))
    except ConfigError as problem:
        print(problem, file=sys.stderr)
        return TransformOptions()


def main() -> int:
    """Make thumbnails, and say how it went."""
    try:
        summary = thumbnails(sys.argv[1], Path(sys.argv[2]))
    except DownloaderError as problem:
        print(problem, file=sys.stderr)
        return problem.exit_code
    print(summary.succeeded, summary.failed, dict(summary.failures))
    return 0 if summary.failed == 0 else 1


if __name__ == "__main__":  # worker processes import the main module again
    sys.exit(main())
