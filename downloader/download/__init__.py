"""Getting the bytes of an item into a file on this machine: I/O, on threads."""

import sys

# Where click and rich happen to be installed, httpx loads a command line of its own with them: 50 ms for nothing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: as if it were not there
