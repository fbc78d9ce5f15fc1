"""An environment in which coverage measures nothing."""

import os


def environment() -> dict[str, str]:
    """This one without coverage's hook: for programs whose imports, memory or files are what a test looks at."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")}
