"""The sink of groups over a real journal: rows and files batch by batch, and what goes wrong with them."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from facts import names, open_items, url_row
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import fetched, images

from downloader.errors import OutputError
from downloader.model.failures import FailureKind, SkipReason, Stage
from downloader.model.groups import RowStatus
from downloader.model.items import Fact, Failed, Item, Outcome, Skipped, Stored, Transformed, Unchanged
from downloader.model.spans import Phase
from downloader.sinks.group_files import tar_ending, tar_members
from downloader.sinks.grouping import Dataset
from downloader.sinks.groups import GroupSink
from downloader.storage.interface import NameRefused
from downloader.storage.local import LocalStore
from downloader.workspace import Workspace

ROWS = 3


class Output(NamedTuple):
    """A sink and what is around it."""

    root: Path
    workspace: Workspace
    store: LocalStore
    sink: GroupSink
    items: list[Item]

    def write(self, batch: Sequence[Transformed | Failed | Skipped]) -> list[Outcome]:
        """Store and record a batch as the writer does."""
        outcomes = self.sink.store(batch)
        facts: list[Fact] = []
        for fact, outcome in zip(batch, outcomes, strict=True):
            if isinstance(fact, Transformed):
                facts.append(fetched(fact.item, self.workspace.staging))
                if isinstance(outcome, Stored):
                    facts.append(fact)
            facts.append(outcome)
        self.workspace.journal.record(facts)
        self.sink.settle(outcomes)
        return outcomes

    def image(self, index: int, content: bytes = b"image") -> Transformed:
        return images(self.items[index], self.workspace.staging, content)


@pytest.fixture(params=["webdataset", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def output(tmp_path: Path, kind: str) -> Iterator[Output]:
    root = tmp_path / "out"
    with Workspace.create(root) as workspace:
        store = LocalStore(root)
        dataset = Dataset(kind=kind, group_rows=ROWS, extension="jpg")  # type: ignore[arg-type]
        sink = GroupSink(store, workspace.groups, dataset, workspace.journal)
        sink.recover()
        workspace.journal.begin_plan()
        workspace.journal.plan_rows([url_row(f"https://h/{index}") for index in range(9)], 0, names)
        yield Output(root, workspace, store, sink, open_items(workspace.journal))
        sink.close()


def failed(item: Item) -> Failed:
    return Failed(item=item, stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="no such host")


def skipped(item: Item) -> Skipped:
    return Skipped(item=item, stage=Stage.TRANSFORM, reason=SkipReason.TOO_SMALL, message="too small")


def row_of(outcome: Outcome) -> tuple[int, int, RowStatus]:
    assert isinstance(outcome, Stored | Failed | Skipped)
    assert outcome.row is not None
    return outcome.row.group, outcome.row.position, outcome.row.status


def test_every_outcome_takes_the_next_row(output: Output) -> None:
    """Over batches and groups, in the order of the facts; each result reads as recorded, sealed or not."""
    items = output.items
    outcomes = output.write([output.image(0, b"zero"), failed(items[1])])
    outcomes += output.write([skipped(items[2]), output.image(3, b"three" * 300)])
    success, resize, download = RowStatus.SUCCESS, RowStatus.FAILED_TO_RESIZE, RowStatus.FAILED_TO_DOWNLOAD
    expected = [(0, 0, success), (0, 1, download), (0, 2, resize), (1, 0, success)]
    assert [row_of(outcome) for outcome in outcomes] == expected
    for index, content in ((0, b"zero"), (3, b"three" * 300)):
        stored = outcomes[index]
        assert isinstance(stored, Stored)
        assert [span.phase for span in stored.spans] == [Phase.WRITE]
        with output.sink.open(stored.outputs[0]) as file:
            assert file.read() == content
    assert list(output.sink.sealed) == [0]
    assert (output.root / "00000.parquet").exists()
    assert not (output.root / "00001.parquet").exists()
    output.sink.finish()
    assert (output.root / "00001.parquet").exists()
    assert list(output.workspace.groups.iterdir()) == []


@pytest.mark.parametrize("cut", [10, 400])
def test_a_damaged_group_reads_as_empty(output: Output, cut: int) -> None:
    """Cut off anywhere: no error of a library comes through, and no other bytes."""
    outcomes = output.write([output.image(index, bytes([index]) * 3000) for index in range(ROWS)])
    for path in (*output.root.glob("*.tar"), *output.root.glob("00000.parquet")):
        path.write_bytes(path.read_bytes()[:-cut] if path.suffix == ".parquet" else b"cut")
    for outcome in outcomes:
        assert isinstance(outcome, Stored)
        with output.sink.open(outcome.outputs[0]) as file:
            assert file.read() == b""


def test_damaged_pages_of_a_table_read_as_empty(output: Output) -> None:
    outcomes = output.write([output.image(index, bytes([65 + index]) * 3000) for index in range(ROWS)])
    table = output.root / "00000.parquet"
    content = table.read_bytes()
    table.write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    for outcome in outcomes if output.sink._dataset.kind == "parquet" else ():  # noqa: SLF001
        assert isinstance(outcome, Stored)
        with output.sink.open(outcome.outputs[0]) as file:
            assert file.read() == b""


def test_staged_files_stay_until_the_outcomes_are_recorded(output: Output) -> None:
    fact = output.image(0)
    staged = Path(fact.renditions[0].path)
    outcomes = output.sink.store([fact])
    assert staged.exists()
    output.sink.settle(outcomes)
    assert not staged.exists()


def test_what_cannot_be_read_is_a_row_without_an_image(output: Output) -> None:
    """A staged file that is gone or cut short costs its item; the others keep their places."""
    gone, cut = output.image(0), output.image(1)
    Path(gone.renditions[0].path).unlink()
    Path(cut.renditions[0].path).write_bytes(b"i")
    outcomes = output.write([gone, cut, output.image(2)])
    assert [type(outcome) for outcome in outcomes] == [Failed, Failed, Stored]
    assert [row_of(outcome)[1] for outcome in outcomes] == [0, 1, 2]
    assert {outcome.kind for outcome in outcomes if isinstance(outcome, Failed)} == {FailureKind.WRITE}


def test_bytes_of_any_format_and_unchanged_items(output: Output) -> None:
    """Neither can happen in a run, which refuses the settings; if it does, no sample is made up."""
    (outcome,) = output.sink.store([fetched(output.items[0], output.workspace.staging)])
    assert isinstance(outcome, Failed)
    unchanged = Unchanged(item=output.items[1])
    assert output.sink.store([unchanged]) == [unchanged]
    assert output.sink.store([]) == []


def test_a_folder_that_cannot_be_written_ends_the_run(output: Output) -> None:
    output.workspace.groups.write_bytes(b"no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        output.sink.store([output.image(0)])
    output.workspace.groups.unlink()


def test_a_name_that_is_refused_ends_the_run_and_the_next_one_seals(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost: what was recorded is sealed by the sink that comes after."""

    def refuse(staged: str, name: str) -> None:
        raise NameRefused(f"{name}: no such luck with {staged}")

    with monkeypatch.context() as patch:
        patch.setattr(output.store, "put", refuse)
        with pytest.raises(OutputError, match="no such luck"):
            output.write([output.image(index) for index in range(ROWS)])
    again = GroupSink(output.store, output.workspace.groups, output.sink._dataset, output.workspace.journal)  # noqa: SLF001
    again.recover()
    assert list(again.sealed) == [0]
    assert (output.root / "00000.parquet").exists()


