"""The main job through the real command: lists, folders, names, resuming, reporting."""

import gzip
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from PIL import Image
from support import Command, Site, picture, send

QUIET = ("--progress", "none")


def hashes(folder: Path) -> dict[str, str]:
    """Every file below a folder by its relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".downloader" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(4):
        write(folder / f"{number}.jpg", picture(200 + number, 100))
    write(folder / "deep/er/x.png", picture(90, 90, format="PNG"))
    write(folder / "notes.txt", b"keep me")
    return folder


@pytest.mark.usefixtures("photos")
def test_any_mix_of_sources(cli: Command, site: Site) -> None:
    """A URL, a list, a gzip list, stdin, an image and a folder in one call; the folder's tree is kept."""
    site.pages = {f"/{name}.jpg": picture(300, 200) for name in "abcd"}
    (cli.folder / "list.txt").write_text(f"# remark\n\n{site.url}/b.jpg\r\n")
    (cli.folder / "more.txt.gz").write_bytes(gzip.compress(f"{site.url}/c.jpg\n".encode()))
    write(cli.folder / "one.png", picture(120, 60, format="PNG"))
    sources = [f"{site.url}/a.jpg", "list.txt", "more.txt.gz", "-", "one.png", "photos"]
    done = cli.spawn("run", *sources, "-o", "out", "-r", "64", *QUIET, "--json", stdin=f"{site.url}/d.jpg")
    assert done.code == 0, done.err
    assert done.json["succeeded"] == done.json["total"] == 10
    assert done.json["left_alone"] == 1
    expected = {"a.jpg", "b.jpg", "c.jpg", "d.jpg", "one.png", "0.jpg", "1.jpg", "2.jpg", "3.jpg", "deep/er/x.png"}
    assert hashes(cli.folder / "out").keys() == expected
    for name in expected:
        with Image.open(cli.folder / "out" / name) as image:
            assert max(image.size) == 64


def test_an_input_folder_is_never_written_to(cli: Command, photos: Path) -> None:
    """Nothing in the input changes, not even with a result going into a folder inside it."""
    before = hashes(photos)
    assert cli("process", "photos", "-o", "photos/small", "-r", "50", *QUIET).code == 0
    assert cli("process", "photos", "-o", "photos/small", "-r", "50", *QUIET, "--json").json["total"] == 5
    assert {name: digest for name, digest in hashes(photos).items() if not name.startswith("small/")} == before


def test_a_symlink_loop_ends(cli: Command, photos: Path) -> None:
    """A folder that contains itself by a link is read once."""
    (photos / "deep" / "loop").symlink_to(photos, target_is_directory=True)
    assert cli("process", "photos", "-o", "out", "-r", "50", *QUIET, "--json").json["total"] == 5


def test_the_second_run_asks_for_nothing(cli: Command, site: Site) -> None:
    """Finished items are not requested again; rows added to the list are, and only they."""
    site.pages = {f"/{number}.jpg": picture(100, 50) for number in range(8)}
    urls = cli.folder / "urls.txt"
    urls.write_text("".join(f"{site.url}/{n}.jpg\n" for n in range(5)))
    assert cli("run", "urls.txt", "-o", "out", *QUIET).code == 0
    again = cli("run", "urls.txt", "-o", "out", *QUIET, "--json")
    assert again.json["new"] == 0
    assert sum(site.hits.values()) == 5
    urls.write_text("".join(f"{site.url}/{n}.jpg\n" for n in (7, 3, 6, 0, 5)))
    assert cli("run", "urls.txt", "-o", "out", *QUIET, "--json").json["new"] == 3
    assert site.hits == {f"/{number}.jpg": 1 for number in range(8)}


def test_names_do_not_depend_on_timing(cli: Command, site: Site) -> None:
    """Two URLs of one name: the first row keeps it though it comes last, the second gets its key; both survive."""

    second_sent = threading.Event()

    def first(handler: BaseHTTPRequestHandler) -> None:
        second_sent.wait(30)
        send(handler, picture(111, 50))

    def second(handler: BaseHTTPRequestHandler) -> None:
        send(handler, picture(222, 50))
        second_sent.set()

    site.pages = {"/a/x.jpg": first, "/b/x.jpg": second}
    assert cli("run", f"{site.url}/a/x.jpg", f"{site.url}/b/x.jpg", "-o", "out", *QUIET).code == 0
    records = cli.records()
    other = f"x-{records[1]['key'][:8]}.jpg"
    assert [record["outputs"][0]["path"] for record in records] == ["x.jpg", other]
    for name, width in (("x.jpg", 111), (other, 222)):
        with Image.open(cli.folder / "out" / name) as image:
            assert image.width == width


