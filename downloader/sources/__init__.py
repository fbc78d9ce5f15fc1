"""Sources: what is named on the command line, as lazy streams of rows.

    interface.py   the protocol `Source`
    kinds.py       decides what kind of source an argument is
    arguments.py   single URLs and single image files
    lists.py       lists from files (gzip and zstd too) or stdin, each with the parser of its format:
                   text.py, delimited.py (CSV, TSV), json_lines.py, aria2.py
    tabular.py     what the columns of a table become
    parquet.py     Parquet tables
    folder.py      folders of images
    tar.py         tars of images, WebDatasets among them
    patterns.py    patterns and folders of lists, expanded before all of these

Neither lists nor folders are held in memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from io import TextIOWrapper
from typing import BinaryIO, TextIO, cast

from downloader.config.settings import Settings
from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.arguments import ImageSource, UrlSource
from downloader.sources.aria2 import parse_aria2
from downloader.sources.arrival import as_they_come
from downloader.sources.counters import SourceCounters
from downloader.sources.delimited import parse_delimited
from downloader.sources.folder import FolderSource
from downloader.sources.interface import Source
from downloader.sources.json_lines import parse_json_lines
from downloader.sources.kinds import STDIN, Kind, kind_of
from downloader.sources.lists import ListFile, ListSource, Parser, Stdin
from downloader.sources.parquet import ParquetSource
from downloader.sources.patterns import expanded
from downloader.sources.tabular import Columns
from downloader.sources.tar import TarSource
from downloader.sources.text import parse_text

_TABLES = frozenset(("csv", "tsv", "jsonl", "parquet"))

__all__ = ["Source", "SourceCounters", "expanded", "open_sources", "read_rows"]


def open_sources(settings: Settings, stdin: TextIO | BinaryIO | None, counters: SourceCounters) -> list[Source]:
    """The sources of a run, in the order of the command line. None is read, and none is checked.

    Args:
        settings: names the sources.
        stdin: `sys.stdin` or a binary stream, touched only where `-` is a source.
        counters: count while the sources are read.

    Raises:
        SourceError: an argument is no source, or none that this command can use.
    """
    if not settings.sources:
        raise SourceError("no source is named; name a URL, a list of URLs, '-' for a list on stdin, or a folder")
    if settings.sources.count(STDIN) > 1:
        raise SourceError("-: stdin can be read only once; name it once")
    kinds = [kind_of(argument, settings.source.input_format) for argument in settings.sources]
    if settings.source.bbox_column is not None:
        _check_boxes(settings, kinds)
    opened: list[Source] = []
    for position, (argument, kind) in enumerate(zip(settings.sources, kinds, strict=True), start=1):
        if settings.is_local and kind not in {"folder", "image", "tar"}:
            raise SourceError(_needs_network(argument, kind))
        match kind:
            case "url":
                opened.append(UrlSource(argument, f"argument {position}"))
            case "image":
                opened.append(ImageSource(argument, f"argument {position}"))
            case "folder":
                source = FolderSource(
                    path=argument,
                    output=settings.output.output,
                    all_files=settings.source.all_files,
                    counters=counters,
                )
                opened.append(source)
            case "tar":
                opened.append(_tar_source(argument, settings, counters))
            case _:
                opened.append(_list_source(argument, kind, settings, stdin, counters))
    return opened


def read_rows(sources: Iterable[tuple[str, Source]], counters: SourceCounters) -> Iterator[Row | None]:
    """The rows of sources in order, each given with the argument that names it; notes those that have none.

    None says that no other row has come yet.
    """
    for argument, source in sources:
        is_empty = True
        may_wait = isinstance(source, ListSource) and source.may_wait
        for row in as_they_come(source.rows) if may_wait else source.rows():
            is_empty = is_empty and row is None
            yield row
        if is_empty:
            counters.empty.append("stdin" if argument == STDIN else argument)


def _check_boxes(settings: Settings, kinds: Sequence[Kind]) -> None:
    """Refuse to leave anything as it is that somebody wants to be blurred."""
    if not settings.makes_images or settings.keeps_originals:
        what = "--keep-originals" if settings.makes_images else "fetch"
        raise SourceError(
            f"--bbox-column: {what} keeps the bytes as they come, in which nothing is blurred; leave one of them out"
        )
    for argument, kind in zip(settings.sources, kinds, strict=True):
        if kind not in _TABLES:
            raise SourceError(f"{argument}: has no columns, so nothing of it would be blurred; leave out --bbox-column")


def _tar_source(path: str, settings: Settings, counters: SourceCounters) -> TarSource:
    options = settings.source
    return TarSource(
        path=path,
        is_only=len(settings.sources) == 1,
        all_files=options.all_files,
        caption=options.caption_column,
        kept=options.kept_columns,
        counters=counters,
    )


def _needs_network(argument: str, kind: Kind) -> str:
    what = "is a URL" if kind == "url" else "is a list of URLs"
    return f"{argument}: {what}, and process touches no network; use run, or name a folder or an image"


def _list_source(
    argument: str, kind: Kind, settings: Settings, stdin: TextIO | BinaryIO | None, counters: SourceCounters
) -> Source:
    columns = Columns.from_options(settings.source)
    if kind == "parquet":
        if argument == STDIN:
            raise SourceError("-: Parquet is read from its end, which stdin cannot; name a file")
        return ParquetSource(argument, columns)
    if argument != STDIN:
        return ListSource(ListFile(argument), _parser(kind, columns, counters))
    # A text stream decodes by the rules of the locale; its buffer has the bytes.
    stream: BinaryIO | None = stdin.buffer if isinstance(stdin, TextIOWrapper) else cast("BinaryIO | None", stdin)
    return ListSource(Stdin(stream), _parser(kind, columns, counters))


def _parser(kind: Kind, columns: Columns, counters: SourceCounters) -> Parser:
    """The parser of a list that is read from beginning to end."""
    match kind:
        case "csv":
            return partial(parse_delimited, columns=columns, delimiter=",")
        case "tsv":
            return partial(parse_delimited, columns=columns, delimiter="\t")
        case "jsonl":
            return partial(parse_json_lines, columns=columns)
        case "aria2":
            return partial(parse_aria2, counters=counters)
        case _:
            return parse_text
