import itertools
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpcore
import pytest
from wire import MakeRun, Run, Server, answering, secured, silent

from downloader.config.settings import DownloadOptions
from downloader.http.errors import DeadlineExceeded
from downloader.http.tls import ssl_context


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


def causes(problem: BaseException) -> list[type[BaseException]]:
    """What led to it, as the client looks for it."""
    chain: list[type[BaseException]] = []
    cause: BaseException | None = problem
    while cause is not None:
        chain.append(type(cause))
        cause = cause.__cause__ or cause.__context__
    return chain


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
        assert ssl.SSLCertVerificationError in causes(caught.value)
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
        assert ssl.SSLError in causes(caught.value)


def test_a_server_that_does_not_shake_hands(make_run: MakeRun) -> None:
    """A handshake has the time of a connection, and ends at the deadline."""
    run = make_run()
    with Server(silent) as server:
        with pytest.raises(httpcore.ConnectTimeout):
            run.get(f"https://127.0.0.1:{server.port}/", timeout_s=0.2)
        run.context.deadline_s = time.monotonic() + 0.2
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
