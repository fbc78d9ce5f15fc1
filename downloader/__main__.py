"""The command. Light on purpose: worker processes import the main module again, and need none of the application."""

import os
import signal
import sys

_WITH_PROCESSES = frozenset(("run", "process", "demo"))


def main() -> None:
    """Run the command line."""
    # Nothing is under way yet that would have to end well; an exception would come out of the midst of an import.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    if not _WITH_PROCESSES.isdisjoint(sys.argv[1:2]):
        from downloader.transform.processes import prepare  # noqa: PLC0415 - see above

        prepare()  # the earlier the better: it comes up while the application is imported
    from downloader.cli.app import main as run_command_line  # noqa: PLC0415 - see above

    signal.signal(signal.SIGINT, before)
    run_command_line()


if __name__ == "__main__":
    main()
