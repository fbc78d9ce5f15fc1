"""Which item is to blame when shards die."""

from hypothesis import given
from hypothesis import strategies as st

from downloader.shards.suspects import SUSPECT_DEATHS, Suspects
from downloader.transform.recovery import MAX_QUARANTINE_KILLS, ExitCause


def test_one_crash_alone_is_enough() -> None:
    suspects = Suspects()
    deaths = 0
    while not suspects.died(7, ExitCause.CRASHED):
        deaths += 1
    assert deaths == SUSPECT_DEATHS
    assert 7 in suspects


def test_kills_from_outside_have_to_happen_again_and_again() -> None:
    suspects = Suspects()
    kills = 1
    while not suspects.died(7, ExitCause.KILLED):
        kills += 1
    assert kills == SUSPECT_DEATHS + MAX_QUARANTINE_KILLS


def test_an_item_that_gets_further_is_cleared() -> None:
    suspects = Suspects()
    for _ in range(SUSPECT_DEATHS):
        assert not suspects.died(7, ExitCause.CRASHED)
    assert suspects
    suspects.clear(7)
    assert not suspects
    assert 7 not in suspects


@given(st.lists(st.integers(1, 50), unique=True, max_size=50))
def test_one_death_makes_nobody_a_suspect(items: list[int]) -> None:
    suspects = Suspects()
    assert not any(suspects.died(item_id, ExitCause.CRASHED) for item_id in items)
    assert not suspects
