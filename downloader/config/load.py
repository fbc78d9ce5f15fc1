"""The only reader of configuration files, environment variables and flags: layers in, checked `Settings` out.

Order, later wins: default < configuration file < environment < flag. Each value remembers where it came from.
"""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from downloader.config.fields import Checked, Option, Section
from downloader.config.settings import SECTIONS, TABLES, Mode, Settings
from downloader.errors import ConfigError

Layer = Mapping[str, Mapping[str, Any]]
"""Raw values by table (`transform.jpeg` is one within a section) and field, as one place wrote them."""

_ENV_PREFIX = "downloader_"
_ENV_EXAMPLE = "DOWNLOADER_DOWNLOAD__TIMEOUT=20"
_NONE = "none"
_Holder = TypeVar("_Holder", bound=Checked)


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
    layers: tuple[tuple[Layer, Callable[[str, str], str]], ...] = (
        (_file_layer(config_file), lambda table, name: _file_place(config_file, table, name)),
        (_environment_layer(), _variable),
        (flags or {}, lambda _, name: flag_of(name)),
    )
    for layer, place in layers:
        for table, values in layer.items():
            for name, raw in values.items():
                origins[table, name] = place(table, name)
                _check_name(table, name, origins[table, name])
                merged[table][name] = raw
    settings = _applied(Settings(mode=mode, sources=tuple(sources)), merged, origins)
    if mode == "fetch" and ("download", "max_size") not in origins:
        settings = replace(settings, download=replace(settings.download, max_size=None))
        origins["download", "max_size"] = "default of fetch"
    return Resolved(settings=settings, origins=origins)


def override(settings: Settings, flags: Layer) -> Settings:
    """Settings with the values of some flags in place of theirs; raises ConfigError as `load` does."""
    return _applied(settings, flags, {(table, name): flag_of(name) for table in flags for name in flags[table]})


def _applied(settings: Settings, layer: Layer, origins: Mapping[tuple[str, str], str]) -> Settings:
    """Settings with the values of a layer in place of theirs."""
    for table, raws in layer.items():
        values = {name: _read(table, name, raw, origins[table, name]) for name, raw in raws.items()}
        settings = _replaced(settings, table.split("."), values)
    return settings


def _replaced(holder: _Holder, path: list[str], values: Mapping[str, Any]) -> _Holder:
    """Settings, or a section, with some values of the table at `path` replaced."""
    if path:
        values = {path[0]: _replaced(getattr(holder, path[0]), path[1:], values)}
    return replace(holder, **values)  # type: ignore[type-var] # every class of this base is a dataclass


def _file_layer(path: Path | None) -> Layer:
    if path is None:
        return {}
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such configuration file")
    try:
        layer = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: not valid TOML: {problem}") from None
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read: {problem.strerror}") from None
    for section, values in layer.items():
        if section not in SECTIONS or not isinstance(values, dict):
            raise ConfigError(f"{_file_place(path, None, section)}: no such section; there are {', '.join(SECTIONS)}")
    return _tables(layer)


def _environment_layer() -> Layer:
    """The environment variables of sections there are; others that begin alike belong to other programs."""
    layer: dict[str, dict[str, Any]] = {}
    for variable, text in os.environ.items():
        words = variable.lower().removeprefix(_ENV_PREFIX).split("__")
        if not variable.lower().startswith(_ENV_PREFIX) or words[0] not in SECTIONS:
            continue
        if not words[1:]:
            raise ConfigError(f"{variable.upper()}: is a section; set single values, such as {_ENV_EXAMPLE}")
        depth = 2 if ".".join(words[:2]) in TABLES and words[2:] else 1
        layer.setdefault(".".join(words[:depth]), {})["__".join(words[depth:])] = text
    return layer


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


def _check_name(table: str, name: str, where: str) -> None:
    """Refuse what is not the name of a single setting."""
    if f"{table}.{name}" in TABLES:
        raise ConfigError(f"{where}: is a table of settings; `downloader config show` lists them")
    if name not in TABLES[table].options():
        raise ConfigError(
            f"{where}: there is no setting {name!r} in [{table}]; `downloader config show` lists them all"
        )


def _read(table: str, name: str, raw: Any, where: str) -> Any:  # noqa: ANN401 - a raw value can be anything
    """The value of a raw one; `none` is None where the setting allows it."""
    section = TABLES[table]
    if isinstance(raw, str) and raw.lower() == _NONE and _may_be_none(section, name):
        return None
    try:
        return section.read(name, raw)
    except ValueError as problem:
        raise ConfigError(f"{where}: {problem}") from None


def _may_be_none(section: type[Section], name: str) -> bool:
    return type(None) in get_args(get_type_hints(section)[name])


def dump(settings: Settings) -> dict[str, Any]:
    """Plain JSON values, from which `restore` makes the same settings again."""
    return asdict(settings)


def restore(dumped: Mapping[str, Any]) -> Settings:
    """The settings that `dump` wrote; raises ConfigError where this version does not understand them."""
    try:
        return Settings(**dumped)
    except (ConfigError, TypeError) as problem:
        raise ConfigError(f"stored settings are not understood by this version: {problem}") from None


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
