"""Names that servers give: used only on request, and never to write elsewhere."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler as Handler

import pytest
from support import Command, Site, raw, send

PLAIN = ("-o", "out", "--progress", "none")


def named(disposition: str) -> Callable[[Handler], None]:
    return lambda handler: raw(
        handler,
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Disposition: ",
        disposition.encode(),
        b"\r\nContent-Length: 4\r\n\r\nabcd",
    )


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=cat.jpg", "cat.jpg"),
        ("attachment; filename=cat.jpg; filename*=UTF-8''k%C3%A4tzchen.jpg", "kätzchen.jpg"),
        ("attachment; filename=cat.jpg; filename*=nonsense", "cat.jpg"),
        ('attachment; filename="../../../.bashrc"', "bashrc"),
        ('attachment; filename="..\\\\..\\\\con.jpg"', "_con.jpg"),
        ('attachment; filename="a/b"; filename=twice', "b"),
        ('attachment; filename="C:cat.jpg"', "cat.jpg"),
        ('attachment; filename="\\\\\\\\host\\share\\D:cat.jpg."', "cat.jpg"),
        ('attachment; filename="C:"', "x.jpg"),
        ("nonsense;;;", "x.jpg"),
    ],
)
def test_names_of_servers_are_used_on_request_only(cli: Command, site: Site, disposition: str, name: str) -> None:
    """RFC 6266 and 8187, made safe after parsing; broken grammar is read as in browsers."""
    site.pages["/x.jpg"] = named(disposition)
    url = f"{site.url}/x.jpg"
    assert cli("fetch", url, "-o", "plain", "--progress", "none").code == 0
    assert [path.name for path in (cli.folder / "plain").iterdir() if path.is_file()] == ["x.jpg"]
    assert cli("fetch", url, *PLAIN, "--trust-server-names").code == 0
    assert [path.name for path in (cli.folder / "out").iterdir() if path.is_file()] == [name]


def test_two_servers_with_one_name(cli: Command, site: Site) -> None:
    """Names of servers collide like any others: nothing is lost."""
    site.pages = {f"/{n}": named("attachment; filename=same.jpg") for n in range(5)}
    site.pages["/old"] = lambda handler: send(handler, b"", 302, Location="/new%2Fname.jpg")
    site.pages["/new%2Fname.jpg"] = b"abcd"
    assert (
        cli("fetch", *(site.url + f"/{n}" for n in range(5)), f"{site.url}/old", *PLAIN, "--trust-server-names").code
        == 0
    )
    names = sorted(path.name for path in (cli.folder / "out").iterdir() if path.is_file())
    assert len(names) == 6
    assert {"same.jpg", "new_name.jpg"} <= set(names)


@pytest.mark.parametrize("command", [("run",), ("fetch", "--name", "{stem}.{ext}")])
def test_server_names_where_they_have_no_place(cli: Command, command: tuple[str, ...]) -> None:
    """With `run`, or with a template, --trust-server-names is refused with a reason."""
    done = cli(*command, "http://127.0.0.1:1/x.jpg", "-o", "out", "--trust-server-names")
    assert done.code == 2
    assert "--trust-server-names" in done.err
