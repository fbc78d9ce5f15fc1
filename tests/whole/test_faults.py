"""Every fault of a server or a file ends as one failure of the right kind, in time, and the run continues."""

import base64
import gzip
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from support import Command, Site, picture, raw, send, served

from downloader import __version__

PICTURE = picture(600, 400)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
Handler = BaseHTTPRequestHandler


def cut_short(handler: Handler) -> None:
    raw(handler, HEAD, b"Content-Length: %d\r\n\r\n" % len(PICTURE), PICTURE[:500])


def bad_chunk(handler: Handler) -> None:
    raw(handler, HEAD, b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\nabc\r\n")


def chunks_cut_short(handler: Handler) -> None:
    raw(handler, HEAD, b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")


def reset(handler: Handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw(handler, HEAD, b"Content-Length: 100000\r\n\r\n", b"x" * 1000)
    handler.connection.close()


def silence(handler: Handler) -> None:
    handler.close_connection = True
    handler.rfile.read(1)  # until the client has gone


def drip(handler: Handler) -> None:
    raw(handler, HEAD, b"Content-Length: 100000\r\n\r\n")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        raw(handler, b"x")
        time.sleep(0.1)


def drip_of_headers(handler: Handler) -> None:
    raw(handler, HEAD)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        raw(handler, b"X-A: b\r\n")
        time.sleep(0.1)


def flood_of_headers(handler: Handler) -> None:
    raw(handler, b"HTTP/1.1 200 OK\r\n", *(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(5000)))


def endless_interim_replies(handler: Handler) -> None:
    while True:
        raw(handler, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 50)


def no_http(handler: Handler) -> None:
    raw(handler, b"SSH-2.0-OpenSSH_9.2\r\n")


def no_answer(handler: Handler) -> None:
    raw(handler)


def two_lengths(handler: Handler) -> None:
    raw(handler, HEAD, b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")


def too_large_unannounced(handler: Handler) -> None:
    raw(handler, HEAD, b"Connection: close\r\n\r\n", *([b"x" * 65536] * 40))


def undecodable_coding(handler: Handler) -> None:
    send(handler, b"abc", Content_Encoding="compress")


def bomb(handler: Handler) -> None:
    send(handler, gzip.compress(bytes(64 * 1024**2), 9), Content_Encoding="gzip")


def cut_gzip(handler: Handler) -> None:
    send(handler, gzip.compress(PICTURE)[:-20], Content_Encoding="gzip")


def bad_gzip(handler: Handler) -> None:
    send(handler, b"this is no gzip at all", Content_Encoding="gzip")


def wrong_digest(handler: Handler) -> None:
    send(handler, PICTURE, Repr_Digest=f"sha-256=:{'A' * 43}=:")


def status(code: int) -> Callable[[Handler], None]:
    return lambda handler: send(handler, b"no", code, "text/plain")


def redirect(target: str | None) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        send(handler, b"", 302, "text/plain", **({"Location": target} if target else {}))

    return answer


def page(body: bytes, media_type: str = "image/jpeg") -> Callable[[Handler], None]:
    return lambda handler: send(handler, body, 200, media_type)


MATRIX: dict[str, tuple[Callable[[Handler], None] | None, str]] = {
    "404": (None, "http_status"),
    "500": (status(500), "http_status"),
    "204": (status(204), "http_status"),
    "206-unasked": (status(206), "protocol"),
    "cut-short": (cut_short, "truncated"),
    "chunks-cut-short": (chunks_cut_short, "truncated"),
    "bad-chunk": (bad_chunk, "protocol"),
    "reset": (reset, "protocol"),
    "no-http": (no_http, "protocol"),
    "no-answer": (no_answer, "protocol"),
    "two-lengths": (two_lengths, "protocol"),
    "silence": (silence, "timeout"),
    "drip": (drip, "deadline"),
    "drip-of-headers": (drip_of_headers, "deadline"),
    "flood-of-headers": (flood_of_headers, "protocol"),
    "endless-interim-replies": (endless_interim_replies, "protocol"),
    "too-large": (page(b"x" * (1024 * 1024 + 1)), "too_large"),
    "too-large-unannounced": (too_large_unannounced, "too_large"),
    "undecodable-coding": (undecodable_coding, "content_encoding"),
    "bomb-over-max-size": (bomb, "too_large"),
    "cut-gzip": (cut_gzip, "truncated"),
    "bad-gzip": (bad_gzip, "content_encoding"),
    "wrong-digest": (wrong_digest, "checksum"),
    "redirect-nowhere": (redirect(None), "redirect"),
    "redirect-loop": (redirect("/redirect-loop"), "redirect"),
    "redirect-unparsable": (redirect("http://[half/x.jpg"), "redirect"),
    "redirect-to-file": (redirect("file:///etc/passwd"), "redirect"),
    "html": (page(b"<!doctype html><p>no", "text/html"), "not_an_image"),
    "empty": (page(b""), "not_an_image"),
    "half-a-picture": (page(PICTURE[: len(PICTURE) // 2]), "truncated_image"),
    "postscript": (page(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "unsupported_format"),
}
IN_TIME_S = 30.0
GOOD = tuple(f"good-{number}" for number in range(5))
OPTIONS = ("-r", "64", "--retries", "0", "--timeout", "1.5", "--deadline", "3", "--max-size", "1M", "--per-host", "40")


@pytest.mark.parametrize("transport", ["httptools", "httpcore"])
def test_a_fault_ends_as_its_kind_and_the_run_continues(cli: Command, site: Site, transport: str) -> None:
    """All faults in one run among good pictures: each is one failure of its kind with a message; pictures succeed."""
    site.pages = {f"/{name}": answer for name, (answer, _) in MATRIX.items() if answer}
    site.pages |= {f"/{name}": PICTURE for name in GOOD}
    (cli.folder / "urls.txt").write_text("\n".join(f"{site.url}/{name}" for name in (*MATRIX, *GOOD)))
    started = time.monotonic()
    done = cli.spawn(
        "run", "urls.txt", "-o", "out", "--transport", transport, "-t", "40", *OPTIONS, "--progress", "none"
    )
    assert time.monotonic() - started < IN_TIME_S
    assert done.code == 1, done.err
    items = cli.items()
    kinds = {name: (item["state"], item["kind"]) for name, item in items.items()}
    expected = {name: ("failed", kind) for name, (_, kind) in MATRIX.items()} | dict.fromkeys(GOOD, ("succeeded", None))
    assert kinds == expected, {name: items[name]["message"] for name in items if kinds[name] != expected[name]}
    assert all(items[name]["message"] for name in MATRIX)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1/x.jpg", "connect"),
        ("http://no-such-host.invalid/x.jpg", "dns"),
        ("not a url", "invalid_url"),
        ("ftp://example.com/x.jpg", "invalid_url"),
        ("http:///x.jpg", "invalid_url"),
        ("http://example.com:99999/x.jpg", "invalid_url"),
        ("http://exa mple.com/x.jpg", "invalid_url"),
    ],
)
def test_what_cannot_be_reached(cli: Command, tmp_path: Path, url: str, kind: str) -> None:
    """A refused connection, an unknown host and what is no URL each have their kind."""
    (tmp_path / "urls.txt").write_text(url)
    assert cli("run", "urls.txt", "-o", "out", "--retries", "0", "--progress", "none").code == 1
    assert [record["kind"] for record in cli.items().values()] == [kind]


@pytest.mark.parametrize("transport", ["httpcore", "httptools"])
def test_the_summary_names_the_transport(cli: Command, site: Site, transport: str) -> None:
    """--transport decides what speaks HTTP, and the summary says which version of it did."""
    site.pages["/x.jpg"] = PICTURE
    done = cli("fetch", f"{site.url}/x.jpg", "-o", "out", "--transport", transport, "--progress", "none", "--json")
    assert done.code == 0, done.err
    assert {"httpcore", "httptools"} & done.json["versions"].keys() == {transport}
    assert (cli.folder / "out/x.jpg").read_bytes() == PICTURE


def test_a_passing_failure_is_tried_again(cli: Command, site: Site) -> None:
    """Two 503 and then the picture: succeeded, with three attempts."""
    site.pages["/x.jpg"] = lambda handler: (
        send(handler, PICTURE) if site.hits["/x.jpg"] > 2 else send(handler, b"", 503, "text/plain")
    )
    assert cli("run", f"{site.url}/x.jpg", "-o", "out", "--progress", "none").code == 0
    assert cli.items()["x.jpg"]["attempts"] == 3


def test_a_lasting_failure_is_asked_for_once(cli: Command, site: Site) -> None:
    """A 404 will not pass: one request, whatever --retries says."""
    assert cli("run", f"{site.url}/x.jpg", "-o", "out", "--progress", "none").code == 1
    assert site.hits["/x.jpg"] == 1


def test_a_broken_off_body_is_resumed(cli: Command, site: Site) -> None:
    """With a strong validator only the rest is asked for, and the bytes are the whole thing's."""
    body = picture(2000, 1500, seed=3)
    half = len(body) // 2

    def answer(handler: Handler) -> None:
        head = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nAccept-Ranges: bytes\r\nContent-Type: image/jpeg\r\n'
        if site.hits["/x.jpg"] == 1:
            raw(handler, head, b"Content-Length: %d\r\n\r\n" % len(body), body[:half])
        else:
            assert handler.headers["If-Range"] == '"v1"'
            start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            told = f"bytes {start}-{len(body) - 1}/{len(body)}"
            send(handler, body[start:], 206, Content_Range=told, ETag='"v1"')

    site.pages["/x.jpg"] = answer
    assert cli("fetch", f"{site.url}/x.jpg", "-o", "out", "--progress", "none").code == 0
    assert (cli.folder / "out/x.jpg").read_bytes() == body
    assert "range" in site.seen[-1][1]


@pytest.mark.parametrize("lie", ["start", "total", "etag", "ignored"])
def test_never_a_wrong_byte(cli: Command, site: Site, lie: str) -> None:
    """A 206 that lies, a file that changed, a Range that is ignored: the result is the server's present bytes."""
    old, new = b"a" * 200_000, b"b" * 200_000
    wrong = {
        "start": {"Content_Range": f"bytes 50000-{len(new) - 1}/{len(new)}", "ETag": '"v1"'},
        "total": {"Content_Range": f"bytes 100000-{len(new) - 1}/{len(new) + 7}", "ETag": '"v1"'},
        "etag": {"Content_Range": f"bytes 100000-{len(new) - 1}/{len(new)}", "ETag": '"v2"'},
    }

    def answer(handler: Handler) -> None:
        if site.hits["/x.bin"] == 1:
            raw(handler, HEAD, b'ETag: "v1"\r\nContent-Length: 200000\r\n\r\n', old[:100_000])
        elif "Range" in handler.headers and lie != "ignored":
            send(handler, new[100_000:], 206, **wrong[lie])
        else:
            send(handler, new, ETag='"v2"')

    site.pages["/x.bin"] = answer
    assert cli("fetch", f"{site.url}/x.bin", "-o", "out", "--progress", "none").code == 0
    assert (cli.folder / "out/x.bin").read_bytes() == new


def test_a_compressed_body_is_decompressed(cli: Command, site: Site) -> None:
    """A server that compresses although asked not to: the picture comes out all the same."""
    site.pages["/x.jpg"] = lambda handler: send(handler, gzip.compress(PICTURE), Content_Encoding="gzip")
    assert cli("fetch", f"{site.url}/x.jpg", "-o", "out", "--progress", "none").code == 0
    assert (cli.folder / "out/x.jpg").read_bytes() == PICTURE
    assert site.seen[0][1]["accept-encoding"] == "identity"


def test_a_bomb_is_named(cli: Command, site: Site) -> None:
    """Without a size limit a body that decompresses to more than 1000 times its size is refused as a bomb."""
    site.pages["/x.jpg"] = bomb
    assert cli("fetch", f"{site.url}/x.jpg", "-o", "out", "--progress", "none").code == 1
    record = cli.items()["x.jpg"]
    assert record["kind"] == "content_encoding"
    assert "bomb" in record["message"]


def test_secrets_stay_with_their_origin(cli: Command, site: Site, other_site: Site) -> None:
    """On a change of origin neither password nor own headers nor cookies go along; status and logs mask them."""
    other_site.pages["/y.jpg"] = PICTURE
    site.pages["/x.jpg"] = redirect(f"{other_site.url}/y.jpg")
    (cli.folder / "cookies").write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsid\tcrumb\n")
    url = site.url.replace("http://", "http://user:hunter2@") + "/x.jpg?token=abc123"
    site.pages["/x.jpg?token=abc123"] = site.pages["/x.jpg"]
    done = cli("run", url, "-o", "out", "--header", "X-Api-Key: s3cret", "--cookies", "cookies", "--progress", "none")
    assert done.code == 0
    asked = site.seen[0][1]
    assert asked["x-api-key"] == "s3cret"
    assert asked["authorization"].startswith("Basic ")
    assert asked["cookie"] == "sid=crumb"
    assert {"x-api-key", "authorization"}.isdisjoint(other_site.seen[0][1])
    shown = cli("status", "out", "--items").out + (cli.folder / "out/.downloader/summary.json").read_text() + done.err
    for secret in ("hunter2", "abc123", "s3cret", "crumb"):
        assert secret not in shown


def test_passwords_of_netrc_go_to_their_host_only(cli: Command, site: Site, other_site: Site) -> None:
    """--netrc sends what ~/.netrc has for the host of the list, and nothing, `default` neither, behind a redirect."""
    netrc = cli.folder / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\ndefault login any password everywhere\n")
    netrc.chmod(0o600)
    target = other_site.url.replace("127.0.0.1", "localhost")
    other_site.pages["/y.jpg"] = PICTURE
    site.pages["/x.jpg"] = redirect(f"{target}/y.jpg")
    url = f"{site.url}/x.jpg"
    assert cli("run", url, "-o", "out", "--netrc", "--progress", "none", HOME=str(cli.folder)).code == 0
    assert site.seen[0][1]["authorization"] == "Basic " + base64.b64encode(b"me:hunter2").decode()
    assert "authorization" not in other_site.seen[0][1]
    assert cli("run", url, "-o", "plain", "--progress", "none", HOME=str(cli.folder)).code == 0
    assert "authorization" not in site.seen[-1][1]
    netrc.unlink()
    done = cli("run", url, "-o", "none", "--netrc", "--progress", "none", HOME=str(cli.folder))
    assert (done.code, done.err.count("--netrc")) == (2, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), f"downloader/{__version__}"),
        (("--user-agent", "me"), "me"),
        (("--user-agent", "me", "--header", "user-agent: you"), "you"),
    ],
)
def test_the_user_agent(cli: Command, site: Site, options: tuple[str, ...], expected: str) -> None:
    """Name and version; --user-agent goes before that, and --header before both."""
    site.pages["/x.jpg"] = PICTURE
    assert cli("fetch", f"{site.url}/x.jpg", "-o", "out", "--progress", "none", *options).code == 0
    assert site.seen[-1][1]["user-agent"] == expected


def test_the_user_agent_names_the_home_page_of_the_package(cli: Command, site: Site, tmp_path: Path) -> None:
    """The one in the metadata of the installed package."""
    site.pages["/x.jpg"] = PICTURE
    packaged = tmp_path / "packaged/downloader-9.dist-info"
    packaged.mkdir(parents=True)
    about = "Metadata-Version: 2.1\nName: downloader\nVersion: 9\nProject-URL: Homepage, https://example.org/about\n"
    (packaged / "METADATA").write_text(about)
    path = os.pathsep.join([str(packaged.parent), *sys.path])
    assert cli.spawn("fetch", f"{site.url}/x.jpg", "-o", "out", "--progress", "none", PYTHONPATH=path).code == 0
    assert site.seen[-1][1]["user-agent"] == f"downloader/{__version__} (+https://example.org/about)"


def test_opt_out_is_respected_unless_told(cli: Command, site: Site) -> None:
    """X-Robots-Tag noai skips the item as opt_out; --opt-out ignore takes it."""
    site.pages["/x.jpg"] = lambda handler: send(handler, PICTURE, X_Robots_Tag="noai")
    assert cli("run", f"{site.url}/x.jpg", "-o", "out", "--progress", "none").code == 0
    assert (cli.items()["x.jpg"]["state"], cli.items()["x.jpg"]["kind"]) == ("skipped", "opt_out")
    assert cli("run", f"{site.url}/x.jpg", "-o", "all", "--opt-out", "ignore", "--progress", "none").code == 0
    assert cli.items("all")["x.jpg"]["state"] == "succeeded"


def test_private_addresses_can_be_denied(cli: Command, site: Site) -> None:
    """--deny-private refuses this machine, however it is written, as blocked; nothing is asked."""
    port = site.url.rpartition(":")[2]
    urls = [f"http://{host}:{port}/x.jpg" for host in ("127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]")]
    done = cli("run", *urls, "-o", "out", "--deny-private", "--progress", "none", "--json")
    assert done.json["failures"] == {"blocked": 4}
    assert not site.hits


def test_retry_after_pauses_the_host_and_nobody_else(cli: Command, site: Site, other_site: Site) -> None:
    """429 with Retry-After: 1 holds that host for a second; another host's 20 pictures do not wait for it."""
    times: list[float] = []

    def limited(handler: Handler) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            send(handler, b"", 429, "text/plain", Retry_After="1")
        else:
            send(handler, PICTURE)

    ended: list[float] = []

    def free(handler: Handler) -> None:
        send(handler, PICTURE)
        ended.append(time.monotonic())

    site.pages = {f"/{number}.jpg": limited for number in range(5)}
    other_site.pages = {f"/{number}.jpg": free for number in range(20)}
    urls = [f"{site.url}/{n}.jpg" for n in range(5)] + [f"{other_site.url}/{n}.jpg" for n in range(20)]
    (cli.folder / "urls.txt").write_text("\n".join(urls))
    done = cli("fetch", "urls.txt", "-o", "out", "-t", "2", "--per-host", "1", "--progress", "none", "--json")
    assert done.json["succeeded"] == 25
    assert times[1] - times[0] >= 1.0
    assert max(ended) < times[1]


def test_a_host_that_asks_for_a_day_is_left_alone(cli: Command, site: Site) -> None:
    """A Retry-After beyond the deadline: its other items fail as http_status without being asked for; the run ends."""
    for number in range(20):
        site.pages[f"/{number}.jpg"] = lambda handler: send(handler, b"", 429, "text/plain", Retry_After="86400")
    urls = [f"{site.url}/{n}.jpg" for n in range(20)]
    done = cli("fetch", *urls, "-o", "out", "--per-host", "1", "--progress", "none", "--json")
    assert done.json["failures"] == {"http_status": 20}
    assert sum(site.hits.values()) == 1


def test_one_host_does_not_starve_the_others(cli: Command, site: Site, other_site: Site) -> None:
    """200 rows of a slow host first, then 20 of another: the others are done long before."""
    order: list[str] = []

    def slow(handler: Handler) -> None:
        order.append("slow")
        time.sleep(0.05)  # how slow it is
        send(handler, PICTURE)

    def quick(handler: Handler) -> None:
        order.append("other")
        send(handler, PICTURE)

    site.pages = {f"/{number}.jpg": slow for number in range(200)}
    other_site.pages = {f"/{number}.jpg": quick for number in range(20)}
    urls = [f"{site.url}/{n}.jpg" for n in range(200)] + [f"{other_site.url}/{n}.jpg" for n in range(20)]
    (cli.folder / "urls.txt").write_text("\n".join(urls))
    done = cli("fetch", "urls.txt", "-o", "out", "-t", "12", "--progress", "none", "--json")
    assert done.json["succeeded"] == 220
    assert max(index for index, name in enumerate(order) if name == "other") < 100


def test_the_host_limit_holds(cli: Command, site: Site) -> None:
    """As many requests of one host under way as --per-host allows, and never more."""
    lock, meeting = threading.Lock(), threading.Barrier(3, timeout=30)
    under_way = 0
    most = 0

    def answer(handler: Handler) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        meeting.wait()  # nobody is answered before three are here
        with lock:
            under_way -= 1
        send(handler, PICTURE)

    site.pages = {f"/{number}.jpg": answer for number in range(39)}
    urls = [f"{site.url}/{n}.jpg" for n in range(39)]
    assert cli("fetch", *urls, "-o", "out", "--per-host", "3", "--progress", "none").code == 0
    assert most == 3


def test_the_rate_limit_holds(cli: Command, site: Site) -> None:
    """--limit-rate 200K: 300 KB of bodies take about one and a half seconds."""
    site.pages = {f"/{number}.bin": b"x" * 100 * 1024 for number in range(3)}
    started = time.monotonic()
    urls = [f"{site.url}/{n}.bin" for n in range(3)]
    assert cli("fetch", *urls, "-o", "out", "--limit-rate", "200K", "--progress", "none").code == 0
    assert time.monotonic() - started > 1.2


def test_an_aria2_list(cli: Command, site: Site, other_site: Site) -> None:
    """Mirrors are tried in turn, out= names the file, header= is sent, checksum= is held against the bytes."""
    other_site.pages["/x.jpg"] = PICTURE
    site.pages["/y.jpg"] = PICTURE
    (cli.folder / "list").write_text(
        f"{site.url}/x.jpg\t{other_site.url}/x.jpg\n  out=sub/first.jpg\n  header=X-Key: 1\n"
        f"{site.url}/y.jpg\n  checksum=sha-256={'0' * 64}\n"
    )
    done = cli("fetch", "list", "--input-format", "aria2", "-o", "out", "--progress", "none", "--json")
    assert done.json["failures"] == {"checksum": 1}
    assert (cli.folder / "out/sub/first.jpg").read_bytes() == PICTURE
    assert next(headers for path, headers in site.seen if path == "/x.jpg")["x-key"] == "1"


def test_tls(cli: Command, tmp_path: Path) -> None:
    """A certificate nobody vouches for, or of another host, is `tls`; with --ca-file, or --insecure, it is taken.

    A server that wants a certificate of its client gets the one of --client-cert.
    """
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with served(context) as found:
        found.pages["/x.jpg"] = PICTURE
        url = f"{found.url}/x.jpg"
        assert cli("run", url, "-o", "a", "--retries", "0", "--progress", "none").code == 1
        assert cli.items("a")["x.jpg"]["kind"] == "tls"
        assert cli("run", url, "-o", "b", "--ca-file", "cert.pem", "--progress", "none").code == 0
        assert cli.items("b")["x.jpg"]["timings_s"].keys() >= {"connect", "tls", "first_byte", "body"}
        assert cli("run", url, "-o", "c", "--insecure", "--progress", "none").code == 0
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "cert.pem")
    (tmp_path / "both.pem").write_bytes((tmp_path / "cert.pem").read_bytes() + (tmp_path / "key.pem").read_bytes())
    with served(context) as found:  # which asks for a certificate of its client
        found.pages["/x.jpg"] = PICTURE
        trusting = ("--ca-file", "cert.pem", "--retries", "0", "--progress", "none")
        assert cli("run", f"{found.url}/x.jpg", "-o", "e", *trusting).code == 1
        assert cli("run", f"{found.url}/x.jpg", "-o", "f", *trusting, "--client-cert", "both.pem").code == 0
    with served(context, host="127.0.0.2") as found:  # which the certificate does not name
        found.pages["/x.jpg"] = PICTURE
        url = f"{found.url}/x.jpg"
        assert cli("run", url, "-o", "d", "--ca-file", "cert.pem", "--retries", "0", "--progress", "none").code == 1
        assert cli.items("d")["x.jpg"]["kind"] == "tls"
