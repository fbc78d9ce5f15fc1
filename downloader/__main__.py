"""The command. Imports little: worker processes import the main module again, and need none of the application."""

import os
import sys
from collections.abc import Callable

_TRANSFORMS = frozenset(("run", "process"))
"""Commands that transform; for `retry` only the stored settings tell."""
_CPUS_OF_ONE_SHARD = 4
"""Up to so many CPUs `--shards auto` is 1."""
_RUNS = _TRANSFORMS | {"fetch", "retry"}
"""Commands that handle signals themselves once the application is loaded (`cli/process.py`)."""


def main() -> None:
    """Run the command line."""
    try:
        run_command_line = _load(sys.argv[1] if len(sys.argv) > 1 else "")
    except KeyboardInterrupt:  # before signals are deferred
        sys.exit(130)
    run_command_line()


def _load(command: str) -> Callable[[], None]:
    """Import the application, and start the fork server meanwhile if the command needs it."""
    from downloader.stop import DeferredSignals, exit_code, handle, restore  # noqa: PLC0415 - see above

    deferred = DeferredSignals()
    before = handle(deferred)
    from downloader.cli.streams import prepare as prepare_streams  # noqa: PLC0415 - see above

    prepare_streams()
    has_shards = command in _RUNS and _may_have_shards()
    if command in _TRANSFORMS or has_shards:
        from downloader.transform.processes import prepare  # noqa: PLC0415 - see above

        # first, so that it starts while the application is imported
        prepare(*(["downloader.shards.fork_server"] if has_shards else []))
    from downloader.cli.app import main as run_command_line  # noqa: PLC0415 - see above

    if command not in _RUNS:
        restore(before)
        if deferred.numbers:
            sys.exit(exit_code(deferred.numbers[0]))
    return run_command_line


def _may_have_shards() -> bool:
    """Whether the run will have several shards, as far as can be told before anything is loaded."""
    from downloader.cpus import usable_cpus  # noqa: PLC0415 - see above

    words = " ".join(sys.argv).replace("--shards=", "--shards ").split()
    if "--shards" in words:
        return words[words.index("--shards") + 1 :][:1] != ["1"]
    return "DOWNLOADER_CONCURRENCY__SHARDS" in os.environ or usable_cpus() > _CPUS_OF_ONE_SHARD


if __name__ == "__main__":
    main()
