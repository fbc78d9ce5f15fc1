"""The state machine of an item, as a table. Pure.

Everything that decides how an item moves is here; only the journal calls `advance`. Transitions are named by the
facts of `downloader.model.items`. "In flight" is not a state: after a crash an item is where its last durable fact left
it, and `after_crash` decides what is done again.
"""

from enum import StrEnum

from downloader.errors import IllegalTransition
from downloader.model.items import (
    Failed,
    Fetched,
    Partial,
    RecheckRequested,
    Requeued,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
)


class State(StrEnum):
    """Where an item stands, by its last durable fact."""

    PENDING = "pending"
    FETCHED = "fetched"
    TRANSFORMED = "transformed"
    STORED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


TRANSITIONS: dict[State, dict[type, State]] = {
    State.PENDING: {
        Partial: State.PENDING,  # and more is known than before
        Fetched: State.FETCHED,
        Unchanged: State.STORED,  # reopened before
        Failed: State.FAILED,
        Skipped: State.SKIPPED,
    },
    State.FETCHED: {
        Transformed: State.TRANSFORMED,
        Stored: State.STORED,  # `fetch` keeps the bytes as they came: there is nothing to transform
        Failed: State.FAILED,
        Skipped: State.SKIPPED,
        Requeued: State.PENDING,  # the staged bytes were lost
    },
    State.TRANSFORMED: {Stored: State.STORED, Failed: State.FAILED},
    # Terminal: only a request to do it again leads out.
    State.STORED: {Requeued: State.PENDING, RecheckRequested: State.PENDING},
    State.FAILED: {Requeued: State.PENDING},
    State.SKIPPED: {Requeued: State.PENDING},
}

TERMINAL = frozenset({State.STORED, State.FAILED, State.SKIPPED})
LIVE = frozenset(State) - TERMINAL


def advance(state: State, fact: type) -> State:
    """The state after `fact`; raises IllegalTransition where the table has no such move."""
    try:
        return TRANSITIONS[state][fact]
    except KeyError:
        message = f"an item that is {state} cannot become {fact.__name__}"
        raise IllegalTransition(message) from None


def after_crash(state: State, *, staged_intact: bool) -> State:
    """Where an item of an earlier run starts from: FETCHED only while its bytes are still there unharmed."""
    if state in TERMINAL:
        return state
    return State.FETCHED if state is not State.PENDING and staged_intact else State.PENDING
