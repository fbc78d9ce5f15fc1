"""Dead, stopped and slow workers; killed parents; signals. All processes are real, and so are the kills."""

import hashlib
import io
import os
import queue
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import unmeasured
from PIL import Image

from downloader.config.settings import TransformOptions
from downloader.config.values import Size
from downloader.handoff import HandOff
from downloader.model.failures import FailureKind
from downloader.model.items import Fact, Failed, Fetched, File, Item, OutputName, Skipped, Transformed
from downloader.model.spans import Phase
from downloader.stop import Stop
from downloader.transform.stage import TransformStage

Outcome = Transformed | Failed | Skipped
END_S = 60.0
"""Seconds within which everything here must end."""


def picture(side: int, seed: int = 0) -> bytes:
    """A JPEG of side x side pixels."""
    image = Image.effect_noise((side, side), 20 + seed % 50)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


class Stage:
    """A real transform stage with real processes, driven as the pipeline drives it."""

    def __init__(self, folder: Path, *, processes: int = 2, queue_size: int = 8, **settings: object) -> None:
        self.folder = folder
        self.stop = Stop()
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.handoff = HandOff(queue_size, self.stop)
        wanted = TransformOptions(resize=(Size(width=32, height=32),), **settings)  # type: ignore[arg-type]
        (folder / "staging").mkdir()
        self.stage = TransformStage(wanted, processes, str(folder / "staging"), self.handoff, self._emit, self.stop)
        self.stage.start()
        self.stage.wait_until_up()
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _emit(self, fact: Fact) -> None:
        assert isinstance(fact, Outcome)
        self.outcomes.put(fact)

    def _run(self) -> None:
        try:
            self.stage.run()
        except BaseException as problem:  # noqa: BLE001 - looked at by the test
            self.problem = problem

    def put(self, item_id: int, data: bytes) -> None:
        path = self.folder / f"{item_id}.jpg"
        path.write_bytes(data)
        name = OutputName(stem=str(item_id), extension=None)
        item = Item(id=item_id, key="0" * 64, source=str(path), what=File(str(path)), name=name)
        self.handoff.put(Fetched(item=item, path=str(path), bytes=len(data), staged=False))

    def finish(self) -> dict[int, Outcome]:
        """Close, wait for the end, and give the outcomes by id; each item has exactly one."""
        self.handoff.close()
        self._thread.join(END_S)
        assert not self._thread.is_alive(), "the stage does not end"
        assert self.problem is None, self.problem
        found = [self.outcomes.get_nowait() for _ in range(self.outcomes.qsize())]
        assert len({fact.item.id for fact in found}) == len(found)
        return {fact.item.id: fact for fact in found}

    def worker_at(self, item_id: int) -> int | None:
        """The process that is working on this item now."""
        return next((each.pid for each in self.stage.assignments() if each.item_id == item_id), None)

    def whenever_at(self, item_id: int, do: Callable[[int], None]) -> Iterator[None]:
        """Do something to each process that starts on this item, until the caller resumes this generator."""
        over = threading.Event()
        met: set[int] = set()

        def watch() -> None:
            while not over.is_set():
                pid = self.worker_at(item_id)
                if pid is not None and pid not in met:
                    met.add(pid)
                    do(pid)

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield
        over.set()
        watcher.join()


@pytest.fixture
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    running = Stage(tmp_path, **getattr(request, "param", {}))
    yield running
    running.stop.abort()


def kinds(outcomes: dict[int, Outcome]) -> dict[int, FailureKind]:
    return {item_id: fact.kind for item_id, fact in outcomes.items() if isinstance(fact, Failed)}


def test_an_idle_worker_killed_in_get_costs_nothing(stage: Stage) -> None:
    """A worker killed while it waits in Queue.get() dies holding its lock; all items still get their outcome."""
    for item_id in range(1, 6):
        stage.put(item_id, picture(64))
    while stage.handoff.in_flight:
        time.sleep(0.01)
    for pid in stage.stage.pids():
        os.kill(pid, signal.SIGKILL)
    for item_id in range(6, 31):
        stage.put(item_id, picture(64))
    outcomes = stage.finish()
    assert sorted(outcomes) == list(range(1, 31))
    assert kinds(outcomes) == {}


