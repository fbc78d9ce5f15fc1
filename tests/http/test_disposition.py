from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.http.disposition import MAX_CHARS, disposition_name

NAMES = [
    # RFC 6266, section 5, and the grammar of 4.1
    ("Attachment; filename=example.html", "example.html"),
    ('INLINE; FILENAME= "an example.html"', "an example.html"),
    ("attachment; filename*= UTF-8''%e2%82%ac%20rates", "€ rates"),
    ('attachment; filename="EURO rates"; filename*=utf-8\'\'%e2%82%ac%20rates', "€ rates"),
    ("attachment; filename*=UTF-8''a.jpg; filename=b.jpg", "a.jpg"),
    ('attachment; filename="a\\"b.jpg"', 'a"b.jpg'),
    ('attachment; filename="a;b=c,d.jpg"', "a;b=c,d.jpg"),
    ("attachment;filename=a.jpg;", "a.jpg"),
    ("attachment; ;filename=a.jpg", "a.jpg"),
    ("attachment; foo=bar; filename=a.jpg", "a.jpg"),
    ("attachment; filename = a.jpg", "a.jpg"),
    ("form-data; name=x; filename=a.jpg", "a.jpg"),
    ("attachment; filename='a.jpg'", "'a.jpg'"),
    ("attachment; filename*=iso-8859-1'en'%A3%20rates", "£ rates"),
    # as in Chrome: percent-encoding and words of mail headers in a plain filename
    ('attachment; filename="a%20b.jpg"', "a b.jpg"),
    ("attachment; filename=%E4%BE%8B.jpg", "例.jpg"),
    ("attachment; filename=100%.jpg", "100%.jpg"),
    ("attachment; filename=%ff.jpg", "%ff.jpg"),
    ("attachment; filename=a%2F..%2Fb.jpg", "b.jpg"),
    ('attachment; filename="naïve%20a.jpg"', "naïve%20a.jpg"),
    ('attachment; filename="=?UTF-8?Q?a?="', "a"),
    ('attachment; filename="=?utf-8?B?5L6LLmpwZw==?="', "例.jpg"),
    ("attachment; filename==?utf-8?B?5L6LLmpwZw?=", "例.jpg"),
    ('attachment; filename="=?ISO-8859-1?Q?na=EFve=5F1_2.jpg?="', "naïve_1 2.jpg"),
    ('attachment; filename="=?utf-8?Q?a?= =?utf-8?Q?b.jpg?="', "ab.jpg"),
    ('attachment; filename="=?utf-8?Q?a=2F..=2Fb.jpg?="', "b.jpg"),
    ('attachment; filename="=?nonsense?Q?a?="', "=?nonsense?Q?a?="),
    ('attachment; filename="=?utf-8?B?%?="', "=?utf-8?B?%?="),
    ('attachment; filename="=?utf-8?B?A?="', "=?utf-8?B?A?="),
    ('attachment; filename="=?utf-8?Q?=FF?="', "=?utf-8?Q?=FF?="),
    # continuations (RFC 2231, 4.1)
    ('attachment; filename*0="a b"; filename*1=".jpg"', "a b.jpg"),
    ('attachment; filename*1=".jpg"; filename*0="a"', "a.jpg"),
    ("attachment; filename*0*=UTF-8''%e2%82; filename*1*=%ac; filename*2=.jpg", "€.jpg"),
    ("attachment; filename*0=a.jpg; filename*2=b", "a.jpg"),
    ("attachment; filename*1=a.jpg", None),
    ("attachment; filename*0*=nonsense''a; filename=b.jpg", "b.jpg"),
    ("attachment; filename*01=a.jpg; filename*a=b.jpg; filename=c.jpg", "c.jpg"),
    ('attachment; filename="na\u00efve.jpg"'.encode(), "naïve.jpg"),
    ('attachment; filename="na\u00efve.jpg"'.encode("latin-1"), "naïve.jpg"),
    # a bad filename* beside a good filename
    ("attachment; filename*=UTF-8''%zz; filename=a.jpg", "%zz"),
    ("attachment; filename*=UTF-8''%; filename=a.jpg", "%"),
    ("attachment; filename*=UTF-8''%ff; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=UTF-8''%c0%af; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=windows-1252''%80.jpg; filename=a.jpg", "€.jpg"),
    ("attachment; filename*=punycode''b; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=ISO-8859-99''b; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=UTF-8'b.jpg; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=UTF-8''b.jpg; filename*0=c.jpg", "b.jpg"),
    ("attachment; filename*=b.jpg; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=\"UTF-8''b.jpg\"; filename=a.jpg", "b.jpg"),
    ("attachment; filename*=UTF-8''; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=UTF-8''%00; filename=a.jpg", "a.jpg"),
    ("attachment; filename*=UTF-8''a%2F..; filename=a.jpg", "a.jpg"),
    # paths of either kind
    ('attachment; filename="../../etc/passwd"', "passwd"),
    ('attachment; filename="C:\\\\dir\\\\a.jpg"', "a.jpg"),
    ('attachment; filename="/a\\\\b/c.jpg"', "c.jpg"),
    ("attachment; filename*=UTF-8''..%2F..%5Cx.jpg", "x.jpg"),
    ('attachment; filename="dir/"', None),
    ('attachment; filename=".."', None),
    ('attachment; filename=" . "', None),
    ("attachment; filename=.bashrc", ".bashrc"),
    ('attachment; filename="C:\\dir\\a \\"b\\".jpg"', 'a "b".jpg'),
    ('attachment; filename="\\\\\\\\host\\share\\a.jpg"', "a.jpg"),
    # no control characters
    ("attachment; filename*=UTF-8''a%0Ab", "a_b"),
    ("attachment; filename*=UTF-8''a%C2%85b", "a_b"),
    ("attachment; filename*=ISO-8859-1''a%85b", "a_b"),
    ('attachment; filename="a\tb"', "a_b"),
    ('attachment; filename="a\nb"', "a_b"),
    ('attachment; filename="a\x85b"', "a_b"),
    ('attachment; filename=" \x01. "', None),
    # broken grammar is read as in browsers, since a wrong name does no harm
    ("attachment; filename=a.jpg; filename=b.jpg", "a.jpg"),
    ("attachment; filename=a.jpg; FileName=a.jpg", "a.jpg"),
    ("attachment; x=1; x=2; filename=a.jpg", "a.jpg"),
    ("attachment; filename=a b.jpg", "a b.jpg"),
    ("attachment; filename=a/b.jpg", "b.jpg"),
    ("attachment; filename=a,b.jpg", "a,b.jpg"),
    ("attachment; filename=\u00e4.jpg", "\u00e4.jpg"),
    ("attachment; filename=", None),
    ("attachment; filename", None),
    ('attachment; filename="a.jpg', "a.jpg"),
    ('attachment; filename="a.jpg; x=y', "a.jpg"),
    ('attachment; filename="a.jpg\\"', 'a.jpg"'),
    ('attachment; filename="a.jpg"x', "a.jpg"),
    ('attachment; filename=a"b;c".jpg', 'a"b'),
    ("attachment; filename=a.jpg; size=3 ;; ", "a.jpg"),
    ("inline;filename =\ta.jpg\t;", "a.jpg"),
    ("attachment filename=a.jpg", None),
    ("attachment, inline; filename=a.jpg", "a.jpg"),
    ("filename=a.jpg", "a.jpg"),
    ("; filename=a.jpg", "a.jpg"),
    ("attachment", None),
    ("", None),
    (None, None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "name"), NAMES)
