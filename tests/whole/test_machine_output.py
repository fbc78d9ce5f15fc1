"""What users script against: the keys of the machine output, and no secrets in it."""

import json
from hashlib import sha256
from typing import Any

import jsonschema
from runs import kind_and_size, made, run
from support import Command, Site, picture

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


def test_the_machine_output_has_its_keys(cli: Command, site: Site) -> None:
    """run --json, summary.json, status --json and each line of status --items hold their keys."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(3)}
    sources = [*(f"{site.url}{path}" for path in site.pages), f"{site.url}/gone.jpg", "http://"]
    summary = run(cli, *sources, "-r", "64", code=1)
    stored = json.loads((cli.folder / "out/.downloader/summary.json").read_text())
    assert summary == stored == cli("status", "out", "--json").json
    jsonschema.validate(summary, SUMMARY)
    assert (summary["succeeded"], summary["failures"]) == (3, {"http_status": 1, "invalid_url": 1})
    items = cli.records()
    for item in items:
        jsonschema.validate(item, ITEM)
    assert [item["source"] for item in items] == sources


def test_an_item_tells_what_came_and_what_was_made(cli: Command, site: Site) -> None:
    """Hashes, sizes, sides and addresses of status --items are those of the bytes sent and of the files on disk."""
    body = picture(300, 200)
    site.pages = {"/x.jpg": body}
    run(cli, f"{site.url}/x.jpg", "-r", "thumb=60 large=120")
    (item,) = cli.records()
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