def test_a_group_that_lost_its_file_while_it_was_sealed(output: Output) -> None:
    """Its items are pending again, and its number is not used again."""
    journal = output.workspace.journal
    output.write([output.image(0)])
    journal.begin_sealing(0)
    output.sink.close()
    for path in output.workspace.groups.iterdir():
        path.unlink()
    again = GroupSink(LocalStore(output.root), output.workspace.groups, output.sink._dataset, journal)  # noqa: SLF001
    again.recover()
    assert len(open_items(journal)) == 9
    assert journal.next_group() == 1
    again.close()


@given(st.lists(st.tuples(st.binary(max_size=2000), st.text(max_size=600)), max_size=5))
@settings(max_examples=50, deadline=None)
def test_members_are_those_of_a_tar(tmp_path_factory: pytest.TempPathFactory, samples: list[tuple[bytes, str]]) -> None:
    """Whatever is packed is read back by tarfile, and the image lies where it is said to."""
    content = b""
    for index, (image, text) in enumerate(samples):
        parts, offset = tar_members(f"{index:09d}", "jpg", image, {"txt": text})
        start = len(content)
        content += b"".join(parts)
        assert content[start + offset : start + offset + len(image)] == image
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    path.write_bytes(content + tar_ending(len(content)))
    assert path.stat().st_size % tarfile.RECORDSIZE == 0
    with tarfile.open(path) as tar:
        found = [file.read() for member in tar if (file := tar.extractfile(member)) is not None]
    assert found == [part for image, text in samples for part in (image, text.encode())]
