"""The state of an output: lock, journal, staged bytes, stored settings, the summary of the last run.

`places` says where it lies.

Workspace.create(output)      to run: made if need be, locked against other runs
Workspace.open(output)        to change what is there, while no run does
open_output(output)           to look, also while a run is at work; changes nothing
open_unused(output)           the same, while no run is at work
"""

import json
import os
import shutil
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
from downloader.config.values import is_remote
from downloader.errors import ConfigError, JournalError, OutputError, OutputLocked
from downloader.exports.item_table import write_items
from downloader.exports.metadata_table import MetadataFile
from downloader.journal import FILE_NAME, Journal
from downloader.model.items import Fetched, Requeued
from downloader.model.states import State, after_crash
from downloader.places import STATE_FOLDER, state_folder
from downloader.report.summary import Summary, summary_of
from downloader.report.versions import versions
from downloader.storage.places import open_store

GROUPS_FOLDER = "groups"
SUMMARY_FILE = "summary.json"
REPORT, TIMELINE = "report.html", "timeline.json"
_SETTINGS, _SUMMARY = "settings", "summary"
_LOOK_S = 0.2
"""Seconds that a run waits for its lock: those who look hold it for a moment, to see whether a run does."""


class Workspace:
    """The state of one output, locked by this process until it is closed.

    Attributes:
        state: the folder of this state.
        staging: the folder for bytes on their way.
        groups: the folder for the files of groups that are not sealed.
        timeline: the file of how the last run went over time.
        journal: what is known of every item.
        is_foreign: whether the output folder held something before any run worked on it.
    """

    def __init__(self, state: Path, lock: FileLock, journal: Journal, *, is_foreign: bool) -> None:
        self.state = state
        self.staging = state / "staging"
        self.groups = state / GROUPS_FOLDER
        self.timeline = state / TIMELINE
        self.journal = journal
        self.is_foreign = is_foreign
        self._lock = lock

    @classmethod
    def create(cls, output: str | PurePath, state_dir: str | PurePath | None = None) -> Self:
        """The workspace of an output, made where there is none.

        Raises:
            OutputLocked: another run works on this output.
            OutputError: the output cannot be written.
            JournalError: its journal cannot be used.
        """
        state = state_folder(output, state_dir)
        try:
            is_foreign = _holds_files(str(output))
            state.mkdir(mode=0o700, parents=True, exist_ok=True)  # the journal holds URLs with their passwords
            (state / "staging").mkdir(exist_ok=True)
            lock = _lock(state, output)
        except (FileExistsError, NotADirectoryError):
            raise OutputError(f"{_named(output, state)}: is a file, not a folder; {_other(output)}") from None
        except OSError as problem:
            place = _named(output, state)
            raise OutputError(f"{place}: cannot be written: {problem.strerror}; {_other(output)}") from None
        return cls._locked(state, lock, is_foreign=is_foreign)

    @classmethod
    def open(cls, output: str | PurePath, state_dir: str | PurePath | None = None) -> Self:
        """The workspace of an output that a run has made.

        Raises:
            OutputLocked: a run works on this output.
            OutputError: the output cannot be written.
            JournalError: there is no journal, or it cannot be used.
        """
        with open_output(output, state_dir):  # says where there is none, and makes nothing
            pass
        state = state_folder(output, state_dir)
        try:
            lock = _lock(state, output)
        except OSError as problem:
            raise OutputError(f"{_named(output, state)}: cannot be written: {problem.strerror}") from None
        return cls._locked(state, lock, is_foreign=False)

    @classmethod
    def _locked(cls, state: Path, lock: FileLock, *, is_foreign: bool) -> Self:
        try:
            return cls(state, lock, Journal(state / FILE_NAME), is_foreign=is_foreign)
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
        path = self.state / SUMMARY_FILE
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(text + "\n")
            temporary.replace(path)
        except OSError as problem:
            raise OutputError(f"{path}: cannot be written: {problem.strerror}; the results are stored") from problem

    def publish(self, output: str) -> None:
        """Put summary and report beside the results of a remote output; in a folder they are there already.

        Raises:
            OutputError: they cannot be stored.
        """
        if not is_remote(output):
            return
        names = []
        with closing(open_store(output)) as store:
            for file in (SUMMARY_FILE, REPORT):
                if (self.state / file).exists():
                    copy = shutil.copyfile(self.state / file, self.staging / file)
                    names.append(name := f"{STATE_FOLDER}/{file}")
                    store.check(name, replace=True)
                    store.put(str(copy), name)
            for reason in store.sync(names).values():
                raise OutputError(f"{reason}; the results are stored")

    def metadata_file(self, settings: Settings) -> MetadataFile:
        """The metadata file that a run with these settings writes.

        Raises:
            ConfigError: it cannot be written.
        """
        wanted = settings.output.metadata_file
        if wanted != "none" and is_remote(settings.output.output):
            raise ConfigError(
                "--metadata-file is for folders; `status OUT --format parquet -o FILE` makes a table of the items of "
                f"{settings.output.output}"
            )
        return MetadataFile(
            Path(settings.output.output),
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
def open_output(output: str | PurePath, state_dir: str | PurePath | None = None) -> Iterator[OutputView]:
    """Look at an output without changing it, also while a run works on it.

    Raises:
        JournalError: there is no journal, or it cannot be read.
    """
    state = _existing(output, state_dir)
    with _shared_lock(state) as in_use:
        pass  # a run that begins later does not touch the journal's file before its log is long
    with closing(Journal(state / FILE_NAME, read_only=True, in_use=in_use)) as journal:
        yield OutputView(journal)


@contextmanager
def open_unused(output: str | PurePath, state_dir: str | PurePath | None = None) -> Iterator[Journal]:
    """Look at the journal of an output without changing it, and let no run begin meanwhile.

    Raises:
        OutputLocked: a run works on this output.
        JournalError: there is no journal, or it cannot be read.
    """
    state = _existing(output, state_dir)
    with _shared_lock(state) as in_use:
        if in_use:
            raise _locked_out(output)
        with closing(Journal(state / FILE_NAME, read_only=True)) as journal:
            yield journal


def stored_settings(output: str | PurePath, state_dir: str | PurePath | None = None) -> Settings:
    """The settings of the last run on an output.

    Raises:
        JournalError: no run has been there, or its journal cannot be read.
        ConfigError: another version wrote settings that this one does not understand.
    """
    with open_output(output, state_dir) as view:
        settings = view.settings()
    if settings is None:
        raise JournalError(f"{output}: the run that made this output had not begun; give its command again")
    return replace(
        settings,
        output=replace(settings.output, output=str(output)),
        # The trace of that run is not to be replaced.
        run=replace(settings.run, trace=None, state_dir=None if state_dir is None else str(state_dir)),
    )


def _stored_settings(journal: Journal) -> Settings | None:
    text = journal.meta(_SETTINGS)
    return None if text is None else restore(json.loads(text))


def _lock(state: Path, output: str | PurePath) -> FileLock:
    """The lock of an output, acquired; the system releases it when its holder dies."""
    lock = FileLock(state / "lock")
    try:
        lock.acquire(timeout=_LOOK_S, poll_interval=_LOOK_S / 10)
    except Timeout:
        raise _locked_out(output) from None
    return lock


@contextmanager
def _shared_lock(state: Path) -> Iterator[bool]:
    """Keep runs from beginning; yields whether one is at work already. Only reads, so it works on any medium."""
    try:
        handle = os.open(state / "lock", os.O_RDONLY)
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


def _existing(output: str | PurePath, state_dir: str | PurePath | None) -> Path:
    """The state folder of an output that a run has made.

    Raises:
        JournalError: it is remote, and this machine has no state of it.
    """
    state = state_folder(output, state_dir)
    if is_remote(str(output)) and not (state / FILE_NAME).exists():
        raise JournalError(
            f"{output}: no state of it in {state}; it is on the machine that ran it, or where --state-dir said then"
        )
    return state


def _named(output: str | PurePath, state: Path) -> str:
    """The folder to name in a message."""
    return f"{state} (state of {output})" if is_remote(str(output)) else str(output)


def _other(output: str | PurePath) -> str:
    return "name another with --state-dir" if is_remote(str(output)) else "name another output with -o"


def _locked_out(output: str | PurePath) -> OutputLocked:
    return OutputLocked(f"{output}: another run is working on this output; wait for it or name another -o")


def _holds_files(output: str) -> bool:
    """Whether there may be anything in the output besides the state of earlier runs; a remote one is listed later."""
    if is_remote(output):
        return True
    root = Path(output)
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
