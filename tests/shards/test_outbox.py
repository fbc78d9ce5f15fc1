"""Facts of a shard on their way out: results are on disk before they are told of."""

import threading
from collections.abc import Callable, Mapping

import pytest
from facts import an_item

from downloader.errors import OutputError
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Fact, Failed, Fetched, Rendition, Transformed
from downloader.shards.messages import Flat, unpack_fact
from downloader.shards.outbox import DurableFacts


def fetched(path: str) -> Fetched:
    return Fetched(item=an_item(1), path=path, bytes=1, staged=True)


def transformed(*paths: str) -> Transformed:
    renditions = tuple(
        Rendition(variant=None, path=path, extension="jpg", format="jpeg", width=1, height=1, bytes=1, sha256="")
        for path in paths
    )
    return Transformed(item=an_item(1), renditions=renditions, width=1, height=1, sha256="")


def told(
    results: type[Fetched] | type[Transformed], sync: Callable[[list[str]], Mapping[str, str]], *facts: Fact
) -> list[Fact]:
    """What is sent of these facts, to the end."""
    sent: list[Flat] = []
    durable = DurableFacts(sync, results, sent.append)
    thread = threading.Thread(target=durable.run)
    thread.start()
    for fact in facts:
        durable.emit(fact)
    durable.close()
    thread.join(10)
    return [unpack_fact(flat, an_item(1)) for flat in sent]


def test_facts_are_told_in_order_after_their_files_are_synced() -> None:
    synced: list[str] = []

    def sync(paths: list[str]) -> Mapping[str, str]:
        synced.extend(paths)
        return {}

    facts = (fetched("body"), transformed("a.jpg", "b.jpg"))
    assert told(Transformed, sync, *facts) == list(facts)
    assert synced == ["a.jpg", "b.jpg"], "fetched bytes are results only where nothing transforms them"


def test_without_transforms_the_bytes_are_synced() -> None:
    synced: list[str] = []

    def sync(paths: list[str]) -> Mapping[str, str]:
        synced.extend(paths)
        return {}

    told(Fetched, sync, fetched("body"))
    assert synced == ["body"]


def test_a_result_whose_file_cannot_be_synced_has_failed() -> None:
    """The item only, with the reason."""
    (lost, kept) = told(Fetched, lambda _: {"lost": "Input/output error"}, fetched("lost"), fetched("kept"))
    assert isinstance(lost, Failed)
    assert (lost.stage, lost.kind, lost.message) == (Stage.OUTPUT, FailureKind.WRITE, "Input/output error")
    assert isinstance(kept, Fetched)


def test_an_output_that_cannot_be_written_ends_the_thread() -> None:
    def sync(_: list[str]) -> Mapping[str, str]:
        raise OutputError("disk full")

    durable = DurableFacts(sync, Fetched, lambda _: None)
    durable.emit(fetched("body"))
    with pytest.raises(OutputError, match="disk full"):
        durable.run()
