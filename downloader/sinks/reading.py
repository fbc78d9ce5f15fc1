"""Reading results back, one by one: whole files, members of tars, images in the rows of tables."""

import importlib
import tarfile
import threading
from collections import OrderedDict
from contextlib import closing
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

from downloader.sinks.group_files import read_member
from downloader.sinks.interface import Located
from downloader.sinks.tables import check_installed
from downloader.storage.interface import Store

_CACHED_ROW_GROUPS = 4
"""Row groups of tables kept in memory; items are read in the order in which they were listed, nearly that of rows."""


class ResultReader:
    """Opens results by what the journal says of them. Threads may share it.

    Args:
        store: holds results.
        folder: holds the files of open groups.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._tables = _Tables(store)

    def open(self, output: Located) -> BufferedIOBase:
        """Open a result for reading; raise OSError if it cannot be read, such as FileNotFoundError.

        A member reads as empty if another stands in its place, or if the table that holds it is damaged.
        """
        if output.member is None or output.offset is None:
            return self._store.open(output.path)
        if output.path.endswith(".tar"):
            with closing(self._open_group(output.path, output.path)) as file:
                return _member(file, output, output.offset)
        try:
            return BytesIO(self._tables.image(output.path, output.member))
        except FileNotFoundError:
            with (self._folder / output.path).with_suffix(".bytes").open("rb") as file:
                file.seek(output.offset)
                return BytesIO(file.read(output.bytes))

    def _open_group(self, path: str, name: str) -> BufferedIOBase:
        try:
            return self._store.open(path)
        except FileNotFoundError:
            return (self._folder / name).open("rb")


def _member(file: BufferedIOBase, output: Located, offset: int) -> BytesIO:
    file.seek(offset - tarfile.BLOCKSIZE)
    size = read_member(file.read(tarfile.BLOCKSIZE), output.member or "")
    return BytesIO(file.read(output.bytes) if size == output.bytes else b"")


class _Tables:
    """Images from tables, with the row groups that were read last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, int], dict[str, bytes]] = OrderedDict()
        self._keys: dict[str, dict[str, int]] = {}
        """By table: the row group of each key; of the table that was read last."""

    def image(self, path: str, member: str) -> bytes:
        """The image of a row; empty where there is none, or the table is damaged."""
        check_installed(path)
        key, _, column = member.partition(".")
        with self._lock:
            try:
                if path not in self._keys:
                    self._keys = {path: self._index(path)}
                row_group = self._keys[path].get(key)
                return b"" if row_group is None else self._images(path, row_group, column).get(key) or b""
            except _arrow().ArrowException:
                return b""
            except OSError as problem:
                if problem.errno is not None:  # of the system
                    raise
                return b""  # of pyarrow, for damaged pages

    def _index(self, path: str) -> dict[str, int]:
        with closing(self._store.open(path)) as file:
            table = _parquet(file)
            return {
                key: number
                for number in range(table.num_row_groups)
                for key in table.read_row_group(number, columns=["key"]).column("key").to_pylist()
            }

    def _images(self, path: str, row_group: int, column: str) -> dict[str, bytes]:
        found = self._cache.get((path, row_group))
        if found is None:
            with closing(self._store.open(path)) as file:
                rows = _parquet(file).read_row_group(row_group, columns=["key", column])
            images = (cell["bytes"] if isinstance(cell, dict) else cell for cell in rows.column(column).to_pylist())
            found = dict(zip(rows.column("key").to_pylist(), images, strict=True))
            self._cache[path, row_group] = found
            if len(self._cache) > _CACHED_ROW_GROUPS:
                self._cache.popitem(last=False)
        self._cache.move_to_end((path, row_group))
        return found


def _arrow() -> Any:  # noqa: ANN401 - pyarrow is not typed
    return importlib.import_module("pyarrow")


def _parquet(file: BufferedIOBase) -> Any:  # noqa: ANN401 - pyarrow is not typed
    return importlib.import_module("pyarrow.parquet").ParquetFile(file)
