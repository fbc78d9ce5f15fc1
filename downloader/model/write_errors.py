"""Errors of the system: which end a run, and which cost one item. Pure."""

import errno
from typing import Final

from downloader.errors import ResourcesExhausted

_PLACE_ERRNOS: Final = frozenset(
    number
    for name in (
        "ENOSPC",  # no room, or no inodes left
        "EDQUOT",
        "EROFS",
        "EIO",
        "ENODEV",  # a disk that was pulled out
        "ENXIO",
        "ESTALE",  # NFS: the folder that was mounted is gone
        "ENOTCONN",  # FUSE: the process that serves the file system is gone
    )
    if (number := getattr(errno, name, None)) is not None
)
"""What says that a file system takes no more, whatever the name of the file."""
_ADVICE: Final = {
    errno.ENAMETOOLONG: "the name is too long for this file system; shorter names come from --name",
    errno.EINVAL: "this file system does not take the name; other names come from --name",
    errno.EILSEQ: "this file system does not take the name; other names come from --name",
    errno.ENOENT: "a folder in its path was removed, or is a symbolic link that leads nowhere",
    errno.ELOOP: "a symbolic link in its path leads back to itself",
    errno.EXDEV: "its folder is on another file system than the output folder",
}


def ends_run(number: int | None, *, root_is_usable: bool, is_elsewhere: bool = False) -> bool:
    """Whether an error says that the output as a whole cannot be written; otherwise it costs one item.

    Args:
        number: errno of the error.
        root_is_usable: whether the output folder is there, is a folder, and may be written.
        is_elsewhere: whether the error came from a folder on another file system than the output folder, such as a
            mount below it; other items do not need that one.
    """
    return not root_is_usable or (number in _PLACE_ERRNOS and not is_elsewhere)


def check_resources(error: BaseException | None) -> None:
    """Raise ResourcesExhausted if that is what an error, or one of its causes, comes from: no item is to blame."""
    while error is not None:
        if (lack := _lack(error)) is not None:
            raise ResourcesExhausted(f"{lack}; the same command continues") from error
        error = error.__cause__


def _lack(error: BaseException) -> str | None:
    match error:
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return f"no more files may be opened ({error.strerror}): raise the limit (`ulimit -n`) or lower --threads"
        case MemoryError() | OSError(errno=errno.ENOMEM):
            return "there is no memory left: lower --threads, --processes or --queue-size"
        case RuntimeError(args=("can't start new thread",)):
            return "no more threads may be started: raise the limit (`ulimit -u`) or lower --threads"
    return None


def write_problem(error: OSError) -> str:
    """Why a file could not be written, for a person."""
    return _ADVICE.get(error.errno or 0) or error.strerror or str(error)
