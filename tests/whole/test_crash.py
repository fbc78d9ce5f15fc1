"""Killed parents, workers and fork servers, signals, and a disk that fails under a run of the whole command.

All processes are real, and so are the kills. What they interrupted is completed by the same command in this process.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import unmeasured
from support import Command, noisy

from downloader import open_output
from downloader.places import STATE_FOLDER

END_S = 60.0
"""Seconds within which everything here must end."""
SHARDS = int(os.environ.get("DOWNLOADER_CONCURRENCY__SHARDS", "1"))
PROCESSES = str(max(2, SHARDS))
"""Transform processes; each shard needs one of its own."""
NUMBER = 120
"""Pictures of a run: some half a second of work for two processes."""


def folder_of(folder: Path, number: int, side: int) -> Path:
    """A folder of `number` pictures, twenty different ones in turn."""
    different = [noisy(side, seed) for seed in range(20)]
    for index in range(number):
        (folder / f"{index:04}.jpg").write_bytes(different[index % 20])
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("photos"), NUMBER, 500)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> dict[str, str]:
    """The hashes of the outputs of an undisturbed run."""
    out = tmp_path_factory.mktemp("undisturbed")
    complete(photos, out)
    return hashes(out)


def start(photos: Path, out: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "downloader", "process", str(photos), "-o", str(out), *(more or ("-r", "100"))]
    return subprocess.Popen(
        [*command, "--progress", "none", "-p", PROCESSES],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def complete(photos: Path, out: Path, *more: str) -> None:
    """Give the command again, undisturbed, in this process: everything has its outcome, and staging is empty."""
    arguments = (
        "process",
        photos,
        "-o",
        out,
        *(more or ("-r", "100")),
        "--progress",
        "none",
        "-p",
        PROCESSES,
        "--json",
    )
    done = Command(out.parent)(*arguments)
    assert (done.code, done.err) == (0, "")
    assert (done.json["total"], done.json["succeeded"]) == (NUMBER, NUMBER)
    assert list((out / STATE_FOLDER / "staging").iterdir()) == []


def hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.jpg")}


def wait_for_outputs(process: "subprocess.Popen[str]", out: Path, number: int) -> list[psutil.Process]:
    """Wait until the run has written `number` files; returns its processes."""
    until = time.monotonic() + END_S
    while len(list(out.glob("*.jpg"))) < number:
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < until
        time.sleep(0.005)
    return psutil.Process(process.pid).children(recursive=True)


def wait_until_dead(processes: list[psutil.Process]) -> None:
    """Wait until none is alive; their new parent may let them be zombies for a while."""
    until = time.monotonic() + 10
    while any(process.is_running() and _status(process) != psutil.STATUS_ZOMBIE for process in processes):
        assert time.monotonic() < until, processes
        time.sleep(0.01)


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, err = process.communicate(timeout=END_S)
    return process.returncode, err


@pytest.mark.parametrize("later_s", [0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_ctrl_c_while_it_starts(tmp_path: Path, photos: Path, later_s: float) -> None:
    """From the moment its first child exists: exit 130, no process left, no traceback, and nothing lost."""
    out = tmp_path / "out"
    process = start(photos, out)
    until = time.monotonic() + END_S
    while not (children := psutil.Process(process.pid).children(recursive=True)):
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < until
    time.sleep(later_s)
    os.killpg(process.pid, signal.SIGINT)
    assert end(process) == (130, "")
    wait_until_dead(children)
    complete(photos, out)


@pytest.mark.parametrize("group", [False, True], ids=["parent", "process group"])
@pytest.mark.parametrize("after", [1, 40, 90])
def test_the_same_command_completes_after_kill_9(
    tmp_path: Path, photos: Path, undisturbed: dict[str, str], after: int, *, group: bool
) -> None:
    """kill -9 at any moment: the children exit soon, and the same command again completes the result."""
    out = tmp_path / "out"
    process = start(photos, out)
    children = wait_for_outputs(process, out, after)
    (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    process.communicate(timeout=END_S)
    wait_until_dead(children)
    complete(photos, out)
    assert hashes(out) == undisturbed


def test_a_result_being_replaced_is_the_old_one_or_the_new_one(tmp_path: Path, photos: Path) -> None:
    """kill -9 in the middle of overwriting leaves each file complete, either the old or the new one."""
    out, again = tmp_path / "out", ("-r", "120", "--overwrite", "always")
    complete(photos, out)
    old, began = hashes(out), time.time()
    process = start(photos, out, *again)
    until = time.monotonic() + END_S
    while sum(path.stat().st_mtime > began for path in out.glob("*.jpg")) < 20:
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < until
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=END_S)
    found = hashes(out)
    complete(photos, out, *again)
    new = hashes(out)
    assert old.keys() == found.keys() == new.keys()
    assert all(found[name] in {old[name], new[name]} for name in found)
    assert 0 < sum(found[name] == new[name] for name in found) < len(found)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_finishes_what_is_in_hand(tmp_path: Path, photos: Path, number: int, code: int) -> None:
    """Ctrl-C to the whole group, as a terminal sends it: exit 130 (SIGTERM 143), no traceback, no orphan."""
    out = tmp_path / "out"
    process = start(photos, out)
    children = wait_for_outputs(process, out, 10)
    os.killpg(process.pid, number)
    assert end(process) == (code, "")
    wait_until_dead(children)
    made = hashes(out)
    complete(photos, out)
    assert made.items() <= hashes(out).items()
    assert len(hashes(out)) == NUMBER


@pytest.mark.crash
@pytest.mark.parametrize("trial", range(25))
def test_many_kill_times(tmp_path: Path, photos: Path, undisturbed: dict[str, str], trial: int) -> None:
    """As above at 25 moments spread over a run: nothing lost, duplicated or incomplete."""
    test_the_same_command_completes_after_kill_9(tmp_path, photos, undisturbed, 1 + 4 * trial, group=trial % 2 == 0)


# -- the place under the run -------------------------------------------------------------------------------------------


def test_only_temporary_files_of_dead_runs_are_swept(tmp_path: Path, photos: Path) -> None:
    """What a killed run left in its staging folder goes; files of others stay, wherever else they are."""
    out = tmp_path / "out"
    process = start(photos, out)
    wait_for_outputs(process, out, 30)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=END_S)
    foreign = [
        out / "mine.jpg.part",
        out / "notes.tmp",
        out / "trip" / "deep.new",
        out / ".hidden",
        out / ".downloader" / "own.txt",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (out / ".downloader" / "staging" / "17.left.body").write_text("of a dead run")
    complete(photos, out)
    assert [path.read_text() for path in foreign] == ["mine"] * len(foreign)


def test_the_output_folder_is_deleted_under_a_run(tmp_path: Path, photos: Path) -> None:
    """Exit 3 and one line that says why; the same command again makes everything."""
    out = tmp_path / "out"
    process = start(photos, out)
    wait_for_outputs(process, out, 10)
    moved = out.rename(tmp_path / "moved")  # at once, as deleting is not
    while moved.exists():  # a file may be made in it meanwhile
        shutil.rmtree(moved, ignore_errors=True)
    code, err = end(process)
    assert (code, err.count("\n")) == (3, 1), err
    assert "out" in err
    complete(photos, out)


@pytest.mark.parametrize("kilobytes", [40, 80, 120])
def test_a_journal_that_cannot_grow_ends_the_run(tmp_path: Path, photos: Path, kilobytes: int) -> None:
    """Files may not grow beyond a limit, as on a full disk: exit 3 with the reason; without the limit it completes."""
    out = tmp_path / "out"
    limit = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes * 1024},) * 2);"
    command = f"{limit} sys.argv[0] = 'downloader'; from downloader.__main__ import main; main()"
    process = subprocess.run(
        [
            *(sys.executable, "-c", command, "process", str(photos), "-o", str(out), "-r", "100"),
            *("-p", "2", "--progress", "none"),
        ],
        env=unmeasured.environment(),
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert process.returncode == 3, process.stderr
    assert "Traceback" not in process.stderr
    complete(photos, out)


WORKERS = "workers"
SERVER = "fork server"


def victims(process: "subprocess.Popen[str]", whom: str) -> list[psutil.Process]:
    """The processes of a run that are about to be killed."""
    try:
        everybody = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in everybody if child.ppid() != process.pid]
        servers = [
            child for child in everybody if child.ppid() == process.pid and "forkserver" in "".join(child.cmdline())
        ]
    except psutil.NoSuchProcess:
        return []
    return workers if whom == WORKERS else servers if whom == SERVER else workers + servers


def kill_repeatedly(process: "subprocess.Popen[str]", whom: str, chance: random.Random, times: float = 1e9) -> int:
    """Kill one of them every 0.3 s on average, until the run ends; returns the number of kills."""
    killed = 0
    while process.poll() is None and killed < times:
        time.sleep(chance.uniform(0.15, 0.45))
        with suppress(psutil.NoSuchProcess, IndexError):
            chance.choice(victims(process, whom)).kill()
            killed += 1
    return killed


SLOW = ("-r", "400", "-f", "avif")
"""A third of a second an image, so that a process rarely lives for two."""


@pytest.mark.crash
@pytest.mark.parametrize("trial", range(3))
@pytest.mark.parametrize(
    ("whom", "number", "side", "how"),
    [
        (WORKERS, 1000, 1500, ()),
        (WORKERS, 150, 1200, SLOW),
        (SERVER, 1000, 1500, ()),
        (WORKERS + SERVER, 1000, 1500, ()),
        (WORKERS + SERVER, 150, 1200, SLOW),
    ],
)
def test_killed_every_third_of_a_second(
    tmp_path: Path, whom: str, number: int, side: int, how: tuple[str, ...], trial: int
) -> None:
    """Processes are killed at random throughout a run: it ends, everything is made, and no item is blamed."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    folder_of(photos, number, side)
    process = start(photos, out, *how)
    killed = kill_repeatedly(process, whom, random.Random(trial))
    assert end(process) == (0, "")
    assert killed > (10 if whom == WORKERS or SHARDS == 1 else 0), "shards survive their fork server, and are not found"
    with open_output(out) as view:
        assert [record["state"] for record in view.records()] == ["succeeded"] * number
    assert len([path for path in out.iterdir() if path.is_file()]) == number
    assert list((out / STATE_FOLDER / "staging").iterdir()) == []


@pytest.mark.parametrize("whom", [WORKERS, SERVER])
def test_killed_before_the_first_image(tmp_path: Path, photos: Path, undisturbed: dict[str, str], whom: str) -> None:
    """The first process is killed as soon as it exists: another replaces it."""
    out = tmp_path / "out"
    process = start(photos, out)
    until = time.monotonic() + END_S
    while not (found := victims(process, whom)):
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < until
    found[0].kill()
    assert end(process) == (0, "")
    assert hashes(out) == undisturbed


@pytest.mark.crash
@pytest.mark.parametrize("trial", range(10))
def test_killed_again_and_again(tmp_path: Path, photos: Path, undisturbed: dict[str, str], trial: int) -> None:
    """kill -9 of parent or group at four random moments of one job: the result is the undisturbed one."""
    out, chance = tmp_path / "out", random.Random(trial)
    for number in sorted(chance.sample(range(1, 100), 4)):
        process = start(photos, out)
        children = wait_for_outputs(process, out, number)
        chance.choice((os.kill, os.killpg))(process.pid, signal.SIGKILL)
        process.communicate(timeout=END_S)
        wait_until_dead(children)
    complete(photos, out)
    assert hashes(out) == undisturbed
