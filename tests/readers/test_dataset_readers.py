"""Datasets as the libraries of the field read them; `make test-readers` installs these and runs this."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import Command, Site, picture, served

pytestmark = [
    pytest.mark.readers,
    pytest.mark.filterwarnings("default"),  # of these libraries
]

WHY = "is not installed: make test-readers"
GOOD, BAD = 12, 7
"""Items that succeed, and that fail."""


def caption(index: int) -> str:
    return {1: "", 2: "Käse, 乳酪"}.get(index, f"cat {index}")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The same list in each form: first a group of failures, then successes, the last with EXIF, and failures.

    So every column but URL and key is null, or a failure's, in the first group, and EXIF comes late.
    """
    with served() as site:
        cli = Command(tmp_path_factory.mktemp("datasets"))
        yield {
            name: packed(cli, site, name, *options)
            for name, options in {
                "webdataset": ("--sink", "webdataset"),
                "parquet": ("--sink", "parquet"),
                "struct": ("--sink", "parquet", "--image-column", "struct"),
            }.items()
        }


def packed(cli: Command, site: Site, out: str, *options: str) -> Path:
    exif = Image.Exif()
    exif[0x8298] = "(c) Ann"
    site.pages = {f"/{index}.jpg": picture(60, 40, seed=index) for index in range(GOOD)}
    site.pages[f"/{GOOD - 1}.jpg"] = with_exif(picture(60, 40), exif)
    absent = [f"{site.url}/absent{index}.jpg" for index in range(BAD)]
    lists = {
        "failures": [f"{url},none,cc" for url in absent[:5]],
        "others": [f'{site.url}/{index}.jpg,"{caption(index)}",cc' for index in range(GOOD - 1)],
        "late": [f"{site.url}/{GOOD - 1}.jpg,late,cc", *(f"{url},none,cc" for url in absent[5:])],
    }
    for name, rows in lists.items():
        path = cli.folder / f"{name}.csv"
        path.write_text("\n".join(["url,TEXT,licence", *rows, ""]), encoding="utf-8")
        cli(
            *("run", path, "-o", out, *options, "--shard-size", 5, "-r", 30, "--caption-column", "TEXT"),
            *("--keep-columns", "licence", "--progress", "none", "-p", 1),
        )
    return cli.folder / out


def with_exif(image: bytes, exif: Image.Exif) -> bytes:
    out = BytesIO()
    Image.open(BytesIO(image)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def check_captions(captions: list[str]) -> None:
    assert sorted(captions) == sorted([caption(index) for index in range(GOOD - 1)] + ["late"])


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Rows of a table: all outcomes, typed, with what came late."""
    assert len(rows) == GOOD + BAD
    good = [row for row in rows if row["status"] == "success"]
    check_captions([row["caption"] for row in good])
    assert {(row["width"], row["height"], row["licence"]) for row in good} == {(30, 20, "cc")}
    assert {row["error_message"] for row in good} == {None}
    assert {row["width"] for row in rows if row["status"] != "success"} == {None}
    assert [json.loads(row["exif"]) for row in good if row["exif"]] == [{"Image Copyright": "(c) Ann"}]
    assert len({row["key"] for row in rows}) == len(rows)


def check_image(image: Any) -> None:
    assert (image.format, image.size) == ("JPEG", (30, 20))


def test_webdataset(outputs: dict[str, Path]) -> None:
    """Every sample: image, row, caption."""
    webdataset = pytest.importorskip("webdataset", reason=WHY)
    tars = sorted(map(str, outputs["webdataset"].glob("*.tar")))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    assert len(samples) == GOOD
    check_captions([sample["txt"] for sample in samples])
    for sample in samples:
        assert sample["json"]["key"] == sample["__key__"]
        assert (sample["json"]["caption"], sample["jpg"].size) == (sample["txt"], (30, 20))


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`load_dataset` of the datasets library, offline."""
    datasets = pytest.importorskip("datasets", reason=WHY)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def load(kind: str, pattern: str, *, streaming: bool) -> Any:
        files = {"train": pattern}
        return datasets.load_dataset(
            kind, data_files=files, split="train", streaming=streaming, cache_dir=str(tmp_path)
        )

    return load


@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_from_tars(outputs: dict[str, Path], load: Callable[..., Any], streaming: bool) -> None:
    samples = list(load("webdataset", f"{outputs['webdataset']}/*.tar", streaming=streaming))
    assert len(samples) == GOOD
    check_captions([sample["txt"] for sample in samples])
    for sample in samples:
        check_image(sample["jpg"])
        assert sample["json"]["caption"] == sample["txt"]
        assert sample["json"]["error_message"] == ""
    assert [json.loads(sample["json"]["exif"]) for sample in samples if sample["json"]["exif"]] == [
        {"Image Copyright": "(c) Ann"}
    ]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("form", ["webdataset", "parquet", "struct"])
def test_datasets_from_tables(outputs: dict[str, Path], load: Callable[..., Any], form: str, streaming: bool) -> None:
    """Images in structs are decoded; those in bytes are once the column is cast."""
    found = load("parquet", f"{outputs[form]}/*.parquet", streaming=streaming)
    if form == "parquet":
        assert {type(row["jpg"]) for row in found} == {bytes, type(None)}
        datasets = pytest.importorskip("datasets", reason=WHY)
        found = found.cast_column("jpg", datasets.Image())
    rows = list(found)
    check_rows(rows)
    for row in rows if form != "webdataset" else ():
        if row["status"] == "success":
            check_image(row["jpg"])
        else:
            assert row["jpg"] is None


@pytest.mark.parametrize("form", ["webdataset", "parquet", "struct"])
def test_duckdb(outputs: dict[str, Path], form: str) -> None:
    duckdb = pytest.importorskip("duckdb", reason=WHY)
    relation = duckdb.sql(f"SELECT * FROM '{outputs[form]}/*.parquet'")  # noqa: S608 - a path of the test
    rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    check_rows(rows)
    check_bytes(rows, form)


@pytest.mark.parametrize("form", ["webdataset", "parquet", "struct"])
def test_polars(outputs: dict[str, Path], form: str) -> None:
    polars = pytest.importorskip("polars", reason=WHY)
    rows = polars.read_parquet(f"{outputs[form]}/*.parquet").to_dicts()
    check_rows(rows)
    check_bytes(rows, form)


@pytest.mark.parametrize("form", ["webdataset", "parquet", "struct"])
def test_pyarrow(outputs: dict[str, Path], form: str) -> None:
    dataset = pytest.importorskip("pyarrow.dataset", reason=WHY)
    rows = dataset.dataset(sorted(map(str, outputs[form].glob("*.parquet")))).to_table().to_pylist()
    check_rows(rows)
    check_bytes(rows, form)


def check_bytes(rows: list[dict[str, Any]], form: str) -> None:
    """The bytes of each success are those of a JPEG."""
    for row in rows if form != "webdataset" else ():
        image = row["jpg"]
        if isinstance(image, dict) and form == "struct":
            image = image["bytes"]
        if row["status"] == "success":
            assert image[:3] == b"\xff\xd8\xff"
        else:
            assert image is None
