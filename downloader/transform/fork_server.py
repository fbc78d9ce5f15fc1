"""Preloaded by the fork server, and imported nowhere else: loads what its children need, once for all of them."""

import downloader.transform.image
import downloader.transform.worker  # noqa: F401 - children inherit both
from downloader.transform.processes import silence_stderr

silence_stderr()
