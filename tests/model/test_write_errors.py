"""Which errors of the file system end a run."""

import errno
import os

import pytest

from downloader.errors import ResourcesExhausted
from downloader.model.write_errors import check_resources, ends_run, write_problem

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


def caused_by(cause: BaseException) -> RuntimeError:
    error = RuntimeError("something failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENFILE, "Too many open files in system"), "ulimit -n"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "no memory left"),
        (MemoryError(), "no memory left"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (caused_by(caused_by(MemoryError())), "no memory left"),
    ],
)
def test_what_a_process_lacks_is_told_apart_from_faults_of_items(error: BaseException, what: str) -> None:
    with pytest.raises(ResourcesExhausted, match=what):
        check_resources(error)


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), RuntimeError("else"), None])
def test_other_errors_are_no_lack(error: BaseException | None) -> None:
    check_resources(error)
