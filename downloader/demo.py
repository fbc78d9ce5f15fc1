"""The server of `downloader demo`: generated photographs and some failures, served on this machine."""

import io
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zlib import crc32

from PIL import Image, ImageDraw, ImageFilter  # noqa: TID251 - makes its own pictures

_SLOW_S = 1.5
_PORTS = range(20_000, 30_000)
"""Below the ephemeral ports (Linux from 32,768, RFC 6335 from 49,152)."""
_VARIETY = 12
"""Number of different photographs; more images repeat them, since generating thousands would take long."""


@contextmanager
def demo_server(images: int, output: Path) -> Iterator[list[str]]:
    """Serve photographs, one of them slowly, a broken image, a web page and a missing file; yield their URLs."""
    pictures = [photograph(seed) for seed in range(min(images, _VARIETY))]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            if name.startswith("photo-"):
                self._send("image/jpeg", pictures[int(name[6:-4]) % len(pictures)])
            elif name == "slow.jpg":
                time.sleep(_SLOW_S)
                self._send("image/jpeg", pictures[0])
            elif name == "broken.jpg":
                self._send("image/jpeg", pictures[0][: len(pictures[0]) // 2])
            elif name == "page.jpg":
                self._send("text/html", b"<!doctype html><title>Sorry</title><p>No picture here.")
            else:
                self.send_error(404)

        def _send(self, media_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing: the pipeline reports."""

    server = _listen(Handler, output)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    names = [f"photo-{number:04}.jpg" for number in range(images - 1)]
    try:
        yield [f"{base}/{name}" for name in ("slow.jpg", *names, "broken.jpg", "page.jpg", "gone.jpg")]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listen(handler: type[BaseHTTPRequestHandler], output: Path) -> ThreadingHTTPServer:
    """Listen on a port derived from the output, if free, so that a second demo has the same URLs."""
    port = _PORTS[crc32(bytes(output.absolute())) % len(_PORTS)]
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)


def photograph(seed: int) -> bytes:
    """Generate a JPEG of about 1200 x 900 pixels that compresses like a photograph: soft shapes with fine grain."""
    chance = random.Random(seed)  # noqa: S311 - pictures, not secrets
    size = (1200 + 40 * seed, 900)
    image = Image.linear_gradient("L").resize(size)
    image = Image.merge(
        "RGB", [image.point([min(255, v // 2 + chance.randrange(90)) for v in range(256)]) for _ in range(3)]
    )
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, r = chance.randrange(size[0]), chance.randrange(size[1]), chance.randrange(20, 200)
        draw.ellipse(
            (x - r, y - r, x + r, y + r), fill=(chance.randrange(256), chance.randrange(256), chance.randrange(256))
        )
    grain = Image.effect_noise(size, 40).convert("RGB")
    image = Image.blend(image.filter(ImageFilter.GaussianBlur(3)), grain, 0.12)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()
