"""The protocol of a source of rows. Implementations: `text`, `tabular`, `parquet`, `aria2`, `folder`, `arguments`."""

from collections.abc import Iterator
from typing import Protocol

from downloader.model.items import Row


class Source(Protocol):
    """One source named on the command line."""

    def check(self) -> None:
        """Make sure that it can be used, without reading it.

        Raises:
            SourceError: it cannot be; names it and says what to do.
        """

    def rows(self) -> Iterator[Row]:
        """Its rows, each as soon as it can be known; what cannot be used is a row with `Invalid`, never the end.

        Raises:
            SourceError: the source cannot be read, or not to its end.
        """