def test_each_listing_is_an_item(cli: Command, site: Site) -> None:
    """The same URL three times is three items with three outcomes, and again nothing on the second run."""
    site.pages["/x.jpg"] = picture()
    urls = [f"{site.url}/x.jpg"] * 3
    assert cli("run", *urls, "-o", "out", *QUIET, "--json").json["succeeded"] == 3
    assert cli("run", *urls, "-o", "out", *QUIET, "--json").json["new"] == 0
    assert len(hashes(cli.folder / "out")) == 3


@pytest.mark.usefixtures("photos")
def test_sizes_formats_and_templates(cli: Command) -> None:
    """Named sizes give one file each; the extension follows the encoder; --name makes folders and fields."""
    options = ["-r", "thumb=32 large=64", "-f", "webp", "--name", "{parent}/{index:03d}_{stem}"]
    assert cli("process", "photos", "-o", "out", *options, *QUIET).code == 0
    names = set(hashes(cli.folder / "out"))
    assert {"000_0-thumb.webp", "000_0-large.webp", "deep/er/004_x-thumb.webp"} <= names
    with Image.open(cli.folder / "out/000_0-large.webp") as image:
        assert image.format == "WEBP"


def test_fetch_keeps_the_bytes(cli: Command, site: Site, photos: Path) -> None:
    """fetch stores what came, whatever it is, under the URL's own name; local files are copied, not moved."""
    site.pages = {"/data.BIN": b"\x00anything", "/x.jpg": picture()}
    before = hashes(photos)
    done = cli("fetch", f"{site.url}/data.BIN", f"{site.url}/x.jpg", "photos", "-o", "out", *QUIET, "--json")
    assert (done.code, done.json["stages"]["transform"]) == (0, None)
    assert (cli.folder / "out/data.BIN").read_bytes() == b"\x00anything"
    assert hashes(photos) == before
    assert hashes(cli.folder / "out")["deep/er/x.png"] == before["deep/er/x.png"]


def test_originals_are_kept_beside_results(cli: Command, site: Site, photos: Path) -> None:
    """`--keep-originals`: the bytes as they came, same name, true extension, told as variant `original`."""
    image, lying = picture(seed=1), picture(seed=2, format="PNG")
    (photos / "lying.jpg").write_bytes(lying)
    site.pages = {"/cat.jpg": image, "/page.jpg": b"<html>no image</html>"}
    before = hashes(photos)
    urls = [f"{site.url}{path}" for path in site.pages]
    done = cli("run", *urls, "photos", "-o", "out", "-r", "a=50 b=20", "-f", "webp", "--keep-originals", "--json")
    assert done.code == 1, done.err
    for item in [item for item in cli.items().values() if item["state"] == "succeeded"]:
        *made, original = item["outputs"]
        stem = made[0]["path"].removesuffix("-a.webp")
        extension = "png" if item["source"].endswith(("lying.jpg", "x.png")) else "jpg"
        assert ([output["variant"] for output in made], original["variant"]) == (["a", "b"], "original")
        assert original["path"] == f"originals/{stem}.{extension}"
        assert hashes(cli.folder / "out")[original["path"]] == original["sha256"] == item["sha256"]
    assert (cli.folder / "out/originals/cat.jpg").read_bytes() == image
    assert hashes(photos) == before
    assert len(hashes(cli.folder / "out/originals")) == done.json["succeeded"] == 7
    assert not any((cli.folder / "out/.downloader/staging").iterdir())


def test_a_name_among_the_originals_is_nobody_elses(cli: Command, site: Site) -> None:
    """A row that asks for `originals/x` cannot take the place of the original of `x`."""
    site.pages = {f"/{name}.jpg": picture(seed=seed) for seed, name in enumerate("xy", 1)}
    (cli.folder / "list.txt").write_text(f"{site.url}/x.jpg\n{site.url}/y.jpg\n  out=Originals/x.jpg\n")
    arguments = ("run", "list.txt", "--input-format", "aria2", "-o", "out", "--keep-originals", "-r", "50")
    done = cli(*arguments)
    assert done.code == 0, done.err
    assert {output["path"] for item in cli.items().values() for output in item["outputs"]} == {
        "x.jpg",
        "originals/x.jpg",
        "_Originals/x.jpg",
        "originals/_Originals/x.jpg",
    }
    assert (cli.folder / "out/originals/x.jpg").read_bytes() == site.pages["/x.jpg"]
    refused = cli("run", "list.txt", "--input-format", "aria2", "-o", "out", "-r", "50", "--overwrite", "always")
    assert (refused.code, "--keep-originals" in refused.err) == (2, True)


