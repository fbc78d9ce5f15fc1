"""`--bbox-column` through the real command: no face that was to be blurred is left as it was."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageStat
from support import Command, Site, noisy

QUIET = ("--progress", "none")
RUN = ("-o", "out", "-f", "png", "--bbox-column", "faces", *QUIET)
FACE = [[0.0, 0.0, 0.5, 0.5]]


def write(path: Path, rows: list[tuple[str, object]]) -> None:
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.table({"url": [row[0] for row in rows], "faces": [row[1] for row in rows]}), path)
        case ".jsonl":
            path.write_text("".join(json.dumps({"url": url, "faces": faces}) + "\n" for url, faces in rows))
        case _:
            cells = [f'{url},"{"" if faces is None else json.dumps(faces)}"\n' for url, faces in rows]
            path.write_text("url,faces\n" + "".join(cells))


def contrast(path: Path) -> float:
    with Image.open(path) as image:
        return ImageStat.Stat(image.convert("L").crop((10, 10, 90, 90))).stddev[0]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_boxes_of_a_table(cli: Command, site: Site, name: str) -> None:
    """A row with boxes is blurred there, one with none or null is not; `retry` blurs what failed at first."""
    photograph = noisy(200)
    site.pages = {"/face.jpg": photograph, "/none.jpg": photograph, "/null.jpg": photograph}
    rows = [("face", FACE), ("late", FACE), ("none", []), ("null", None)]
    write(cli.folder / name, [(f"{site.url}/{page}.jpg", boxes) for page, boxes in rows])
    assert cli("run", name, *RUN).code == 1
    site.pages["/late.jpg"] = photograph
    assert cli("retry", "out", "--all", *QUIET).code == 0
    out = cli.folder / "out"
    sharp = contrast(out / "none.png")
    assert contrast(out / "null.png") == sharp
    assert contrast(out / "face.png") == contrast(out / "late.png") < sharp / 3


def test_boxes_that_cannot_be_read_cost_their_item(cli: Command, site: Site) -> None:
    """Rather no image than one with a face; the message names file, line and column."""
    site.pages = {"/a.jpg": noisy(100), "/b.jpg": noisy(100)}
    write(cli.folder / "t.csv", [(f"{site.url}/a.jpg", [1, 2, 3, 4]), (f"{site.url}/b.jpg", FACE)])
    assert cli("run", "t.csv", *RUN).code == 1
    bad, good = cli.records()
    assert (bad["state"], bad["kind"], good["state"]) == ("failed", "invalid_url", "succeeded")
    assert bad["message"].startswith("t.csv:2: column 'faces': no boxes; write [[left")
    assert site.hits["/a.jpg"] == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("run", "urls.txt"), "urls.txt: has no columns"),
        (("run", "t.csv", "--keep-originals"), "--bbox-column: --keep-originals keeps the bytes as they come"),
        (("fetch", "t.csv"), "--bbox-column: fetch keeps the bytes as they come"),
        (("process", "."), ".: has no columns"),
    ],
)
def test_what_would_not_be_blurred_is_refused(cli: Command, site: Site, command: tuple[str, ...], message: str) -> None:
    (cli.folder / "urls.txt").write_text(f"{site.url}/a.jpg\n")
    write(cli.folder / "t.csv", [(f"{site.url}/a.jpg", FACE)])
    done = cli(*command, "-o", "out", "--bbox-column", "faces", *QUIET)
    assert done.code == 2
    assert message in done.err
    assert not (cli.folder / "out").exists()


def test_a_later_run_cannot_turn_it_on_or_off(cli: Command, site: Site) -> None:
    """Known items keep the boxes of their first listing, so neither would do what was asked for."""
    site.pages = {"/a.jpg": noisy(100)}
    write(cli.folder / "t.csv", [(f"{site.url}/a.jpg", FACE)])
    assert cli("run", "t.csv", "-o", "out", *QUIET).code == 0
    done = cli("run", "t.csv", "-o", "out", "--bbox-column", "faces", "--overwrite", "always", *QUIET)
    assert done.code == 2
    assert "made by an earlier run with another --bbox-column" in done.err
