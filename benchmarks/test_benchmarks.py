"""The pure parts of the benchmarks: what is counted, compared and shown. Nothing is measured here."""

import json
import random
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import table
from benchmarks.checks import Checked, Checker, fitted, outputs, psnr_db
from benchmarks.contest import Outcome, Result
from benchmarks.contestants import ARIA2, CURL, OURS, SHARDED, VIPS, Contestant
from benchmarks.corpora import Corpus, photograph
from benchmarks.document import document
from benchmarks.machine import Conditions
from benchmarks.measure import Usage, measure
from benchmarks.profile import ELSEWHERE, PARTS, part
from benchmarks.works import IDEAL, WORKS, Target, Work


def usage(wall_s: float, *, cpu_s: float = 1.0, main_s: float = 0.4) -> Usage:
    return Usage(
        wall_s=wall_s, cpu_s=cpu_s, main_s=main_s, peak_bytes=2**20, exit_code=0, timed_out=False, said=""
    )  # fmt: skip


def result(name: str, *walls_s: float, fault: str | None = None) -> Result:
    contestant = Contestant(name=name, needs=(), line=f"{name} {{urls}}")
    return Result(contestant=contestant, setting={"n": 8}, usages=[usage(wall_s) for wall_s in walls_s], fault=fault)


@pytest.fixture
def files(tmp_path: Path) -> Corpus:
    corpus = Corpus(name="web", folder=tmp_path / "files", count=4, images=True)
    corpus.folder.mkdir()
    for number, name in enumerate(corpus.names):
        (corpus.folder / name).write_bytes(photograph(random.Random(number), 600, 3 / 2))
    return corpus


def outcome(files: Corpus, *results: Result, latency_s: float = 0.0) -> Outcome:
    targets = (Target(at_least=3, against=(CURL, ARIA2)), Target(at_least=0.9, against=(IDEAL,)))
    work = Work(
        name="web", title="a work", corpus="web", contestants=(), targets=targets, latency_s=latency_s, threads=2
    )  # fmt: skip
    return Outcome(work=work, server="nginx", files=files, results=list(results), create_us=(20.0, 30.0))


def thumbnails(files: Corpus, out: Path) -> None:
    out.mkdir()
    for name in files.names:
        with Image.open(files.folder / name) as image:
            image.resize(fitted(image.size), Image.Resampling.BICUBIC).save(out / name, quality=85)


# -- figures -------------------------------------------------------------------------------------------------------


def test_the_median_counts_and_the_range_is_shown() -> None:
    found = result(OURS, 1.0, 9.0, 2.0)
    assert found.wall_s == 2.0
    assert found.spread == 4.0


def test_a_contestant_with_a_fault_has_no_time(files: Corpus) -> None:
    broken = result(CURL, 1.0, fault="exit code 1")
    assert broken.wall_s is None
    assert outcome(files, broken).result(CURL) is None


def test_the_ratio_is_taken_against_the_best_of_those_named(files: Corpus) -> None:
    target = Target(at_least=3, against=(CURL, ARIA2))
    ours, curl, aria2 = result(OURS, 2.0), result(CURL, 8.0), result(ARIA2, 6.0)
    assert table.reached(outcome(files, ours, curl, aria2), target) == 3.0
    assert table.reached(outcome(files, ours, curl), target) == 4.0
    assert table.reached(outcome(files, ours), target) is None
    assert table.reached(outcome(files, curl), target) is None


def test_a_target_may_be_by_cpu_time(files: Corpus) -> None:
    """Every run of the tests takes 1 s of CPU, whatever its time by the clock."""
    target = Target(at_least=0.9, against=(CURL, ARIA2), by="CPU")
    assert table.reached(outcome(files, result(OURS, 2.0), result(CURL, 8.0)), target) == 1.0
    assert table.reached(outcome(files, result(OURS, 2.0)), target) is None


def test_a_target_may_be_about_shards(files: Corpus) -> None:
    target = Target(at_least=1, against=(OURS,), ours=SHARDED)
    assert table.reached(outcome(files, result(OURS, 3.0), result(SHARDED, 2.0)), target) == 1.5


def test_against_a_latency_the_ratio_is_a_share_of_what_is_possible(files: Corpus) -> None:
    target = Target(at_least=0.9, against=(IDEAL,))
    assert table.reached(outcome(files, result(OURS, 0.5), latency_s=0.2), target) == pytest.approx(0.8)
    assert table.reached(outcome(files, result(OURS, 0.5)), target) is None


def test_the_table_of_targets_says_what_was_not_measured(files: Corpus) -> None:
    text = table.targets([outcome(files, result(OURS, 2.0), result(CURL, 7.0))])
    assert "| a work | downloader | curl -Z or aria2c | clock | 3 x | 3.50 x | yes |" in text
    assert "| a work | downloader | threads / latency | clock | 0.9 x |  | not measured |" in text


def test_parent_and_workers_are_told_apart(files: Corpus) -> None:
    assert "| a work | 100.00 | 150.00 |" in table.processes([outcome(files, result(OURS, 2.0))])


