"""The protocol of a source of rows. Implementations: `arguments`, `lists`, `parquet`, `folder`, `tar`."""

from collections.abc import Iterator
from typing import Protocol

from downloader.model.items import Row


class Source(Protocol):
    """One source named on the command line."""

    def check(self) -> None:
        """Make sure that the source can be used, without reading its content.

        Raises:
            SourceError: it cannot be used; names it and says what to do.
        """

    def rows(self) -> Iterator[Row]:
        """The rows, each as soon as it can be known; an unusable one has `Invalid` for `what`, and others follow.

        Except for stdin, each call reads the source again.

        Raises:
            SourceError: the source cannot be read, or not to its end.
        """
