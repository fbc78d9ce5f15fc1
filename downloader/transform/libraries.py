"""Which libraries of extras the transforms of a run need. Light to import: the parent process asks."""

import importlib.util

from downloader.config.settings import TransformOptions
from downloader.errors import ConfigError


def check_libraries(settings: TransformOptions) -> None:
    """Make sure that the libraries are installed.

    Raises:
        ConfigError: one is not; says how to get it.
    """
    for is_needed, option, package, module in (
        (settings.perceptual_hash, "--perceptual-hash", "imagehash", "imagehash"),
        (settings.blurhash, "--blurhash", "blurhash-rs", "blurhash_rs"),
    ):
        if is_needed and importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"{option}: needs {package}, which is not installed; the extra 'hashes' brings it, or "
                f"pip install {package}"
            )
