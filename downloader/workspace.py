"""What lies in `OUT/.downloader`: lock, journal, staged bytes, stored settings, the summary of the last run.

Workspace.create(output)      to run: made if need be, locked against other runs
Workspace.open(output)        to change what is there, while no run does
open_output(output)           to look, also while a run is at work; changes nothing
open_unused(output)           the same, while no run is at work
"""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from fcntl import LOCK_NB, LOCK_SH, flock
from hashlib import file_digest
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Self

from filelock import FileLock, Timeout

from downloader.config.load import dump, restore
from downloader.config.settings import Settings, TableFormat
from downloader.errors import JournalError, OutputError, OutputLocked
from downloader.exports.item_table import write_items
from downloader.exports.metadata_table import MetadataFile
from downloader.journal import FILE_NAME, Journal
from downloader.model.items import Fetched, Requeued
from downloader.model.states import State, after_crash
from downloader.report.summary import Summary, summary_of
from downloader.report.versions import versions

STATE_FOLDER = ".downloader"
GROUPS_FOLDER = "groups"
REPORT, TIMELINE = "report.html", "timeline.json"
_SETTINGS, _SUMMARY = "settings", "summary"
_LOOK_S = 0.2
"""Seconds that a run waits for its lock: those who look hold it for a moment, to see whether a run does."""


class Workspace:
    """The state of one output, locked by this process until it is closed.

    Attributes:
        root: the output folder.
        staging: the folder for bytes on their way.
        groups: the folder for the files of groups that are not sealed.
        timeline: the file of how the last run went over time.
        journal: what is known of every item.
        is_foreign: whether the output folder held something before any run worked on it.
    """

    def __init__(self, root: Path, lock: FileLock, journal: Journal, *, is_foreign: bool) -> None:
        self.root = root
        self.staging = root / STATE_FOLDER / "staging"
        self.groups = root / STATE_FOLDER / GROUPS_FOLDER
        self.timeline = root / STATE_FOLDER / TIMELINE
        self.journal = journal
        self.is_foreign = is_foreign
        self._lock = lock

    @classmethod
    def create(cls, root: Path) -> Self:
        """The workspace of an output, made where there is none.

        Raises:
            OutputLocked: another run works on this output.
            OutputError: the output cannot be written.
            JournalError: its journal cannot be used.
        """
        state = root / STATE_FOLDER
        try:
            is_foreign = _holds_files(root)
            state.mkdir(mode=0o700, parents=True, exist_ok=True)  # the journal holds URLs with their passwords
            (state / "staging").mkdir(exist_ok=True)
            lock = _lock(root)
        except (FileExistsError, NotADirectoryError):
            raise OutputError(f"{root}: is a file, not a folder; name another output with -o") from None
        except OSError as problem:
            raise OutputError(f"{root}: cannot be written: {problem.strerror}; name another with -o") from None
        return cls._locked(root, lock, is_foreign=is_foreign)

    @classmethod
    def open(cls, root: Path) -> Self:
        """The workspace of an output that a run has made.

        Raises:
            OutputLocked: a run works on this output.
            OutputError: the output cannot be written.
            JournalError: there is no journal, or it cannot be used.
        """
        with open_output(root):  # says where there is none, and makes nothing
            pass
        try:
            lock = _lock(root)
        except OSError as problem:
            raise OutputError(f"{root}: cannot be written: {problem.strerror}") from None
        return cls._locked(root, lock, is_foreign=False)

    @classmethod
    def _locked(cls, root: Path, lock: FileLock, *, is_foreign: bool) -> Self:
        try:
            return cls(root, lock, Journal(root / STATE_FOLDER / FILE_NAME), is_foreign=is_foreign)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()
        self._lock.release()

    @property
    def settings(self) -> Settings | None:
        """The settings of the last run on this output; None before the first.

        Raises:
            ConfigError: another version wrote settings that this one does not understand.
        """
        return _stored_settings(self.journal)

    def store_settings(self, settings: Settings) -> None:
        """Remember the settings of a run."""
        self.journal.set_meta(_SETTINGS, _json(dump(settings)))

    def store_summary(self, summary: Summary) -> None:
        """Remember how a run went, in the journal and in `summary.json`."""
        text = _json(summary.to_json())
        self.journal.set_meta(_SUMMARY, text)
        path = self.root / STATE_FOLDER / "summary.json"
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(text + "\n")
            temporary.replace(path)
        except OSError as problem:
            raise OutputError(f"{path}: cannot be written: {problem.strerror}; the results are stored") from problem

    def metadata_file(self, settings: Settings) -> MetadataFile:
        """The metadata file that a run with these settings writes.

        Raises:
            ConfigError: it cannot be written.
        """
        wanted = settings.output.metadata_file
        return MetadataFile(
            self.root,
            self.staging,
            self.journal,
            None if wanted == "none" else wanted,
            replace=settings.output.overwrite == "always",
        )

    def recover(self, *, keep_fetched: bool) -> list[Fetched]:
        """After a run that was killed: the bytes that it staged and that are intact; everything else is removed.

        Items whose bytes are gone, or with `keep_fetched` false all that were fetched, are to be fetched again.
        """
        intact, lost = [], []
        for fetched in self.journal.fetched():
            if keep_fetched and after_crash(State.FETCHED, staged_intact=_is_intact(fetched)) is State.FETCHED:
                intact.append(fetched)
            else:
                lost.append(Requeued(item=fetched.item))
        self.journal.record(lost)
        self.sweep()
        return [fetched for fetched in intact if fetched.staged]

    def sweep(self) -> None:
        """Remove from the staging folder what processes that died have left, while none is at work."""
        kept = set(self.journal.parts()).union(Path(fetched.path).name for fetched in self.journal.fetched())
        with os.scandir(self.staging) as entries:
            for entry in entries:
                if entry.name not in kept:
                    with suppress(OSError):  # such as a folder, which is not ours
                        Path(entry.path).unlink()  # ours: the lock says that no other run is alive


