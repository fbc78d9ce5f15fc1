"""The protocol of a sink: how results are packed and made durable. Implementations: `files`."""

from collections.abc import Sequence
from io import BufferedIOBase
from typing import Protocol

from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Item, Outcome, PreviousResult, Skipped, Transformed, Unchanged

Result = Transformed | Fetched
"""What is stored: images, or with `fetch` the bytes as they came."""


def staged_paths(result: Result) -> list[str]:
    """The files of a result that are to be stored."""
    return [result.path] if isinstance(result, Fetched) else [rendition.path for rendition in result.renditions]


def write_failed(item: Item, message: str) -> Failed:
    """The failure of an item whose files cannot be stored."""
    return Failed(item=item, stage=Stage.OUTPUT, kind=FailureKind.WRITE, message=message)


class Sink(Protocol):
    """Stores results. Any thread may call `existing_output`, `has_outputs` and `open`; the writer thread the others.

    For each batch: `store`, then the journal commits, then `settle`. A crash between any two of these loses nothing:
    what was stored but not committed is stored again by the next run.

    There is no `recover` yet, to drop after a crash what was stored but not committed. A sink of one file for each
    result does not need it, since the next run stores the same names again (`Item.renewed` lets it replace them). A
    sink that appends results to shared files will.
    """

    def store(self, batch: Sequence[Result | Failed | Skipped | Unchanged]) -> list[Outcome]:
        """Store the results of a batch, durable on return; one outcome for each fact, in order.

        An item is stored whole or not at all, as far as can be foreseen. Failures, skips and unchanged items are
        returned as they are. The outcome of a result has one span, `Phase.WRITE`: making its whole batch durable.

        Raises:
            OutputError: the output as a whole cannot be written.
        """

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Remove what these outcomes replaced, once they are committed."""

    def existing_output(self, item: Item) -> str | None:
        """The name of an output of this item that exists and is not from an earlier run; None if there is none."""

    def has_outputs(self, previous: PreviousResult) -> bool:
        """Whether every output of an earlier run is there, with the size it had."""

    def open(self, path: str) -> BufferedIOBase:
        """Open an output, by its recorded path, for reading; raise OSError if it cannot be read."""

    def close(self) -> None:
        """Release what the sink holds."""
