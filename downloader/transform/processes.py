"""How processes are started. Light to import: the command line calls `prepare` before anything else."""

import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext


def start_context() -> ForkServerContext | SpawnContext:
    """How processes are started: never by fork, since the parent has threads (gh-84559)."""
    if "forkserver" in get_all_start_methods():
        server = get_context("forkserver")
        server.set_forkserver_preload(["downloader.transform.fork_server"])
        return server
    return get_context("spawn")


def prepare() -> None:
    """Let the fork server come up, where there is one, while the parent does something else: it takes 0.2 s."""
    if isinstance(start_context(), ForkServerContext):
        from multiprocessing import forkserver  # noqa: PLC0415 - not on Windows

        with suppress(BrokenProcessPool), starting():  # whoever starts a process will say what is wrong
            forkserver.ensure_running()


@contextmanager
def starting() -> Iterator[None]:
    """A moment in which processes may be started.

    They inherit a blocked SIGINT, as Ctrl-C is the parent's to handle. Whatever multiprocessing raises when its fork
    server or its resource tracker dies at this moment is a broken pool.
    """
    has_masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if has_masks else ()
    try:
        if has_masks:
            resource_tracker.ensure_running()  # started later, it would let SIGINT through again
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    except (OSError, EOFError) as problem:
        raise BrokenProcessPool(f"no process can be started: {problem}") from problem
    finally:
        if has_masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
