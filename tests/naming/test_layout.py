import re
import sys
import unicodedata
from itertools import islice
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.model.items import File, OutputName, Row, Url
from downloader.naming.layout import (
    SEGMENT_LIMIT_BYTES,
    STEM_EXTENSIONS,
    Template,
    alternatives,
    claim_for,
    clashes,
    fold,
    original_path,
    output_path,
    safe_segment,
)
from downloader.sources.folder import IMAGE_EXTENSIONS

KEY = "0123456789abcdef" * 4

any_text = st.text(st.characters(min_codepoint=0, max_codepoint=sys.maxunicode))
"""Every character there is, lone surrogates (undecodable bytes) among them."""
nasty_text = st.text(
    st.sampled_from("aA.. //\\:-_*%\0\n\x85\u202e\udcffcon1é\u0301\u0131K\U0001f600\u200d"), max_size=12
)
device_text = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", " ", ".", ".."]),
        st.sampled_from(["CON", "prn", "Aux", "NUL", "COM1", "lpt9", "COM¹", "conin$", "CONOUT$"]),
        st.sampled_from(["", " ", ".", ".txt", ":", " .jpg", ".tar.gz", " " * 200 + "x"]),
    ),
)
names = any_text | nasty_text | device_text


def url(text: str) -> Row:
    return Row(source=text, what=Url(text))


def file(inside: str) -> Row:
    return Row(source=f"in/{inside}", what=File(f"in/{inside}"), inside=inside)


def named(row: Row, mode: str = "run", format: str = "jpeg", **more: object) -> str:  # noqa: A002
    """The path an only row of one size would be written to."""
    claim = claim_for(row, mode=mode, format=format, key=KEY, **more)
    return output_path(claim, KEY, None, claim.extension if claim.extension is not None else "png")


def assert_safe_path(path: str) -> None:
    """No system reads the path as anything but plain names below where it starts."""
    assert not PurePosixPath(path).is_absolute()
    windows = PureWindowsPath(path)
    assert not windows.drive
    assert not windows.root
    assert path.split("/") == list(windows.parts)
    for part in path.split("/"):
        assert part not in {"", ".", ".."}
        assert not part.startswith(".")
        assert not part.endswith((".", " "))
        assert not PureWindowsPath(part).is_reserved()
        assert not re.search(r'[\x00-\x1f\x7f-\x9f<>:"\\|?*\u202a-\u202e\u2066-\u2069\ud800-\udfff]', part)
        assert len(part.encode()) <= 255


@given(names)
def test_safe_segment_is_safe(text: str) -> None:
    """Law: whatever comes in, one harmless name of at most 150 bytes comes out."""
    name = safe_segment(text)
    assert_safe_path(name)
    assert "/" not in name
    assert len(name.encode()) <= SEGMENT_LIMIT_BYTES
    assert unicodedata.is_normalized("NFC", name)


@given(names)
def test_safe_segment_is_idempotent(text: str) -> None:
    """Law: a safe name is left as it is."""
    assert safe_segment(safe_segment(text)) == safe_segment(text)


@given(st.from_regex(r"[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,140}[a-z]", fullmatch=True))
def test_ordinary_names_survive(text: str) -> None:
    """Law: names of plain letters keep every one of them, but for Windows devices."""
    assert safe_segment(text) in {text, f"_{text}"}
    assert (safe_segment(text) != text) == PureWindowsPath(text).is_reserved()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unnamed"),
        (".", "unnamed"),
        ("..", "unnamed"),
        (". . .", "unnamed"),
        (".bashrc", "bashrc"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..\\x", "_x"),
        ("C:x", "C_x"),
        ("\\\\server\\share", "__server_share"),
        ("CON", "_CON"),
        ("nul.jpg", "_nul.jpg"),
        ("Com1 .tar.gz", "_Com1 .tar.gz"),
        ("CONIN$", "_CONIN$"),
        ("console", "console"),
        ("a\r\nb", "a__b"),
        ("\x1b]0;x\x07", "_]0;x_"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("a\udcff.jpg", "a_.jpg"),
        ("e\u0301.jpg", "é.jpg"),
        ("<img onerror>", "_img onerror_"),
        ("x. . ", "x"),
        ("v1.2", "v1.2"),
        ("é" * 100 + ".jpeg", "é" * 72 + ".jpeg"),
        ("x" * 300, "x" * 150),
        ("CON" + " " * 300 + "x", "_CON"),
    ],
)
def test_hostile_segments(text: str, expected: str) -> None:
    """Each hostile name of the security table becomes this harmless one."""
    assert safe_segment(text) == expected


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
    assert named(url(text)) == expected


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
    """`fetch` keeps bytes, so it keeps name and extension, or none; a name too long keeps its extension."""
    assert named(url(text), mode="fetch", format="same") == expected


