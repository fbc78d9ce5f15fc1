from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Command, Site, served


@pytest.fixture
def cli(tmp_path: Path) -> Command:
    """The command, run in a folder of the test's own."""
    return Command(tmp_path)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server."""
    with served() as found:
        yield found


@pytest.fixture
def other_site() -> Iterator[Site]:
    """Another one, which to HTTP is another origin."""
    with served() as found:
        yield found
