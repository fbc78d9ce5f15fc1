"""The contestants and their command lines: the best we know for each, with several settings to try.

A line is for `sh -c`. In braces: `{urls}` a list of URLs, `{curl_urls}` the same as curl reads it, `{folder}` the same
files in a local folder, `{out}` where results belong, `{raw}` a folder on the same disk for originals that are deleted
later, `{cores}`, `{batch}` files for one call of an image program, `{count}` all files, and the settings.

In favour of the others: img2dataset neither hashes nor reads EXIF here, GraphicsMagick and libvips decode at a smaller
scale, image programs get many files per call and one process per core. None of them syncs its files, verifies what it
received, or can resume after a kill; ours does all of that here too.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

Setting = Mapping[str, int]

OURS = "downloader"
SHARDED = "downloader, 2 shards"
CURL = "curl -Z"
ARIA2 = "aria2c"
WGET2 = "wget2"
VIPS = "vipsthumbnail"
GM = "gm mogrify"
IMG2DATASET = "img2dataset"
LIBCURL = "libcurl threads"

CORES = os.cpu_count() or 1
_ROOT = Path(__file__).parents[1]
PEERS = _ROOT / ".venv-bench"
"""Created by `make bench-peers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program, and the command that prints its version."""

    path: str
    version: tuple[str, ...]

    @property
    def there(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.path) is not None


def _system(path: str, word: str = "--version") -> Program:
    return Program(path=path, version=(path, word))


def _peer(folder: str, name: str, code: str) -> Program:
    """A program in an environment of its own, and Python code that prints its version there."""
    programs = PEERS / folder / "bin"
    return Program(path=str(programs / name), version=(str(programs / "python"), "-c", code))


PROGRAMS = {
    "downloader": _system(str(Path(sys.executable).with_name("downloader"))),
    "curl": _system("curl"),
    "aria2c": _system("aria2c"),
    "wget2": _system("wget2"),
    "vipsthumbnail": _system("vipsthumbnail"),
    "gm": _system("gm", "version"),
    "nginx": _system("/usr/sbin/nginx", "-v"),
    "img2dataset": _peer(
        "img2dataset", "img2dataset", "import importlib.metadata as m; print('img2dataset', m.version('img2dataset'))"
    ),
    "reference": _peer("reference", "python", "import pycurl; print(pycurl.version)"),
}
"""By the name used in braces in command lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to do a workload. `needs`: programs; `settings`: each is tried once, the fastest is measured."""

    name: str
    needs: tuple[str, ...]
    line: str
    settings: tuple[Setting, ...] = ({},)

    @property
    def missing(self) -> list[str]:
        """Programs that are not installed."""
        return [name for name in self.needs if not PROGRAMS[name].there]


_DOWNLOADS = tuple({"n": n} for n in (4, 8, 16, 32))
"""Concurrent downloads."""

_FETCHERS = {
    CURL: (
        "curl",
        "curl -q --parallel --parallel-max {n} --no-progress-meter --remote-name-all --output-dir {to} -K {curl_urls}",
    ),
    ARIA2: ("aria2c", "aria2c --no-conf -q -i {urls} -d {to} -j {n} -x 1 -s 1 --file-allocation=none"),
    WGET2: ("wget2", "wget2 --no-config -q -i {urls} -P {to} --max-threads={n}"),
}
_EACH = "cd {of} && find . -name '*.jpg' -print0 | xargs -0 -P {cores} -n {batch}"
_IMAGERS = {
    VIPS: ("vipsthumbnail", f"{_EACH} vipsthumbnail --size 256x256 -o '{{out}}/%s.jpg[Q=85,strip]'"),
    GM: ("gm", f"{_EACH} gm mogrify -output-directory {{out}} -size 512x512 -resize 256x256 -quality 85"),
}
ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",  # one process a core already
    "OMP_NUM_THREADS": "1",  # as above, for GraphicsMagick
    "NO_ALBUMENTATIONS_UPDATE": "1",  # a library of img2dataset asks the network for a newer version otherwise
    "WANDB_MODE": "disabled",
}
"""Added for every contestant."""


def from_web() -> tuple[Contestant, ...]:
    """URLs to 256-pixel JPEGs."""
    ours = _ours(
        "{downloader} run {urls} -o {out} --resize 256x256 --quality 85 --threads {n} --per-host {n}"
        " --processes {cores} --progress none",
        _DOWNLOADS,
    )
    img2dataset = Contestant(
        name=IMG2DATASET,
        needs=("img2dataset",),
        line="{img2dataset} --url_list {urls} --output_folder {out} --processes_count {p}"
        " --thread_count {n} --number_sample_per_shard {shard} --image_size 256 --resize_mode keep_ratio_largest"
        " --resize_only_if_bigger True --encode_quality 85 --compute_hash None --extract_exif False",
        settings=(
            {"p": CORES, "n": 4, "shards": 1},
            {"p": CORES, "n": 16, "shards": 1},
            {"p": CORES, "n": 16, "shards": 4},
            {"p": 2 * CORES, "n": 8, "shards": 1},
        ),
    )
    libcurl = Contestant(
        name=LIBCURL,
        needs=("reference",),
        line="{reference} -m benchmarks.reference {urls} {out} {n} {cores}",
        settings=_DOWNLOADS,
    )
    pairs = ((CURL, VIPS), (CURL, GM), (ARIA2, VIPS), (ARIA2, GM), (WGET2, VIPS))
    return (*ours, img2dataset, libcurl, *(_then(fetcher, imager) for fetcher, imager in pairs))


def _ours(line: str, settings: tuple[Setting, ...]) -> tuple[Contestant, Contestant]:
    """This program, in one interpreter and in two shards."""
    one, two = (
        Contestant(name=name, needs=("downloader",), line=f"{line} --shards {shards}", settings=settings)
        for name, shards in ((OURS, 1), (SHARDED, 2))
    )
    return one, two


def _then(fetcher: str, imager: str) -> Contestant:
    program, fetch = _FETCHERS[fetcher]
    other, transform = _IMAGERS[imager]
    return Contestant(
        name=f"{fetcher}, then {imager}",
        needs=(program, other),
        line=f"{fetch.replace('{to}', '{raw}')} && {transform.replace('{of}', '{raw}')}",
        settings=_DOWNLOADS[2:],
    )


def from_folder() -> tuple[Contestant, ...]:
    """A folder of pictures to 256-pixel JPEGs."""
    ours = Contestant(
        name=OURS,
        needs=("downloader",),
        line="{downloader} process {folder} -o {out} --resize 256x256 --quality 85 --processes {cores} --progress none",
    )
    peers = (
        Contestant(name=name, needs=(program,), line=line.replace("{of}", "{folder}"))
        for name, (program, line) in _IMAGERS.items()
    )
    return (ours, *peers)


def bytes_only(threads: int | None = None) -> tuple[Contestant, ...]:
    """URLs to the same bytes in files; with `threads` fixed, or tried."""
    settings: tuple[Setting, ...] = _DOWNLOADS if threads is None else ({"n": threads},)
    ours = _ours("{downloader} fetch {urls} -o {out} --threads {n} --per-host {n} --progress none", settings)
    libcurl = Contestant(
        name=LIBCURL,
        needs=("reference",),
        line="{reference} -m benchmarks.fetch_reference {urls} {out} {n}",
        settings=settings,
    )
    peers = (
        Contestant(name=name, needs=(program,), line=line.replace("{to}", "{out}"), settings=settings)
        for name, (program, line) in _FETCHERS.items()
    )
    return (*ours, libcurl, *peers)


def command(line: str, setting: Setting, places: Mapping[str, Any]) -> str:
    """A line with everything filled in."""
    count = places["count"]
    derived = {
        "batch": max(count // (8 * CORES), 1),
        "shard": ceil(count / (setting.get("p", 1) * setting.get("shards", 1))),
        "cores": CORES,
    }
    programs = {name: program.path for name, program in PROGRAMS.items()}
    return line.format(**programs, **derived, **setting, **places)
