"""The protocol between a pipeline and where its items come from and its facts go: in this process, or over a pipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from downloader.model.items import Fact, Fetched

Task = TypeVar("Task")

Emit = Callable[[Fact], None]
"""Takes a fact; may block while the writer is behind."""
HandOn = Callable[[Fetched], bool]
"""Passes bytes to the next stage, after waiting for room; false where the run ends first."""


@dataclass(frozen=True, slots=True)
class Lease(Generic[Task]):
    """A task that was handed out; it is given back with `Feed.done` or `Feed.reschedule`, once."""

    host: str
    task: Task


@dataclass(frozen=True, slots=True)
class LeaseBatch(Generic[Task]):
    """Tasks of one host that are done one after another, so that they count as one in flight."""

    host: str
    tasks: Sequence[Task]


@dataclass(frozen=True, slots=True)
class Block:
    """A host asked to be left alone for longer than any of its items would wait."""

    seconds: float
    http_status: int


class Feed(Protocol[Task]):
    """Hands out tasks, by host. Threads may share it."""

    held_back: int
    """How often a thread had to wait because of `limit` alone."""

    def take(self) -> Lease[Task] | None:
        """The next task, after waiting for it if need be; None when there is none left or the run ends."""

    def done(self, lease: Lease[Task]) -> None:
        """The task of this lease has its outcome."""

    def reschedule(self, lease: Lease[Task], tasks: Sequence[Task], delay_s: float) -> None:
        """The task of this lease goes on as `tasks`, to be handed out after a delay; no thread waits for them."""

    def pause(self, host: str, seconds: float) -> None:
        """The host asked for less: ask it nothing for so long, and half as much at a time from then on."""

    def block(self, host: str, block: Block) -> None:
        """The host is not to be asked for so long; its tasks are still handed out, and `blocked` tells."""

    def blocked(self, host: str) -> Block | None:
        """Why a host is not to be asked now."""

    def limit(self, tasks: int) -> None:
        """Hand out no more than so many tasks at a time, over all hosts."""