def test_the_document_names_noise_trials_and_absentees(files: Corpus) -> None:
    absent = result(VIPS, fault="not installed: vipsthumbnail")
    conditions = Conditions(machine="2 CPUs", date="2026-11-24", load=1.5, versions={"curl": "7.88.1"})
    text = document([outcome(files, result(OURS, 2.0), absent)], conditions, rounds=5)
    assert "load 1.5" in text
    assert "a trial" in text
    assert "| vipsthumbnail | not installed: vipsthumbnail |" in text
    assert "| curl | 7.88.1 |" in text
    assert f"{OURS}:\n    {OURS} {{urls}}\n" in text


# -- works ---------------------------------------------------------------------------------------------------------


def test_every_target_names_somebody_who_takes_part() -> None:
    for work in WORKS:
        names = {contestant.name for contestant in work.contestants} | {IDEAL}
        assert all(set(target.against) <= names for target in work.targets)


# -- outputs -------------------------------------------------------------------------------------------------------


def test_right_outputs_pass(files: Corpus, tmp_path: Path) -> None:
    thumbnails(files, tmp_path / "out")
    (tmp_path / "out" / ".downloader").mkdir()
    (tmp_path / "out" / ".downloader" / files.names[0]).write_bytes(b"not an output")
    checked = Checker(files).check(tmp_path / "out")
    assert checked.right == 4
    assert checked.fault is None


def test_a_missing_file_is_a_fault(files: Corpus, tmp_path: Path) -> None:
    thumbnails(files, tmp_path / "out")
    (tmp_path / "out" / files.names[1]).unlink()
    assert Checker(files).check(tmp_path / "out").fault == "only 3 of 4 files are right"


def test_a_wrong_size_and_a_wrong_picture_are_faults(files: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    thumbnails(files, out)
    with Image.open(out / files.names[2]) as image:
        upside_down = image.transpose(Image.Transpose.ROTATE_180)
    upside_down.save(out / files.names[2])
    fault = Checker(files).check(out).fault
    assert fault is not None
    assert "dB" in fault
    upside_down.resize((128, 85)).save(out / files.names[2])
    assert Checker(files).check(out).fault == "only 3 of 4 files are right"


def test_bytes_must_be_the_same(tmp_path: Path) -> None:
    corpus = Corpus(name="bytes3k", folder=tmp_path / "files", count=2, images=False)
    for folder in (corpus.folder, tmp_path / "out"):
        folder.mkdir()
        for name in corpus.names:
            (folder / name).write_bytes(b"1234")
    assert Checker(corpus).check(tmp_path / "out").fault is None
    (tmp_path / "out" / corpus.names[0]).write_bytes(b"1235")
    assert Checker(corpus).check(tmp_path / "out").fault == "only 1 of 2 files are right"


def test_numbered_outputs_are_known_by_the_url_beside_them(files: Corpus, tmp_path: Path) -> None:
    shard = tmp_path / "out" / "00000"
    shard.mkdir(parents=True)
    (shard / "000000007.jpg").touch()
    (shard / "000000007.json").write_text(json.dumps({"url": f"http://127.0.0.1:1/{files.names[3]}"}))
    assert dict(outputs(tmp_path / "out", files)) == {files.names[3]: shard / "000000007.jpg"}


def test_fitting_rounds_half_to_even_and_never_enlarges() -> None:
    assert fitted((4000, 3000)) == (256, 192)
    assert fitted((100, 50)) == (100, 50)
    assert fitted((5000, 1)) == (256, 1)


def test_likeness_in_decibels() -> None:
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    assert psnr_db(grey, grey) == float("inf")
    assert psnr_db(grey, Image.new("RGB", (8, 8), (101, 101, 101))) == pytest.approx(48.13, abs=0.01)
    assert Checked(expected=1, right=1, mean_bytes=1, mean_db=40, least_db=20).fault is not None


def test_pictures_are_the_same_again_and_take_the_bytes_of_photographs() -> None:
    data = photograph(random.Random("one"), 600, 3 / 2)
    assert data == photograph(random.Random("one"), 600, 3 / 2)
    assert 0.15 < len(data) / (600 * 400) < 0.45


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_cpu_of_orphans_is_counted() -> None:
    orphan = f"{shlex.quote(sys.executable)} -c 'sum(range(10**7))'"
    found = measure(["sh", "-c", f"{orphan} & exit 3"], limit_s=60)
    assert found.exit_code == 3
    assert found.cpu_s > found.main_s + 0.02


# -- where the CPU goes --------------------------------------------------------------------------------------------


def test_every_part_of_the_package_is_there() -> None:
    ours = [mark for mark, _ in PARTS if mark.startswith("downloader/")]
    assert [mark for mark in ours if not Path(__file__).parents[1].joinpath(mark).exists()] == []


def test_the_innermost_frame_that_is_known_decides() -> None:
    frames = ["_loop (/x/downloader/handoff.py:9)", "send (/y/httpx/_client.py:1)", "f (/z/other.py:1)"]
    assert part(frames) == "httpx"
    assert part(frames[:1]) == "hand-off"
    assert part(frames[2:]) == ELSEWHERE