def test_busy_workers_killed_again_and_again_lose_nothing(stage: Stage) -> None:
    """Thirty workers killed at random while they work: each item has exactly one outcome, and no item is blamed."""
    over = threading.Event()
    killed = 0

    def kill_workers() -> None:
        nonlocal killed
        while killed < 30 and not over.wait(0.03):
            for pid in stage.stage.pids()[:1]:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass

    thread = threading.Thread(target=kill_workers)
    thread.start()
    data = picture(700)
    for item_id in range(1, 301):
        stage.put(item_id, data)
    thread.join()
    outcomes = stage.finish()
    over.set()
    assert sorted(outcomes) == list(range(1, 301))
    assert stage.stage.rebuilds > 3
    assert kinds(outcomes) == {}


def test_only_the_item_that_kills_its_worker_is_blamed(stage: Stage) -> None:
    """A segfault whenever a worker is at one item: that item fails as worker_crash, all others succeed."""
    watch = stage.whenever_at(13, lambda pid: os.kill(pid, signal.SIGSEGV))
    next(watch)
    for item_id in range(1, 41):
        stage.put(item_id, picture(6000) if item_id == 13 else picture(64, item_id))
    outcomes = stage.finish()
    next(watch, None)
    assert sorted(outcomes) == list(range(1, 41))
    assert kinds(outcomes) == {13: FailureKind.WORKER_CRASH}
    assert [span.phase for span in outcomes[13].spans] == [Phase.QUEUE, Phase.DECODE]


@pytest.mark.parametrize("stage", [{"item_timeout": 1.0}], indirect=True)
def test_a_stopped_worker_is_killed_when_its_time_is_up(stage: Stage) -> None:
    """A worker that is SIGSTOPped hears no alarm: it is killed, and its item fails as transform_timeout."""
    watch = stage.whenever_at(5, lambda pid: os.kill(pid, signal.SIGSTOP))
    next(watch)
    for item_id in range(1, 21):
        stage.put(item_id, picture(4000) if item_id == 5 else picture(64))
    outcomes = stage.finish()
    next(watch, None)
    assert sorted(outcomes) == list(range(1, 21))
    assert kinds(outcomes) == {5: FailureKind.TRANSFORM_TIMEOUT}
    waited, decoded = outcomes[5].spans
    assert (waited.phase, decoded.phase) == (Phase.QUEUE, Phase.DECODE)
    assert waited.end_s == decoded.start_s < decoded.end_s - 1.0
    assert waited.lane == decoded.lane


@pytest.mark.parametrize("stage", [{"item_timeout": 0.2}], indirect=True)
def test_a_slow_image_ends_by_the_soft_alarm(stage: Stage) -> None:
    """An image that takes too long fails as transform_timeout and its worker lives on."""
    stage.put(1, picture(9000))
    stage.put(2, picture(64))
    outcomes = stage.finish()
    assert kinds(outcomes) == {1: FailureKind.TRANSFORM_TIMEOUT}
    assert stage.stage.rebuilds == 0


@pytest.mark.parametrize("stage", [{"worker_memory": 256 * 1024**2, "fit": "pad"}], indirect=True)
def test_an_image_over_the_memory_limit_fails_alone(stage: Stage) -> None:
    """A decode that needs more than --worker-memory fails as out_of_memory, and the next image succeeds."""
    out = io.BytesIO()
    Image.new("RGB", (9900, 9900), "red").save(out, "PNG")
    stage.put(1, out.getvalue())
    stage.put(2, picture(64))
    outcomes = stage.finish()
    assert set(kinds(outcomes)) == {1}
    assert kinds(outcomes)[1] is FailureKind.OUT_OF_MEMORY


def test_the_fork_server_killed_is_survived(stage: Stage) -> None:
    """When the fork server is killed, the run continues with a new one."""
    stage.put(1, picture(64))
    parents = {psutil.Process(pid).ppid() for pid in stage.stage.pids()} - {os.getpid()}
    if not parents:
        pytest.skip("no fork server on this system")
    for pid in parents:
        os.kill(pid, signal.SIGKILL)
    for item_id in range(2, 31):
        stage.put(item_id, picture(64))
    outcomes = stage.finish()
    assert sorted(outcomes) == list(range(1, 31))
    assert kinds(outcomes) == {}


