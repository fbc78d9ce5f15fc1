"""One image in memory, in this process: for programs that bring their own pipeline."""

from pathlib import Path, PurePath

from downloader.config.settings import TransformOptions
from downloader.transform.image import render
from downloader.transform.picture import Picture


def process_image(image: bytes | str | PurePath, options: TransformOptions | None = None) -> Picture:
    """Make every wanted size of one image, from its bytes or its path; nothing is written.

    The same as a run makes of it, without the limits that a run sets to time and memory: for images of strangers, call
    this in a process that you can limit and kill.

    Raises:
        ImageError: no output can be made of it; `kind` says why.
        ImageSkipped: the options leave it out (`min_size`, `min_side`, `max_aspect`).
        OSError: the file cannot be read.
    """
    data = image if isinstance(image, bytes) else Path(image).read_bytes()
    return render(data, options or TransformOptions())
