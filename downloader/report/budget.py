"""How many failures a run may have, and what most of them have in common. Pure."""

from downloader.config.values import Budget

ENOUGH = 100
"""Items that must be done before a percentage of them says anything."""


def allows(budget: Budget, failed: int, total: int) -> bool:
    """Whether so many failures of so many items are within the budget."""
    return failed <= budget if isinstance(budget, int) else 100 * failed <= budget.percent * total


def is_hopeless(budget: Budget | None, failed: int, done: int) -> bool:
    """Whether a run with so many failures among the items done so far should stop."""
    if budget is None or (not isinstance(budget, int) and done < ENOUGH):
        return False
    return not allows(budget, failed, done)


def why_given_up(limit: Budget | None, failure: tuple[int, str, int, str, int] | None) -> str | None:
    """Why a run ended early, for a person; `failure` is what `common_cause` takes."""
    return f"more failures than --max-failures {limit}: {common_cause(*failure)}" if failure else None


def common_cause(failed: int, kind: str, of_kind: int, host: str, of_host: int) -> str:
    """What most failures have in common, for a person: their kind, and the host ("" for files)."""
    text = f"{of_kind} of {failed} are {kind}"
    return f"{text}, {'all' if of_host == of_kind else of_host} of these from {host}" if host else text
