"""What a source needs before it can be read: permission, and sometimes an optional library."""

import importlib
import os
from collections.abc import Sequence
from types import ModuleType

from downloader.errors import SourceError


def check_readable(path: str) -> None:
    """Make sure that a file or folder may be read. It is not opened: the other end of a pipe would notice.

    Raises:
        SourceError: it may not be read.
    """
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise SourceError(f"{path}: permission denied; make it readable, or name another source")


def optional_library(modules: Sequence[str], *, path: str, needed_for: str, package: str, extra: str) -> ModuleType:
    """The first of the modules that is installed; `path` is the source that needs it.

    Raises:
        SourceError: none is installed; says how to get it.
    """
    for name in modules:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise SourceError(
        f"{path}: {needed_for} is read with {package}, which is not installed; the extra {extra!r} brings it, or "
        f"pip install {package}"
    )