@pytest.mark.parametrize("name", ["original", "Originals"])
def test_no_size_is_called_as_the_originals_are(cli: Command, photos: Path, name: str) -> None:
    """Sizes named so would take the folder or the variant of the originals."""
    done = cli("process", str(photos), "-o", "out", "-r", f"{name}=50", "--keep-originals")
    assert (done.code, name in done.err) == (2, True)


def test_what_is_there_already_is_left_alone(cli: Command, site: Site) -> None:
    """A file of the user's own under the name of a result: skipped as exists; --overwrite always replaces it."""
    site.pages = {"/x.jpg": picture(), "/y.jpg": picture()}
    write(cli.folder / "out/x.jpg", b"mine")
    urls = [f"{site.url}/x.jpg", f"{site.url}/y.jpg"]
    assert cli("run", *urls, "-o", "out", *QUIET, "--json").json["skips"] == {"exists": 1}
    assert (cli.folder / "out/x.jpg").read_bytes() == b"mine"
    assert site.hits["/x.jpg"] == 0
    assert cli("run", *urls, "-o", "out", *QUIET, "--overwrite", "always", "--json").json["succeeded"] == 2
    assert (cli.folder / "out/x.jpg").read_bytes() != b"mine"


@pytest.mark.usefixtures("photos")
def test_no_link_is_followed_out_of_the_output(cli: Command) -> None:
    """A planted link from the output to elsewhere: the item fails as write, and nothing is written there."""
    elsewhere = cli.folder / "elsewhere"
    elsewhere.mkdir()
    (cli.folder / "out").mkdir()
    (cli.folder / "out/deep").symlink_to(elsewhere, target_is_directory=True)
    done = cli("process", "photos", "-o", "out", "-r", "50", *QUIET, "--json")
    assert done.json["failures"] == {"write": 1}
    assert list(elsewhere.rglob("*")) == [] or not any(path.is_file() for path in elsewhere.rglob("*"))


@pytest.mark.usefixtures("photos")
def test_stdout_carries_results_only(cli: Command) -> None:
    """--json is the only thing on stdout; progress and summary go to stderr, as plain lines off a terminal."""
    done = cli.spawn("process", "photos", "-o", "out", "-r", "50", "--json")
    assert done.json["succeeded"] == 5
    assert "transformed 5/5" in done.err
    assert "5 of 5 succeeded" in done.err
    assert "\x1b" not in done.err
    assert cli.spawn("process", "photos", "-o", "out", "-r", "50").out == ""


@pytest.mark.usefixtures("photos")
def test_json_progress(cli: Command) -> None:
    """--progress json: every line on stderr is a JSON object."""
    done = cli.spawn("process", "photos", "-o", "out", "-r", "50", "--progress", "json")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert lines[-1]["transformed"] == lines[-1]["total"] == 5


def test_the_halves_overlap(cli: Command, site: Site) -> None:
    """Transforms start long before downloads end: the first result is on disk before half of the requests came."""
    times: list[float] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        times.append(time.time())
        time.sleep(0.05)
        send(handler, picture(500, 400))

    site.pages = {f"/{number}.jpg": answer for number in range(60)}
    urls = [f"{site.url}/{n}.jpg" for n in range(60)]
    assert cli("run", *urls, "-o", "out", "-r", "64", "-t", "2", *QUIET).code == 0
    first_result = min(path.stat().st_mtime for path in (cli.folder / "out").glob("*.jpg"))
    assert first_result < sorted(times)[30]


def test_a_slow_transform_holds_downloads_up(cli: Command, site: Site) -> None:
    """Back-pressure: bodies waiting on disk never exceed threads + queue + what the worker has taken."""
    big = picture(2000, 1600, format="PNG")
    site.pages = {f"/{number}.png": big for number in range(40)}
    urls = [f"{site.url}/{n}.png" for n in range(40)]
    options = ["-r", "64", "-t", "3", "-p", "1", "--queue-size", "2", *QUIET]
    process = cli.start("run", *urls, "-o", "out", *options)
    most = 0
    staging = cli.folder / "out/.downloader/staging"
    while process.poll() is None:
        if staging.is_dir():
            most = max(most, sum(name.endswith(".body") for name in os.listdir(staging)))  # noqa: PTH208 - quick
        time.sleep(0.01)
    process.communicate()
    assert process.returncode == 0
    batch = 8
    assert 0 < most <= 3 + 2 + 2 * batch


