"""What users script against: the machine output, names that never move, formats, and one outcome for every row."""

import json
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image
from support import Command, Site, picture, raw, send

QUIET = ("--progress", "none", "-p", "2")
COUNT = {"type": "integer", "minimum": 0}
SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TEXT = {"type": "string"}


def needs(**properties: Any) -> dict[str, Any]:
    """An object that has all these keys; others may join them."""
    return {"type": "object", "required": list(properties), "properties": properties}


def maybe(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


OUTPUT = needs(
    variant=maybe("string"),
    path=TEXT,
    format=maybe("string"),
    width=maybe("integer"),
    height=maybe("integer"),
    bytes=COUNT,
    sha256=HASH,
)
TIMINGS = ["dns", "connect", "tls", "first_byte", "body", "queue", "decode", "resize", "encode", "write"]
ITEM = needs(
    key={"type": "string", "minLength": 8},
    source=TEXT,
    state={"enum": ["pending", "fetched", "succeeded", "failed", "skipped"]},
    stage={"enum": ["source", "download", "transform", "output", None]},
    kind=maybe("string"),
    message=maybe("string"),
    http_status=maybe("integer"),
    attempts=COUNT,
    final_url=maybe("string"),
    media_type=maybe("string"),
    bytes=maybe("integer"),
    sha256={**HASH, "type": ["string", "null"]},
    width=maybe("integer"),
    height=maybe("integer"),
    outputs={"type": "array", "items": OUTPUT},
    warnings={"type": "array", "items": TEXT},
    timings_s={"propertyNames": {"enum": TIMINGS}, "additionalProperties": {"type": "number", "minimum": 0}},
    columns={"type": "object"},
)
STAGE = {"busy_share": SHARE, "wait_share": SHARE, "p50_s": maybe("number"), "p99_s": maybe("number")}
SUMMARY = needs(
    total=COUNT,
    succeeded=COUNT,
    failed=COUNT,
    skipped=COUNT,
    pending=COUNT,
    failures={"type": "object", "additionalProperties": COUNT},
    skips={"type": "object", "additionalProperties": COUNT},
    bytes_downloaded=COUNT,
    bytes_written=COUNT,
    duration_s={"type": "number", "minimum": 0},
    succeeded_per_s=maybe("number"),
    attempted_per_s=maybe("number"),
    stages=needs(download=needs(threads=COUNT, **STAGE), transform=needs(processes=COUNT, **STAGE)),
    queue=needs(size=COUNT, mean_depth=maybe("number"), full_share=SHARE, empty_share=SHARE),
    bottleneck={"enum": ["source", "download", "transform", "output", "none", None]},
    advice={"type": "array", "items": TEXT},
    peak_rss_bytes=needs(parent=COUNT, worker_max=maybe("integer")),
    versions=needs(downloader=TEXT, python=TEXT, httpx=TEXT, pillow=TEXT),
)


def run(cli: Command, *arguments: object, code: int = 0, stdin: str = "") -> dict[str, Any]:
    """A run into `out` with its summary; every row has its place in it."""
    done = cli("run", *arguments, "-o", "out", *QUIET, "--json", stdin=stdin)
    assert done.code == code, done.err
    summary: dict[str, Any] = done.json
    assert summary["total"] == sum(summary[name] for name in ("succeeded", "failed", "skipped", "pending"))
    return summary


def records(cli: Command) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cli("status", "out", "--items").out.splitlines()]


def made(folder: Path) -> dict[str, bytes]:
    """Every file of an output by its relative path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".downloader" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def kind_and_size(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image.format, image.size


# -- machine output ----------------------------------------------------------------------------------------------------


def test_the_machine_output_has_its_keys(cli: Command, site: Site) -> None:
    """run --json, summary.json, status --json and each line of status --items hold the keys of the contract."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(3)}
    sources = [*(f"{site.url}{path}" for path in site.pages), f"{site.url}/gone.jpg", "http://"]
    summary = run(cli, *sources, "-r", "64", code=1)
    stored = json.loads((cli.folder / "out/.downloader/summary.json").read_text())
    assert summary == stored == cli("status", "out", "--json").json
    jsonschema.validate(summary, SUMMARY)
    assert (summary["succeeded"], summary["failures"]) == (3, {"http_status": 1, "invalid_url": 1})
    items = records(cli)
    for item in items:
        jsonschema.validate(item, ITEM)
    assert [item["source"] for item in items] == sources


