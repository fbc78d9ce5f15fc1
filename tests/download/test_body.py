"""Bodies on their way to disk: every byte, in order, from where they are to begin."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.download.body import BodyFile

_SIZES = st.lists(st.integers(0, 300 * 1024), max_size=8)


def _pieces(sizes: list[int]) -> list[bytes]:
    return [bytes([number % 256]) * size for number, size in enumerate(sizes, 1)]


@given(before=st.binary(max_size=100), at=st.integers(0, 100), sizes=_SIZES)
def test_a_file_is_what_was_there_up_to_its_beginning_and_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, at: int, sizes: list[int]
) -> None:
    path, at = tmp_path_factory.mktemp("body") / "body", min(at, len(before))
    if at:
        path.write_bytes(before)
    with BodyFile(str(path), at) as body:
        for piece in _pieces(sizes):
            body.write(piece)
    assert path.read_bytes() == before[:at] + b"".join(_pieces(sizes))


def test_what_was_flushed_is_there_before_the_end(tmp_path: Path) -> None:
    with BodyFile(str(tmp_path / "body")) as body:
        body.write(b"some")
        body.flush()
        assert (tmp_path / "body").read_bytes() == b"some"


def test_single_bytes_do_not_pile_up(tmp_path: Path) -> None:
    with BodyFile(str(tmp_path / "body")) as body:
        for _ in range(100_000):
            body.write(b"x")
        assert (tmp_path / "body").stat().st_size > 90_000


def test_what_was_written_before_a_failure_is_kept(tmp_path: Path) -> None:
    body = BodyFile(str(tmp_path / "body"))
    body.write(b"some")
    with pytest.raises(RuntimeError), body:
        raise RuntimeError
    assert (tmp_path / "body").read_bytes() == b"some"


def test_a_write_that_the_system_takes_in_part_only(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    body = BodyFile(str(tmp_path / "body"))
    body.write(b"x" * 5000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"), body:
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "body").read_bytes() == b"x" * 4096


def test_a_file_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        BodyFile(str(tmp_path / "body"))
    assert (tmp_path / "body").read_bytes() == b"theirs"
