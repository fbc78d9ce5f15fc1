"""What the coordinator knows of the work of one shard."""

from dataclasses import replace

import pytest
from facts import an_item
from hypothesis import given
from hypothesis import strategies as st

from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Part, Partial, PreviousResult, Transformed, Unchanged, Validator
from downloader.scheduling.interface import LeaseBatch
from downloader.shards.holdings import Holdings, Kept
from downloader.shards.messages import pack_fact, pack_item


def fetched(item_id: int) -> Fetched:
    return Fetched(item=an_item(item_id), path=f"staging/{item_id}", bytes=1, staged=True)


@pytest.fixture
def holdings() -> Holdings:
    return Holdings(makes_images=True)


def lease(holdings: Holdings, *ids: int) -> int:
    return holdings.lease(LeaseBatch("h", [an_item(item_id) for item_id in ids])).batch


def test_a_lease_names_new_items_and_tasks_that_the_shard_keeps(holdings: Holdings) -> None:
    message = holdings.lease(LeaseBatch("h", [an_item(1), Kept(0, 17)]))
    assert message.tasks == (pack_item(an_item(1)), 17)
    assert (holdings.batches, holdings.tasks, holdings.items) == (1, 2, 1)


def test_what_was_not_begun_is_no_longer_in_hand(holdings: Holdings) -> None:
    number = lease(holdings, 1, 2, 3)
    batch, back = holdings.released(number, 2)
    assert (batch.host, back) == ("h", [an_item(2), an_item(3)])
    assert (holdings.batches, holdings.tasks, holdings.items) == (0, 0, 1)


def test_fetched_bytes_stay_in_hand_until_they_are_transformed(holdings: Holdings) -> None:
    lease(holdings, 1)
    assert holdings.fact(pack_fact(fetched(1))) == fetched(1)
    assert holdings.abandoned()[1] == [fetched(1)]
    made = Transformed(item=an_item(1), renditions=(), width=1, height=1, sha256="")
    assert holdings.fact(pack_fact(made)) == made
    assert holdings.items == 0


def test_without_transforms_fetched_bytes_are_the_outcome() -> None:
    holdings = Holdings(makes_images=False)
    lease(holdings, 1)
    holdings.fact(pack_fact(fetched(1)))
    assert holdings.items == 0


def test_a_part_that_is_durable_is_where_the_next_shard_goes_on(holdings: Holdings) -> None:
    lease(holdings, 1)
    part = Part(name="p", bytes=5)
    holdings.fact(pack_fact(Partial(item=an_item(1), part=part)))
    assert holdings.abandoned()[1] == [replace(an_item(1), part=part)]


def test_earlier_results_that_are_gone_are_forgotten(holdings: Holdings) -> None:
    item = replace(an_item(1), previous=PreviousResult(validator=Validator(), sha256=None, outputs=()))
    holdings.lease(LeaseBatch("h", [item]))
    assert holdings.fact(pack_fact(fetched(1))).item.previous is None
    holdings.lease_local([replace(item, id=2)])
    unchanged = Unchanged(item=replace(item, id=2))
    assert holdings.fact(pack_fact(unchanged)) == unchanged


def test_a_dead_shard_leaves_its_batches_and_items(holdings: Holdings) -> None:
    lease(holdings, 1, 2)
    holdings.lease_local([an_item(3), fetched(4)])
    holdings.fact(pack_fact(Failed(item=an_item(2), stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="x")))
    batches, left = holdings.abandoned()
    assert [batch.host for batch in batches] == ["h"]
    assert left == [an_item(1), an_item(3), fetched(4)]


@given(st.lists(st.integers(1, 8), max_size=10), st.data())
def test_tasks_are_those_of_batches_that_have_not_ended(sizes: list[int], data: st.DataObject) -> None:
    holdings, numbers, first = Holdings(makes_images=True), [], 1
    for size in sizes:
        numbers.append((lease(holdings, *range(first, first + size)), size))
        first += size
    ended = data.draw(st.lists(st.sampled_from(numbers), unique=True)) if numbers else []
    for number, size in ended:
        holdings.released(number, data.draw(st.integers(0, size)))
    assert holdings.tasks == sum(sizes) - sum(size for _, size in ended)
