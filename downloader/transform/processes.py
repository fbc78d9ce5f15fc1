"""How transform processes are started. Light to import: the command line calls `prepare` before anything else."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path


def start_context() -> ForkServerContext | SpawnContext:
    """How processes are started: never by fork, since the parent has threads (gh-84559)."""
    if "forkserver" in get_all_start_methods():
        server = get_context("forkserver")
        server.set_forkserver_preload(["downloader.transform.fork_server"])
        return server
    return get_context("spawn")


def prepare() -> None:
    """Start the fork server, where there is one, so that it loads (0.2 s) while the parent does something else."""
    if isinstance(start_context(), ForkServerContext):
        from multiprocessing import forkserver  # noqa: PLC0415 - not on Windows

        with suppress(BrokenProcessPool), starting():  # a failure is reported when the first process is started
            forkserver.ensure_running()


@contextmanager
def starting() -> Iterator[None]:
    """Guard a block in which processes may be started.

    They inherit a blocked SIGINT, since the parent alone handles Ctrl-C. If multiprocessing's fork server or resource
    tracker dies meanwhile, whatever it raises becomes BrokenProcessPool.
    """
    has_masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if has_masks else ()
    try:
        if has_masks:
            with _without_warnings():
                resource_tracker.ensure_running()  # started later, it would unblock SIGINT again
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    except (OSError, EOFError) as problem:
        raise BrokenProcessPool(f"no process can be started: {problem}") from problem
    finally:
        if has_masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Processes started in this block do not warn of leaked semaphores.

    A shard that is killed leaves its own behind. The resource tracker, which removes them, would say so on stderr.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def silence_stderr() -> None:
    """Discard what this process writes to stderr from now on; called in the fork server and in workers only.

    Failures are reported as facts, or by the end of the process. Otherwise the pool's loop would print a traceback when
    the parent abandons the pool; so would a child that the fork server forks for such a pool, on finding the pool's
    semaphores gone before it reaches `worker.initialize`.
    """
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
