from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naming_cases import KEY, NASTY_TEXT, assert_safe_path, file, path_of, url

from downloader.config.settings import Format, OutputOptions, Settings, SourceOptions, TransformOptions
from downloader.config.values import parse_sizes
from downloader.errors import ConfigError
from downloader.model.items import File, FileSpan, Invalid, OutputName, Request, Row, Url
from downloader.naming.names import clashes, fold, original_path, output_path
from downloader.naming.rules import NamingRules
from downloader.naming.templates import Template

IMAGES = NamingRules(format="jpeg")
BYTES = NamingRules(keeps_bytes=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h/a.jpg", "a.jpg"),
        ("http://h/a.jpg?x=b.png#c.gif", "a.jpg"),
        ("http://h/photo.jpg.png", "photo.jpg.jpg"),
        ("http://h/v1.2", "v1.2.jpg"),
        ("http://h/a/b/", "b.jpg"),
        ("HTTP://user:secret@Host.Example:8080", "host.example.jpg"),
        ("http://h?u=/x.jpg", "h.jpg"),
        ("http://[2001:db8::1]:80/", "2001_db8__1.jpg"),
        ("http://h/%E4%BD%A0%20b.JPG", "你 b.jpg"),
        ("http://h/%ff.jpg", "\ufffd.jpg"),
        ("http://h/100%25.jpg", "100%.jpg"),
        ("http://h/a/..%2f..%2fetc%2fx", "_.._etc_x.jpg"),
        ("http://h/%5c..%5cx", "_.._x.jpg"),
        ("http://h/..", "unnamed.jpg"),
        ("http://h/%2e%2e", "unnamed.jpg"),
        ("http://h/.bashrc", "bashrc.jpg"),
        ("http://h/%2ejpg", "jpg.jpg"),
        ("http://h/c%3a%5cwindows", "c__windows.jpg"),
        ("http://h/nul.jpg", "_nul.jpg"),
        ("http://h/con%20.jpg", "_con.jpg"),
        ("http://h/a%00b%0d%0aout=x", "a_b__out=x.jpg"),
        ("not a url", "not a url.jpg"),
        ("../../x", "x.jpg"),
        ("http://[broken", "broken.jpg"),
        ("", "unnamed.jpg"),
    ],
)
def test_names_of_urls(text: str, expected: str) -> None:
    """The name of a URL is its last path segment, decoded after splitting; hostile URLs get harmless names."""
    assert path_of(url(text), IMAGES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h/a.JPG", "a.JPG"),
        ("http://h/README", "README"),
        ("http://h/a.tar.gz?x=1", "a.tar.gz"),
        ("http://h/.desktop", "desktop"),
        ("http://h/..%2f.ssh%2fauthorized_keys", "_.ssh_authorized_keys"),
        ("http://h/" + "x" * 300 + ".jpeg", "x" * 145 + ".jpeg"),
    ],
)
def test_fetch_keeps_the_whole_name(text: str, expected: str) -> None:
    """Where bytes are kept, so are name and extension, or none; a name that is too long keeps its extension."""
    assert path_of(url(text), BYTES) == expected


def test_files_keep_their_folders() -> None:
    """A file of a folder keeps its place in it, each folder made safe; a file named by itself has none."""
    assert path_of(file("a/b.c/d.png"), IMAGES) == "a/b.c/d.jpg"
    assert path_of(file("top.png"), IMAGES) == "top.jpg"
    assert path_of(file("nul/.x/a:b/..c.tif"), IMAGES) == "_nul/x/a_b/c.jpg"
    assert path_of(Row(source="/data/in/a.png", what=File("/data/in/a.png")), IMAGES) == "a.jpg"


@pytest.mark.parametrize(
    ("name", "animated", "expected"),
    [
        ("a.jpeg", "first", "jpg"),
        ("a.JPE", "first", "jpg"),
        ("a.jfif", "all", "jpg"),
        ("a.png", "first", "png"),
        ("a.webp", "first", "webp"),
        ("a.avif", "first", "avif"),
        ("a.gif", "first", "png"),
        ("a.gif", "all", None),
        ("a.tiff", "first", "png"),
        ("a.dib", "first", "png"),
        ("a.heic", "first", None),
        ("a", "first", None),
    ],
)
def test_same_format_predicts_the_extension_of_files(
    name: str, animated: Literal["first", "all"], expected: str | None
) -> None:
    """With `--format same` the name of a local file predicts the extension of its output; a URL predicts nothing."""
    rules = NamingRules(format="same", animated=animated)
    assert rules.name_for(file(name), 0, KEY) == OutputName(stem="a", extension=expected)
    assert rules.name_for(url(f"http://h/{name}"), 0, KEY).extension is None


@pytest.mark.parametrize(("format", "extension"), [("jpeg", "jpg"), ("png", "png"), ("webp", "webp"), ("avif", "avif")])
def test_a_fixed_format_fixes_the_extension(format: Format, extension: str) -> None:  # noqa: A002
    """The extension follows the encoder, never the URL."""
    assert NamingRules(format=format).name_for(url("http://h/a.gif"), 0, KEY).extension == extension


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            Row(source="http://h/a.png", what=Url("http://h/a.png"), request=Request(name="x\\../b.png")),
            "x/unnamed/b.jpg",
        ),
        (Row(source="http://h/a.png", what=Url("http://h/a.png"), request=Request(name="d/")), "d/unnamed.jpg"),
        (Row(source="in/a.tar/b/c.png", what=FileSpan("in/a.tar", 512, 9), inside="b/c.png"), "b/c.jpg"),
        (Row(source="not a url", what=Invalid("list:1: not an http or https URL")), "not a url.jpg"),
        (Row(source="http://me:secret@/x/a.png", what=Invalid("list:1: no host")), "a.jpg"),
    ],
)
def test_names_of_other_rows(row: Row, expected: str) -> None:
    """A list may ask for a name; members of archives keep their folders; rows that cannot be used are named as well."""
    assert path_of(row, IMAGES) == expected