def test_files_keep_their_folders() -> None:
    """A file of a folder keeps its place in it, each folder made safe; a file named by itself has none."""
    assert named(file("a/b.c/d.png")) == "a/b.c/d.jpg"
    assert named(file("top.png")) == "top.jpg"
    assert named(file("nul/.x/a:b/..c.tif")) == "_nul/x/a_b/c.jpg"
    assert named(Row(source="/data/in/a.png", what=File("/data/in/a.png"))) == "a.jpg"


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
def test_same_format_foretells_the_extension_of_files(name: str, animated: str, expected: str | None) -> None:
    """With `--format same` a local file's name tells the extension of its output; a URL's name tells nothing."""
    assert claim_for(file(name), mode="run", format="same", animated=animated) == OutputName(
        stem="a", extension=expected
    )
    assert claim_for(url(f"http://h/{name}"), mode="run", format="same", animated=animated).extension is None


@pytest.mark.parametrize(("format", "extension"), [("jpeg", "jpg"), ("png", "png"), ("webp", "webp"), ("avif", "avif")])
def test_a_fixed_format_fixes_the_extension(format: str, extension: str) -> None:  # noqa: A002
    """The extension follows the encoder, never the URL."""
    assert claim_for(url("http://h/a.gif"), mode="run", format=format).extension == extension


def test_every_image_file_loses_its_extension() -> None:
    """What a folder takes for an image, the layout takes for an image's extension."""
    assert IMAGE_EXTENSIONS <= STEM_EXTENSIONS


def test_a_lying_extension_marks_the_name() -> None:
    """A PNG named `.jpg` may not take the name of the PNG beside it."""
    claim = claim_for(file("a.jpg"), mode="run", format="same")
    assert output_path(claim, KEY, None, "jpg") == "a.jpg"
    assert output_path(claim, KEY, None, "png") == "a-01234567.png"
    assert output_path(claim, KEY, "thumb", "png") == "a-01234567-thumb.png"


def test_variants_are_appended() -> None:
    """Several sizes of one item differ by the variant after the stem."""
    claim = OutputName(stem="d/a", extension="jpg")
    assert output_path(claim, KEY, "thumb", "jpg") == "d/a-thumb.jpg"
    assert output_path(claim, KEY, None, "jpg") == "d/a.jpg"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (OutputName(stem="a", extension="jpg"), OutputName(stem="A", extension="jpg"), True),
        (OutputName(stem="a", extension="JPG"), OutputName(stem="a", extension="jpg"), True),
        (OutputName(stem="a", extension="jpg"), OutputName(stem="a", extension="png"), False),
        (OutputName(stem="a", extension=None), OutputName(stem="a", extension="png"), True),
        (OutputName(stem="a", extension=""), OutputName(stem="a", extension="jpg"), False),
        (OutputName(stem="straße", extension="jpg"), OutputName(stem="STRASSE", extension="jpg"), True),
        (OutputName(stem="é", extension="jpg"), OutputName(stem="E\u0301", extension="jpg"), True),
        (OutputName(stem="a\u200db", extension="jpg"), OutputName(stem="ab", extension="jpg"), True),
        (OutputName(stem="a", extension="jpg"), OutputName(stem="b", extension="jpg"), False),
        (OutputName(stem="*/a", extension="jpg"), OutputName(stem="a", extension="jpg"), True),
    ],
)
def test_clashes(a: OutputName, b: OutputName, expected: bool) -> None:
    """Two claims clash where some file system would take their names for one."""
    assert clashes(a, b) is clashes(b, a) is expected


