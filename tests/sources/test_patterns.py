"""Patterns in place of names, as a shell expands them."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import SourceError
from downloader.sources import patterns
from downloader.sources.patterns import braces, expanded


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        ("{a,b}.csv", ["a.csv", "b.csv"]),
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{0..10..5}", ["{0..10..5}"]),
        ("x{1,2}{a,b}", ["x1a", "x1b", "x2a", "x2b"]),
        ("{}", ["{}"]),
        ("{a}", ["{a}"]),
        ("{a,}", ["a", ""]),
    ],
)
def test_braces(text: str, names: list[str]) -> None:
    assert list(braces(text)) == names


parts = st.one_of(
    st.text("abc", max_size=3),
    st.lists(st.text("abc", min_size=1, max_size=2), min_size=2, max_size=3).map(
        lambda found: f"{{{','.join(found)}}}"
    ),
    st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda ends: f"{{{ends[0]:02}..{ends[1]:02}}}"),
)


@given(st.lists(parts, min_size=1, max_size=3).map("".join).filter(bool))
def test_braces_are_those_of_bash(text: str) -> None:
    made = subprocess.run(["bash", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True)
    assert list(braces(text)) == made.stdout.splitlines()


def test_globs_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/c.csv", "d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert expanded([f"{tmp_path}/*.csv"]) == (f"{tmp_path}/a.csv", f"{tmp_path}/b.csv")
    assert expanded([f"{tmp_path}/**/*.csv"])[-1] == f"{tmp_path}/deep/c.csv"
    assert expanded([f"{tmp_path}/{{d,*}}.txt"]) == (f"{tmp_path}/d.txt", f"{tmp_path}/d.txt")


def test_what_exists_is_taken_literally(tmp_path: Path) -> None:
    odd = tmp_path / "[a]{b,c}.txt"
    odd.touch()
    assert expanded([str(odd), "-", "https://example.com/{a,b}*.jpg"]) == (
        str(odd),
        "-",
        "https://example.com/{a,b}*.jpg",
    )


def test_no_match_and_too_many_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file matches"):
        expanded([f"{tmp_path}/*.parquet"])
    with pytest.raises(SourceError, match="more than 100000 names"):
        expanded(["{0..999999999}{0..999999999}.tar"])
    with pytest.raises(SourceError, match="more than 100000 names"):
        expanded([f"{tmp_path}/{{0..999999999}}*.tar"])
    with pytest.raises(SourceError, match="more than 50 braces"):
        expanded(["{1..1}" * 2000])
    assert expanded([f"{{0..{'9' * 5000}}}.tar"]) == (f"{{0..{'9' * 5000}}}.tar",)


def test_a_glob_is_given_up_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MAX_NAMES", 2)
    for name in "abc":
        (tmp_path / f"{name}.csv").touch()
    assert len(expanded([f"{tmp_path}/[ab].csv"])) == 2
    with pytest.raises(SourceError, match="more than 2 names"):
        expanded([f"{tmp_path}/*.csv"])


def test_a_table_beside_its_tar_is_no_list(tmp_path: Path) -> None:
    for name in ("0.tar", "0.parquet", "0_stats.json", "1.parquet"):
        (tmp_path / name).touch()
    assert expanded([str(tmp_path)]) == (f"{tmp_path}/0.tar", f"{tmp_path}/1.parquet")


def test_a_folder_of_lists_stands_for_them(tmp_path: Path) -> None:
    """Unless there is an image or another folder in it: then it is a folder of images. Notes are no list."""
    for name in ("b.parquet", "c.tar", "notes.md", ".hidden.txt", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "a.txt").write_text("# a list\n\nhttp://example.com/a.jpg\n")
    lists = [f"{tmp_path}/{name}" for name in ("a.txt", "b.parquet", "c.tar")]
    assert expanded([str(tmp_path)]) == tuple(lists)
    assert expanded([str(tmp_path)], is_local=True) == (lists[-1],)
    (tmp_path / "c.jpg").touch()
    assert expanded([str(tmp_path)]) == (str(tmp_path),)


def test_an_empty_folder_stands_for_itself(tmp_path: Path) -> None:
    assert expanded([str(tmp_path), "nowhere"]) == (str(tmp_path), "nowhere")


def test_a_folder_with_too_many_lists_is_left_to_the_folder_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "MAX_NAMES", 1)
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).touch()
    assert expanded([str(tmp_path)]) == (str(tmp_path),)


def test_a_list_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    """A link to itself stays a source, whose check tells the reason."""
    (tmp_path / "a.txt").symlink_to("a.txt")
    (tmp_path / "b.txt").write_text("http://example.com/b.jpg\n")
    assert expanded([str(tmp_path)]) == (f"{tmp_path}/a.txt", f"{tmp_path}/b.txt")