# -- the whole command -------------------------------------------------------------------------------------------------


def folder_of(folder: Path, number: int, side: int) -> Path:
    """A folder of `number` pictures, of which every twentieth is the same."""
    different = [picture(side, seed) for seed in range(20)]
    for index in range(number):
        (folder / f"{index:04}.jpg").write_bytes(different[index % 20])
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("photos"), 250, 500)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> dict[str, str]:
    """The hashes of the outputs of an undisturbed run."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert end(start(photos, out)) == (0, "")
    return hashes(out)


def start(photos: Path, out: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "downloader", "process", str(photos), "-o", str(out), *(more or ("-r", "100"))]
    return subprocess.Popen(
        [*command, "--progress", "none", "-p", "2"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert end(start(photos, out)) == (0, "")
    assert outcomes(out) == (250, 250)


@pytest.mark.parametrize("group", [False, True], ids=["parent", "process group"])
@pytest.mark.parametrize("after", [1, 60, 200])
def test_the_same_command_completes_after_kill_9(
    tmp_path: Path, photos: Path, undisturbed: dict[str, str], after: int, *, group: bool
) -> None:
    """kill -9 at any moment: the children exit soon, and the same command again completes the result."""
    out = tmp_path / "out"
    process = start(photos, out)
    children = wait_for_outputs(process, out, after)
    (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    process.communicate(timeout=END_S)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert end(start(photos, out)) == (0, "")
    assert hashes(out) == undisturbed
    assert list((out / ".downloader" / "staging").iterdir()) == []


def test_a_result_being_replaced_is_the_old_one_or_the_new_one(tmp_path: Path, photos: Path) -> None:
    """kill -9 in the middle of overwriting leaves each file complete, either the old or the new one."""
    out, again = tmp_path / "out", ("-r", "120", "--overwrite", "always")
    assert end(start(photos, out))[0] == 0
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
    assert end(start(photos, out, *again))[0] == 0
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
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    made = hashes(out)
    assert end(start(photos, out)) == (0, "")
    assert made.items() <= hashes(out).items()
    assert len(hashes(out)) == 250


@pytest.mark.crash
@pytest.mark.parametrize("trial", range(25))
def test_many_kill_times(tmp_path: Path, photos: Path, undisturbed: dict[str, str], trial: int) -> None:
    """As above at 25 moments spread over a run: nothing lost, duplicated or incomplete."""
    test_the_same_command_completes_after_kill_9(tmp_path, photos, undisturbed, 1 + 9 * trial, group=trial % 2 == 0)


# -- the place under the run -------------------------------------------------------------------------------------------


def outcomes(out: Path) -> tuple[int, int]:
    """Items in all, and those with an outcome, according to the journal."""
    with closing(sqlite3.connect(out / ".downloader" / "journal.sqlite3")) as db:
        total, done = db.execute("SELECT count(*), total(state IN ('succeeded', 'failed')) FROM items").fetchone()
    return total, int(done)


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
    assert end(start(photos, out))[0] == 0
    assert [path.read_text() for path in foreign] == ["mine"] * len(foreign)
    assert list((out / ".downloader" / "staging").iterdir()) == []


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
    assert end(start(photos, out)) == (0, "")
    assert outcomes(out) == (250, 250)


@pytest.mark.parametrize("kilobytes", [40, 120, 240])
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
    assert end(start(photos, out)) == (0, "")
    assert outcomes(out) == (250, 250)


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
    assert killed > 10
    assert outcomes(out) == (number, number)
    assert len([path for path in out.iterdir() if path.is_file()]) == number
    assert list((out / ".downloader" / "staging").iterdir()) == []


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
    for number in sorted(chance.sample(range(1, 200), 4)):
        process = start(photos, out)
        children = wait_for_outputs(process, out, number)
        chance.choice((os.kill, os.killpg))(process.pid, signal.SIGKILL)
        process.communicate(timeout=END_S)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
    assert end(start(photos, out)) == (0, "")
    assert hashes(out) == undisturbed
    assert outcomes(out) == (250, 250)
