"""The metadata file of an output folder: one row for each file, in the ImageFolder convention.

That is a table beside the images with their paths, relative to it, in the column `file_name`; the library `datasets`
reads it with them. It is written anew from the journal at the end of a run.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from downloader.config.settings import TableFormat
from downloader.errors import ConfigError
from downloader.exports.kept_columns import KeptColumns
from downloader.journal import Journal
from downloader.naming.names import METADATA_FILES
from downloader.stop import Stop
from downloader.tables import (
    ColumnType,
    TableColumn,
    TableRow,
    check_format,
    open_table,
    replaced_file,
    table_format_of,
    write_rows,
)

_log = logging.getLogger("downloader")
_INTERRUPTED_S: Final = 5.0
"""Seconds that an interrupted run takes for it."""
_META: Final = "metadata_files"
"""The key in the journal of the names that are ours."""
_FIRST: Final = TableColumn("file_name")
_LAST: Final = (
    TableColumn("width", ColumnType.INT32),
    TableColumn("height", ColumnType.INT32),
    TableColumn("original_width", ColumnType.INT32),
    TableColumn("original_height", ColumnType.INT32),
    TableColumn("sha256"),
    TableColumn("original_sha256"),
    TableColumn("perceptual_hash"),
    TableColumn("blurhash"),
    TableColumn("variant"),
    TableColumn("source"),
    TableColumn("key"),
)
_TAKEN: Final = ("image", "label", _FIRST.name, *(column.name for column in _LAST))
"""Names that kept columns cannot have; `datasets` adds the first two itself."""


class _Abandoned(Exception):
    """There is no time to write all rows."""


class MetadataFile:
    """The metadata file of an output.

    Args:
        root: the output folder.
        staging: a folder on the same file system.
        journal: what the rows are taken from.
        wanted: its format; None keeps up to date what an earlier run has left.
        replace: whether a file of the user's may be replaced.

    Raises:
        ConfigError: it cannot be written: a library is missing, or its name is taken by a file that is not ours.
    """

    def __init__(
        self, root: Path, staging: Path, journal: Journal, wanted: TableFormat | None, *, replace: bool = False
    ) -> None:
        self._root = root
        self._staging = staging
        self._journal = journal
        self._ours = metadata_files(journal)
        self._name = (
            f"metadata.{wanted}" if wanted else next((name for name in self._ours if self._is_there(name)), None)
        )
        if self._name is None:
            return
        check_format(_format_of(self._name), "--metadata-file parquet")
        if self._is_there(self._name) and self._name not in self._ours and not replace:
            raise ConfigError(
                f"{root / self._name}: is there already, and was not written by a run; move it, name another output "
                "with -o, or let --overwrite always replace it"
            )

    def _is_there(self, name: str) -> bool:
        return (self._root / name).is_symlink() or (self._root / name).exists()

    def write(self, caption: str | None, is_abandoned: Callable[[], bool]) -> bool:
        """Write it, if there is to be one; false if it was abandoned, which leaves what was there.

        Args:
            caption: the column of the list that holds captions.
            is_abandoned: asked for every item.

        Raises:
            OutputError: it cannot be written.
        """
        if self._name is None:
            return True
        self._remember({*self._ours, self._name})
        path = self._root / self._name
        try:
            with replaced_file(path, staging=self._staging) as file, self._journal.snapshot():
                rows = _FileRows(self._journal.shape().kept, caption)
                table = open_table(file, _format_of(self._name), rows.columns)
                write_rows(table, self._rows(rows, is_abandoned))
        except _Abandoned:
            return False
        for other in self._ours.difference({self._name}):
            with suppress(FileNotFoundError):
                (self._root / other).unlink()
        self._remember({self._name})
        return True

    def write_at_end(self, caption: str | None, stop: Stop) -> None:
        """Write it at the end of a run; one that is to end soon does not write on for long."""
        deadline_s = time.monotonic() + _INTERRUPTED_S

        def is_abandoned() -> bool:
            stop.poll()
            return stop.aborted.is_set() or (stop.draining.is_set() and time.monotonic() > deadline_s)

        if not self.write(caption, is_abandoned):
            _log.warning("%s was not written, since the run was interrupted; the next run writes it", self._name)

    def _remember(self, names: set[str]) -> None:
        self._journal.set_meta(_META, json.dumps(sorted(names)))

    def _rows(self, rows: "_FileRows", is_abandoned: Callable[[], bool]) -> Iterator[TableRow]:
        for record in self._journal.records():
            if is_abandoned():
                raise _Abandoned
            for output in record["outputs"]:
                yield rows.row(record, output)


class _FileRows:
    """The columns of a metadata file, and the rows that files make."""

    def __init__(self, kept: Mapping[str, frozenset[str]], caption: str | None) -> None:
        self._kept = KeptColumns.of(kept, caption, _TAKEN)
        self.columns: Sequence[TableColumn] = [_FIRST, *self._kept.columns, *_LAST]

    def row(self, record: Mapping[str, Any], output: Mapping[str, Any]) -> TableRow:
        return [
            output["path"],
            *self._kept.values(record["columns"]),
            output["width"],
            output["height"],
            record["width"],
            record["height"],
            output["sha256"],
            record["sha256"],
            record["perceptual_hash"],
            record["blurhash"],
            output["variant"],
            record["source"],
            record["key"],
        ]


def metadata_files(journal: Journal) -> frozenset[str]:
    """The names of metadata files in the output folder that runs have written."""
    return METADATA_FILES.intersection(json.loads(journal.meta(_META) or "[]"))


def _format_of(name: str) -> TableFormat:
    table_format = table_format_of(Path(name))
    assert table_format is not None, "only such names are chosen"
    return table_format
