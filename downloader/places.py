"""Where an output lies, and where its state lies: beside the results in a folder, on this machine for a remote output.

The state of a remote output is a folder of its own in the user's state folder, or in `--state-dir`, named after the
URL: two outputs never share one, and the same URL finds it again.
"""

import os
import re
from hashlib import sha256
from pathlib import Path, PurePath

from downloader.config.values import is_remote
from downloader.errors import ConfigError

STATE_FOLDER = ".downloader"


def state_folder(output: str | PurePath, state_dir: str | PurePath | None = None) -> Path:
    """The local folder for the journal, the lock and staged bytes of an output.

    Raises:
        ConfigError: `state_dir` is given for a folder of this machine.
    """
    if not is_remote(str(output)):
        if state_dir is not None:
            raise ConfigError(f"{output}: keeps its state beside the results; --state-dir is for outputs given as URLs")
        return Path(output) / STATE_FOLDER
    return Path(state_dir or _user_state()) / _name_of(str(output))


def _user_state() -> Path:
    """The folder for state that outlives a run (XDG Base Directory Specification 0.8)."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local/state") / "downloader"  # noqa: PTH117 - text


def _name_of(url: str) -> str:
    """A folder name that a person recognizes, and no other URL has."""
    url = url.rstrip("/")
    readable = re.sub(r"[^A-Za-z0-9]+", "-", url)[:60].strip("-")
    return f"{readable}-{sha256(url.encode()).hexdigest()[:16]}"
