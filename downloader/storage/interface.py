"""The protocol of a store: whole files under names, put once and durably. Implementations: `local`."""

from collections.abc import Iterable, Iterator, Mapping
from io import BufferedIOBase
from typing import Protocol


class NameTaken(Exception):
    """There is a file under this name already."""


class NameRefused(Exception):
    """The name cannot be used in this store; the message says why, for a person."""


class Store(Protocol):
    """Whole files under relative names, with `/` between folders.

    Nothing outside the store is ever written or removed. One thread at a time calls the methods that change something;
    any thread may read. The writing methods raise OutputError if the store as a whole cannot be used: full, read-only,
    gone. What goes wrong with one name is refused, and costs nothing else.
    """

    def sync_staged(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Make staged files of this machine durable, so that `put` may move them; those that failed, with reasons."""

    def check(self, name: str, *, replace: bool) -> None:
        """Raise what `put` would raise for this name now; make the folder it lies in.

        Raises:
            NameTaken: there is such a file, and `replace` is false.
            NameRefused: the name leads outside the store or cannot be used there, or its folder cannot be made.
        """

    def put(self, staged: str, name: str) -> None:
        """Move a staged file to a name that `check` accepted, replacing the file that is there.

        Readers see the old file or the new one, never a part of it.

        Raises:
            NameRefused: a file and a folder want the same name, or it cannot be written for another reason.
        """

    def sync(self, names: Iterable[str]) -> Mapping[str, str]:
        """Make files durable under the names to which they were put; the names that failed, with reasons."""

    def exists(self, name: str) -> bool:
        """Whether there is a file under this name, or anything else that `put` would replace."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""

    def names(self, *, excluded: str, unlisted: list[str]) -> Iterator[str]:
        """The name of every file in the store, except those in folders called `excluded`, in any order.

        Folders that cannot be listed are added to `unlisted`.

        Raises:
            OutputError: the store cannot be listed at all.
        """

    def open(self, name: str) -> BufferedIOBase:
        """Open a file for reading; raise OSError if it cannot be read. Pipes and devices are no files."""

    def remove(self, name: str) -> None:
        """Remove a file; do nothing if there is none, or it cannot be removed."""

    def close(self) -> None:
        """Release what the store holds, such as threads."""
