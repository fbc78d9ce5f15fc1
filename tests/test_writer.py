"""The writer: whatever stops it, nobody who tells it facts, or waits for its end, is held up."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from downloader.errors import JournalError
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Fact, Failed, Item, OutputName, Url
from downloader.sinks.files import FilesSink
from downloader.writer import Writer


def failure(item_id: int) -> Failed:
    item = Item(id=item_id, key="0" * 64, source="x", what=Url("x"), name=OutputName(stem="x", extension=None))
    return Failed(item=item, stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="there is no such host")


@pytest.mark.parametrize("facts", [1, 5000])
def test_a_writer_that_cannot_record_lets_everybody_go(tmp_path: Path, facts: int) -> None:
    """The disk fills up under the journal: the error is raised, and whoever tells or closes is let go."""
    sink = FilesSink(tmp_path, overwrite=False, variants=(None,), is_foreign=False)

    def full(_: Sequence[Fact]) -> None:
        raise JournalError("database or disk is full")

    writer = Writer(sink, full, keep_bytes=False)
    problems: list[BaseException] = []

    def work() -> None:
        try:
            writer.run()
        except JournalError as problem:
            problems.append(problem)
        writer.drain()

    def tell() -> None:
        for number in range(1, facts + 1):
            writer.tell(failure(number))
        writer.close()

    teller = threading.Thread(target=tell)
    teller.start()
    if facts == 1:
        teller.join(10)  # so that the end is in the very batch that fails
    thread = threading.Thread(target=work)
    thread.start()
    for each in (teller, thread):
        each.join(10)
        assert not each.is_alive()
    sink.close()
    assert len(problems) == 1
