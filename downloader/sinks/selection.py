"""Which sink the settings ask for."""

from pathlib import Path
from typing import TYPE_CHECKING

from downloader.config.settings import Settings
from downloader.naming.rules import NamingRules
from downloader.sinks.files import FilesSink
from downloader.sinks.grouping import Dataset, check_settings
from downloader.sinks.interface import ExistingOutputs, Sink
from downloader.storage.interface import Store

if TYPE_CHECKING:
    from downloader.sinks.sealing import GroupRecords

# What only group sinks need is imported with them: most runs have none, and short ones would wait for it.


def check_sink(settings: Settings) -> None:
    """Make sure, before any work, that the sink can do what the settings ask for.

    Raises:
        ConfigError: it cannot, or a library is missing.
    """
    check_settings(settings)
    if settings.makes_groups:
        from downloader.sinks.tables import check_installed  # noqa: PLC0415 - see above

        check_installed(f"--sink {settings.output.sink}")


def open_sink(
    settings: Settings, store: Store, *, groups: Path, records: "GroupRecords", is_foreign: bool, are_durable: bool
) -> Sink:
    """The sink of a run; the other arguments are those of `FilesSink` and `GroupSink`."""
    if settings.makes_groups:
        from downloader.sinks.groups import GroupSink  # noqa: PLC0415 - see above

        return GroupSink(store, groups, Dataset.from_settings(settings), records)
    return _files(settings, store, is_foreign=is_foreign, are_durable=are_durable)


def existing_outputs(settings: Settings, store: Store, *, is_foreign: bool) -> ExistingOutputs:
    """What shows which outputs exist, where nothing is stored: in a shard."""
    if settings.makes_groups:
        from downloader.sinks.groups import NoOutputs  # noqa: PLC0415 - see above

        return NoOutputs()
    return _files(settings, store, is_foreign=is_foreign)


def _files(settings: Settings, store: Store, *, is_foreign: bool, are_durable: bool = False) -> FilesSink:
    return FilesSink(
        store,
        replace=settings.output.overwrite == "always",
        variants=NamingRules.from_settings(settings).variants,
        is_foreign=is_foreign,
        are_durable=are_durable,
    )
