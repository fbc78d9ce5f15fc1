"""Loaded by the fork server, and by nobody else: what its children need, once for all of them.

A child that is forked for a crew buried meanwhile finds the semaphores of that crew gone, before `worker.begin` can
silence it. The parent learns of this by the end of the process; a traceback would only reach the terminal of the user.
"""

import os
import sys
from pathlib import Path

import downloader.transform.image
import downloader.transform.worker  # noqa: F401 - children inherit both

sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
