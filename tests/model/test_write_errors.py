"""Which errors of the file system end a run."""

import errno
import os

import pytest

from downloader.model.write_errors import ends_run, write_problem

OF_THE_PLACE = ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ENODEV", "ESTALE")
OF_A_NAME = (
    "ENAMETOOLONG", "EINVAL", "EILSEQ", "ENOTDIR", "EISDIR", "EEXIST", "ELOOP", "ENOENT", "EACCES", "EPERM", "EXDEV",
    "EFBIG", "EMFILE", "EBUSY",
)  # fmt: skip


@pytest.mark.parametrize("name", [*OF_THE_PLACE, *OF_A_NAME])
def test_only_what_is_wrong_with_the_place_ends_a_run(name: str) -> None:
    """Any error does where the output folder is gone or protected; those of a mount below it never do."""
    number = getattr(errno, name)
    assert ends_run(number, root_is_usable=True) == (name in OF_THE_PLACE)
    assert ends_run(number, root_is_usable=False)
    assert not ends_run(number, root_is_usable=True, is_elsewhere=True)


def test_messages_are_for_a_person() -> None:
    """What to do where there is something; otherwise what the system says."""
    assert "--name" in write_problem(OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))
    assert write_problem(OSError(errno.EPERM, "Operation not permitted")) == "Operation not permitted"
    assert write_problem(OSError("odd")) == "odd"
