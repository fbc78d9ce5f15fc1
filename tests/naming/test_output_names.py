from itertools import islice

import pytest
from hypothesis import given
from naming_cases import KEY, NAMES

from downloader.model.items import OutputName
from downloader.naming.names import alternatives, clashes, fold, original_path, output_path, outside_originals
from downloader.naming.segments import safe_segment


def test_a_wrong_extension_changes_the_name() -> None:
    """A PNG named `.jpg` must not take the name of the PNG beside it."""
    name = OutputName(stem="a", extension="jpg")
    assert output_path(name, KEY, None, "jpg") == "a.jpg"
    assert output_path(name, KEY, None, "png") == "a-01234567.png"
    assert output_path(name, KEY, "thumb", "png") == "a-01234567-thumb.png"


def test_variants_are_appended() -> None:
    """The files of several sizes differ by the variant after the stem."""
    name = OutputName(stem="d/a", extension="jpg")
    assert output_path(name, KEY, "thumb", "jpg") == "d/a-thumb.jpg"
    assert output_path(name, KEY, None, "jpg") == "d/a.jpg"


@pytest.mark.parametrize(
    ("stem", "original", "renamed"),
    [
        ("d/a", "originals/d/a.gif", "d/a"),
        ("*/a", "originals/a.gif", "*/a"),
        ("originals/a", None, "_originals/a"),
        ("*/Original\u200ds/a", None, "*/_Original\u200ds/a"),
        ("d/originals/a", None, "d/originals/a"),
        ("originals", None, "originals"),
    ],
)
def test_originals_have_a_folder_of_their_own(stem: str, original: str | None, renamed: str) -> None:
    """Originals go to `originals`, without folders of variants; a stem that begins with that folder is renamed."""
    assert outside_originals(stem) == renamed
    if original is not None:
        assert original_path(OutputName(stem=stem, extension=None), "gif") == original


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
    """Two names clash where they could mean one file on some file system."""
    assert clashes(a, b) is clashes(b, a) is expected


@given(NAMES)
def test_fold_ignores_case_and_is_idempotent(text: str) -> None:
    """Law: folding is idempotent, and a name and its lower case fold to the same."""
    name = safe_segment(text)
    assert fold(fold(name)) == fold(name)
    assert fold(name.lower()) == fold(name)


def test_alternatives_never_end() -> None:
    """After a clash come 8 digits of the key, the whole key, and then numbers without end."""
    name = OutputName(stem="d/a", extension="jpg")
    stems = [option.stem for option in islice(alternatives(name, KEY), 5)]
    assert stems == ["d/a", "d/a-01234567", f"d/a-{KEY}", f"d/a-{KEY}-2", f"d/a-{KEY}-3"]
