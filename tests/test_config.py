import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from downloader.cli.app import app
from downloader.config.fields import Option
from downloader.config.load import as_toml, dump, flag_of, load, restore
from downloader.config.settings import (
    SECTIONS,
    TABLES,
    AvifOptions,
    ConcurrencyOptions,
    DownloadOptions,
    JpegOptions,
    OutputOptions,
    PngOptions,
    RunOptions,
    Settings,
    TransformOptions,
    WebpOptions,
)
from downloader.config.values import (
    Percent,
    Size,
    parse_color,
    parse_count,
    parse_header,
    parse_size,
    parse_sizes,
    show_count,
    show_size,
)
from downloader.errors import ConfigError

OPTIONS = [(section, name, option) for section, home in TABLES.items() for name, option in home.options().items()]
IDS = [f"{section}.{name}" for section, name, _ in OPTIONS]
EVERYTHING = ("concurrency", "download", "transform", "output", "source", "run")

sides = st.one_of(st.none(), st.integers(1, 65_535))
variants = st.one_of(st.none(), st.text("abcXYZ019_", min_size=1, max_size=8))
sizes = st.one_of(
    st.builds(
        lambda name, box: Size(name=name, width=box[0], height=box[1]), variants, st.tuples(sides, sides).filter(any)
    ),
    st.builds(Size, name=variants, percent=st.integers(1, 10**7).map(lambda number: number / 10**4)),
)
some_settings = st.builds(
    Settings,
    sources=st.tuples(st.text("abc/:.", min_size=1)),
    mode=st.sampled_from(["run", "fetch", "process"]),
    concurrency=st.builds(
        ConcurrencyOptions, threads=st.integers(1, 1024), processes=st.one_of(st.just("auto"), st.integers(1, 256))
    ),
    download=st.builds(
        DownloadOptions,
        timeout=st.floats(0.001, 1e6),
        max_size=st.one_of(st.none(), st.integers(1, 2**50)),
        header=st.lists(st.builds("X-{}: {}".format, st.integers(0, 9), st.text("ab \"'\\#é"))).map(
            lambda headers: tuple(parse_header(header) for header in headers)
        ),
        user_agent=st.one_of(st.none(), st.text("agent/1.0 (é\\\"'#)", min_size=1)),
        netrc=st.booleans(),
    ),
    transform=st.builds(
        TransformOptions,
        resize=st.lists(
            sizes.filter(lambda size: not size.percent or size.percent.is_integer()),
            max_size=3,
            unique_by=lambda size: size.name or id(size),
        ).map(tuple),
        fit=st.sampled_from(["inside", "crop"]),
        max_pixels=st.integers(1, 10**12),
        max_aspect=st.one_of(st.none(), st.floats(1, 100)),
        jpeg=st.builds(
            JpegOptions,
            quality=st.one_of(st.none(), st.integers(1, 100)),
            progressive=st.booleans(),
            subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
        ),
        png=st.builds(PngOptions, compress_level=st.integers(0, 9)),
        webp=st.builds(WebpOptions, method=st.integers(0, 6), lossless=st.booleans()),
        avif=st.builds(AvifOptions, quality=st.one_of(st.none(), st.integers(1, 100)), speed=st.integers(0, 10)),
    ),
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOWNLOADER_DEBUG", raising=False)


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_later_layers_win_and_each_value_knows_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """default < file < environment < flag, value by value."""
    path = written(tmp_path, "[concurrency]\nthreads = 2\nper_host = 2\nqueue_size = 2\n")
    monkeypatch.setenv("DOWNLOADER_CONCURRENCY__PER_HOST", "3")
    monkeypatch.setenv("DOWNLOADER_CONCURRENCY__QUEUE_SIZE", "3")
    resolved = load(flags={"concurrency": {"queue_size": "4"}}, config_file=path)
    found = resolved.settings.concurrency
    assert (found.processes, found.threads, found.per_host, found.queue_size) == ("auto", 2, 3, 4)
    assert [resolved.origin("concurrency", name) for name in ("processes", "threads", "per_host", "queue_size")] == [
        "default",
        f"{path}:2: threads",
        "DOWNLOADER_CONCURRENCY__PER_HOST",
        "--queue-size",
    ]


def test_without_layers_everything_is_a_default() -> None:
    """load() is Settings() with the command and its sources."""
    resolved = load("process", ["a", "b"])
    assert resolved.settings == Settings(mode="process", sources=("a", "b"))
    assert resolved.origins == {}


def test_fetch_has_no_size_limit_unless_asked_for() -> None:
    """`fetch` lifts the default of max_size, and keeps one that was set."""
    assert load("fetch").settings.download.max_size is None
    assert load("fetch", flags={"download": {"max_size": "1K"}}).settings.download.max_size == 1024


def test_the_starter_file_is_the_defaults(tmp_path: Path) -> None:
    """as_toml(Settings()) has every key, and loads back equal."""
    text = as_toml(Settings())
    resolved = load(config_file=written(tmp_path, text))
    assert resolved.settings == Settings()
    assert len(resolved.origins) == len(OPTIONS)


@settings(max_examples=40, deadline=None)
@given(some_settings)
def test_any_settings_written_as_toml_load_back_equal(some: Settings) -> None:
    """Every value survives the way through its text."""
    import tempfile  # noqa: PLC0415 - a folder for each example

    with tempfile.TemporaryDirectory() as folder:
        loaded = load(some.mode, some.sources, config_file=written(Path(folder), as_toml(some))).settings
    assert loaded == some


@given(some_settings)
def test_stored_settings_come_back(some: Settings) -> None:
    """restore(dump(x)) is x."""
    assert restore(dump(some)) == some


@pytest.mark.parametrize("dumped", [{"nothing": 1}, {"download": {"nothing": 1}}, {"concurrency": {"threads": 0}}])
def test_stored_settings_of_another_version_are_refused(dumped: dict[str, Any]) -> None:
    """What is not understood is a ConfigError."""
    with pytest.raises(ConfigError, match="not understood"):
        restore(dumped)


@given(st.integers(0, 2**53))
def test_sizes_and_counts_read_back_what_they_show(number: int) -> None:
    """parse(show(x)) is x."""
    assert parse_size(show_size(number)) == number
    assert parse_count(show_count(number)) == number


@given(sizes)
def test_a_wanted_size_reads_back_what_it_shows(size: Size) -> None:
    """parse_sizes(str(x)) is x, with its name, to the last digit."""
    assert parse_sizes(str(size)) == (size,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("300", 300), ("10K", 10_240), ("1.5m", 1_572_864), ("2GiB", 2**31), (" 1 kb ", 1024), ("1T", 2**40), ("0", 0)],
)
def test_sizes_as_people_write_them(text: str, expected: int) -> None:
    """Powers of 1024, any case, B and iB allowed."""
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("256", Size(width=256, height=256)),
        ("256x128", Size(width=256, height=128)),
        ("800x", Size(width=800)),
        ("x600", Size(height=600)),
        ("12.5%", Size(percent=12.5)),
        ("thumb=64", Size(name="thumb", width=64, height=64)),
    ],
)
def test_wanted_sizes_as_people_write_them(text: str, expected: Size) -> None:
    """A box, one side, a percentage, named or not."""
    assert parse_sizes(text) == (expected,)
    assert parse_sizes(f"{text} {text}") == (expected, expected)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_size, text) for text in ("", "-1", "1X", "1e3", "K", "1,5M", "nan", "inf")),
        *((parse_count, text) for text in ("", "-1", "1Mi", "many")),
        *((parse_sizes, text) for text in ("", "x", "0", "0x5", "65536", "0%", "1001%", "a-b=5", "=5", "5x5x5")),
        *((parse_color, text) for text in ("", "#12", "#gggggg", "rgb(1,2,3)", "#1234567")),
        *((parse_header, text) for text in ("", "no colon", ": x", "A b: c", "A: b\r\nC: d", "A: \0")),
    ],
)
def test_what_is_not_understood_is_a_value_error(parse: Any, text: str) -> None:
    """Parsers raise ValueError with a message, and nothing else."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


BAD_VALUES = [
    ("concurrency", "threads", "0"),
    ("concurrency", "threads", "many"),
    ("concurrency", "processes", "some"),
    ("download", "max_size", "huge"),
    ("download", "timeout", "-1"),
    ("download", "opt_out", "maybe"),
    ("transform", "resize", "big"),
    ("transform", "quality", "101"),
    ("transform", "background", "mauve"),
    ("run", "progress", "loud"),
]


@pytest.mark.parametrize(("section", "name", "value"), BAD_VALUES)
def test_bad_values_are_reported_at_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, name: str, value: str
) -> None:
    """The same ConfigError with the place in front: the flag, the file with its line, the variable."""
    with pytest.raises(ConfigError, match=f"^{flag_of(name)}: "):
        load(flags={section: {name: value}})
    path = written(tmp_path, f'# comment\n[{section}]\n\n{name} = "{value}"\n')
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}:4: {name}: "):
        load(config_file=path)
    variable = f"DOWNLOADER_{section}__{name}".upper()
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"^{variable}: "):
        load()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[download]\nspeed = 3\n", r":2: speed: there is no setting 'speed' in \[download\]"),
        ("\n[downloads]\n", r":2: \[downloads\]: no such section"),
        ("threads = 3\n", ": no such section"),
        ("[download\n", "not valid TOML"),
        ("[transform]\nresize = ['a=5', 'a=6']\n", ":2: resize: two sizes have the same name"),
        ("[concurrency]\nthreads = 1.5\n", ":2: threads: "),
        ("[transform]\nquality = 70\n[transform.jpeg]\nquality = 101\n", ":4: quality: .*less than or equal to 100"),
        ("[transform.jpeg]\nsubsampling = '4:1:1'\n", ":2: subsampling: .*'4:4:4', '4:2:2' or '4:2:0'"),
        ("[transform.png]\n\nquality = 3\n", r":3: quality: there is no setting 'quality' in \[transform.png\]"),
        ("\n[transform.jpg]\nquality = 3\n", r":2: \[transform.jpg\]: there is no setting 'jpg' in \[transform\]"),
        ("[transform]\njpeg = 3\n", ":2: jpeg: is a table of settings"),
        ("[transform]\nwebp = { lossless = 'perhaps' }\n", "lossless: .*boolean"),
    ],
)
def test_bad_files_are_reported_with_their_line(tmp_path: Path, text: str, where: str) -> None:
    """Unknown keys and sections, broken TOML, values that do not go together."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=where) as raised:
        load(config_file=path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    """A missing file, a folder and a file that is not UTF-8 are named."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "no.toml", tmp_path, binary):
        with pytest.raises(ConfigError, match=re.escape(str(path))):
            load(config_file=path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DOWNLOADER_DOWNLOAD__SPEED", "3"),
        ("DOWNLOADER_CONCURRENCY", "3"),
        ("DOWNLOADER_CONCURRENCY", "{broken"),
        ("DOWNLOADER_CONCURRENCY__THREADS__X", "3"),
        ("DOWNLOADER_TRANSFORM__JPEG", "3"),
        ("DOWNLOADER_TRANSFORM__JPEG__QUALITY", "0"),
        ("DOWNLOADER_TRANSFORM__JPEG__SPEED", "3"),
        ("DOWNLOADER_TRANSFORM__GIF__QUALITY", "3"),
    ],
)
def test_bad_variables_are_config_errors(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """Variables that name no setting are refused in one line that names them."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match="DOWNLOADER_"):
        load()


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DOWNLOAD__HEADER", "X-One: 1", ("X-One: 1",)),
        ("TRANSFORM__RESIZE", "thumb=64 800x", (Size(name="thumb", width=64, height=64), Size(width=800))),
        ("DOWNLOAD__MAX_SIZE", "none", None),
        ("DOWNLOAD__NETRC", "true", True),
        ("CONCURRENCY__PROCESSES", "3", 3),
        ("OUTPUT__OUTPUT", "none", "none"),
    ],
)
def test_variables_are_read_as_flags_are(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: object
) -> None:
    """The same text means the same in the environment and on the command line, lists and `none` included."""
    section, _, name = variable.lower().partition("__")
    by_flag = load(flags={section: {name: value}}).settings
    assert getattr(getattr(by_flag, section), name) == expected
    monkeypatch.setenv(f"DOWNLOADER_{variable}", value)
    assert load().settings == by_flag


