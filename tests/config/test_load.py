import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from option_values import BAD_VALUES, OPTIONS, some_settings
from typer.testing import CliRunner

from downloader.cli.app import app
from downloader.config.load import as_toml, dump, flag_of, load, restore
from downloader.config.settings import AvifOptions, JpegOptions, Settings, TransformOptions
from downloader.config.values import Size
from downloader.errors import ConfigError


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


def test_settings_stored_by_earlier_runs_are_understood() -> None:
    """Journals hold settings as JSON: sizes as objects, lists for tuples, keys that have since been added missing."""
    stored = {
        "sources": ["urls.txt"],
        "mode": "run",
        "concurrency": {"threads": "auto", "processes": 2, "queue_size": 64, "per_host": 8},
        "download": {"timeout": 10.0, "max_size": None, "header": ["X-One: 1"]},
        "transform": {
            "resize": [{"name": "thumb", "width": 64, "height": 64, "percent": None}],
            "max_aspect": None,
            "jpeg": {"quality": None, "progressive": True, "subsampling": "4:2:0"},
        },
        "source": {"keep_columns": ["a", "b"]},
        "run": {"allow_failures": {"percent": 5.0}, "max_failures": 20},
    }
    restored = restore(stored)
    assert restored.transform.resize == (Size(name="thumb", width=64, height=64),)
    assert restored.transform.jpeg == JpegOptions(progressive=True)
    assert (restored.download.max_size, restored.download.header) == (None, ("X-One: 1",))
    assert restored.source.keep_columns == ("a", "b")
    assert (str(restored.run.allow_failures), restored.run.max_failures) == ("5%", 20)
    assert restore(json.loads(json.dumps(dump(restored)))) == restored


def test_only_values_in_force_are_checked(tmp_path: Path) -> None:
    """A wrong value that a later layer overrides does no harm; a name that does not exist always does."""
    path = written(tmp_path, "[concurrency]\nthreads = 0\n")
    assert load(flags={"concurrency": {"threads": "3"}}, config_file=path).settings.concurrency.threads == 3
    path = written(tmp_path, "[concurrency]\nthread = 0\n")
    with pytest.raises(ConfigError, match="there is no setting 'thread'"):
        load(flags={"concurrency": {"threads": "3"}}, config_file=path)


def test_variables_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those of sections are read, in any case."""
    monkeypatch.setenv("DOWNLOADER_HOME", "/opt")
    monkeypatch.setenv("DOWNLOADER_CACHE__SIZE", "3")
    monkeypatch.setenv("downloader_run__Progress", "none")
    assert load().origins == {("run", "progress"): "DOWNLOADER_RUN__PROGRESS"}
