"""What crosses the pipes between coordinator and shards: flat tuples that lose nothing."""

from collections.abc import Sequence
from dataclasses import replace

from facts import an_item
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import CannotGoOn, OutputError
from downloader.model.failures import FailureKind, SkipReason, Stage, Warn
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    File,
    FileSpan,
    Invalid,
    Item,
    OutputName,
    Part,
    Partial,
    PreviousResult,
    Rendition,
    Request,
    Skipped,
    Transformed,
    Unchanged,
    Url,
    Validator,
)
from downloader.model.spans import Phase, Span
from downloader.shards.messages import Problem, dumps, loads, pack_fact, pack_item, unpack_fact, unpack_item

texts = st.text(max_size=8)
spans = st.lists(
    st.builds(Span, st.sampled_from(Phase), st.floats(0, 1e6), st.floats(0, 1e6), st.just("download-1")), max_size=3
).map(tuple)
validators = st.one_of(
    st.just(Validator()), st.builds(Validator, etag=texts, last_modified=texts, settled=st.booleans())
)
renditions = st.builds(
    Rendition,
    variant=st.none() | texts,
    path=texts,
    extension=texts,
    format=texts,
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    bytes=st.integers(0, 9),
    sha256=texts,
)
items = st.builds(
    Item,
    id=st.integers(1, 99),
    key=texts,
    source=texts,
    what=st.one_of(
        st.builds(Url, texts),
        st.builds(File, texts),
        st.builds(FileSpan, texts, st.just(1), st.just(2)),
        st.builds(Invalid, texts),
    ),
    name=st.builds(OutputName, stem=texts, extension=st.none() | texts),
    renewed=st.booleans(),
    request=st.none() | st.builds(Request, checksum=texts),
    part=st.none() | st.builds(Part, name=texts, bytes=st.integers(0, 9)),
    previous=st.none() | st.builds(PreviousResult, validator=validators, sha256=texts, outputs=st.just((("a", 1),))),
)
facts: "st.SearchStrategy[Fact]" = st.one_of(
    st.builds(
        Fetched,
        item=items,
        path=texts,
        bytes=st.integers(0, 9),
        staged=st.booleans(),
        sha256=st.none() | texts,
        validator=validators,
        spans=spans,
    ),
    st.builds(
        Transformed,
        item=items,
        renditions=st.lists(renditions, max_size=2).map(tuple),
        width=st.integers(1, 9),
        height=st.integers(1, 9),
        sha256=texts,
        warnings=st.lists(st.sampled_from(Warn), max_size=2).map(tuple),
        spans=spans,
    ),
    st.builds(
        Failed, item=items, stage=st.sampled_from(Stage), kind=st.sampled_from(FailureKind), message=texts, spans=spans
    ),
    st.builds(
        Skipped,
        item=items,
        stage=st.sampled_from(Stage),
        reason=st.sampled_from(SkipReason),
        message=texts,
        spans=spans,
    ),
    st.builds(Unchanged, item=items, spans=spans),
    st.builds(Partial, item=items, part=st.builds(Part, name=texts)),
)


@given(items)
def test_an_item_crosses_unchanged(item: Item) -> None:
    (packed,) = loads(dumps([pack_item(item)]))
    assert unpack_item(packed) == item


@given(st.lists(facts, max_size=3))
def test_facts_cross_unchanged(said: Sequence[Fact]) -> None:
    """The item stays where it was leased, and is put back; types and enumerations are the same."""
    packed = loads(dumps([pack_fact(fact) for fact in said]))
    heard = [unpack_fact(flat, fact.item) for flat, fact in zip(packed, said, strict=True)]
    assert heard == list(said)
    assert [[type(span) for span in getattr(fact, "spans", ())] for fact in heard] == [
        [Span] * len(getattr(fact, "spans", ())) for fact in said
    ]


def test_a_fact_says_whether_earlier_results_still_stand() -> None:
    previous = PreviousResult(validator=Validator(), sha256=None, outputs=())
    item = replace(an_item(7), previous=previous)
    assert pack_fact(Unchanged(item=item))[:3][1:] == (7, True)
    assert pack_fact(Unchanged(item=an_item(7)))[:3][1:] == (7, False)


def test_a_problem_that_is_not_meant_to_end_runs_is_a_defect() -> None:
    full = OutputError("disk full")
    assert Problem.of(full).error is full
    defect = Problem.of(KeyError("x")).error
    assert isinstance(defect, CannotGoOn)
    assert "please report" in str(defect)
    (heard,) = loads(dumps([Problem(full)]))
    assert (type(heard.error), str(heard.error)) == (OutputError, "disk full")
