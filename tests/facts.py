"""Facts and rows for tests of the states and the journal."""

from collections.abc import Iterator

from downloader.model.failures import FailureKind, SkipReason, Stage, Warn
from downloader.model.items import (
    Claim,
    Fact,
    Failed,
    Fetched,
    Item,
    Origin,
    Output,
    Part,
    Partial,
    Reopened,
    Requeued,
    Row,
    Segment,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
    Validator,
)
from downloader.sinks import layout

KINDS: tuple[type[Fact], ...] = (
    Partial,
    Fetched,
    Transformed,
    Stored,
    Unchanged,
    Failed,
    Skipped,
    Requeued,
    Reopened,
)


def url_row(source: str, **columns: str) -> Row:
    return Row(source=source, origin=Origin.URL, columns=columns)


def names(row: Row, _index: int, key: str) -> Iterator[tuple[str, Claim]]:
    """Names by the last part of the URL, made different as the pipeline does."""
    claim = Claim(stem=row.source.rpartition("/")[2], extension=None)
    return ((layout.fold(option.stem), option) for option in layout.alternatives(claim, key))


def an_item(item_id: int = 1) -> Item:
    return Item(
        id=item_id, key="0" * 64, source="https://h/a", origin=Origin.URL, claim=Claim(stem="a", extension=None)
    )


def a_fact(kind: type[Fact], item: Item) -> Fact:
    """A plausible fact of a kind about an item."""
    if kind is Fetched:
        return Fetched(
            item=item,
            path="staged",
            bytes=10,
            staged=True,
            sha256="ab",
            media_type="image/png",
            final_url=item.source,
            http_status=200,
            attempts=2,
            validator=Validator(etag='"v1"'),
            timings_s={"download": 0.25},
        )
    if kind is Partial:
        segments = (Segment(start=0, at=3, stop=5), Segment(start=5, at=5, stop=9))
        return Partial(
            item=item, part=Part(name="1.ab.body", total=9, validator=Validator(etag='"v1"'), segments=segments)
        )
    if kind is Transformed:
        return Transformed(
            item=item,
            renditions=(),
            width=4,
            height=3,
            sha256="cd",
            warnings=(Warn.ICC_IGNORED,),
            timings_s={"decode": 0.5},
        )
    if kind is Stored:
        output = Output(variant=None, path="a.png", format="PNG", width=4, height=3, bytes=7, sha256="ef")
        return Stored(item=item, outputs=(output,), timings_s={"write": 0.125})
    if kind is Failed:
        return Failed(
            item=item,
            stage=Stage.DOWNLOAD,
            kind=FailureKind.HTTP_STATUS,
            message="404 Not Found",
            http_status=404,
            attempts=1,
        )
    if kind is Skipped:
        return Skipped(item=item, stage=Stage.TRANSFORM, reason=SkipReason.TOO_SMALL, message="too small")
    if kind is Unchanged:
        return Unchanged(item=item, attempts=1, http_status=304)
    if kind is Reopened:
        return Reopened(item=item)
    return Requeued(item=item)
