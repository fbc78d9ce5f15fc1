import contextlib
import itertools
import socket
import ssl
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpcore
import pytest
from wire import MakeRun, Run, Server, answering, secured, silent

from downloader.clock import active_clock
from downloader.config.settings import DownloadOptions
from downloader.http.errors import DeadlineExceeded, FetchError, causes
from downloader.http.tls import ssl_context
from downloader.http.translation import translated
from downloader.model.failures import FailureKind


def test_a_trusted_certificate(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """--ca-file is trusted; the connection is HTTP/1.1, kept, timed; a name may end in a dot."""
    run = make_run({"good.test": ["127.0.0.1"], "good.test.": ["127.0.0.1"]}, ca_file=certificate[0])
    with Server(secured(answering, certificate)) as server:
        for _ in range(3):
            assert run.get(f"https://good.test:{server.port}/") == (200, b"ok")
        assert server.connections == 1
        assert run.phases() == ["dns", "connect", "tls"]
        assert run.get(f"https://good.test.:{server.port}/") == (200, b"ok")
        run.transport.close()


@pytest.mark.parametrize(("host", "trusted"), [("good.test", False), ("wrong.test", True), ("127.0.0.1", True)])
def test_a_certificate_that_does_not_fit(
    make_run: MakeRun, certificate: tuple[str, str], host: str, trusted: bool
) -> None:
    """An unknown issuer or another host ends the connection; OpenSSL's error is in the chain of causes."""
    names = {name: ["127.0.0.1"] for name in ("good.test", "wrong.test")}
    run = make_run(names, ca_file=certificate[0] if trusted else None)
    with Server(secured(answering, certificate)) as server:
        with pytest.raises(httpcore.ConnectError) as caught:
            run.get(f"https://{host}:{server.port}/")
        assert ssl.SSLCertVerificationError in map(type, causes(caught.value))
        assert server.open_connections() == 0


def test_insecure_takes_any_certificate(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """--insecure does not look at the certificate."""
    run = make_run(insecure=True)
    with Server(secured(answering, certificate)) as server:
        assert run.get(f"https://127.0.0.1:{server.port}/")[0] == 200
        run.transport.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_old_tls_is_refused(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """TLS 1.1 is not spoken, not even with --insecure."""
    run = make_run(insecure=True)
    with Server(secured(answering, certificate, ssl.TLSVersion.TLSv1_1)) as server:
        with pytest.raises(httpcore.ConnectError) as caught:
            run.get(f"https://127.0.0.1:{server.port}/")
        assert ssl.SSLError in map(type, causes(caught.value))


def test_a_server_that_does_not_shake_hands(make_run: MakeRun) -> None:
    """A handshake has the time of a connection, and ends at the deadline."""
    run = make_run()
    with Server(silent) as server:
        with pytest.raises(httpcore.ConnectTimeout):
            run.get(f"https://127.0.0.1:{server.port}/", timeout_s=0.2)
        run.context.deadline_s = active_clock() + 0.2
        with pytest.raises(DeadlineExceeded):
            run.get(f"https://127.0.0.1:{server.port}/")


def test_one_context_serves_many_threads(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """Threads that share a context do not change it: httpcore's wish for protocols is met once and for all."""
    runs = [make_run({"good.test": ["127.0.0.1"]}, ca_file=certificate[0]) for _ in range(8)]

    def some(run: Run) -> list[int]:
        return [run.get(f"https://good.test:{server.port}/")[0] for _ in range(5)]

    with Server(secured(answering, certificate)) as server, ThreadPoolExecutor(8) as pool:
        assert set(itertools.chain(*pool.map(some, runs))) == {200}
        context = ssl_context(DownloadOptions(ca_file=certificate[0]))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            context.wrap_socket(plain, server_hostname="good.test") as secure,
        ):
            assert secure.selected_alpn_protocol() == "http/1.1"
        for run in runs:
            run.transport.close()


def test_bad_certificate_files_name_the_option(tmp_path: Path, certificate: tuple[str, str]) -> None:
    """A file that is missing, is no certificate, or needs a password, is told with its option; nothing is asked."""
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ValueError, match=rf"--ca-file {path}: "):
            ssl_context(DownloadOptions(ca_file=str(path)))
        with pytest.raises(ValueError, match=rf"--client-cert {path}: "):
            ssl_context(DownloadOptions(client_cert=str(path)))
    locked = subprocess.run(
        ["openssl", "pkey", "-in", certificate[1], "-aes128", "-passout", "pass:secret"],
        check=True,
        capture_output=True,
    ).stdout
    both = tmp_path / "both.pem"
    both.write_bytes(Path(certificate[0]).read_bytes() + locked)
    with pytest.raises(ValueError, match="protected by a password"):
        ssl_context(DownloadOptions(client_cert=str(both)))
    both.write_bytes(Path(certificate[0]).read_bytes() + Path(certificate[1]).read_bytes())
    ssl_context(DownloadOptions(client_cert=str(both)))


def test_the_usual_variables_name_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: tuple[str, str]
) -> None:
    """SSL_CERT_FILE is followed, and named where it is wrong; --ca-file goes before it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(ValueError, match="SSL_CERT_FILE"):
        ssl_context(DownloadOptions())
    ssl_context(DownloadOptions(ca_file=certificate[0]))


# --- failures told apart ---


def failure(run: Run, url: str) -> FetchError:
    """The failure that a request for a URL ends with."""
    with pytest.raises(FetchError) as caught, translated(5.0):
        run.get(url)
    return caught.value


@pytest.fixture(scope="module")
def lapsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Certificates for good.test that are not valid now, with their keys."""
    folder = tmp_path_factory.mktemp("lapsed")
    made = {}
    for what, start, end in (("expired", "20200101", "20200201"), ("early", "20900101", "20900201")):
        files = made[what] = (str(folder / f"{what}.pem"), str(folder / f"{what}-key.pem"))
        (folder / "index.txt").write_text("")
        (folder / "serial").write_text("01\n")
        config = folder / "ca.cnf"
        config.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\nserial={folder}/serial\nnew_certs_dir={folder}\n"
            "default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:good.test\n"
        )
        request = str(folder / "request.pem")
        subject = ["-subj", "/CN=good.test", "-newkey", "rsa:2048", "-nodes"]
        dates = ["-startdate", f"{start}000000Z", "-enddate", f"{end}000000Z"]
        for command in (
            ["req", "-new", *subject, "-keyout", files[1], "-out", request],
            ["ca", "-batch", "-selfsign", "-notext", "-config", str(config), "-keyfile", files[1], *dates,
             "-in", request, "-out", files[0]],
        ):  # fmt: skip
            subprocess.run(["openssl", *command], check=True, capture_output=True)
    return made


