"""Errors of the file system while results are written: which end a run, and which cost one item. Pure."""

import errno
from typing import Final

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


def write_problem(error: OSError) -> str:
    """Why a file could not be written, for a person."""
    return _ADVICE.get(error.errno or 0) or error.strerror or str(error)