def test_an_item_tells_what_came_and_what_was_made(cli: Command, site: Site) -> None:
    """Hashes, sizes, sides and addresses of status --items are those of the bytes sent and of the files on disk."""
    body = picture(300, 200)
    site.pages = {"/x.jpg": body}
    run(cli, f"{site.url}/x.jpg", "-r", "thumb=60 large=120")
    (item,) = records(cli)
    assert (item["http_status"], item["attempts"], item["media_type"]) == (200, 1, "image/jpeg")
    assert (item["bytes"], item["sha256"], item["final_url"]) == (len(body), sha256(body).hexdigest(), item["source"])
    assert (item["width"], item["height"]) == (300, 200)
    assert {"connect", "first_byte", "body", "decode", "encode", "write"} <= set(item["timings_s"])
    assert {output["path"] for output in item["outputs"]} == set(made(cli.folder / "out"))
    for output in item["outputs"]:
        data = (cli.folder / "out" / output["path"]).read_bytes()
        assert (output["bytes"], output["sha256"]) == (len(data), sha256(data).hexdigest())
        assert kind_and_size(data) == ("JPEG", (output["width"], output["height"]))
    assert site.hits["/x.jpg"] == 1


def test_secrets_are_masked_wherever_they_are_shown(cli: Command, site: Site) -> None:
    """User names, passwords and signatures of URLs appear in no output, not even for rows that fail."""
    site.pages = {"/x.jpg": picture(), "/x.jpg?sig=hunter2": picture()}
    address = site.url.removeprefix("http://")
    urls = [f"http://joe:hunter2@{address}/{path}" for path in ("x.jpg", "gone.jpg")]
    (cli.folder / "urls.txt").write_text("\n".join([*urls, f"{site.url}/x.jpg?sig=hunter2"]))
    done = cli("run", "urls.txt", "-o", "out", "--log-level", "debug", "--retries", "0", "--json")
    assert (done.code, done.json["succeeded"], done.json["failed"]) == (1, 2, 1)
    shown = [done.out, done.err, cli("status", "out", "--items").out, cli("status", "out").out]
    assert not any("hunter2" in text for text in shown)


# -- one outcome for every row -----------------------------------------------------------------------------------------


def test_more_rows_than_anything_is_wide(cli: Command, site: Site) -> None:
    """700 rows through narrow threads, queue and batches: each is asked once, has one outcome and one file."""
    site.pages = {f"/{number}.jpg?{number}": picture(60, 40) for number in range(700)}
    (cli.folder / "urls.txt").write_text("".join(f"{site.url}{path}\n" for path in site.pages))
    summary = run(cli, "urls.txt", "-r", "20", "--queue-size", "4")
    assert (summary["total"], summary["succeeded"]) == (700, 700)
    assert set(site.hits.values()) == {1}
    assert set(made(cli.folder / "out")) == {f"{number}.jpg" for number in range(700)}


def test_an_empty_list_is_a_run_of_nothing(cli: Command) -> None:
    """A list of remarks ends well, with no item."""
    assert run(cli, "-", stdin="# nothing\n\n")["total"] == 0


def test_every_image_fault_has_its_kind(cli: Command) -> None:
    """What a decoder cannot or must not read ends as the kind that says why; the good one beside it succeeds."""
    folder = cli.folder / "photos"
    folder.mkdir()
    good, png = picture(600, 400), picture(format="PNG")
    faults = {
        "drawing.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0", "unsupported_format"),
        "broken.png": (png[:60] + b"\xff" * (len(png) - 80) + png[-20:], "corrupt_image"),
        "huge.png": (picture(1100, 1000, format="PNG"), "image_too_large"),
    }
    for name, (data, _) in faults.items():
        (folder / name).write_bytes(data)
    (folder / "good.jpg").write_bytes(good)
    (folder / "vanished.jpg").symlink_to("nowhere.jpg")
    summary = run(cli, folder, "--max-pixels", "1M", code=1)
    assert summary["succeeded"] == 1
    kinds = {Path(item["source"]).name: item["kind"] for item in records(cli)}
    assert kinds == {name: kind for name, (_, kind) in faults.items()} | {"good.jpg": None, "vanished.jpg": "not_found"}


