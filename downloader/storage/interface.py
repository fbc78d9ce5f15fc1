"""The protocol of a store: whole files under names, put once and durably. Implementations: `local`."""

from collections.abc import Iterable
from typing import BinaryIO, Protocol


class NameTaken(Exception):
    """There is a file under this name already."""


class NameRefused(Exception):
    """The name cannot be used in this store; the message says why, for a person."""


class Store(Protocol):
    """Whole files under relative names, `/` between folders, never outside the store.

    Every method raises OutputError where the place as a whole cannot be used: full, read-only, gone.
    """

    def sync_staged(self, paths: Iterable[str]) -> None:
        """Make staged files of this machine durable, so that `put` may move them."""

    def check(self, name: str, *, replace: bool) -> None:
        """Raise what `put` would raise under this name now; the folder of the name is there afterwards.

        Raises:
            NameTaken: there is such a file, and `replace` is false.
            NameRefused: the name leads outside the store, or stands in the way of a folder.
        """

    def put(self, staged: str, name: str) -> None:
        """Move a staged file under a name that `check` has passed; what is there is replaced.

        Raises:
            NameRefused: a folder has this name.
        """

    def sync(self, names: Iterable[str]) -> None:
        """Make the names of files that were put durable."""

    def exists(self, name: str) -> bool:
        """Whether there is anything under this name."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    def open(self, name: str) -> BinaryIO:
        """A file, for reading; raises OSError where it cannot be read."""

    def remove(self, name: str) -> None:
        """Remove a file; no error where there is none."""

    def close(self) -> None:
        """Release what the store holds, such as threads."""
