import re
from typing import get_type_hints

import pytest
from typer.testing import CliRunner

from downloader.cli.app import app
from downloader.config.load import flag_of
from downloader.config.settings import SECTIONS, TABLES

OPTIONS = [(table, name, option) for table, home in TABLES.items() for name, option in home.options().items()]
EVERYTHING = ("concurrency", "download", "transform", "output", "source", "run")


def test_no_two_settings_share_a_flag() -> None:
    """Long and short flags are unique over all sections, since `run` has them all."""
    flags = [flag for table, name, option in OPTIONS if table in SECTIONS for flag in (flag_of(name), *option.flags)]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize(
    ("command", "sections"),
    [
        (["run"], EVERYTHING),
        (["fetch"], ("concurrency", "download", "output", "source", "run")),
        (["process"], ("concurrency", "transform", "output", "source", "run")),
        (["config", "show"], EVERYTHING),
    ],
)
def test_help_has_a_flag_for_every_setting(command: list[str], sections: tuple[str, ...]) -> None:
    """`--help` lists each setting of the command's sections, with its short flag and an off switch for booleans."""
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    words = set(re.split(r"[\s,/|]+", result.output))
    for section in sections:
        hints = get_type_hints(SECTIONS[section])
        for name, option in SECTIONS[section].options().items():
            assert {flag_of(name), *option.flags} <= words
            assert hints[name] is not bool or f"--no-{name.replace('_', '-')}" in words
