import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naming_cases import KEY, NAMES, assert_safe_path, file, path_of, url

from downloader.model.items import File, Row, Url
from downloader.naming.names import output_path
from downloader.naming.rules import NamingRules
from downloader.naming.templates import Template

TEMPLATE_TEXTS = st.lists(
    st.sampled_from(["{stem}", "{parent}", "{key:.8}", "{host}", "{column[x]}", "{index:05d}", "{variant}"])
    | st.sampled_from(["/", "..", ".", "-", "C:", "\\", "a", "{", "}", "~", ".{ext}"]),
    max_size=6,
).map("".join)


@given(TEMPLATE_TEXTS, NAMES, NAMES, st.booleans(), st.booleans())
def test_templates_never_lead_out(text: str, name: str, value: str, is_file: bool, keeps_bytes: bool) -> None:
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
    output_name = NamingRules(keeps_bytes=keeps_bytes, format="jpeg", template=template).name_for(row, 7, KEY)
    assert output_name.extension is not None
    for variant in (None, "thumb"):
        assert_safe_path(output_path(output_name, KEY, variant, output_name.extension))


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
    assert path_of(row, NamingRules(format="jpeg", template=Template(text)), index=7) == expected


def test_a_template_can_make_folders_of_variants() -> None:
    """`{variant}` as a folder moves the variant from the end of the name into the path."""
    rules = NamingRules(format="jpeg", template=Template("{parent}/{variant}/{stem}"))
    name = rules.name_for(file("d/a.png"), 0, KEY)
    assert output_path(name, KEY, "thumb", "jpg") == "d/thumb/a.jpg"
    assert output_path(name, KEY, None, "jpg") == "d/a.jpg"


def test_templates_keep_the_extension_of_kept_bytes() -> None:
    """Where bytes are kept, the URL's own extension follows the rendered name, or none."""
    rules = NamingRules(keeps_bytes=True, template=Template("x/{key:.4}"))
    assert path_of(url("http://h/a.GIF"), rules) == "x/0123.GIF"
    assert path_of(url("http://h/README"), rules) == "x/0123"


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


def test_columns_of_a_template() -> None:
    """A template knows the columns that it needs."""
    assert Template("{column[a]}/{stem}-{column[b c]}").columns == ("a", "b c")
