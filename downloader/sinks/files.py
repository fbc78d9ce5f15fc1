"""The `files` sink: one file for each result, under its final name in a store.

Order of durability for each batch: fsync of every file, every rename, fsync of every folder; only then does the journal
record it (see `writer`). So an item that is recorded as stored always has its files.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedIOBase

from downloader.model.failures import SkipReason, Stage
from downloader.model.items import (
    ORIGINAL,
    Failed,
    Fetched,
    Item,
    Outcome,
    Output,
    PreviousResult,
    Rendition,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
)
from downloader.model.spans import Phase, Span
from downloader.naming.names import original_path, output_path
from downloader.sinks.interface import Located, Result, write_failed
from downloader.storage.interface import NameRefused, NameTaken, Store

_IMAGE_EXTENSIONS = ("jpg", "png", "webp", "gif", "avif")
"""Every extension that an encoder can give."""


@dataclass(frozen=True, slots=True)
class _Move:
    """A staged file and the output that it becomes."""

    staged: str
    output: Output


class FilesSink:
    """Puts files into a store, never over a file that is not ours.

    Args:
        store: where the files go.
        replace: results replace files of any origin that have their names.
        variants: the names of the sizes; they tell what an existing output could be called.
        is_foreign: whether the store held files before any run worked on it.
        are_durable: whether the files of results are on disk already when they come here.
    """

    def __init__(
        self,
        store: Store,
        *,
        replace: bool = False,
        variants: Sequence[str | None] = (None,),
        is_foreign: bool = True,
        are_durable: bool = False,
    ) -> None:
        self._store = store
        self._replace = replace
        self._variants = variants
        self._is_foreign = is_foreign
        self._are_durable = are_durable

    def store(self, batch: Sequence[Result | Failed | Skipped | Unchanged]) -> list[Outcome]:
        """Store the results of a batch durably; other facts pass through."""
        started_s = time.monotonic()
        moves = {index: _moves(fact) for index, fact in enumerate(batch) if isinstance(fact, Transformed | Fetched)}
        staged = [] if self._are_durable else [move.staged for files in moves.values() for move in files]
        lost = self._store.sync_staged(staged)
        outcomes: list[Outcome] = [
            fact if isinstance(fact, Failed | Skipped | Unchanged) else self._place(fact.item, moves[index], lost)
            for index, fact in enumerate(batch)
        ]
        unsafe = self._store.sync(
            output.path for index in moves if isinstance(stored := outcomes[index], Stored) for output in stored.outputs
        )
        span = Span(Phase.WRITE, started_s, time.monotonic(), threading.current_thread().name)
        for index in moves:
            outcomes[index] = replace(_unless_unsafe(outcomes[index], unsafe), spans=(span,))
        return outcomes

    def _place(self, item: Item, files: list[_Move], lost: Mapping[str, str]) -> Stored | Failed | Skipped:
        """Put the files of one item, all or none as far as can be foreseen; `lost` are those that cannot be moved."""
        placed: list[str] = []
        try:
            for file in files:
                if file.staged in lost:
                    return write_failed(item, lost[file.staged])
                self._store.check(file.output.path, replace=self._replace or item.renewed)
            for file in files:
                self._store.put(file.staged, file.output.path)
                placed.append(file.output.path)
        except NameTaken as taken:
            message = f"{taken} is there already; --overwrite always replaces it"
            return Skipped(item=item, stage=Stage.OUTPUT, reason=SkipReason.EXISTS, message=message)
        except NameRefused as refused:
            if not item.renewed:  # otherwise they are known to be its files
                for path in placed:
                    self._store.remove(path)
            return write_failed(item, str(refused))
        return Stored(item=item, outputs=tuple(file.output for file in files))

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Remove outputs of an earlier run that have another name now."""
        for outcome in outcomes:
            if isinstance(outcome, Stored) and outcome.item.previous:
                before = {path for path, _ in outcome.item.previous.outputs}
                for path in before - {output.path for output in outcome.outputs}:
                    self._store.remove(path)

    def existing_output(self, item: Item) -> str | None:
        """The name of an output of this item that exists and is not from an earlier run; None if there is none."""
        if self._replace or item.renewed or not self._is_foreign:
            return None
        extensions = _IMAGE_EXTENSIONS if item.name.extension is None else (item.name.extension,)
        names = (
            output_path(item.name, item.key, variant, extension)
            for extension in extensions
            for variant in self._variants
        )
        return next((name for name in names if self._store.exists(name)), None)

    def has_outputs(self, previous: PreviousResult) -> bool:
        """Whether every output of an earlier run is there, with the size it had."""
        return all(self._store.size(path) == size for path, size in previous.outputs)

    @property
    def sealed(self) -> Sequence[int]:
        """There are no groups."""
        return ()

    def recover(self) -> None:
        """Nothing is left by a crash that does not have its name already; the next run stores it again."""

    def finish(self) -> None:
        """Nothing waits for more results."""

    def open(self, output: Located) -> BufferedIOBase:
        """Open an output for reading."""
        return self._store.open(output.path)

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def _unless_unsafe(outcome: Outcome, unsafe: Mapping[str, str]) -> Outcome:
    """The outcome, or a failure where one of its files could not be made durable."""
    if unsafe and isinstance(outcome, Stored):
        problem = next((unsafe[output.path] for output in outcome.outputs if output.path in unsafe), None)
        if problem is not None:
            return write_failed(outcome.item, problem)
    return outcome


def _moves(fact: Result) -> list[_Move]:
    if isinstance(fact, Transformed):
        return [_Move(rendition.path, _output_of(fact.item, rendition)) for rendition in fact.renditions]
    path = output_path(fact.item.name, fact.item.key, None, fact.item.name.extension or "")
    output = Output(
        variant=None, path=path, format=None, width=None, height=None, bytes=fact.bytes, sha256=fact.sha256 or ""
    )
    return [_Move(fact.path, output)]


def _output_of(item: Item, rendition: Rendition) -> Output:
    path = (
        original_path(item.name, rendition.extension)
        if rendition.variant == ORIGINAL
        else output_path(item.name, item.key, rendition.variant, rendition.extension)
    )
    return Output(
        variant=rendition.variant,
        path=path,
        format=rendition.format,
        width=rendition.width,
        height=rendition.height,
        bytes=rendition.bytes,
        sha256=rendition.sha256,
    )