@given(names)
def test_fold_forgets_case_and_nothing_twice(text: str) -> None:
    """Law: folding is idempotent, and upper and lower case of a name fold to the same."""
    name = safe_segment(text)
    assert fold(fold(name)) == fold(name)
    assert fold(name.lower()) == fold(name)


def test_alternatives_go_on() -> None:
    """After a collision come 8 digits of the key, the key, and then numbers for ever."""
    claim = OutputName(stem="d/a", extension="jpg")
    stems = [other.stem for other in islice(alternatives(claim, KEY), 5)]
    assert stems == ["d/a", "d/a-01234567", f"d/a-{KEY}", f"d/a-{KEY}-2", f"d/a-{KEY}-3"]


def key_of(number: int) -> str:
    """Keys that share their first 8 digits, which a hostile list can arrange."""
    return f"00000000{number:056x}"


def plan(rows: list[Row], **settings: object) -> list[OutputName]:
    """What the planner does: each row takes the first of its alternatives that clashes with none before."""
    taken: list[OutputName] = []
    for number, row in enumerate(rows):
        claim = claim_for(row, index=number, key=key_of(number), **settings)
        for other in alternatives(claim, key_of(number)):
            if not any(clashes(other, before) for before in taken):
                taken.append(other)
                break
    return taken


few_names = st.sampled_from(
    ["a.jpg", "A.JPEG", "a.png", "a", "a.b", "a.gif", "a-00000000", "a-00000000.png", "é", "e\u0301"]
)
rows = st.lists(
    few_names.map(lambda name: url(f"http://h/{name}"))
    | st.builds(
        "{}/{}".format, st.sampled_from(["a", "A", "b", "originals", "Original\u200ds", "_originals"]), few_names
    ).map(file)
    | nasty_text.map(url),
    max_size=12,
)
templates = st.sampled_from(
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


@given(rows, templates, st.sampled_from(["same", "jpeg"]), st.booleans())
def test_originals_and_results_never_share_a_file(
    rows: list[Row],
    template: Template | None,
    format: str,  # noqa: A002
    several: bool,
) -> None:
    """Law: with originals kept, placing is injective over results and originals, whatever the extensions are."""
    claims = plan(rows, mode="run", format=format, template=template, keep_originals=True)
    paths = [
        path
        for number, claim in enumerate(claims)
        for extension in ("jpg", "png")
        for path in (
            original_path(claim, extension),
            *(
                output_path(claim, key_of(number), variant, extension)
                for variant in (("thumb", "a") if several else (None,))
            ),
        )
    ]
    assert len({fold(path) for path in paths}) == len(paths)
    for path in paths:
        assert_safe_path(path)


@given(rows, templates, st.sampled_from(["run", "fetch"]), st.sampled_from(["same", "jpeg"]), st.booleans())
def test_no_two_items_share_a_file(
    rows: list[Row],
    template: Template | None,
    mode: str,
    format: str,  # noqa: A002
    several: bool,
) -> None:
    """Law: placing is injective, also where case does not count, whatever the decoder says of the extension."""
    claims = plan(rows, mode=mode, format=format, template=template)
    paths = [
        output_path(claim, key_of(number), variant, extension)
        for number, claim in enumerate(claims)
        for variant in (("thumb", "a", "b") if several and mode == "run" else (None,))
        for extension in ([claim.extension] if claim.extension is not None else ["jpg", "png"])
    ]
    assert len({fold(path) for path in paths}) == len(paths)
    for path in paths:
        assert_safe_path(path)


template_texts = st.lists(
    st.sampled_from(["{stem}", "{parent}", "{key:.8}", "{host}", "{column[x]}", "{index:05d}", "{variant}"])
    | st.sampled_from(["/", "..", ".", "-", "C:", "\\", "a", "{", "}", "~", ".{ext}"]),
    max_size=6,
).map("".join)


@given(template_texts, names, names, st.booleans(), st.sampled_from(["run", "fetch"]))
def test_templates_never_lead_out(text: str, name: str, value: str, is_file: bool, mode: str) -> None:
    """Law: a template is refused with a message that names it, or all its paths lie below the output folder."""
    try:
        template = Template(text)
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017
        return
    row = Row(
        source=name if is_file else f"http://{value}/{name}",
        what=File("x") if is_file else Url("x"),
        inside=name if is_file else None,
        columns={"x": value},
    )
    claim = claim_for(row, mode=mode, format="jpeg", template=template, index=7, key=KEY)
    for variant in (None, "thumb"):
        assert_safe_path(output_path(claim, KEY, variant, claim.extension))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{stem}", "c.jpg"),
        ("{stem}.{ext}", "c.jpg"),
        ("{stem}-{variant}.{ext}", "c.jpg"),
        ("{parent}/{stem}", "a/b/c.jpg"),
        ("{parent}_{stem}", "a_b_c.jpg"),
        ("{host}/{parent}/{stem}", "h.example/a/b/c.jpg"),
        ("{key:.8}", "01234567.jpg"),
        ("{index:05d}-{stem}", "00007-c.jpg"),
        ("{index}", "7.jpg"),
        ("by {column[who]}/{stem}", "by _.._me/c.jpg"),
        ("{column[missing]}/{stem}", "unnamed/c.jpg"),
        ("{{{stem}}}", "{c}.jpg"),
        ("{variant}/{stem}", "c.jpg"),
    ],
)
def test_templates(text: str, expected: str) -> None:
    """Each field of a name template says what the manual says."""
    row = Row(source="http://h.example/a/b/c.png", what=Url("http://h.example/a/b/c.png"), columns={"who": "/../me"})
    assert named(row, template=Template(text), index=7) == expected