@pytest.mark.parametrize(("what", "why"), [("expired", "has expired"), ("early", "not valid yet; is the clock")])
def test_certificates_out_of_their_time(
    make_run: MakeRun, lapsed: dict[str, tuple[str, str]], what: str, why: str
) -> None:
    """Each of the two says so, and names the option."""
    run = make_run({"good.test": ["127.0.0.1"]}, ca_file=lapsed[what][0])
    with Server(secured(answering, lapsed[what])) as server:
        found = failure(run, f"https://good.test:{server.port}/")
    assert found.kind is FailureKind.TLS
    assert why in found.message
    assert "--insecure" in found.message


@pytest.mark.parametrize(
    ("host", "trusted", "why"),
    [
        ("good.test", False, "self-signed; --ca-file trusts it"),
        ("wrong.test", True, "is for another host"),
        ("127.0.0.1", True, "is for another host, not for this address"),
    ],
)
def test_certificates_that_do_not_fit(
    make_run: MakeRun, certificate: tuple[str, str], host: str, trusted: bool, why: str
) -> None:
    """The issuer, or the host: what to do differs."""
    names = {name: ["127.0.0.1"] for name in ("good.test", "wrong.test")}
    run = make_run(names, ca_file=certificate[0] if trusted else None)
    with Server(secured(answering, certificate)) as server:
        found = failure(run, f"https://{host}:{server.port}/")
    assert found.kind is FailureKind.TLS
    assert why in found.message


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_old_version_is_named(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """The version is what does not fit, and no option changes that."""
    with Server(secured(answering, certificate, ssl.TLSVersion.TLSv1_1)) as server:
        found = failure(make_run(insecure=True), f"https://127.0.0.1:{server.port}/")
    assert (found.kind, found.message) == (FailureKind.TLS, "the server speaks no TLS version from 1.2 on")


def test_a_server_without_tls_is_named(make_run: MakeRun) -> None:
    """https:// where http:// was meant."""

    def talk(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        silent(connection)

    with Server(talk) as server:
        found = failure(make_run(), f"https://127.0.0.1:{server.port}/")
    assert found.kind is FailureKind.TLS
    assert "does not speak TLS at this port" in found.message


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_handshake_that_is_hung_up_on_is_transient(make_run: MakeRun, is_reset: bool) -> None:
    """A server that is overloaded hangs up; that is no judgement on TLS."""

    def talk(connection: socket.socket) -> None:
        connection.recv(5000)
        if is_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Server(talk) as server:
        found = failure(make_run(), f"https://127.0.0.1:{server.port}/")
    assert found.kind is FailureKind.CONNECT
    assert not found.final


def test_a_server_that_wants_a_certificate_is_named(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """With TLS 1.3 it says so after the handshake, with TLS 1.2 in it."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = version

        def talk(connection: socket.socket, context: ssl.SSLContext = context) -> None:
            with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secure:
                with contextlib.suppress(ssl.SSLError):
                    secure.do_handshake()
                while socket.socket.recv(secure, 65536):  # else the alert could be lost with what was not read
                    pass

        with Server(talk) as server:
            found = failure(make_run(insecure=True), f"https://127.0.0.1:{server.port}/")
        assert found.kind is FailureKind.TLS
