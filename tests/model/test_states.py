from itertools import product

import pytest
from facts import KINDS
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import IllegalTransition
from downloader.model.items import Fact, Fetched, RecheckRequested, Requeued
from downloader.model.states import LIVE, TERMINAL, TRANSITIONS, State, advance, after_crash


@pytest.mark.parametrize(("state", "kind"), list(product(State, KINDS)))
def test_every_pair_follows_the_table_or_is_refused(state: State, kind: type[Fact]) -> None:
    """A fact either moves an item as TRANSITIONS says, or raises IllegalTransition."""
    if kind in TRANSITIONS[state]:
        assert advance(state, kind) is TRANSITIONS[state][kind]
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot become {kind.__name__}"):
            advance(state, kind)


def test_the_table_is_whole() -> None:
    """Every state has a row, is either live or terminal, and can be reached from pending."""
    assert set(TRANSITIONS) == set(State) == TERMINAL | LIVE
    assert not TERMINAL & LIVE
    reached, edge = {State.PENDING}, {State.PENDING}
    while edge := {after for state in edge for after in TRANSITIONS[state].values()} - reached:
        reached |= edge
    assert reached == set(State)


def test_every_live_state_can_end_in_failure() -> None:
    """Every live state can move to failed."""
    assert all(State.FAILED in TRANSITIONS[state].values() for state in LIVE)


@given(st.lists(st.sampled_from(KINDS), max_size=30))
def test_only_a_request_to_do_it_again_leaves_a_terminal_state(kinds: list[type[Fact]]) -> None:
    """In any legal sequence only the two requests to do it again leave a terminal state, always to pending."""
    state = State.PENDING
    for kind in kinds:
        if kind not in TRANSITIONS[state]:
            continue
        after = advance(state, kind)
        if state in TERMINAL:
            assert kind in {Requeued, RecheckRequested}
            assert after is State.PENDING
        state = after


@pytest.mark.parametrize(("state", "intact"), list(product(State, [True, False])))
def test_after_a_crash_nothing_is_assumed_that_is_not_on_disk(state: State, *, intact: bool) -> None:
    """Outcomes stay; a live item goes on from its bytes where they are whole, and from the start otherwise."""
    after = after_crash(state, staged_intact=intact)
    if state in TERMINAL:
        assert after is state
    elif state is State.PENDING:
        assert after is State.PENDING
    else:
        assert after is (advance(State.PENDING, Fetched) if intact else State.PENDING)