def test_two_runs_on_one_output_are_refused(cli: Command, site: Site) -> None:
    """The second run exits 3 and says why; the first continues undisturbed."""
    asked, release = threading.Event(), threading.Event()

    def held(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        release.wait(30)
        send(handler, picture())

    site.pages["/x.jpg"] = held
    first = cli.start("run", f"{site.url}/x.jpg", "-o", "out", "--timeout", "60", *QUIET)
    assert asked.wait(30)
    second = cli("run", f"{site.url}/x.jpg", "-o", "out", *QUIET)
    release.set()
    first.communicate()
    assert (second.code, first.returncode) == (3, 0)
    assert "another run" in second.err


def test_the_demonstration(cli: Command) -> None:
    """`demo` makes its own server, shows success and trouble, and can be given twice."""
    for call in (cli.spawn, cli):
        done = call("demo", "--images", "4", "-o", "demo")
        assert done.code == 0, done.err
        assert "4 of 7 succeeded, 3 failed" in done.err
        assert done.err.splitlines()[-1] == "  report      demo/.downloader/report.html"
    assert len(hashes(cli.folder / "demo")) == 4


def test_status_shows_what_is_asked_for(cli: Command, site: Site) -> None:
    """--items, --state and --kind select; without a run there is one clear line and exit 3."""
    site.pages["/x.jpg"] = picture()
    cli("run", f"{site.url}/x.jpg", f"{site.url}/gone.jpg", "-o", "out", *QUIET)
    assert list(cli.items()) == ["x.jpg", "gone.jpg"]
    failed = cli("status", "out", "--items", "--state", "failed").out.splitlines()
    assert [json.loads(line)["http_status"] for line in failed] == [404]
    assert cli("status", "out", "--kind", "timeout").out == ""
    assert "1 of 2 succeeded, 1 failed" in cli("status", "out").out
    nothing = cli("status", "elsewhere")
    assert nothing.code == 3
    assert len(nothing.err.splitlines()) == 1


def test_what_the_user_should_know_is_said_and_kept(cli: Command, site: Site) -> None:
    """--insecure is warned about at the start and recorded; so are option lines that had no meaning."""
    site.pages["/x.jpg"] = picture()
    (cli.folder / "list").write_text(f"{site.url}/x.jpg\n  split=5\n")
    done = cli("run", "list", "--input-format", "aria2", "-o", "out", "--insecure", "--progress", "plain")
    assert done.code == 0
    assert done.err.count("certificates are not checked (--insecure)") == 2
    kept = json.loads((cli.folder / "out/.downloader/summary.json").read_text())
    assert len(kept["cautions"]) == 2
    assert kept["cautions"][1].startswith("1 option lines of aria2 lists")


def test_failures_are_a_table_for_people(cli: Command, site: Site) -> None:
    """HTTP status or kind, source, and the whole message; hostile text is escaped."""
    site.pages = {"/a.jpg": picture(), "/page.jpg": b"<html>"}
    names = ["a", "page", "gone", "x" * 200]
    (cli.folder / "urls.txt").write_text("".join(f"{site.url}/{name}.jpg\n" for name in names) + "nothing \x1b[2J\n")
    cli("run", "urls.txt", "-o", "out", "--progress", "none")
    head, *lines = cli("status", "out", "--failed").out.splitlines()
    assert head.split() == ["cause", "source", "message"]
    rows = {line.split()[0]: line for line in lines}
    assert list(rows) == ["not_an_image", "404", "invalid_url"]
    assert "the server answered 404 Not Found" in rows["404"]
    assert any("...xxx" in line for line in lines)
    assert "\\x1b[2J" in rows["invalid_url"]
    assert len(cli("status", "out", "--failed", "--kind", "not_an_image").out.splitlines()) == 2


def test_no_failures_are_said_in_words(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture()}
    cli("run", f"{site.url}/a.jpg", "-o", "out", "--progress", "none")
    assert cli("status", "out", "--failed").out == "no failed items\n"


def test_quiet_speaks_of_failures_only(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture()}
    done = cli("run", f"{site.url}/a.jpg", "-o", "out", "--quiet", "--insecure")
    assert (done.code, done.out, done.err) == (0, "", "")
    failed = cli("run", f"{site.url}/gone.jpg", "-o", "out", "--quiet", "--insecure")
    assert failed.code == 1
    assert failed.err.startswith("1 of 2 succeeded, 1 failed")


def test_a_wrong_checksum_shows_both_values(cli: Command, site: Site) -> None:
    body = picture()
    site.pages = {"/a.jpg": body}
    (cli.folder / "list.csv").write_text(f"url,sum\n{site.url}/a.jpg,sha256:{'0' * 64}\n")
    cli("run", "list.csv", "-o", "out", "--checksum-column", "sum", "--progress", "none")
    (record,) = cli.records()
    assert record["kind"] == "checksum"
    assert (
        record["message"] == f"the sha256 of the body is {hashlib.sha256(body).hexdigest()}, but should be {'0' * 64}"
    )