@pytest.mark.parametrize("option", ["--max-redirects=2", "--max-redirects=3"])
def test_the_limit_of_redirects(cli: Command, site: Site, option: str) -> None:
    """Three redirects are too many for --max-redirects 2 and fit into 3; final_url is the last one."""

    def to(target: str) -> Any:
        def answer(handler: Any) -> None:
            handler.send_response(302)
            handler.send_header("Location", target)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return answer

    site.pages = {"/0.jpg": to("/1.jpg"), "/1.jpg": to("2.jpg"), "/2.jpg": to(f"{site.url}/3.jpg"), "/3.jpg": picture()}
    few = option.endswith("2")
    run(cli, f"{site.url}/0.jpg", option, code=1 if few else 0)
    (item,) = records(cli)
    assert item["kind"] == ("redirect" if few else None)
    assert few or item["final_url"] == f"{site.url}/3.jpg"
    assert set(made(cli.folder / "out")) == (set() if few else {"0.jpg"}), "named by the URL that was asked for"


HOSTILE_TARGETS = (
    b"//[",
    b"http://a]/",
    b"http://[::1",
    b"http://h:99999/",
    b"http://h:x/",
    b"http://a b/",
    b"/caf\xe9.jpg",
    b"http://../",
    b"http://%00/",
    b"http://u:p@@h@/",
    b"data:,x",
    b"http://xn--a/",
    b"/" + b"x" * 70_000,
)
HOSTILE_ANSWERS = (
    b"200 OK\r\nContent-Length: -5",
    b"200 OK\r\nContent-Length: " + b"9" * 40,
    b"200 OK\r\nA: b\x00c",
    b"200 OK\r\nContent-Length: 0\r\nContent-Encoding: \xff,,gzip;q=1",
    b"206 X\r\nContent-Length: 0\r\nContent-Range: bytes 9-1/" + b"9" * 5000,
    b"401 X\r\nContent-Length: 0\r\nWWW-Authenticate: Digest \xff=",
    b"416 X\r\nContent-Length: 0\r\nContent-Range: bytes */x",
    b"500 X\r\nContent-Length: 0\r\nRetry-After: " + b"9" * 5000,
    b"500 X\r\nContent-Length: 0\r\nRetry-After: Mon, 99 Foo 0000 00:00:00 GMT",
    b"999 \x1b[31mred\r\nContent-Length: 0",
    *(b"302 Found\r\nContent-Length: 0\r\nLocation: " + target for target in HOSTILE_TARGETS),
)


def test_hostile_answers_cost_their_own_item_only(cli: Command, site: Site) -> None:
    """Headers and redirect targets made to break a parser fail one item each; the pictures among them succeed."""
    answers = {f"/{number}": b"HTTP/1.1 " + head + b"\r\n\r\n" for number, head in enumerate(HOSTILE_ANSWERS)}
    for path, answer in answers.items():
        site.pages[path] = lambda handler, answer=answer: raw(handler, answer)  # type: ignore[misc]
        site.pages[f"/good-{path[1:]}.jpg"] = picture()
    (cli.folder / "urls.txt").write_text("".join(f"{site.url}{path}\n" for path in site.pages))
    summary = run(cli, "urls.txt", "--retries", "0", "--timeout", "5", code=1)
    assert (summary["failed"], summary["succeeded"]) == (len(answers), len(answers))
    assert "internal" not in summary["failures"]
    shown = cli("status", "out", "--items").out
    assert "\x1b" not in shown
    assert "u001b" not in shown


def test_unwanted_images_are_skipped(cli: Command, site: Site) -> None:
    """--min-side and --max-aspect skip with their reason; skips alone exit 0."""
    site.pages = {"/tiny.jpg": picture(40, 30), "/long.jpg": picture(600, 100), "/good.jpg": picture()}
    summary = run(cli, *(f"{site.url}{path}" for path in site.pages), "--min-side", "50", "--max-aspect", "3")
    assert (summary["succeeded"], summary["skips"]) == (1, {"too_small": 1, "aspect_ratio": 1})
    assert set(made(cli.folder / "out")) == {"good.jpg"}


def test_a_failure_keeps_its_outcome(cli: Command, site: Site) -> None:
    """The same command again asks for no failed item either, and still exits 1."""
    for _ in range(2):
        assert run(cli, f"{site.url}/gone.jpg", code=1)["failures"] == {"http_status": 1}
    assert site.hits["/gone.jpg"] == 1


