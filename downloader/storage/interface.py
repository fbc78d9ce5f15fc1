"""The protocol of a store: named whole files, put once and durably. Implementations: `local`."""

from collections.abc import Iterable
from typing import BinaryIO, Protocol


class Store(Protocol):
    """Whole files under relative names with `/` between folders, never outside the store's root.

    Raises OutputError where the place as a whole cannot be used any more (full, read-only, gone), and NameRefused where
    one name cannot be.
    """

    def sync_staged(self, paths: Iterable[str]) -> None:
        """Make staged files of this machine durable, so that `put` may move them."""

    def put(self, staged: str, name: str, *, replace: bool) -> None:
        """Move a staged file under its final name.

        Raises:
            NameTaken: there is such a file, and `replace` is false.
            NameRefused: the name leads outside the store, or is a folder's.
        """

    def sync(self, names: Iterable[str]) -> None:
        """Make the names of files that were put durable."""

    def exists(self, name: str) -> bool:
        """Whether there is anything under this name."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    def open(self, name: str) -> BinaryIO:
        """A file, for reading."""

    def remove(self, name: str) -> None:
        """Remove a file; no error where there is none."""

    def close(self) -> None:
        """Release what the store holds (threads, connections)."""


class NameTaken(Exception):
    """There is a file under this name already."""


class NameRefused(Exception):
    """A name that cannot be used in this store; the message says why, for a person."""
