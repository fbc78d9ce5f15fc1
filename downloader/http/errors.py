"""Exceptions of the network code, and `FetchError`, into which `translation` turns them."""

from collections.abc import Iterator

from downloader.model.failures import FailureKind


class FetchError(Exception):
    """An attempt failed.

    Args:
        kind: for the journal.
        message: for the user.
        http_status: of the response, if there was one.
        retry_after_s: what the server asked to wait.
        final: another attempt in this run will not help.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        http_status: int | None = None,
        *,
        retry_after_s: float | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.final = final


class Interrupted(Exception):
    """The run is being aborted; the item stays as it was."""


class DeadlineExceeded(Exception):
    """The deadline of the item has passed."""


class HeaderFlood(Exception):
    """More header bytes, or fields, than are read; the message says what the server does."""


class AddressBlocked(Exception):
    """The host has an address that must not be connected to; the message is for the user."""


class ResolveError(Exception):
    """A name has no address, or none could be found for now (`transient`)."""

    def __init__(self, transient: bool, message: str) -> None:
        super().__init__(transient, message)
        self.transient = transient
        self.message = message


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and what led to it; httpcore hides causes from tracebacks, but keeps them as contexts."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