# -- names and formats -------------------------------------------------------------------------------------------------


def test_a_name_never_moves(cli: Command, site: Site) -> None:
    """Rows of an edited list keep key and output; a URL listed once more is one more item, and only that is asked."""
    site.pages = {f"/{host}/x.jpg": picture(seed=seed) for seed, host in enumerate("abc")}
    a, b, c = (f"{site.url}{path}" for path in site.pages)
    run(cli, a, b, a)
    before = {item["key"]: item["outputs"] for item in records(cli)}
    site.hits.clear()
    run(cli, c, a, b, a, a)
    after = {item["key"]: item["outputs"] for item in records(cli)}
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
    """Pitfall 38: a.png and a.jpg would both be a.webp: both survive, and get the same names every time."""
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


def test_a_few_broken_images_stop_nothing(cli: Command) -> None:
    """Pitfall 19: 300 good images and 5 broken ones: 300 results, 5 failures, each tried once, also the next time."""
    folder = cli.folder / "photos"
    folder.mkdir()
    for number in range(305):
        data = picture(seed=number, width=64, height=48)
        (folder / f"{number:03}.jpg").write_bytes(data[: len(data) // 2] if number % 61 == 30 else data)
    for new in (305, 0):
        summary = run(cli, folder, "-r", "32", code=1)
        assert (summary["succeeded"], summary["failures"], summary["new"]) == (300, {"truncated_image": 5}, new)
    assert len(made(cli.folder / "out")) == 300
    assert {item["attempts"] for item in records(cli)} == {1}


def test_an_image_that_grows_leaves_its_original(cli: Command) -> None:
    """Pitfall 37: results are made anew even where that takes more bytes; nothing is replaced by them, and the smaller
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


def test_the_same_bytes_are_taken_once(cli: Command, site: Site) -> None:
    """--dedup: of rows with equal bytes one is kept, the others are skipped as duplicates, also in a later run."""
    site.pages = {f"/{n}.jpg": picture(seed=n % 3) for n in range(12)}
    urls = [site.url + path for path in site.pages]
    options = ("-o", "out", "--dedup", "--progress", "none", "--json")
    done = cli("run", *urls[:9], *options)
    assert (done.code, done.json["succeeded"], done.json["skips"]) == (0, 3, {"duplicate": 6})
    assert len(list((cli.folder / "out").glob("*.jpg"))) == 3
    done = cli("run", *urls, *options)
    assert (done.json["succeeded"], done.json["skips"]) == (3, {"duplicate": 9})
    assert not list((cli.folder / "out/.downloader/staging").iterdir())
    assert cli("run", *urls, *options, "--overwrite", "always").json["succeeded"] == 3


def test_the_same_files_are_taken_once(cli: Command) -> None:
    """--dedup holds for folders as well; the duplicates stay where they are."""
    for n in range(6):
        (cli.folder / "in").mkdir(exist_ok=True)
        (cli.folder / f"in/{n}.jpg").write_bytes(picture(seed=n % 2))
    done = cli("process", "in", "-o", "out", "--dedup", "--progress", "none", "--json")
    assert (done.json["succeeded"], done.json["skips"]) == (2, {"duplicate": 4})
    assert len(list((cli.folder / "in").iterdir())) == 6
    messages = {record["message"] for record in cli.items().values() if record["state"] == "skipped"}
    assert all(message.startswith("the same bytes as ") for message in messages)


def test_auto_finds_out_how_many_threads_help(cli: Command, site: Site) -> None:
    """--threads auto on a server that takes 100 ms an answer: more than it began with, and the summary says why."""

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.1)
        send(handler, b"x")

    site.pages = {f"/{n}": slowly for n in range(1200)}
    (cli.folder / "urls.txt").write_text("\n".join(site.url + path for path in site.pages))
    options = ("-o", "out", "-t", "auto", "--per-host", "64", "--progress", "none", "--json")
    done = cli("fetch", "urls.txt", *options)
    assert done.json["succeeded"] == 1200
    assert done.json["stages"]["download"]["threads"] > 8
    assert done.json["pace"].startswith(f"{done.json['stages']['download']['threads']} at a time in the end: ")
