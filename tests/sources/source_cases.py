"""What the tests of sources share."""

import importlib
import io
import sys
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, TextIO

from downloader.config.settings import Mode, Settings, SourceOptions
from downloader.model.items import Invalid, Row
from downloader.sources import SourceCounters, open_sources


def settings_for(*arguments: object, mode: Mode = "run", source: SourceOptions | None = None) -> Settings:
    return Settings(sources=tuple(map(str, arguments)), mode=mode, source=source or SourceOptions())


def check(settings: Settings) -> None:
    """What a run does with its sources before it starts."""
    for source in open_sources(settings, io.BytesIO(), SourceCounters()):
        source.check()


def read(
    settings: Settings, stdin: BinaryIO | TextIO | None = None, counters: SourceCounters | None = None
) -> Iterator[Row]:
    """The rows of all sources, in order."""
    sources = open_sources(settings, stdin, counters or SourceCounters())
    return chain.from_iterable(source.rows() for source in sources)


def reasons(rows: list[Row]) -> list[str | None]:
    """Why each row cannot be used; None if it can."""
    return [row.what.reason if isinstance(row.what, Invalid) else None for row in rows]


def zstd_compressed(data: bytes) -> bytes:
    """As the zstd of Python 3.14, or its backport, compresses them."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return bytes(importlib.import_module(name).compress(data))
