"""A small file server in one process: `python -m benchmarks.static_server FOLDER PORT DELAY_S`.

It replaces nginx where that is not installed, with several processes on one port, and is the server with a fixed
latency: each response begins `DELAY_S` after its request was read, whatever the load. GET only, kept connections,
loopback only, and only the files that lie in the folder when it starts.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path

_BACKLOG = 1024


class _Files:
    """The files, by path."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        self._paths = {f"/{path.name}".encode(): path for path in folder.iterdir() if path.suffix in {".jpg", ".bin"}}
        self._delay_s = delay_s

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, until the client closes it."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # how clients leave
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(self._answer(head))
                await writer.drain()
        writer.close()

    def _answer(self, head: bytes) -> bytes:
        path = self._paths.get(head.split(b" ", 2)[1])
        if path is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        body = path.read_bytes()
        media_type = b"image/jpeg" if path.suffix == ".jpg" else b"application/octet-stream"
        return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (media_type, len(body), body)


async def _run(folder: Path, port: int, delay_s: float) -> None:
    files = _Files(folder, delay_s)
    server = await asyncio.start_server(files.serve, "127.0.0.1", port, reuse_port=True, backlog=_BACKLOG)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
