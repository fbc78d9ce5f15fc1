"""The state of an output: made, locked, recovered after a crash, looked at."""

import hashlib
from pathlib import Path

import pytest
from facts import names, url_row

from downloader.config.settings import Settings
from downloader.errors import JournalError, OutputError, OutputLocked
from downloader.model.items import Fetched, Item
from downloader.model.states import State
from downloader.places import STATE_FOLDER
from downloader.report.summary import Summary
from downloader.workspace import Workspace, open_output, stored_settings


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """A second one is refused while the first works, and let in when it has ended."""
    with Workspace.create(tmp_path / "out"):
        with pytest.raises(OutputLocked, match="another run"):
            Workspace.create(tmp_path / "out")
        with pytest.raises(OutputLocked, match="another run"):
            Workspace.open(tmp_path / "out")
    with Workspace.open(tmp_path / "out"):
        pass


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        Workspace.create(tmp_path / "out")


def test_only_a_run_makes_a_workspace(tmp_path: Path) -> None:
    """Looking, and opening to change what is there, make nothing."""
    with pytest.raises(JournalError, match="no run has written here yet"), open_output(tmp_path / "out"):
        pass
    with pytest.raises(JournalError, match="no run has written here yet"):
        Workspace.open(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_foreign_until_a_run_has_been_there(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("x")
    with Workspace.create(tmp_path) as workspace:
        assert workspace.is_foreign
    with Workspace.create(tmp_path / "new") as workspace:
        assert not workspace.is_foreign


def test_settings_and_summary_are_remembered(tmp_path: Path) -> None:
    settings = Settings(sources=("urls.txt",))
    with Workspace.create(tmp_path / "out") as workspace:
        assert workspace.settings is None
        workspace.store_settings(settings)
        workspace.store_summary(Summary(total=3, duration_s=2.0, new=3))
    with Workspace.open(tmp_path / "out") as again:
        assert again.settings == settings
    assert stored_settings(tmp_path / "out").sources == settings.sources
    with open_output(tmp_path / "out") as view:
        summary = view.summary()
    assert (summary["total"], summary["duration_s"]) == (0, 2.0), "counts are those of the journal now"
    assert (tmp_path / "out" / STATE_FOLDER / "summary.json").is_file()


def test_settings_of_a_run_that_had_not_begun_are_missing(tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "out"):
        pass
    with pytest.raises(JournalError, match="had not begun"):
        stored_settings(tmp_path / "out")


def staged(workspace: Workspace, item: Item, data: bytes, *, sha256: str | None = None) -> Fetched:
    path = workspace.staging / f"{item.id}.body"
    path.write_bytes(data)
    digest = sha256 or hashlib.sha256(data).hexdigest()
    return Fetched(item=item, path=str(path), bytes=len(data), staged=True, sha256=digest)


@pytest.mark.parametrize("keep", [True, False])
def test_after_a_crash_only_intact_bytes_are_kept(tmp_path: Path, *, keep: bool) -> None:
    """Damaged and lost ones are fetched again, and files that nobody knows are removed; `fetch` keeps none."""
    with Workspace.create(tmp_path / "out") as workspace:
        journal = workspace.journal
        journal.begin_plan()
        journal.plan_rows([url_row(f"https://h/{number}") for number in range(3)], 0, names)
        good, damaged, lost = (item for _, item in journal.open_urls(0, 9))
        facts = [
            staged(workspace, good, b"good"),
            staged(workspace, damaged, b"half", sha256="0" * 64),
            staged(workspace, lost, b"lost"),
        ]
        journal.record(facts)
        Path(facts[2].path).unlink()
        (workspace.staging / "unknown.body").write_bytes(b"x")
        recovered = workspace.recover(keep_fetched=keep)
        assert [fetched.item.id for fetched in recovered] == ([good.id] if keep else [])
        assert [path.name for path in workspace.staging.iterdir()] == (["1.body"] if keep else [])
        assert journal.counts().by_state[State.PENDING] == (2 if keep else 3)
