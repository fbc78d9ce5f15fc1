"""Rows that a decoder never wrote, told from rows that are black.

Pillow's PNG decoder stops without an error where the compressed rows end, and leaves the rest of the image as it was.
"""

from PIL import Image, ImageFile

_PATTERN = b"\x9d\x3a\x71\xc6\x58\x0e\xe3\x2b\x84\xf7\x15\xa9\x4d"
"""What the last row holds before it is decoded. A row that happens to look like this is no defect: look closer."""


class LastRow:
    """The row that is decoded last, marked before decoding."""

    def __init__(self, image: ImageFile.ImageFile, row: int) -> None:
        self._image = image
        self._box = (0, row, image.width, row + 1)
        self._blank = Image.new(image.mode, (image.width, 1))
        length = len(self._blank.tobytes())
        self._mark = (_PATTERN * (length // len(_PATTERN) + 1))[:length]
        canvas = Image.new(image.mode, image.size)
        canvas.paste(Image.frombytes(image.mode, self._blank.size, self._mark), self._box)
        self._mark = canvas.crop(self._box).tobytes()  # of 1-bit rows, the bits beyond the last pixel are lost
        image.im = canvas.im

    def untouched(self) -> bool:
        """Whether the row still holds the mark."""
        return self._image.crop(self._box).tobytes() == self._mark

    def wipe(self) -> None:
        """Make it as empty as other rows that were not decoded."""
        self._image.paste(self._blank, self._box)
