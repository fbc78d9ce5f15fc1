"""Loaded by the fork server, and by nobody else: what its children need, once for all of them, and silence."""

import downloader.transform.image  # noqa: F401 - children inherit it
from downloader.transform import worker

worker.silence()
