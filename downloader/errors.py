"""Exceptions that stop a run.

A bad URL or a broken image never raises: it is a `Failed` value that flows on to the journal. What is raised here ends
the whole run with one line for the user, and each class knows its exit code::

    DownloaderError             2
    |-- ConfigError             2   a setting is wrong, wherever it comes from; a ValueError too
    |-- SourceError             2   a source named on the command line cannot be read
    |-- NotThereYet             2   the name of the command is reserved, and this version does not have it
    |-- Unaccounted             3   a run has ended and left items without an outcome: a defect in this program
    |-- IllegalTransition       3   a fact does not fit the item's state: a defect in this program
    `-- CannotGoOn              3   the run cannot continue
        |-- OutputError         3   the output cannot be written: disk full, read-only, not a folder
        |-- ResourcesExhausted  3   the process has no memory, files or threads left
        |-- OutputLocked        3   another run works on the same output
        `-- JournalError        3   the journal is damaged, or written by a newer version
"""


class DownloaderError(Exception):
    """Base of everything that stops a run. The message is one line, made for the user."""

    exit_code = 2


class ConfigError(DownloaderError, ValueError):
    """A setting is wrong: an option, an environment variable, a configuration file, or a value given in Python."""


class SourceError(DownloaderError):
    """A source named on the command line cannot be read."""


class NotThereYet(DownloaderError):
    """The name of the command is reserved, and this version does not have it."""


class IllegalTransition(DownloaderError):
    """A fact does not fit the state of its item; the item is left as it was."""

    exit_code = 3


class Unaccounted(DownloaderError):
    """A run that was not interrupted has ended, and some of its items have no outcome; they are still pending."""

    exit_code = 3


class CannotGoOn(DownloaderError):
    """The run cannot continue; what is in the journal is kept."""

    exit_code = 3


class OutputError(CannotGoOn):
    """The output cannot be written: disk full, read-only, not a folder."""


class ResourcesExhausted(CannotGoOn):
    """The process, or the system, has no memory, open files or threads left; no item is to blame."""


class OutputLocked(CannotGoOn):
    """Another run works on the same output folder."""


class JournalError(CannotGoOn):
    """The journal is damaged, or was written by a newer version."""
