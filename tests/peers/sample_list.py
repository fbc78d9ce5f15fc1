"""A list of 2,000 images with captions, of which some fail, and what the outputs of two programs say about it."""

import io
import json
import random
import tarfile
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from support import Site, send

ROWS = 2000
SHARD = 500
PORT = 47_318
"""Fixed, so that URLs, and with them the stored facts, are the same in every run."""
_KINDS = ("jpeg", "jpeg", "jpeg", "grey", "png", "alpha", "webp")
_SIZES = ((320, 200), (200, 320), (256, 256), (100, 60), (37, 411), (640, 480))
_EVERY_GONE, _EVERY_BROKEN, _EVERY_PAGE, _EVERY_OPTED_OUT = 11, 13, 17, 19


def _picture(kind: str, size: tuple[int, int], seed: int) -> bytes:
    rng = random.Random(seed)
    image = Image.new("RGB", size, (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        draw.ellipse((x, y, x + rng.randrange(9, 90), y + rng.randrange(9, 90)), fill=(x % 256, y % 256, seed % 256))
    if kind == "grey":
        image = image.convert("L")
    if kind == "alpha":
        image.putalpha(Image.linear_gradient("L").resize(size))
    out = io.BytesIO()
    match kind:
        case "png" | "alpha":
            image.save(out, "PNG")
        case "webp":
            image.save(out, "WEBP", quality=80)
        case _:
            image.save(out, "JPEG", quality=90)
    return out.getvalue()


def _failing(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, b"no", status, "text/plain")


def _opted_out(body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("X-Robots-Tag", "noai")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def make_list(site: Site, path: Path) -> None:
    """Let the site serve everything, and write the list: url, caption, licence and a number."""
    bodies = [
        _picture(kind, size, seed)
        for seed, (kind, size) in enumerate((kind, size) for kind in _KINDS for size in _SIZES)
    ]
    rows = []
    for number in range(ROWS):
        page, body = f"/{number}.jpg", bodies[number % len(bodies)]
        if number % _EVERY_GONE == 0:
            site.pages[page] = _failing(404 if number % 2 else 410)
        elif number % _EVERY_BROKEN == 0:
            site.pages[page] = _failing(500)
        elif number % _EVERY_PAGE == 0:
            site.pages[page] = b"<html>no image</html>"
        elif number % _EVERY_OPTED_OUT == 0:
            site.pages[page] = _opted_out(body)
        else:
            site.pages[page] = body
        caption = f'number {number}, "quoted" é 猫' if number % 3 else ""
        rows.append({"url": site.url + page, "caption": caption, "licence": "CC0" if number % 2 else "CC-BY"})
    pq.write_table(pa.Table.from_pylist(rows), path)


def facts(folder: Path) -> dict[str, Any]:
    """What a dataset of tars says of the list: everything that does not depend on order, pixels or wording."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]
    samples = [sample for path in sorted(folder.glob("*.tar")) for sample in _samples(path)]
    by_key = {row["key"]: row for row in rows}
    statistics = [json.loads(path.read_text()) for path in folder.glob("*_stats.json")]
    sides = ("width", "height", "original_width", "original_height")
    return {
        "tables": [table.num_rows for table in tables],
        "columns": sorted(f"{field.name}: {field.type}" for field in tables[0].schema),
        "same columns in every table": all(table.schema.equals(tables[0].schema) for table in tables),
        "status": dict(sorted(Counter(row["status"] for row in rows).items())),
        "statistics": {
            name: sum(each[name] for each in statistics)
            for name in ("count", "successes", "failed_to_download", "failed_to_resize")
        },
        "names of statistics": sorted(statistics[0]),
        "keys": sorted({len(row["key"]) for row in rows}),
        "distinct keys": len(by_key),
        "samples": len(samples),
        "members": sorted({" ".join(sorted(sample["members"])) for sample in samples}),
        "names in json": sorted({" ".join(sorted(sample["json"])) for sample in samples}),
        "captions in txt": all(sample["txt"] == (by_key[sample["key"]]["caption"] or "") for sample in samples),
        "formats": dict(sorted(Counter(sample["format"] for sample in samples).items())),
        "rows": {
            row["url"]: [*(row[side] for side in sides), row["status"], row["caption"], row["licence"], row["sha256"]]
            for row in sorted(rows, key=lambda row: row["url"])
        },
    }


def _samples(tar: Path) -> list[dict[str, Any]]:
    samples: dict[str, dict[str, Any]] = {}
    with tarfile.open(tar) as members:
        for member in members:
            key, _, field = member.name.partition(".")
            sample = samples.setdefault(key, {"key": key, "members": []})
            sample["members"].append(field)
            file = members.extractfile(member)
            assert file is not None
            data = file.read()
            if field == "txt":
                sample["txt"] = data.decode()
            elif field == "json":
                sample["json"] = json.loads(data)
            else:
                with Image.open(io.BytesIO(data)) as image:
                    sample["format"] = f"{image.format} {image.width}x{image.height}"
    return list(samples.values())
