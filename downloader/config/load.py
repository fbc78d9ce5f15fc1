"""The only reader of configuration files, environment variables and flags: layers in, checked `Settings` out.

Order, later wins: default < configuration file < environment < flag. Each value remembers where it came from.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from downloader.config.settings import (
    SECTIONS,
    TABLES,
    ConcurrencyOptions,
    DownloadOptions,
    Mode,
    Option,
    OutputOptions,
    RunOptions,
    Section,
    Settings,
    SourceOptions,
    TransformOptions,
)
from downloader.errors import ConfigError

Layer = Mapping[str, Mapping[str, Any]]
"""Raw values by table (`transform.jpeg` is one within a section) and field, as one place wrote them."""

_ADAPTER = TypeAdapter(Settings)
_ENV_PREFIX = "DOWNLOADER_"
_ENV_EXAMPLE = "DOWNLOADER_DOWNLOAD__TIMEOUT=20"
_NONE = "none"


class _Places(BaseSettings):
    """Tells pydantic-settings which sections exist, and how environment variables are spelled."""

    model_config = SettingsConfigDict(env_prefix=_ENV_PREFIX, env_nested_delimiter="__")
    concurrency: ConcurrencyOptions = field(default_factory=ConcurrencyOptions)
    download: DownloadOptions = field(default_factory=DownloadOptions)
    transform: TransformOptions = field(default_factory=TransformOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    source: SourceOptions = field(default_factory=SourceOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Checked settings, and for each (section, field) that is not a default the place it came from."""

    settings: Settings
    origins: Mapping[tuple[str, str], str]

    def origin(self, section: str, name: str) -> str:
        """Where a value came from, for a person."""
        return self.origins.get((section, name), "default")


def flag_of(name: str) -> str:
    """The long flag of a field."""
    return "--" + name.replace("_", "-")


def load(
    mode: Mode = "run", sources: Iterable[str] = (), *, flags: Layer | None = None, config_file: Path | None = None
) -> Resolved:
    """Settings from all layers.

    Raises:
        ConfigError: naming the place, the key and what would be right, for the first thing that is wrong.
    """
    origins: dict[tuple[str, str], str] = {}
    merged: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
    places: tuple[tuple[Layer, Callable[[str, str], str]], ...] = (
        (_file_layer(config_file), lambda section, name: _file_place(config_file, section, name)),
        (_environment_layer(), _variable),
        (flags or {}, lambda _, name: flag_of(name)),
    )
    for layer, place in places:
        for section, values in layer.items():
            for name, raw in values.items():
                where = place(section, name)
                merged[section][name] = _read(section, name, raw, where)
                origins[section, name] = where
    settings = _check(merged, origins)
    if mode == "fetch" and ("download", "max_size") not in origins:
        settings = replace(settings, download=replace(settings.download, max_size=None))
        origins["download", "max_size"] = "default of fetch"
    return Resolved(settings=replace(settings, mode=mode, sources=tuple(sources)), origins=origins)


def override(settings: Settings, flags: Layer) -> Settings:
    """Settings with the values of some flags in place of theirs; raises ConfigError as `load` does."""
    merged = {
        table: {name: getattr(values, name) for name in values.options()} for table, values in each_section(settings)
    }
    origins = {(section, name): flag_of(name) for section, values in flags.items() for name in values}
    for (section, name), where in origins.items():
        merged[section][name] = _read(section, name, flags[section][name], where)
    return replace(_check(merged, origins), mode=settings.mode, sources=settings.sources)


def _file_layer(path: Path | None) -> Layer:
    if path is None:
        return {}
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such configuration file")
    try:
        layer = TomlConfigSettingsSource(_Places, path)()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: not valid TOML: {problem}") from None
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read: {problem.strerror}") from None
    for section, values in layer.items():
        if section not in SECTIONS or not isinstance(values, dict):
            raise ConfigError(f"{_file_place(path, None, section)}: no such section; there are {', '.join(SECTIONS)}")
    return _tables(layer)


def _environment_layer() -> Layer:
    try:
        layer = EnvSettingsSource(_Places)()
    except SettingsError as problem:
        raise ConfigError(f"{_ENV_PREFIX}*: {problem}; set single values, such as {_ENV_EXAMPLE}") from None
    for section, values in layer.items():
        if not isinstance(values, dict):
            name = f"{_ENV_PREFIX}{section}".upper()
            raise ConfigError(f"{name}: is a section; set single values, such as {_ENV_EXAMPLE}")
    return _tables(cast("Layer", layer))


def _tables(layer: Layer) -> Layer:
    """The layer with tables within sections brought out under their dotted names."""
    flat: dict[str, dict[str, Any]] = {}
    for section, values in layer.items():
        for name, value in values.items():
            if f"{section}.{name}" in TABLES and isinstance(value, dict):
                flat[f"{section}.{name}"] = value
            else:
                flat.setdefault(section, {})[name] = value
    return flat


