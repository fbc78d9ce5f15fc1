"""Decisions about groups: keys, columns, statuses, names, what is refused."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.config.settings import OutputOptions, Settings, SourceOptions, TransformOptions
from downloader.errors import ConfigError
from downloader.model.failures import FailureKind, SkipReason, Stage
from downloader.model.groups import GroupRow, RowStatus
from downloader.model.items import Failed, Item, OutputName, Skipped, Url
from downloader.sinks.grouping import (
    Dataset,
    Statistics,
    check_settings,
    clean,
    file_names,
    for_sink,
    group_of,
    status_of,
)

SUCCESS = GroupRow(
    group=3, position=17, end=9, at_s=5.0, status=RowStatus.SUCCESS, reason="success", width=1, height=2, sha256="ab"
)
ITEM = Item(id=1, key="k", source="https://h/a", what=Url("https://h/a"), name=OutputName(stem="a", extension=None))
GROUP_ROWS = st.integers(1, 1_000_000)


def dataset(**more: object) -> Dataset:
    return replace(Dataset(kind="webdataset", group_rows=10_000, extension="jpg"), **more)  # type: ignore[arg-type]


def settings(sink: str = "webdataset", *, mode: str = "run", **sections: object) -> Settings:
    output = sections.pop("output", {})
    return Settings(mode=mode, output=OutputOptions(sink=sink, **output), **sections)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("group_rows", "key"), [(10_000, "000030017"), (1000, "00003017"), (1001, "000030017"), (100, "0000317")]
)
def test_keys_are_those_of_img2dataset(group_rows: int, key: str) -> None:
    """Group number and position, padded to five digits and the exponent of the size."""
    assert dataset(group_rows=group_rows).key(3, 17) == key


@given(GROUP_ROWS, st.data())
def test_keys_differ_and_sort_as_their_rows(group_rows: int, data: st.DataObject) -> None:
    """Over all rows of all groups; as img2dataset computes them: shard x 10^ceil(log10(size)) + index."""
    like = dataset(group_rows=group_rows)
    rows = st.tuples(st.integers(0, 99_999), st.integers(0, group_rows - 1))
    first, second = data.draw(rows), data.draw(rows)
    assert (like.key(*first) < like.key(*second)) == (first < second)
    digits = math.ceil(round(math.log10(group_rows), 9))
    assert like.key(*first) == str(first[0] * 10**digits + first[1]).zfill(5 + digits)
    assert "." not in like.key(*first)


@given(st.integers(0, 200_000))
def test_a_file_belongs_to_the_group_it_is_named_after(number: int) -> None:
    assert {group_of(name) for name in file_names(number)} == {number}


@pytest.mark.parametrize(
    "name", ["00000.jpg", "0.tar", "a/00000.tar", "00000.tar.gz", "000000.tar", "\u0660" * 5 + ".tar"]
)
def test_other_files_belong_to_no_group(name: str) -> None:
    assert group_of(name) is None


def test_columns_of_the_list_come_first_and_texts_are_never_null_in_json() -> None:
    like = dataset(caption="TEXT", kept=("licence",))
    assert like.columns[:4] == ("url", "caption", "licence", "key")
    values = like.values(SUCCESS, "https://h/a", {"TEXT": "é", "other": "x"})
    assert tuple(values) == like.columns
    assert (values["caption"], values["licence"], values["error_message"]) == ("é", "", None)
    document = json.loads(like.document(values))
    assert tuple(document) == like.columns
    assert (document["error_message"], document["exif"], document["caption"], document["width"]) == ("", "", "é", 1)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_written(text: str) -> None:
    """Surrogates of file names that are no UTF-8 are replaced; other text stays as it is."""
    clean(text).encode()
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert clean(text) == text


STATUSES = [
    (Failed(item=ITEM, stage=Stage.SOURCE, kind=FailureKind.INVALID_URL, message="m"), "failed_to_download"),
    (Failed(item=ITEM, stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="m"), "failed_to_download"),
    (Failed(item=ITEM, stage=Stage.TRANSFORM, kind=FailureKind.CORRUPT_IMAGE, message="m"), "failed_to_resize"),
    (Skipped(item=ITEM, stage=Stage.DOWNLOAD, reason=SkipReason.OPT_OUT, message="m"), "failed_to_download"),
    (Skipped(item=ITEM, stage=Stage.TRANSFORM, reason=SkipReason.TOO_SMALL, message="m"), "failed_to_resize"),
]


@pytest.mark.parametrize(("fact", "status"), STATUSES)
def test_everything_without_a_result_is_a_failure(fact: Failed | Skipped, status: str) -> None:
    kind = fact.kind if isinstance(fact, Failed) else fact.reason
    assert status_of(fact) == (status, kind, f"{kind}: m")


def test_http_statuses_are_counted_apart() -> None:
    fact = Failed(item=ITEM, stage=Stage.DOWNLOAD, kind=FailureKind.HTTP_STATUS, message="m", http_status=404)
    assert status_of(fact)[1] == "http_status 404"


@given(st.lists(st.tuples(st.sampled_from(RowStatus), st.sampled_from(["a", "b"]), st.floats(0, 1e9))))
def test_statistics_add_up(rows: list[tuple[RowStatus, str, float]]) -> None:
    """count = successes + failures = rows = the sum of all reasons."""
    statistics = Statistics()
    for status, reason, at_s in rows:
        statistics.count(replace(SUCCESS, status=status, reason=reason, at_s=at_s))
    found = statistics.to_json()
    parts = ("successes", "failed_to_download", "failed_to_resize")
    assert found["count"] == len(rows) == sum(found[part] for part in parts) == sum(found["status_dict"].values())


REFUSED = [
    ("fetch keeps any", settings(mode="fetch")),
    ("one size", settings(transform=TransformOptions(resize=("a=8", "b=9")))),
    ("--keep-originals", settings(output={"keep_originals": True})),
    ("--overwrite always", settings(output={"overwrite": "always"})),
    ("--overwrite changed", settings(output={"overwrite": "changed"})),
    ("--name is", settings("parquet", output={"name": "{key}.{ext}"})),
    ("--name-column", settings(source=SourceOptions(name_column="n"))),
    ("--keep-columns status", settings(source=SourceOptions(keep_columns=("status",)))),
    ("--keep-columns jpg", settings("parquet", source=SourceOptions(keep_columns=("jpg",)))),
]


@pytest.mark.parametrize(("text", "wrong"), REFUSED)
def test_what_makes_no_sense_is_refused(text: str, wrong: Settings) -> None:
    with pytest.raises(ConfigError, match=f"^--sink {wrong.output.sink}: .*{text}"):
        check_settings(wrong)


def test_other_settings_are_those_of_the_dataset() -> None:
    """`same` is JPEG; the caption and the URL are kept once."""
    source = SourceOptions(caption_column="t", keep_columns=("url", "a", "t", "a"))
    made = Dataset.from_settings(for_sink(settings(source=source, output={"shard_size": 7})))
    assert made == Dataset(kind="webdataset", group_rows=7, extension="jpg", caption="t", kept=("a",))
    webp = settings("parquet", transform=TransformOptions(format="webp", resize=("a=8",)))
    assert Dataset.from_settings(for_sink(webp)) == Dataset(kind="parquet", group_rows=10_000, extension="webp")
    files = settings("files", mode="fetch", output={"overwrite": "always"})
    check_settings(files)
    assert for_sink(files) == files
