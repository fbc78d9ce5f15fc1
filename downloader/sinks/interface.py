"""The protocol of a sink: how results are packed and made durable. Implementations: `files`, `groups`."""

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


class Located(Protocol):
    """Where a result lies: a file of the output, or a member of the file of a group."""

    @property
    def path(self) -> str:
        """The file, relative to the output."""

    @property
    def bytes(self) -> int:
        """Length of the result."""

    @property
    def member(self) -> str | None:
        """The name of the result in the file of a group; None if it is a file itself."""

    @property
    def offset(self) -> int | None:
        """Where it begins in that file."""


class ExistingOutputs(Protocol):
    """Knows which outputs exist. Any thread may ask."""

    def existing_output(self, item: Item, /) -> str | None:
        """The name of an output of this item that exists and is not from an earlier run; None if there is none."""

    def has_outputs(self, previous: PreviousResult, /) -> bool:
        """Whether every output of an earlier run is there, with the size it had."""


class Sink(ExistingOutputs, Protocol):
    """Stores results. Any thread may call `existing_output`, `has_outputs` and `open`; one thread at a time the others.

    A run begins with `recover`. For each batch: `store`, then the journal commits, then `settle`. A crash between any
    two of these loses nothing: what was stored but not committed is stored again by the next run. A run that ends, and
    was not stopped, ends with `finish`.
    """

    @property
    def sealed(self) -> Sequence[int]:
        """The numbers of the groups that were completed, in order; none where there are no groups."""

    def recover(self) -> None:
        """Drop what a run that died has stored and not committed; complete what it has committed and not settled."""

    def store(self, batch: Sequence[Result | Failed | Skipped | Unchanged]) -> list[Outcome]:
        """Store the results of a batch, durable on return; one outcome for each fact, in order.

        An item is stored whole or not at all, as far as can be foreseen. Failures, skips and unchanged items are
        returned as they are, apart from the `row` that a sink of groups gives them. The outcome of a
        result has one span, `Phase.WRITE`: making its whole batch durable.

        Raises:
            OutputError: the output as a whole cannot be written.
        """

    def settle(self, outcomes: Sequence[Outcome], /) -> None:
        """Clear up once these outcomes are committed: remove what they replaced, complete what they filled."""

    def finish(self) -> None:
        """Complete what waits for more results: there are no more."""

    def open(self, output: Located, /) -> BufferedIOBase:
        """Open a result for reading; raise OSError if it cannot be read."""

    def close(self) -> None:
        """Release what the sink holds."""