def _variable(table: str, name: str) -> str:
    """The environment variable of a field."""
    return f"{_ENV_PREFIX}{table.replace('.', '__')}__{name}".upper()


def _file_place(path: Path | None, section: str | None, name: str) -> str:
    """`file:line` of a key, for messages; only the file where the line cannot be told."""
    here = None
    for number, line in enumerate(Path(path or "").read_text("utf-8").splitlines(), 1):
        if header := re.match(r"\s*\[([^\]]+)\]", line):
            here = header[1].strip()
            if here == (f"{section}.{name}" if section else name):
                return f"{path}:{number}: [{here}]"
        elif here == section and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line):
            return f"{path}:{number}: {name}"
    return f"{path}: {name}"


def _read(section: str, name: str, raw: Any, where: str) -> Any:  # noqa: ANN401 - a raw value can be anything
    """The value a raw one stands for, by the option's own reading of text."""
    options = TABLES[section].options()
    if f"{section}.{name}" in TABLES:
        raise ConfigError(f"{where}: is a table of settings; `downloader config show` lists them")
    if name not in options:
        raise ConfigError(
            f"{where}: there is no setting {name!r} in [{section}]; `downloader config show` lists them all"
        )
    parse = options[name].parse
    try:
        if isinstance(raw, str) and raw.lower() == _NONE and _may_be_none(TABLES[section], name):
            return None
        if parse is None:
            return raw
        if isinstance(raw, (list, tuple)):
            return tuple(part for text in raw for part in parse(str(text)))
        return parse(raw) if isinstance(raw, str) else raw
    except ValueError as problem:
        raise ConfigError(f"{where}: {problem}") from None


def _may_be_none(section: type[Section], name: str) -> bool:
    return type(None) in get_args(get_type_hints(section)[name])


def _check(merged: Layer, origins: Mapping[tuple[str, str], str]) -> Settings:
    try:
        settings = _ADAPTER.validate_python(_nested(merged))
    except ValidationError as problem:
        errors = problem.errors()
        section, name = _key(errors[0]["loc"])
        wants = {
            error["msg"].removeprefix("Input ").partition(", unable to parse")[0]
            for error in errors
            if _key(error["loc"]) == (section, name)
        }
        raw = merged[section][name]
        raise ConfigError(f"{origins[section, name]}: {' or '.join(sorted(wants))}, not {raw!r}") from None
    names = [size.name for size in settings.transform.resize if size.name]
    if len(names) != len(set(names)):
        raise ConfigError(f"{origins['transform', 'resize']}: two sizes have the same name")
    return settings


def _nested(merged: Layer) -> Layer:
    """The layer with every table in its place within its section."""
    nested = {section: dict(merged[section]) for section in SECTIONS}
    for table, values in merged.items():
        section, dot, name = table.partition(".")
        if dot:
            nested[section][name] = values
    return nested


def _key(place: tuple[int | str, ...]) -> tuple[str, str]:
    """Table and field of a place in nested settings, which may go on into the value."""
    section, name, *further = (str(part) for part in place)
    return (f"{section}.{name}", further[0]) if f"{section}.{name}" in TABLES else (section, name)


def dump(settings: Settings) -> dict[str, Any]:
    """Plain JSON values, from which `restore` makes the same settings again."""
    return asdict(settings)


def restore(dumped: Mapping[str, Any]) -> Settings:
    """The settings that `dump` wrote; raises ConfigError where this version does not understand them."""
    try:
        return _ADAPTER.validate_json(json.dumps(dumped))
    except ValidationError as problem:
        raise ConfigError(f"stored settings are not understood by this version: {problem.errors()[0]['msg']}") from None


def show_value(option: Option, value: Any) -> str:  # noqa: ANN401 - the value of any option
    """A value as it would be written in TOML."""
    if value is None:
        return json.dumps(_NONE)
    if isinstance(value, tuple):
        return json.dumps([option.show(part) for part in value])
    if isinstance(value, bool | float):
        return json.dumps(value)
    if isinstance(value, int) and option.show is str:
        return str(value)
    return json.dumps(option.show(value), ensure_ascii=False)


def as_toml(settings: Settings) -> str:
    """A complete configuration file with every key, its value and its meaning."""
    blocks = [
        "# Every setting of downloader with its default. Order: default < this file < environment < flag.",
    ]
    for section, values in each_section(settings):
        lines = [f"[{section}]"]
        options = values.options()
        lines += [f"{name} = {show_value(opt, getattr(values, name))}  # {opt.help}" for name, opt in options.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def each_section(settings: Settings) -> Iterable[tuple[str, Section]]:
    """The tables of some settings under their names, in order."""
    return ((table, attrgetter(table)(settings)) for table in TABLES)
