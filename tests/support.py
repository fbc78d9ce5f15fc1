"""What the tests of the whole command share: the command itself, a picture, and a server that can misbehave."""

import gc
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
from PIL import Image

from downloader.cli.app import execute


def picture(width: int = 320, height: int = 200, *, seed: int = 0, format: str = "JPEG") -> bytes:  # noqa: A002 - as Pillow
    """A small image with some structure."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    image.putpixel((seed % width, 0), (255, 0, 0))
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue()


def noisy(side: int, seed: int = 0) -> bytes:
    """A JPEG of side x side pixels that takes as long to decode as a photograph."""
    tile = Image.effect_noise((min(side, 500), min(side, 500)), 20 + seed % 50)
    image = Image.new("L", (side, side))
    for left in range(0, side, tile.width):
        for top in range(0, side, tile.height):
            image.paste(tile, (left, top))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """The command in a folder, as a user gives it there.

    Called, it runs in the process of the tests, which takes a tenth of what a process of its own does. `spawn` and
    `start` are for tests of what only a process has: signals, its streams, how it starts and dies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: object, stdin: str = "", **environment: str) -> Done:
        with as_a_process_of_its_own(self.folder, stdin, environment) as (out, err):
            code = execute([*map(str, arguments)])
        return Done(code, out.getvalue(), err.getvalue())

    def spawn(self, *arguments: object, stdin: str = "", **environment: str) -> Done:
        """Run it in a process of its own, to its end."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(stdin, timeout=120)
        assert "Traceback (most recent call last)" not in err, err
        return Done(process.returncode, out, err)

    def start(self, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
        """Start it in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "downloader", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def records(self, out: str = "out", *options: str) -> list[dict[str, Any]]:
        """The lines of `status --items`."""
        return [json.loads(line) for line in self("status", out, "--items", *options).out.splitlines()]

    def items(self, out: str = "out") -> dict[str, dict[str, Any]]:
        """The items of an output by the last part of their source."""
        return {record["source"].rsplit("/", 1)[-1]: record for record in self.records(out)}


@contextmanager
def as_a_process_of_its_own(
    folder: Path, stdin: str, environment: dict[str, str]
) -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Folder, environment, streams, signals, logging and collector as the command finds them; given back in the end."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    levels = {name: logging.getLogger(name).level for name in (None, "httpx", "httpcore")}
    threshold = gc.get_threshold()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(logging.root, "handlers", [])
        try:
            yield out, err
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for logger, level in levels.items():
                logging.getLogger(logger).setLevel(level)
            gc.set_threshold(*threshold)
            gc.unfreeze()


Answer = Callable[[BaseHTTPRequestHandler], None]
Reply = bytes | Answer


@dataclass
class Site:
    """A web server on loopback: `pages` maps paths to a picture, or to a function that answers in its own way."""

    url: str = ""
    pages: dict[str, Reply] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def served(tls: SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> Iterator[Site]:
    """A site that answers while the block runs."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            site.hits[self.path] += 1
            site.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            reply = site.pages.get(self.path)
            if reply is None:
                send(self, b"<html>gone</html>", 404, "text/html")
            elif isinstance(reply, bytes):
                send(self, reply)
            else:
                reply(self)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class's name
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients go away in these tests; that is no news."""

    server = Server((host, port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.url = f"http{'s' if tls else ''}://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # how soon it hears of its end
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(
    handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, media_type: str = "image/jpeg", **headers: str
) -> None:
    """A proper answer."""
    handler.send_response(status)
    handler.send_header("Content-Type", media_type)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def raw(handler: BaseHTTPRequestHandler, *parts: bytes) -> None:
    """Bytes as they are, then the end of the connection."""
    handler.close_connection = True
    for part in parts:
        handler.wfile.write(part)
        handler.wfile.flush()


def ranged(body: bytes, etag: str | None = '"v1"', *, pace: Callable[[int], None] = lambda _: None) -> Answer:
    """A page that serves ranges under If-Range, and 304 under If-None-Match, as a good server does.

    `pace` is called before each 64 KiB with the position they have in the body: to wait there, or to break off.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers
        tag = f"ETag: {etag}\r\n".encode() if etag else b""
        if etag and asked["If-None-Match"] == etag:
            raw(handler, b"HTTP/1.1 304 Not Modified\r\n", tag, b"\r\n")
            return
        start, stop, head = 0, len(body), b"HTTP/1.1 200 OK\r\n"
        if "Range" in asked and asked["If-Range"] in {None, etag}:
            first, _, last = asked["Range"].removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else len(body)
            head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, len(body))
        head += tag + b"Accept-Ranges: bytes\r\nContent-Type: image/jpeg\r\n"
        raw(handler, head, b"Content-Length: %d\r\n\r\n" % (stop - start))
        for position in range(start, stop, 65536):
            pace(position)
            raw(handler, body[position : min(position + 65536, stop)])

    return answer
