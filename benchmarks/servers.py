"""Local web servers for the length of a `with` block: nginx, or our own if nginx is not installed.

All listen on the loopback address only, on a free port, and end with the block, or with this process.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

_START_S = 10.0
_END_S = 10.0

_NGINX = """\
{user}
daemon off;
worker_processes auto;
pid {prefix}/nginx.pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    open_file_cache max=20000;
    types {{ image/jpeg jpg; }}
    default_type application/octet-stream;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {folder}; }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Base URL and name of a server."""

    base: str
    name: str


@contextmanager
def web_server(folder: Path) -> Iterator[Server]:
    """Serve a folder as fast as this machine can."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    port = _free_port()
    base = f"http://127.0.0.1:{port}"
    if nginx is None:
        processes = os.cpu_count() or 1
        with _running([_static(folder, port, 0.0)] * processes, port):
            yield Server(base=base, name=f"a file server in Python, {processes} processes (nginx is not installed)")
        return
    with TemporaryDirectory() as prefix:
        settings = Path(prefix) / "nginx.conf"
        user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
        settings.write_text(_NGINX.format(user=user, prefix=prefix, port=port, folder=folder))
        with _running([[nginx, "-p", prefix, "-e", "stderr", "-c", str(settings)]], port):
            yield Server(base=base, name="nginx")


@contextmanager
def slow_server(folder: Path, delay_s: float) -> Iterator[Server]:
    """Serve a folder, each response after a fixed delay."""
    port = _free_port()
    with _running([_static(folder, port, delay_s)], port):
        yield Server(
            base=f"http://127.0.0.1:{port}", name=f"a file server in Python that waits {delay_s * 1000:.0f} ms"
        )


def _static(folder: Path, port: int, delay_s: float) -> list[str]:
    return [sys.executable, "-m", "benchmarks.static_server", str(folder), str(port), str(delay_s)]


@contextmanager
def _running(commands: Sequence[Sequence[str]], port: int) -> Iterator[None]:
    with ExitStack() as stack:
        for command in commands:
            stack.enter_context(_process(command))
        _wait_for(port)
        yield


@contextmanager
def _process(command: Sequence[str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.tied", *command], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.02)
        else:
            return
