"""One outcome for every row, whatever its server or its file is like."""

import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from runs import made, run
from support import Command, Site, picture, raw, send


def test_more_rows_than_anything_is_wide(cli: Command, site: Site) -> None:
    """300 rows through narrow threads, queue and batches: each is asked once, has one outcome and one file."""
    site.pages = {f"/{number}.jpg?{number}": picture(60, 40) for number in range(300)}
    (cli.folder / "urls.txt").write_text("".join(f"{site.url}{path}\n" for path in site.pages))
    summary = run(cli, "urls.txt", "-r", "20", "--queue-size", "4")
    assert (summary["total"], summary["succeeded"]) == (300, 300)
    assert set(site.hits.values()) == {1}
    assert set(made(cli.folder / "out")) == {f"{number}.jpg" for number in range(300)}


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
    kinds = {Path(item["source"]).name: item["kind"] for item in cli.records()}
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
    (item,) = cli.records()
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


def test_a_few_broken_images_stop_nothing(cli: Command) -> None:
    """300 good images and 5 broken ones: 300 results, 5 failures, each tried once, also the next time."""
    folder = cli.folder / "photos"
    folder.mkdir()
    for number in range(305):
        data = picture(seed=number, width=64, height=48)
        (folder / f"{number:03}.jpg").write_bytes(data[: len(data) // 2] if number % 61 == 30 else data)
    for new in (305, 0):
        summary = run(cli, folder, "-r", "32", code=1)
        assert (summary["succeeded"], summary["failures"], summary["new"]) == (300, {"truncated_image": 5}, new)
    assert len(made(cli.folder / "out")) == 300
    assert {item["attempts"] for item in cli.records()} == {1}


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
        time.sleep(0.1)  # how far away it is
        send(handler, b"x")

    site.pages = {f"/{n}": slowly for n in range(500)}
    (cli.folder / "urls.txt").write_text("\n".join(site.url + path for path in site.pages))
    options = ("-o", "out", "-t", "auto", "--per-host", "64", "--progress", "none", "--json")
    done = cli("fetch", "urls.txt", *options)
    assert done.json["succeeded"] == 500
    assert done.json["stages"]["download"]["threads"] > 8
    assert done.json["pace"].startswith(f"{done.json['stages']['download']['threads']} at a time in the end: ")
