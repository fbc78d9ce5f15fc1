import pytest

from downloader.config.values import parse_budget
from downloader.report.budget import allows, common_cause, is_hopeless, why_given_up


@pytest.mark.parametrize(
    ("budget", "is_allowed"),
    [("0", False), ("1", False), ("2", True), ("19%", False), ("20%", True), ("20.5 %", True), ("100%", True)],
)
def test_two_failures_of_ten_are_allowed_or_not(budget: str, *, is_allowed: bool) -> None:
    """By number, or by share of the items."""
    assert allows(parse_budget(budget), 2, 10) is is_allowed


@pytest.mark.parametrize(
    ("limit", "failed", "done", "is_over"),
    [(None, 9, 9, False), ("3", 3, 3, False), ("3", 4, 4, True), ("10%", 99, 99, False), ("10%", 11, 100, True)],
)
def test_a_run_is_hopeless_beyond_its_limit(limit: str | None, failed: int, done: int, *, is_over: bool) -> None:
    """A number counts at once, a share from a hundred items on."""
    assert is_hopeless(limit and parse_budget(limit), failed, done) is is_over  # type: ignore[arg-type]


def test_what_failures_have_in_common_is_told() -> None:
    """The kind, and the host where there is one."""
    assert common_cause(9, "dns", 7, "h", 7) == "7 of 9 are dns, all of these from h"
    assert common_cause(9, "dns", 7, "h", 5) == "7 of 9 are dns, 5 of these from h"
    assert common_cause(9, "corrupt_image", 9, "", 9) == "9 of 9 are corrupt_image"
    told = why_given_up(parse_budget("20"), (21, "dns", 21, "h", 21))
    assert told == "more failures than --max-failures 20: 21 of 21 are dns, all of these from h"
    assert why_given_up(parse_budget("20"), None) is None
