"""Sources of one row each: a URL or an image file, as named on the command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from downloader.model.items import File, Row
from downloader.sources.rows import location_of


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A URL. `where` says which argument it is."""

    url: str
    where: str

    def check(self) -> None:
        """Nothing can be said about a URL before it is requested; one that cannot be requested is an invalid row."""

    def rows(self) -> Iterator[Row]:
        """The row of the URL."""
        yield Row(source=self.url, what=location_of(self.url, self.where), where=self.where)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image file. `where` says which argument it is."""

    path: str
    where: str

    def check(self) -> None:
        """Nothing is checked: a file that cannot be opened fails as a row, as it would in a folder."""

    def rows(self) -> Iterator[Row]:
        """The row of the file."""
        path = PurePath(self.path).as_posix()
        yield Row(source=path, what=File(path), where=self.where)
