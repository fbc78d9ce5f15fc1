"""Objects in a real S3-compatible server, behind a proxy that fails on purpose; processes killed in mid-upload."""

import http.client
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
from stores import staged
from support import Command, served

from downloader.errors import OutputError
from downloader.storage.interface import NameRefused, NameTaken
from downloader.storage.object_store import ObjectStore

pytestmark = [pytest.mark.stores, pytest.mark.filterwarnings("default")]
pytest.importorskip("s3fs", reason="the extra `stores` is not installed")
pytest.importorskip("moto.server", reason="the extra `stores` is not installed")


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server; the first `faults` PUTs fail in the way of `fault`."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.fault, self.faults, self.puts = "", 0, 0
        self.lock = threading.Lock()

    def takes_fault(self) -> bool:
        with self.lock:
            self.puts += 1
            self.faults -= 1
            return self.faults >= 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that have gone are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        server = cast("Proxy", self.server)
        body = self._body()
        if self.command == "PUT" and server.takes_fault():
            if server.fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            time.sleep({"stall": 20, "slow": 0.1}.get(server.fault, 0))
            if server.fault == "503":
                self._answer(503, [], b"<Error><Code>SlowDown</Code><Message>slow</Message></Error>")
                return
            if server.fault == "403":
                self._answer(403, [], b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
                return
        behind = http.client.HTTPConnection("127.0.0.1", server.behind)
        headers = {
            k: v for k, v in self.headers.items() if k.lower() not in {"transfer-encoding", "content-length", "expect"}
        }
        behind.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
        answer = behind.getresponse()
        self._answer(answer.status, answer.getheaders(), answer.read())
        behind.close()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length", 0))
            whole = self.rfile.read(length)
            if len(whole) < length:
                raise ConnectionError("the client has gone")  # a real store keeps no part of an object either
            return whole
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            length = str(len(body))
            for name, value in headers:
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = value
                if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server_port() -> Iterator[int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = import_module("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def proxy(server_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    server = Proxy(server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    file_system = import_module("s3fs").S3FileSystem
    file_system.clear_instance_cache()
    yield server
    file_system.clear_instance_cache()
    server.shutdown()


@pytest.fixture
def bucket(proxy: Proxy, tmp_path: Path) -> str:
    name = f"bucket-{abs(hash(tmp_path)) % 10**10}"
    import_module("s3fs").S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"]).mkdir(name)
    proxy.puts = 0
    return f"s3://{name}/some/prefix"


def put_all(store: ObjectStore, staging: Path, names: list[str], content: bytes = b"content") -> Any:
    for number, name in enumerate(names):
        path = staged(staging, str(number), content)
        store.check(name, replace=False)
        store.put(path, name)
    return store.sync(names)


@pytest.mark.parametrize("name", ["a.jpg", "deep/down/a.jpg", "ein Bär.jpg", "a#b?c%2F&+ .jpg", "*[x]{y}"])
def test_an_object_is_under_its_name(bucket: str, tmp_path: Path, name: str) -> None:
    store = ObjectStore(bucket)
    assert put_all(store, tmp_path / "staging", [name]) == {}
    again = ObjectStore(bucket)
    assert list(again.names(excluded="-", unlisted=[])) == [name]
    with again.open(name) as file:
        assert file.read() == b"content"
    with pytest.raises(NameTaken):
        again.check(name, replace=False)
    again.remove(name)
    assert list(ObjectStore(bucket).names(excluded="-", unlisted=[])) == []


@pytest.mark.parametrize("fault", ["503", "reset", "stall"])
def test_a_fault_that_passes_costs_nothing(
    bucket: str, proxy: Proxy, tmp_path: Path, fault: str, record_property: Callable[[str, object], None]
) -> None:
    store = ObjectStore(bucket)
    proxy.fault, proxy.faults = fault, 1 if fault == "stall" else 2
    begun_s = time.monotonic()
    assert put_all(store, tmp_path / "staging", ["a.jpg"]) == {}
    record_property("seconds and PUTs", (time.monotonic() - begun_s, proxy.puts))
    with ObjectStore(bucket).open("a.jpg") as file:
        assert file.read() == b"content"


@pytest.mark.parametrize(("fault", "message"), [("503", "fewer requests"), ("403", "access denied")])
def test_a_store_that_refuses_everything_ends_the_run_soon(
    bucket: str,
    proxy: Proxy,
    tmp_path: Path,
    fault: str,
    message: str,
    record_property: Callable[[str, object], None],
) -> None:
    store = ObjectStore(bucket, deadline_s=3)
    proxy.fault, proxy.faults = fault, 10**9
    begun_s = time.monotonic()
    with pytest.raises(OutputError, match=message) as raised:
        put_all(store, tmp_path / "staging", [f"{number}.jpg" for number in range(64)])
    store.close()
    record_property("seconds and PUTs", (time.monotonic() - begun_s, proxy.puts))
    assert time.monotonic() - begun_s < 10
    assert "hush" not in str(raised.value)
    assert len(list((tmp_path / "staging").iterdir())) == 64


def test_what_is_wrong_with_the_place_is_said(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="no such bucket"):
        put_all(ObjectStore("s3://not-there-at-all/x"), tmp_path / "staging", ["a"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    import_module("s3fs").S3FileSystem.clear_instance_cache()
    with pytest.raises(OutputError, match="no connection to the store; check AWS_ENDPOINT_URL"):
        put_all(ObjectStore(bucket, deadline_s=1), tmp_path / "staging", ["a"])


def test_a_name_that_is_too_long_costs_its_item(bucket: str) -> None:
    with pytest.raises(NameRefused, match="too long"):
        ObjectStore(bucket).check("x" * 1100, replace=False)


_KILLED = """
import sys
from pathlib import Path
from downloader.storage.object_store import ObjectStore
store = ObjectStore(sys.argv[1])
names = [f"{number}.bin" for number in range(200)]
for name in names:
    store.check(name, replace=True)
    path = Path(sys.argv[2]) / name
    path.write_bytes(name.encode() * 50_000)
    store.put(str(path), name)
print("begun", flush=True)
print(store.sync(names), flush=True)
"""


@pytest.mark.parametrize("at", [3, 40])
def test_a_process_killed_in_mid_upload_leaves_whole_objects(
    bucket: str, proxy: Proxy, tmp_path: Path, at: int
) -> None:
    (tmp_path / "staging").mkdir()
    command = [sys.executable, "-c", _KILLED, bucket, str(tmp_path / "staging")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while proxy.puts < at:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    store = ObjectStore(bucket)
    found = list(store.names(excluded="-", unlisted=[]))
    assert len(found) < 200
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = ObjectStore(bucket)
    assert sorted(after.names(excluded="-", unlisted=[])) == sorted(f"{number}.bin" for number in range(200))
    for known, names in ((store, found), (after, [f"{number}.bin" for number in range(200)])):
        assert all(known.size(name) == 50_000 * len(name) for name in names)


def test_uploads_run_in_parallel(bucket: str, proxy: Proxy, tmp_path: Path) -> None:
    """Against a store that takes 0.1 s for each."""
    took_s = {}
    proxy.fault, proxy.faults = "slow", 10**9
    for uploads in (1, 16):
        store = ObjectStore(f"{bucket}/{uploads}", uploads=uploads)
        begun_s = time.monotonic()
        assert put_all(store, tmp_path / "staging", [f"{number}" for number in range(64)], b"x" * 20_000) == {}
        took_s[uploads] = time.monotonic() - begun_s
    assert took_s[16] < took_s[1] / 3


def test_a_command_killed_in_mid_upload_is_resumed(
    bucket: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cli, total = Command(tmp_path), 400
    with served() as site:
        for number in range(total):
            site.pages[f"/{number}.bin"] = f"{number} ".encode() * 5000
        (tmp_path / "urls.txt").write_text("".join(f"{site.url}/{number}.bin\n" for number in range(total)))
        arguments = ("fetch", "urls.txt", "-o", bucket, "--progress", "none", "--json", "--per-host", "16")
        for at in (20, 150):
            with cli.start(*arguments) as process:
                while proxy.puts < at and process.poll() is None:
                    time.sleep(0.005)
                process.kill()
            assert process.returncode == -signal.SIGKILL
        done = cli.spawn(*arguments)
        assert (done.code, done.json["succeeded"]) == (0, total), done.err
    store = ObjectStore(bucket)
    names = sorted(store.names(excluded=".downloader", unlisted=[]))
    assert len(names) == total
    for name in names:
        with store.open(name) as file:
            assert file.read() == f"{name.removesuffix('.bin')} ".encode() * 5000
    assert cli.spawn("verify", bucket, "--json").json["good"]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"hush" not in kept


def test_a_command_whose_store_refuses_exits_with_3_and_goes_on_later(
    bucket: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cli = Command(tmp_path)
    with served() as site:
        site.pages["/a.bin"] = b"bytes"
        arguments = ("fetch", f"{site.url}/a.bin", "-o", bucket, "--progress", "none", "--json")
        proxy.fault, proxy.faults = "403", 10**9
        done = cli.spawn(*arguments)
        assert (done.code, "access denied" in done.err, "hush" in done.err) == (3, True, False), done.err
        proxy.faults = 0
        assert cli.spawn(*arguments).json["succeeded"] == 1


def test_a_large_file_goes_in_parts_that_may_fail(bucket: str, proxy: Proxy, tmp_path: Path) -> None:
    store = ObjectStore(bucket)
    store.exists("large")
    proxy.fault, proxy.faults = "reset", 2
    content = os.urandom(40 * 1024**2)
    assert put_all(store, tmp_path / "staging", ["large"], content) == {}
    with store.open("large") as file:
        assert file.read() == content
    file_system = import_module("s3fs").S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    assert file_system.list_multipart_uploads(bucket.split("/")[2]) == []
