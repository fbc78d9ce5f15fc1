"""The store of an output, by how the output is written: a folder, or a URL."""

from downloader.config.values import is_remote
from downloader.storage.interface import Store


def open_store(output: str) -> Store:
    """The store of an output.

    Raises:
        ConfigError: it is a URL that needs a package that is not installed.
    """
    if is_remote(output):
        from downloader.storage.object_store import ObjectStore  # noqa: PLC0415 - fsspec is slow to load

        return ObjectStore(output)
    from pathlib import Path  # noqa: PLC0415

    from downloader.storage.local import LocalStore  # noqa: PLC0415

    return LocalStore(Path(output))
