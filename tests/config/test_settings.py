import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from option_values import BAD_VALUES, OPTIONS

from downloader.config.fields import Option
from downloader.config.load import dump, flag_of, load, restore
from downloader.config.settings import (
    SECTIONS,
    TABLES,
    ConcurrencyOptions,
    DownloadOptions,
    OutputOptions,
    PngOptions,
    RunOptions,
    Settings,
    TransformOptions,
)
from downloader.config.values import Percent, Size
from downloader.errors import ConfigError

IDS = [f"{section}.{name}" for section, name, _ in OPTIONS]


@pytest.mark.parametrize(("section", "name", "option"), OPTIONS, ids=IDS)
def test_every_option_is_explained_in_one_line(section: str, name: str, option: Option) -> None:
    """One line of at most 100 characters without a full stop, for help and starter file alike."""
    assert section in TABLES
    assert re.fullmatch(r"[a-z][a-z_]*", name)
    assert 0 < len(option.help) <= 100
    assert option.help.isprintable()
    assert not option.help.endswith(".")


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        *BAD_VALUES,
        ("concurrency", "threads", -3),
        ("concurrency", "threads", True),
        ("concurrency", "queue_size", 1.5),
        ("download", "timeout", 0),
        ("download", "timeout", float("nan")),
        ("download", "max_size", b"10M"),
        ("download", "netrc", "perhaps"),
        ("download", "header", "no colon"),
        ("download", "header", 3.0),
        ("transform", "quality", 5000),
        ("transform", "resize", None),
        ("transform", "resize", [b"256"]),
        ("transform", "resize", ["a=5", "a=6"]),
        ("transform", "resize", [Size(name="a", width=5), "a=6"]),
        ("transform", "jpeg", PngOptions()),
        ("transform", "jpeg", None),
        ("output", "output", None),
        ("output", "output", b"out"),
        ("run", "allow_failures", -1),
    ],
)
def test_sections_made_in_python_check_their_values(section: str, name: str, value: Any) -> None:
    """A value out of bounds or of another type is a ConfigError, and so a ValueError, of one line that names it."""
    with pytest.raises(ValueError, match=f"^{name}: .") as raised:
        SECTIONS[section](**{name: value})
    assert isinstance(raised.value, ConfigError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("section", "name", "value"), BAD_VALUES)
def test_the_message_is_the_same_wherever_a_value_comes_from(section: str, name: str, value: str) -> None:
    """Only the place in front differs."""
    with pytest.raises(ConfigError) as by_flag:
        load(flags={section: {name: value}})
    with pytest.raises(ConfigError) as in_python:
        SECTIONS[section](**{name: value})
    assert str(by_flag.value).removeprefix(flag_of(name)) == str(in_python.value).removeprefix(name)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Settings(sources=3), "sources"),  # type: ignore[arg-type]
        (lambda: Settings(sources=b"photos"), "sources"),  # type: ignore[arg-type]
        (lambda: Settings(sources=["a", None]), "sources"),  # type: ignore[list-item]
        (lambda: Settings(mode="retry"), "mode"),  # type: ignore[arg-type]
        (lambda: Settings(download=TransformOptions()), "download"),  # type: ignore[arg-type]
        (lambda: replace(TransformOptions(), quality=0), "quality"),
        (Size, "size"),
        (lambda: Size(width=0), "width"),
        (lambda: Size(width=5, percent=5), "percentage"),
        (lambda: Size(name="a/b", width=5), "name"),
        (lambda: Percent(percent=101), "percent"),
    ],
)
def test_settings_made_in_python_check_their_values(make: Callable[[], object], named: str) -> None:
    """Settings as a whole and the values within sections check themselves, also where they are replaced."""
    with pytest.raises(ConfigError, match=named):
        make()


def test_values_may_be_given_as_on_the_command_line() -> None:
    """Text is read as a flag's value is, one value stands for a list of one, and paths are text afterwards."""
    assert Settings(sources="photos").sources == ("photos",)
    assert Settings(sources=Path("a", "b")).sources == (str(Path("a", "b")),)
    assert Settings(sources=[Path("a"), "https://b.test/"]).sources == ("a", "https://b.test/")
    box = Size(width=256, height=256)
    thumb = Size(name="thumb", width=64, height=64)
    assert TransformOptions(resize="256x256").resize == (box,)
    assert TransformOptions(resize="256 thumb=64").resize == (box, thumb)
    assert TransformOptions(resize=["256", thumb]).resize == (box, thumb)
    assert TransformOptions(resize=thumb).resize == (thumb,)
    assert TransformOptions(max_pixels="5M", worker_memory="1G", background="white") == TransformOptions(
        max_pixels=5_000_000, worker_memory=2**30, background="#ffffff"
    )
    assert DownloadOptions(max_size="10M", header="X-One: 1") == DownloadOptions(
        max_size=10 * 2**20, header=["X-One:1"]
    )
    assert DownloadOptions(cookies=Path("jar.txt")).cookies == "jar.txt"
    assert OutputOptions(output=Path("out")).output == "out"
    assert RunOptions(allow_failures="5%", max_failures="20") == RunOptions(
        allow_failures=Percent(percent=5), max_failures=20
    )


def test_defaults_obey_their_own_bounds() -> None:
    """Every section at its defaults passes the checks that users' values pass."""
    assert restore(dump(Settings())) == Settings()


def test_settings_cannot_be_changed() -> None:
    """Frozen, all of them: a run's settings are a value."""
    with pytest.raises(AttributeError):
        Settings().mode = "fetch"  # type: ignore[misc]
    assert replace(Settings(), mode="fetch").concurrency == ConcurrencyOptions()
    assert {f.name for f in fields(Settings)} == {"sources", "mode", *SECTIONS}
    assert get_args(get_type_hints(Settings)["mode"]) == ("run", "fetch", "process")