class OutputView:
    """What the journal of an output says."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.records = journal.records
        self.failure_groups = journal.failure_groups
        self.sources = journal.sources
        self.stored_samples = journal.stored_samples
        self.timings = journal.timings

    def settings(self) -> Settings | None:
        """The settings of the last run; None where it had not begun."""
        return _stored_settings(self._journal)

    def write_items(
        self, file: BinaryIO, table_format: TableFormat, *, state: str | None = None, kind: str | None = None
    ) -> int:
        """Write the items as a table (see `exports.item_table`), or those of one state or kind; returns their number.

        Raises:
            JournalError: the journal cannot be read any further.
        """
        settings = self.settings()
        caption = settings.source.caption_column if settings else None
        return write_items(self._journal, file, table_format, caption=caption, state=state, kind=kind)

    def summary(self) -> dict[str, Any]:
        """The counts as they are now, with the figures of the last run that ended."""
        last = json.loads(self._journal.meta(_SUMMARY) or "{}")
        now = {**summary_of(self._journal.counts()).to_json(), "versions": versions()}
        counted = (
            "total",
            "succeeded",
            "failed",
            "skipped",
            "pending",
            "failures",
            "skips",
            "statuses",
            "failing_hosts",
        )
        return {**now, **last, **{name: now[name] for name in (*counted, "bytes_downloaded", "bytes_written")}}


@contextmanager
def open_output(root: str | PurePath) -> Iterator[OutputView]:
    """Look at an output without changing it, also while a run works on it.

    Raises:
        JournalError: there is no journal, or it cannot be read.
    """
    with _shared_lock(Path(root)) as in_use:
        pass  # a run that begins later does not touch the journal's file before its log is long
    with closing(Journal(Path(root) / STATE_FOLDER / FILE_NAME, read_only=True, in_use=in_use)) as journal:
        yield OutputView(journal)


@contextmanager
def open_unused(root: Path) -> Iterator[Journal]:
    """Look at the journal of an output without changing it, and let no run begin meanwhile.

    Raises:
        OutputLocked: a run works on this output.
        JournalError: there is no journal, or it cannot be read.
    """
    with _shared_lock(root) as in_use:
        if in_use:
            raise _locked_out(root)
        with closing(Journal(root / STATE_FOLDER / FILE_NAME, read_only=True)) as journal:
            yield journal


def stored_settings(root: str | PurePath) -> Settings:
    """The settings of the last run on an output.

    Raises:
        JournalError: no run has been there, or its journal cannot be read.
        ConfigError: another version wrote settings that this one does not understand.
    """
    with open_output(root) as view:
        settings = view.settings()
    if settings is None:
        raise JournalError(f"{root}: the run that made this output had not begun; give its command again")
    run = replace(settings.run, trace=None)  # the trace of that run is not to be replaced
    return replace(settings, output=replace(settings.output, output=str(root)), run=run)


def _stored_settings(journal: Journal) -> Settings | None:
    text = journal.meta(_SETTINGS)
    return None if text is None else restore(json.loads(text))


def _lock(root: Path) -> FileLock:
    """The lock of an output, acquired; the system releases it when its holder dies."""
    lock = FileLock(root / STATE_FOLDER / "lock")
    try:
        lock.acquire(timeout=_LOOK_S, poll_interval=_LOOK_S / 10)
    except Timeout:
        raise _locked_out(root) from None
    return lock


@contextmanager
def _shared_lock(root: Path) -> Iterator[bool]:
    """Keep runs from beginning; yields whether one is at work already. Only reads, so it works on any medium."""
    try:
        handle = os.open(root / STATE_FOLDER / "lock", os.O_RDONLY)
    except OSError:  # no run has been there, or the journal may not be read either
        yield False
        return
    try:
        flock(handle, LOCK_SH | LOCK_NB)
        in_use = False
    except BlockingIOError:
        in_use = True
    except OSError:  # a file system without locks
        in_use = False
    try:
        yield in_use
    finally:
        os.close(handle)


def _locked_out(root: Path) -> OutputLocked:
    return OutputLocked(f"{root}: another run is working on this output; wait for it or name another -o")


def _holds_files(root: Path) -> bool:
    """Whether there is anything in the output besides the state of earlier runs."""
    if not root.is_dir():
        return False
    with os.scandir(root) as entries:  # closed at the first that is found: it may be a large folder
        return any(entry.name != STATE_FOLDER for entry in entries)


def _is_intact(fetched: Fetched) -> bool:
    """Whether the bytes are still what was recorded; a user's own file needs only be there."""
    try:
        if not fetched.staged:
            return Path(fetched.path).exists()
        with Path(fetched.path).open("rb") as body:
            return file_digest(body, "sha256").hexdigest() == fetched.sha256
    except OSError:
        return False


def _json(value: object) -> str:
    return json.dumps(value, indent=2)