def test_a_template_can_make_folders_of_variants() -> None:
    """`{variant}` as a folder moves the variant from the end of the name into the path."""
    claim = claim_for(file("d/a.png"), mode="run", format="jpeg", template=Template("{parent}/{variant}/{stem}"))
    assert output_path(claim, KEY, "thumb", "jpg") == "d/thumb/a.jpg"
    assert output_path(claim, KEY, None, "jpg") == "d/a.jpg"


def test_fetch_templates_keep_the_extension() -> None:
    """`fetch` puts the URL's own extension after whatever the template says, or none."""
    settings = {"mode": "fetch", "format": "same", "template": Template("x/{key:.4}"), "index": 0}
    assert named(url("http://h/a.GIF"), **settings) == "x/0123.GIF"
    assert named(url("http://h/README"), **settings) == "x/0123"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("/etc/{stem}", "empty"),
        ("a//{stem}", "empty"),
        ("{stem}/", "empty"),
        (".{ext}", "empty"),
        ("../{stem}", "'..'"),
        ("./{stem}", "'.'"),
        ("C:/{stem}", "':'"),
        ("a\\{stem}", "'\\\\'"),
        ("a*{stem}", "'*'"),
        ("nul/{stem}", "'nul'"),
        ("{nonsense}", "'nonsense'"),
        ("{}", "there is no field ''"),
        ("{stem.__class__}", "stem.__class__"),
        ("{stem[0]}", "stem[0]"),
        ("{column}", "column[NAME]"),
        ("{stem!r}", "!r"),
        ("{stem:>9999999999}", ">9999999999"),
        ("{index:9999999999d}", "9999999999d"),
        ("{stem", "expected '}'"),
        ("{stem}}", "Single '}'"),
        ("{ext}/{stem}", "{ext}"),
        ("{stem}{variant}", "{variant}"),
        ("{stem}/{variant}", "{variant}"),
        ("{stem}.jpg", "'.jpg'"),
    ],
)
def test_bad_templates_are_refused(text: str, part: str) -> None:
    """A template that cannot be used is refused with a message that names what is wrong in it."""
    with pytest.raises(ValueError, match=re.escape(part)) as caught:
        Template(text)
    assert repr(text) in str(caught.value)
