"""Names that never move, and formats that are what they say."""

from pathlib import Path

import pytest
from PIL import Image
from runs import QUIET, kind_and_size, made, run
from support import Command, Site, picture


def test_a_name_never_moves(cli: Command, site: Site) -> None:
    """Rows of an edited list keep key and output; a URL listed once more is one more item, and only that is asked."""
    site.pages = {f"/{host}/x.jpg": picture(seed=seed) for seed, host in enumerate("abc")}
    a, b, c = (f"{site.url}{path}" for path in site.pages)
    run(cli, a, b, a)
    before = {item["key"]: item["outputs"] for item in cli.records()}
    site.hits.clear()
    run(cli, c, a, b, a, a)
    after = {item["key"]: item["outputs"] for item in cli.records()}
    assert before.items() <= after.items()
    assert len(after) == len(made(cli.folder / "out")) == 5
    assert site.hits == {"/c/x.jpg": 1, "/a/x.jpg": 1}


def test_names_of_strangers_stay_inside(cli: Command, site: Site) -> None:
    """A last part that decodes to a path, to a hidden name or to a device is written below OUT, harmless."""
    site.pages = {"/x/..%2F..%2Fevil.jpg": picture(), "/%2e%2e%2f.bashrc": picture(), "/con.jpg": picture()}
    run(cli, *(f"{site.url}{path}" for path in site.pages))
    names = set(made(cli.folder))
    assert len(names) == 3
    assert all(name.count("/") == 1 and name.startswith("out/") for name in names)
    assert not any(Path(name).name.startswith((".", "con.")) for name in names)


def test_names_that_become_one_are_told_apart(cli: Command) -> None:
    """a.png and a.jpg would both be a.webp: both survive, and get the same names every time."""
    folder = cli.folder / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.jpg", "a.png", "A.gif")):
        (folder / name).write_bytes(picture(seed=seed, format={"jpg": "JPEG"}.get(name[2:], name[2:].upper())))
    names = []
    for out in ("one", "two"):
        done = cli("process", "photos", "-o", out, "-f", "webp", *QUIET)
        assert done.code == 0, done.err
        names.append({source: item["outputs"][0]["path"] for source, item in cli.items(out).items()})
        assert set(made(cli.folder / out)) == set(names[-1].values())
    assert names[0] == names[1]
    assert len({name.lower() for name in names[0].values()}) == 3


def test_an_image_that_grows_leaves_its_original(cli: Command) -> None:
    """Results are made anew even where that takes more bytes; nothing is replaced by them, and the smaller
    original can be kept beside.
    """
    image = Image.new("P", (64, 64))
    image.putdata([(x * y) % 7 for y in range(64) for x in range(64)])
    image.putpalette([value for level in range(7) for value in (level * 40,) * 3])
    image.save(cli.folder / "small.png", optimize=True)
    small = (cli.folder / "small.png").read_bytes()
    run(cli, "small.png", "-f", "png", "--keep-originals")
    results = made(cli.folder / "out")
    assert len(results["small.png"]) > len(small)
    assert results["originals/small.png"] == small == (cli.folder / "small.png").read_bytes()


def test_the_extension_follows_the_encoder(cli: Command, site: Site) -> None:
    """The query never counts for a name; PNG bytes at a .jpg URL make a .png; a GIF becomes a PNG."""
    site.pages = {"/cat.jpg?size=1.gif": picture(format="PNG"), "/dog": picture(), "/fox.gif": picture(format="GIF")}
    run(cli, *(f"{site.url}{path}" for path in site.pages))
    kinds = {name: kind_and_size(data)[0] for name, data in made(cli.folder / "out").items()}
    assert kinds == {"cat.png": "PNG", "dog.jpg": "JPEG", "fox.png": "PNG"}


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
def test_a_format_is_what_is_written(cli: Command, wanted: str) -> None:
    """--format decides the bytes and the extension."""
    (cli.folder / "a.bmp").write_bytes(picture(format="BMP"))
    run(cli, "a.bmp", "-f", wanted)
    ((name, data),) = made(cli.folder / "out").items()
    assert name == f"a.{wanted.replace('jpeg', 'jpg')}"
    assert kind_and_size(data) == (wanted.upper(), (320, 200))


def test_fetch_takes_anything(cli: Command, site: Site) -> None:
    """fetch decodes nothing: a page, an empty file and a name without extension keep every byte, and are asked once."""
    bodies = {"/page.html": b"<html>as it is</html>", "/empty.jpg": b"", "/README": b"text"}
    site.pages |= bodies
    for _ in range(2):
        done = cli("fetch", *(f"{site.url}{path}" for path in bodies), "-o", "out", *QUIET[:2], "--json")
        assert (done.code, done.json["succeeded"]) == (0, 3)
    assert made(cli.folder / "out") == {path[1:]: body for path, body in bodies.items()}
    assert set(site.hits.values()) == {1}
