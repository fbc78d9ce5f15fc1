"""Facts and rows for tests of the states and the journal."""

from collections.abc import Iterator

from downloader.journal import Journal, OverwritePolicy
from downloader.model.failures import FailureKind, SkipReason, Stage, Warn
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    Item,
    Output,
    OutputName,
    Part,
    Partial,
    RecheckRequested,
    Requeued,
    Row,
    Segment,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
    Url,
    Validator,
)
from downloader.model.spans import Phase, Span
from downloader.naming.names import alternatives, fold

KINDS: tuple[type[Fact], ...] = (
    Partial,
    Fetched,
    Transformed,
    Stored,
    Unchanged,
    Failed,
    Skipped,
    Requeued,
    RecheckRequested,
)


def url_row(source: str, **columns: str) -> Row:
    return Row(source=source, what=Url(source), columns=columns)


def names(row: Row, _index: int, key: str) -> Iterator[tuple[str, OutputName]]:
    """Names by the last part of the URL, with the usual alternatives."""
    name = OutputName(stem=row.source.rpartition("/")[2], extension=None)
    return ((fold(option.stem), option) for option in alternatives(name, key))


def item_of(task: Item | Fetched) -> Item:
    return task.item if isinstance(task, Fetched) else task


def open_items(journal: Journal) -> list[Item]:
    """The items of the plan that wait to be worked on, in order."""
    tasks = [*journal.open_urls(0, 10_000), *journal.open_local(0, 10_000)]
    return [item_of(task) for _, task in sorted(tasks, key=lambda task: task[0])]


def plan(journal: Journal, *sources: str | Row, overwrite: OverwritePolicy = "never") -> list[Item]:
    """Plan these URLs, or rows, as one run; the items that wait to be worked on."""
    journal.begin_plan()
    rows = [url_row(source) if isinstance(source, str) else source for source in sources]
    journal.plan_rows(rows, 0, names, overwrite=overwrite)
    return open_items(journal)


def an_item(item_id: int = 1) -> Item:
    return Item(
        id=item_id,
        key="0" * 64,
        source="https://h/a",
        what=Url("https://h/a"),
        name=OutputName(stem="a", extension=None),
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
            spans=(Span(Phase.BODY, 1.0, 1.25, "download-0"),),
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
            spans=(Span(Phase.DECODE, 2.0, 2.5, "transform-7"),),
        )
    if kind is Stored:
        output = Output(variant=None, path="a.png", format="PNG", width=4, height=3, bytes=7, sha256="ef")
        return Stored(item=item, outputs=(output,), spans=(Span(Phase.WRITE, 3.0, 3.125, "writer"),))
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
    if kind is RecheckRequested:
        return RecheckRequested(item=item)
    return Requeued(item=item)
