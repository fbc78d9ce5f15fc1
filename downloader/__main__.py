"""The command. Imports little: worker processes import the main module again, and need none of the application."""

import signal
import sys

_WITH_PROCESSES = frozenset(("run", "process"))
"""Commands that transform; for `retry` only the stored settings tell."""


def main() -> None:
    """Run the command line."""
    from downloader.stop import DeferredSignals  # noqa: PLC0415 - see above

    is_with_processes = not _WITH_PROCESSES.isdisjoint(sys.argv[1:2])
    deferred = DeferredSignals()
    before = signal.signal(signal.SIGINT, deferred)
    if is_with_processes:
        from downloader.transform.processes import prepare  # noqa: PLC0415 - see above

        prepare()  # first, so that it starts while the application is imported
    from downloader.cli.app import main as run_command_line  # noqa: PLC0415 - see above

    if not is_with_processes:  # otherwise the run takes them over
        signal.signal(signal.SIGINT, before)
        if deferred.numbers:
            sys.exit(128 + signal.SIGINT)
    run_command_line()


if __name__ == "__main__":
    main()
