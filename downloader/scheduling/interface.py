"""The protocol between a pipeline and where its items come from and its facts go: in this process, or over a pipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from downloader.model.failures import FailureKind
from downloader.model.items import Fact, Fetched

Task = TypeVar("Task")

Emit = Callable[[Fact], None]
"""Takes a fact; may block while the writer is behind."""
HandOn = Callable[[Fetched], bool]
"""Passes bytes to the next stage, after waiting for room; false where the run ends first."""


@dataclass(frozen=True, slots=True)
class HostFailure:
    """An attempt failed for reasons of the host; a missing file, or one that is too large, is no such reason.

    `at` is the host where it failed, which may be one that the first redirected to. `seconds` is how long it took.
    """

    at: str
    seconds: float
    message: str
    kind: FailureKind
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Why tasks of a host are not done: the reason as text, and the failure that they get instead."""

    reason: str
    kind: FailureKind
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Lease(Generic[Task]):
    """A task that was handed out; it is given back with `Feed.done` or `Feed.reschedule`, once.

    `block` says why it is not to be done at its host; None where it is.
    """

    host: str
    task: Task
    block: Block | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class LeaseBatch(Generic[Task]):
    """Tasks of one host that are done one after another, so that they count as one in flight; `block` as of `Lease`."""

    host: str
    tasks: Sequence[Task]
    block: Block | None = None


class Feed(Protocol[Task]):
    """Hands out tasks, by host. Threads may share it."""

    held_back: int
    """How often a thread had to wait because of `limit` alone."""

    def take(self) -> Lease[Task] | None:
        """The next task, after waiting for it if need be; None when there is none left or the run ends."""

    def done(self, lease: Lease[Task], failure: HostFailure | None = None) -> None:
        """The task of this lease has its outcome; `failure` is what its host did."""

    def reschedule(
        self,
        lease: Lease[Task],
        tasks: Sequence[Task],
        delay_s: float,
        *,
        host: str | None = None,
        failure: HostFailure | None = None,
    ) -> None:
        """The task of this lease goes on as `tasks`, to be handed out after a delay; no thread waits for them.

        `host` is another host, where they go on; `failure` is what the host of the lease did.
        """

    def answered(self, host: str) -> None:
        """An attempt at the host did not fail, or for reasons of its item."""

    def pause(self, host: str, seconds: float) -> None:
        """The host asked for less: ask it nothing for so long, and half as much at a time from then on."""

    def block(self, host: str, block: Block, seconds: float) -> None:
        """The host is not to be asked for so long; its tasks are handed out at once, with this block."""

    def limit(self, tasks: int) -> None:
        """Hand out no more than so many tasks at a time, over all hosts."""
