"""The protocol of a sink: how results are packed and made durable. Implementations: `files`."""

from collections.abc import Sequence
from typing import Protocol

from downloader.model.items import Failed, Fetched, Item, Outcome, PreviousResult, Skipped, Transformed, Unchanged

Result = Transformed | Fetched
"""What becomes files: images, or with `fetch` the bytes as they came."""


class Sink(Protocol):
    """Stores results. The writer thread alone calls it, except `existing_output` and `has_outputs`.

    For each batch: `store`, then the journal commits, then `settle`. A crash between any two of these loses nothing:
    what was stored but not committed is stored again by the next run.
    """

    def store(self, batch: Sequence[Result | Failed | Skipped | Unchanged]) -> list[Outcome]:
        """Store a batch, durable on return; one outcome for each fact, in order. Other facts than results pass through.

        Raises:
            OutputError: the place as a whole cannot be written.
        """

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """After the commit of these outcomes: remove what they replaced."""

    def existing_output(self, item: Item) -> str | None:
        """The name of an output of this item that is there and not from an earlier run; None where there is none."""

    def has_outputs(self, previous: PreviousResult) -> bool:
        """Whether every output of an earlier run is there, with the size it had."""

    def close(self) -> None:
        """Release what the sink holds."""