def test_encoders_have_tables_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of an encoder stand in a table of `[transform]`, can be set one by one, and know their origin."""
    path = written(tmp_path, "[transform.jpeg]\nquality = 70\nprogressive = true\n[transform]\nfit = 'crop'\n")
    monkeypatch.setenv("DOWNLOADER_TRANSFORM__JPEG__QUALITY", "60")
    monkeypatch.setenv("DOWNLOADER_TRANSFORM__AVIF__SPEED", "9")
    resolved = load(flags={"transform": {"quality": "50"}}, config_file=path)
    expected = TransformOptions(
        fit="crop", quality=50, jpeg=JpegOptions(quality=60, progressive=True), avif=AvifOptions(speed=9)
    )
    assert resolved.settings.transform == expected
    assert [resolved.origin("transform.jpeg", name) for name in ("quality", "progressive", "subsampling")] == [
        "DOWNLOADER_TRANSFORM__JPEG__QUALITY",
        f"{path}:3: progressive",
        "default",
    ]
    shown = CliRunner().invoke(app, ["config", "show", "--config", str(path)]).output
    assert "\n[transform.jpeg]\nquality = 60  # DOWNLOADER_TRANSFORM__JPEG__QUALITY\n" in shown
    assert "\n[transform.png]\ncompress_level = 4  # default\n" in shown


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
