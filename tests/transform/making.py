"""Images made for the tests, and short helpers to render and inspect the result."""

from array import array
from io import BytesIO
from typing import Any

from PIL import Image

from downloader.config.settings import TransformOptions
from downloader.config.values import parse_sizes
from downloader.transform.image import Picture, render

CORNERS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220), "yellow": (220, 220, 30)}


def corners(width: int = 80, height: int = 60, mode: str = "RGB") -> Image.Image:
    """Four quarters: red and green above, blue and yellow below."""
    image = Image.new("RGB", (width, height))
    half_w, half_h = width // 2, height // 2
    for at, name in zip(((0, 0), (half_w, 0), (0, half_h), (half_w, half_h)), CORNERS, strict=True):
        image.paste(CORNERS[name], (*at, at[0] + width - half_w, at[1] + height - half_h))
    return image.convert(mode)


def noise(width: int, height: int) -> Image.Image:
    """An image that no codec compresses well."""
    return Image.effect_noise((width, height), 80).convert("RGB")


def big_endian(deep: Image.Image) -> Image.Image:
    """16-bit grey with its bytes in the order of TIFFs from a Macintosh."""
    samples = array("H", deep.tobytes())  # on the little-endian machines we test on
    samples.byteswap()
    return Image.frombytes("I;16B", deep.size, samples.tobytes())


def saved(image: Image.Image, name: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, format=name, **options)
    return out.getvalue()


def made(data: bytes, resize: str | None = None, /, **settings: Any) -> Picture:
    return render(data, TransformOptions(resize=parse_sizes(resize) if resize else (), **settings))


def shown(picture: Picture, index: int = 0) -> Image.Image:
    """The output decoded again; its sides are checked against what the rendition claims."""
    rendition = picture.renditions[index]
    image = Image.open(BytesIO(rendition.data))
    image.load()
    assert image.size == (rendition.width, rendition.height)
    assert (image.format or "").lower() == rendition.format
    return image


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    return value if isinstance(value, tuple) else (int(value or 0),)


def near(one: tuple[int, ...], other: tuple[int, ...], within: int = 12) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= within for a, b in zip(one, other, strict=True))
