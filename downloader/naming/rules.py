"""How the rows of one run are named: made once from the settings. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from downloader.config.settings import Settings
from downloader.errors import ConfigError
from downloader.model.items import ORIGINAL, OutputName, Row
from downloader.naming import layout


@dataclass(frozen=True, slots=True)
class NamingRules:
    """Gives rows their names."""

    settings: Settings
    template: layout.Template | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The rules of a run.

        Raises:
            ConfigError: the settings on names cannot be used, or contradict each other.
        """
        _check_variants(settings)
        template = _template(settings)
        _check_server_names(settings)
        return cls(settings, template)

    @property
    def variants(self) -> tuple[str | None, ...]:
        """The names of the sizes that are made of each item; None for the only one."""
        return self.settings.transform.variants if self.settings.makes_images else (None,)

    def names(self, row: Row, index: int, key: str) -> Iterator[tuple[str, OutputName]]:
        """The names to try in turn for a row, each with its folded form; `index` is its place in the list."""
        name = layout.claim_for(
            row,
            mode=self.settings.mode,
            format=self.settings.transform.format,
            template=self.template,
            animated=self.settings.transform.animated,
            index=index,
            key=key,
            keep_originals=self.settings.keeps_originals,
        )
        return ((layout.fold(option.stem), option) for option in layout.alternatives(name, key))


def _template(settings: Settings) -> layout.Template | None:
    if settings.output.name is None:
        return None
    try:
        template = layout.Template(settings.output.name)
    except ValueError as problem:
        raise ConfigError(f"--name: {problem}") from None
    if missing := [column for column in template.columns if column not in settings.source.kept_columns]:
        raise ConfigError(f"--name: the column {missing[0]!r} is not kept; name it with --keep-columns")
    return template


def _check_server_names(settings: Settings) -> None:
    if not settings.output.trust_server_names:
        return
    if settings.makes_images:
        raise ConfigError("--trust-server-names is for `fetch`: images are named after their URLs")
    if settings.output.name is not None:
        raise ConfigError("--trust-server-names and --name exclude each other")


def _check_variants(settings: Settings) -> None:
    """Refuse names of sizes that stand for the originals."""
    taken = {ORIGINAL, layout.ORIGINALS}
    names = [size.name for size in settings.transform.resize if size.name and size.name.lower() in taken]
    if names and settings.keeps_originals:
        raise ConfigError(f"--resize: a size cannot be called {names[0]!r} beside --keep-originals")
