"""What a worker returns for a task: facts of every kind, with their spans. In a real process."""

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from making import corners, noise, saved
from PIL import Image

from downloader.config.settings import TransformOptions
from downloader.config.values import parse_sizes
from downloader.handoff import TransformTask
from downloader.model.failures import FailureKind, SkipReason, Stage, Warn
from downloader.model.items import Failed, Fetched, File, FileSpan, Item, OutputName, Skipped, Transformed
from downloader.model.spans import Phase
from downloader.transform import worker
from downloader.transform.pool import WorkerPool
from downloader.transform.results import DiskFull, WorkerResult

Work = Callable[..., WorkerResult]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """Transforms a location in a worker process, with the settings given; the same process for the same settings."""
    pools: dict[worker.WorkerConfig, WorkerPool] = {}
    (tmp_path / "staging").mkdir()

    def transform(what: File | FileSpan, *, keep_originals: bool = False, **settings: object) -> WorkerResult:
        settings.setdefault("resize", parse_sizes("16"))
        config = worker.WorkerConfig(
            settings=TransformOptions(**settings),  # type: ignore[arg-type]
            staging=str(tmp_path / "staging"),
            keep_originals=keep_originals,
        )
        if config not in pools:
            pools[config] = WorkerPool(1, 1, config)
        result: WorkerResult = pools[config].submit(worker.transform, task_of(what)).result(60)
        return result

    yield transform
    for pool in pools.values():
        pool.shutdown()


def task_of(what: File | FileSpan) -> TransformTask:
    name = OutputName(stem="1", extension=None)
    item = Item(id=1, key="0" * 64, source=what.path, what=what, name=name)
    is_part = isinstance(what, FileSpan)
    fetched = partial(Fetched, item=item, path=what.path, staged=False, attempts=1)
    return TransformTask(
        fetched(offset=what.offset, bytes=what.length) if is_part else fetched(bytes=0),  # type: ignore[union-attr]
        time.monotonic(),
    )


def written(path: Path, data: bytes) -> File:
    path.write_bytes(data)
    return File(str(path))


def phases(result: WorkerResult) -> list[Phase]:
    """The phases of a result in their order; spans are checked to be of one process, and not to overlap."""
    assert isinstance(result, Transformed | Failed | Skipped)
    spans = result.spans
    assert all(span.start_s <= span.end_s <= time.monotonic() for span in spans)
    assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(spans))
    (lane,) = {span.lane for span in spans}
    assert lane.startswith("transform-")
    assert lane != f"transform-{os.getpid()}"
    return [span.phase for span in spans]


def test_an_image_has_a_span_for_each_phase(work: Work, tmp_path: Path) -> None:
    result = work(written(tmp_path / "a.png", saved(corners())))
    assert phases(result) == [Phase.QUEUE, Phase.DECODE, Phase.RESIZE, Phase.ENCODE]


def test_failures_and_skips_have_the_spans_they_reached(work: Work, tmp_path: Path) -> None:
    failure = work(written(tmp_path / "a.png", saved(noise(90, 60))[:900]))
    assert isinstance(failure, Failed)
    assert failure.kind is FailureKind.TRUNCATED_IMAGE
    assert phases(failure) == [Phase.QUEUE, Phase.DECODE]
    skip = work(written(tmp_path / "b.png", saved(corners())), min_side=1000)
    assert isinstance(skip, Skipped)
    assert skip.reason is SkipReason.TOO_SMALL
    assert phases(skip) == [Phase.QUEUE, Phase.DECODE]


def test_an_image_that_takes_too_long_has_the_spans_it_reached(work: Work, tmp_path: Path) -> None:
    result = work(written(tmp_path / "a.jpg", saved(noise(3000, 3000), "JPEG")), item_timeout=0.05, resize=())
    assert isinstance(result, Failed)
    assert result.kind is FailureKind.TRANSFORM_TIMEOUT
    assert phases(result)[:2] == [Phase.QUEUE, Phase.DECODE]


def test_the_original_is_a_rendition_if_it_is_to_be_kept(work: Work, tmp_path: Path) -> None:
    data = saved(corners(), "JPEG")
    result = work(written(tmp_path / "a.png", data), keep_originals=True)
    assert isinstance(result, Transformed)
    small, original = result.renditions
    assert (small.variant, original.variant, original.extension) == (None, "original", "jpg")
    assert Path(original.path).read_bytes() == data
    assert result.sha256 == original.sha256


def test_a_result_that_cannot_be_written(work: Work, tmp_path: Path) -> None:
    """Something in its way costs the item; without the staging folder no other could be written either."""
    where = written(tmp_path / "a.png", saved(corners()))
    result = work(where)
    assert isinstance(result, Transformed)
    in_the_way = Path(result.renditions[0].path)
    in_the_way.unlink()
    in_the_way.mkdir()
    result = work(where)
    assert isinstance(result, Failed)
    assert (result.kind, result.stage) == (FailureKind.WRITE, Stage.OUTPUT)
    assert phases(result) == [Phase.QUEUE, Phase.DECODE, Phase.RESIZE, Phase.ENCODE]
    shutil.rmtree(tmp_path / "staging")
    assert isinstance(work(where), DiskFull)


@pytest.mark.parametrize("part", [False, True])
def test_a_file_that_is_gone(work: Work, tmp_path: Path, *, part: bool) -> None:
    path = str(tmp_path / "gone.tar")
    result = work(FileSpan(path, 0, 10) if part else File(path))
    assert isinstance(result, Failed)
    assert result.kind is FailureKind.NOT_FOUND
    assert phases(result) == [Phase.QUEUE, Phase.DECODE]


def packed(folder: Path, data: bytes) -> FileSpan:
    """An image between other bytes of a file, as in a tar."""
    path = folder / "some.tar"
    path.write_bytes(b"x" * 700 + data + b"y" * 300)
    return FileSpan(str(path), 700, len(data))


def test_exactly_the_named_part_of_a_file_is_read(work: Work, tmp_path: Path) -> None:
    data = saved(corners(), "JPEG")
    result = work(packed(tmp_path, data), keep_originals=True, resize=())
    assert isinstance(result, Transformed)
    image, original = result.renditions
    assert Path(original.path).read_bytes() == data
    assert Image.open(BytesIO(Path(image.path).read_bytes())).size == (80, 60)


@pytest.mark.parametrize("length", [10**4, 2**62])
def test_a_part_that_reaches_beyond_the_file_is_truncated(work: Work, tmp_path: Path, length: int) -> None:
    """Whatever the length claims, no memory is taken for it; what there is can be kept."""
    data = saved(noise(60, 40), "JPEG")
    where = packed(tmp_path, data[:-500])
    Path(where.path).write_bytes(Path(where.path).read_bytes()[:-300])
    cut = where._replace(length=length)
    result = work(cut)
    assert isinstance(result, Failed)
    assert result.kind is FailureKind.TRUNCATED_IMAGE
    assert "some.tar ends at byte" in result.message
    kept = work(cut, truncated="keep")
    assert isinstance(kept, Transformed)
    assert kept.warnings == (Warn.TRUNCATED_KEPT,)
    nothing = work(cut._replace(offset=10**6), truncated="keep")
    assert isinstance(nothing, Failed)
    assert nothing.kind is FailureKind.TRUNCATED_IMAGE
