"""Preloaded by the fork server of a run that may have shards, and imported nowhere else."""

import downloader.download.stage
import downloader.shards.process  # noqa: F401 - shards inherit both
