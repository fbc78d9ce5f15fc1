"""Tars through the real command: read in place, named by their tree, resumed, in one process and in shards."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from runs import made
from support import Command, Site, picture

QUIET = ("--progress", "none")


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def samples(cli: Command) -> dict[str, bytes]:
    members = {}
    for number in range(12):
        members[f"{number % 3}/{number:03}.jpg"] = picture(200, 100, seed=number)
        members[f"{number % 3}/{number:03}.json"] = json.dumps({"caption": f"number {number}"}).encode()
    packed(cli.folder / "a.tar", members)
    return members


@pytest.mark.parametrize("mode", ["run", "process"])
@pytest.mark.parametrize("shards", [1, 2])
def test_images_of_a_tar_are_those_of_a_folder(cli: Command, samples: dict[str, bytes], mode: str, shards: int) -> None:
    """The same files under the same names as from the unpacked tar; nothing is unpacked, and the tar stays as it is."""
    for name, data in samples.items():
        (cli.folder / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (cli.folder / "folder" / name).write_bytes(data)
    before = (cli.folder / "a.tar").read_bytes()
    for source, out in (("folder", "one"), ("a.tar", "two")):
        done = cli(mode, source, "-o", out, "-r", "50", "--shards", shards, "-p", "2", *QUIET)
        assert (done.code, done.err) == (0, "")
    assert made(cli.folder / "one") == made(cli.folder / "two")
    assert (cli.folder / "a.tar").read_bytes() == before
    assert len(cli.records("two")) == 12


def test_fetch_takes_the_bytes_of_the_members(cli: Command, samples: dict[str, bytes]) -> None:
    assert cli("fetch", "a.tar", "-o", "out", *QUIET).code == 0
    for name, data in samples.items():
        if name.endswith(".jpg"):
            assert (cli.folder / "out" / name).read_bytes() == data


@pytest.mark.usefixtures("samples")
def test_columns_of_samples_are_kept(cli: Command) -> None:
    assert cli("process", "a.tar", "-o", "out", "-r", "50", "--caption-column", "caption", *QUIET).code == 0
    assert {record["columns"]["caption"] for record in cli.records()} == {f"number {number}" for number in range(12)}


@pytest.mark.usefixtures("samples")
def test_a_tar_of_ours_is_a_source(cli: Command) -> None:
    """What --sink webdataset wrote, made anew at another size, with its captions."""
    options = ("--caption-column", "caption", *QUIET)
    assert cli("process", "a.tar", "-o", "large", "-r", "80", "--sink", "webdataset", *options).code == 0
    assert cli("process", "large/*.tar", "-o", "small", "-r", "40", *options).code == 0
    records = cli.records("small")
    assert {(record["state"], record["outputs"][0]["width"]) for record in records} == {("succeeded", 40)}
    assert {record["columns"]["caption"] for record in records} == {f"number {number}" for number in range(12)}


@pytest.mark.usefixtures("samples")
@pytest.mark.parametrize("shards", [1, 2])
def test_what_is_no_tar_ends_the_run_only_if_it_is_alone(cli: Command, shards: int) -> None:
    (cli.folder / "b.tar").write_bytes(b"no tar")
    options = ("-o", "out", "-r", "50", "--shards", shards, "-p", "2", *QUIET)
    alone = cli("process", "b.tar", *options)
    assert (alone.code, "b.tar: is no tar" in alone.err) == (2, True)
    assert cli("process", "{b,a}.tar", *options).code == 1
    states = [(record["state"], record.get("kind")) for record in cli.records()]
    assert states == [("failed", "invalid_url"), *[("succeeded", None)] * 12]


def test_a_hostile_tar_does_not_end_the_run(cli: Command, samples: dict[str, bytes]) -> None:
    """Paths that lead outside, names that are not UTF-8, names twice: all are below the output, and are resumed."""
    data = samples["0/000.jpg"]
    with tarfile.open(cli.folder / "h.tar", "w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name in ("../../up.jpg", "/abs.jpg", "./dot.jpg", "caf\udce9.jpg", "two.jpg", "two.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert cli("fetch", "h.tar", "-o", "deep/out", *QUIET).code == 0
    made_files = set(cli.folder.rglob("*.jpg"))
    assert len(made_files) == 6
    assert all(path.is_relative_to(cli.folder / "deep/out") for path in made_files)
    assert cli.folder / "deep/out/dot.jpg" in made_files
    again = cli("fetch", "h.tar", "-o", "deep/out", "--json", *QUIET)
    assert (again.code, again.json["new"], again.json["total"]) == (0, 0, 6)


@pytest.mark.usefixtures("samples")
def test_a_damaged_tar_beside_a_good_list(cli: Command, site: Site) -> None:
    """What was readable is made; the damage is one failed item that names the byte; nothing ends the run."""
    path = cli.folder / "a.tar"
    data = bytearray(path.read_bytes())
    (at,) = (n for n in range(0, len(data), 512) if data[n : n + 9] == b"2/005.jpg")
    data[at + 148 : at + 156] = b"notoctal"
    path.write_bytes(data)
    site.pages = {"/b.jpg": picture()}
    (cli.folder / "urls.txt").write_text(f"{site.url}/b.jpg\n")
    done = cli("run", "a.tar", "urls.txt", "-o", "out", "-r", "50", *QUIET)
    assert done.code == 1
    failed = [record for record in cli.records() if record["state"] == "failed"]
    assert [record["kind"] for record in failed] == ["invalid_url"]
    assert f"damaged at byte {at}" in failed[0]["message"]
    assert len(cli.records()) == 5 + 1 + 1


def test_a_tar_is_resumed_and_its_changes_noticed(cli: Command, samples: dict[str, bytes]) -> None:
    assert cli("process", "a.tar", "-o", "out", "-r", "50", *QUIET).code == 0
    packed(cli.folder / "a.tar", {**samples, "new.jpg": picture(seed=99)})
    again = cli("process", "a.tar", "-o", "out", "-r", "50", "--json", *QUIET)
    assert (again.json["new"], again.json["total"]) == (1, 13)


def test_a_list_of_patterns(cli: Command, site: Site) -> None:
    """Braces and globs that no shell has expanded."""
    site.pages = {f"/{name}.jpg": picture() for name in "abc"}
    for name in "abc":
        (cli.folder / f"{name}.txt").write_text(f"{site.url}/{name}.jpg\n")
    assert cli("fetch", "{a,b}.txt", "c*.txt", "-o", "out", *QUIET).code == 0
    assert sorted(path.name for path in (cli.folder / "out").glob("*.jpg")) == ["a.jpg", "b.jpg", "c.jpg"]
    none = cli("fetch", "{x,y}*.txt", "-o", "out", *QUIET)
    assert (none.code, "no file matches" in none.err) == (2, True)