def key_of(number: int) -> str:
    """Keys that share their first 8 digits, which a hostile list can arrange."""
    return f"00000000{number:056x}"


def plan(rows: list[Row], rules: NamingRules) -> list[OutputName]:
    """The names that rows get one after the other: each the first that clashes with none before."""
    taken: list[OutputName] = []
    for number, row in enumerate(rows):
        options = (name for _, name in rules.names(row, number, key_of(number)))
        taken.append(next(name for name in options if not any(clashes(name, before) for before in taken)))
    return taken


FEW_NAMES = st.sampled_from(
    ["a.jpg", "A.JPEG", "a.png", "a", "a.b", "a.gif", "a-00000000", "a-00000000.png", "é", "e\u0301"]
)
ROWS = st.lists(
    FEW_NAMES.map(lambda name: url(f"http://h/{name}"))
    | st.builds(
        "{}/{}".format, st.sampled_from(["a", "A", "b", "originals", "Original\u200ds", "_originals"]), FEW_NAMES
    ).map(file)
    | NASTY_TEXT.map(url),
    max_size=12,
)
TEMPLATES = st.sampled_from(
    [
        None,
        "{stem}",
        "{key:.3}",
        "{parent}/x",
        "{variant}/{stem}",
        "{parent}/{variant}/{parent}/{stem}",
        "x",
        "originals/{stem}",
    ]
).map(lambda text: text and Template(text))


@given(ROWS, TEMPLATES, st.sampled_from(["same", "jpeg"]), st.booleans())
def test_originals_and_results_never_share_a_file(
    rows: list[Row],
    template: Template | None,
    format: Format,  # noqa: A002
    several: bool,
) -> None:
    """Law: where originals are kept, no two results or originals share a path, whatever their extensions are."""
    names = plan(rows, NamingRules(format=format, template=template, keeps_originals=True))
    paths = [
        path
        for number, name in enumerate(names)
        for extension in ("jpg", "png")
        for path in (
            original_path(name, extension),
            *(
                output_path(name, key_of(number), variant, extension)
                for variant in (("thumb", "a") if several else (None,))
            ),
        )
    ]
    assert len({fold(path) for path in paths}) == len(paths)
    for path in paths:
        assert_safe_path(path)


@given(ROWS, TEMPLATES, st.booleans(), st.sampled_from(["same", "jpeg"]), st.booleans())
def test_no_two_items_share_a_file(
    rows: list[Row],
    template: Template | None,
    keeps_bytes: bool,
    format: Format,  # noqa: A002
    several: bool,
) -> None:
    """Law: no two items share a path, even where case does not count, whatever extension the decoder gives."""
    names = plan(rows, NamingRules(keeps_bytes=keeps_bytes, format=format, template=template))
    paths = [
        output_path(name, key_of(number), variant, extension)
        for number, name in enumerate(names)
        for variant in (("thumb", "a", "b") if several and not keeps_bytes else (None,))
        for extension in ([name.extension] if name.extension is not None else ["jpg", "png"])
    ]
    assert len({fold(path) for path in paths}) == len(paths)
    for path in paths:
        assert_safe_path(path)


# -- rules from settings -------------------------------------------------------------------------------------------


def test_rules_of_a_run() -> None:
    """Images get the extension of their encoder and the names of their sizes; `fetch` keeps both as they come."""
    transform = TransformOptions(format="webp", resize=parse_sizes("thumb=64 big=800x"))
    output = OutputOptions(keep_originals=True)
    images = NamingRules.from_settings(Settings(transform=transform, output=output))
    assert images == NamingRules(format="webp", keeps_originals=True, variants=("thumb", "big"))
    fetched = NamingRules.from_settings(Settings(mode="fetch", transform=transform, output=output))
    assert path_of(url("http://h/a.gif"), fetched) == "a.gif"
    assert fetched.variants == (None,)


def test_a_template_may_use_kept_columns() -> None:
    """Caption and kept columns are at hand when names are made."""
    source = SourceOptions(caption_column="caption", keep_columns=("licence",))
    output = OutputOptions(name="{column[licence]}/{column[caption]}")
    rules = NamingRules.from_settings(Settings(source=source, output=output))
    row = Row(source="http://h/a", what=Url("http://h/a"), columns={"caption": "a cat", "licence": "CC0"})
    assert rules.name_for(row, 0, KEY).stem == "CC0/a cat"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(output=OutputOptions(name="{nonsense}")), "--name: name template '{nonsense}': there is no field"),
        (Settings(output=OutputOptions(name="{column[x]}")), "--name: the column 'x' is not kept; name it with"),
        (Settings(output=OutputOptions(trust_server_names=True)), "--trust-server-names is for `fetch`"),
        (
            Settings(mode="fetch", output=OutputOptions(trust_server_names=True, name="{key}")),
            "--trust-server-names and --name exclude each other",
        ),
        (
            Settings(
                output=OutputOptions(keep_originals=True), transform=TransformOptions(resize=parse_sizes("Original=64"))
            ),
            "--resize: a size cannot be called 'Original' beside --keep-originals",
        ),
    ],
)
def test_settings_that_contradict_each_other(settings: Settings, message: str) -> None:
    """The run does not start, and the message names the option."""
    with pytest.raises(ConfigError) as caught:
        NamingRules.from_settings(settings)
    assert str(caught.value).startswith(message)