def test_names(value: bytes | str | None, name: str | None) -> None:
    """RFC 6266 and RFC 8187: `filename*` first; broken grammar is tolerated; paths lose their folders."""
    assert disposition_name(value) == name


@given(st.text(min_size=1))
def test_any_name_survives_the_encoding(name: str) -> None:
    """Law: what RFC 8187 encodes comes out as it was, as far as it is one harmless component."""
    try:
        encoded = quote(name, safe="")
    except UnicodeEncodeError:
        return
    last = name.replace("\\", "/").rpartition("/")[2]
    controls = {char for char in last if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0}
    harmless = "".join("_" if char in controls else char for char in last)
    expected = harmless if "".join(char for char in last if char not in controls).strip(" .") else None
    assert disposition_name(f"attachment; filename*=UTF-8''{encoded.replace('~', '%7E')}") == expected


def test_hostile_length_costs_no_more_than_its_length() -> None:
    """What is longer than any name is not parsed: megabytes of white space, semicolons or quotes end at once."""
    for filler in (" ", ";", "\t;", '"', "\\", "; a=", "'%", "; x*=", '; filename="a;'):
        assert disposition_name("attachment; filename=a.jpg" + filler * 300_000) is None
        disposition_name(("attachment" + filler * MAX_CHARS)[:MAX_CHARS])


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60), st.text("filename*=0\"'\\-%; \t\r\n/\0", max_size=60)))
def test_nothing_hostile_comes_out(value: bytes | str) -> None:
    """Law: whatever a server sends, nothing raises, and a name is one harmless component."""
    name = disposition_name(value)
    assert name is None or (name.strip(" .") and not set(name) & set("/\\\0\r\n"))
