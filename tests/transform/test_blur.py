"""Blurred boxes: what is in them, and what is not, in every fit and orientation."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from downloader.config.settings import TransformOptions
from downloader.sources.boxes import parse_boxes
from downloader.transform.image import render

BOX = (0.5, 0.25, 0.75, 0.5)


def noise(size: tuple[int, int] = (400, 200), format: str = "PNG", **options: Any) -> bytes:  # noqa: A002 - as Pillow
    out = io.BytesIO()
    Image.effect_noise(size, 100).convert("RGB").save(out, format, **options)
    return out.getvalue()


def images(data: bytes, boxes: list[Any], **options: Any) -> tuple[Image.Image, Image.Image]:
    """The output without and with blurring."""
    wanted = TransformOptions(format="png", **options)
    made = [render(data, wanted, boxes=chosen).renditions[0].data for chosen in ([], boxes)]
    plain, blurred = (Image.open(io.BytesIO(each)).convert("RGB") for each in made)
    return plain, blurred


def contrast(image: Image.Image, part: tuple[int, int, int, int]) -> float:
    return ImageStat.Stat(image.crop(part).convert("L")).stddev[0]


def changed(plain: Image.Image, blurred: Image.Image) -> tuple[int, int, int, int] | None:
    return ImageChops.difference(plain, blurred).getbbox()


def test_a_box_is_blurred_and_the_rest_is_not() -> None:
    """Inside nothing can be seen; a margin of the box's size away every pixel is as it was."""
    plain, blurred = images(noise(), [BOX])
    assert contrast(plain, (200, 50, 300, 100)) > 50
    assert contrast(blurred, (200, 50, 300, 100)) < 10
    left, top, right, bottom = changed(plain, blurred) or (0, 0, 0, 0)
    assert (left, top) >= (150, 0)
    assert (right, bottom) <= (350, 150)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"resize": "100x100"}, (50, 13, 75, 25)),
        ({"resize": "100x100", "fit": "outside"}, (100, 25, 150, 50)),
        ({"resize": "100x100", "fit": "crop"}, (50, 25, 100, 50)),
        ({"resize": "100x100", "fit": "pad"}, (50, 38, 75, 50)),
        ({"resize": "100x100", "fit": "stretch"}, (50, 25, 75, 50)),
    ],
)
def test_boxes_follow_the_fit(options: dict[str, Any], part: tuple[int, int, int, int]) -> None:
    plain, blurred = images(noise(), [BOX], **options)
    assert contrast(blurred, part) < contrast(plain, part) / 3
    assert changed(plain, blurred) != (0, 0, *plain.size)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_upright_image(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, blurred = images(noise(exif=exif), [(0.0, 0.0, 0.25, 0.25)])
    width, height = plain.size
    assert contrast(blurred, (0, 0, width // 4, height // 4)) < contrast(plain, (0, 0, width // 4, height // 4)) / 3
    right, bottom = (changed(plain, blurred) or plain.size * 2)[2:]
    assert right < width / 2 + 60
    assert bottom < height / 2 + 60


def test_every_frame_of_an_animation_is_blurred() -> None:
    frames = [Image.effect_noise((100, 100), 100) for _ in range(3)]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    data = render(out.getvalue(), TransformOptions(animated="all"), boxes=[(0.0, 0.0, 1.0, 1.0)]).renditions[0].data
    made = Image.open(io.BytesIO(data))
    assert made.n_frames == 3  # type: ignore[attr-defined]
    for index in range(3):
        made.seek(index)
        assert contrast(made.convert("RGB"), (0, 0, 100, 100)) < 20


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("target", ["jpeg", "png", "webp"])
def test_every_mode(mode: str, target: Any) -> None:
    image = Image.effect_noise((100, 100), 100)
    out = io.BytesIO()
    (image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)).save(out, "TIFF")
    assert render(out.getvalue(), TransformOptions(format=target), boxes=[BOX]).renditions


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=4), st.integers(1, 40), st.integers(1, 40))
def test_any_boxes_of_any_image(corners: list[tuple[float, ...]], width: int, height: int) -> None:
    """No box makes an image fail, however thin it is; sides stay what they are."""
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    plain, blurred = images(noise((width, height)), boxes, resize="16x16", fit="crop")
    assert plain.size == blurred.size


@pytest.mark.parametrize("text", ["", "  ", "null", "[]"])
def test_no_boxes(text: str) -> None:
    assert parse_boxes(text) == ()


def test_boxes_in_a_cell() -> None:
    assert parse_boxes("[[0, 0.25, 1, 0.5], [0.1, 0.2, 0.3, 0.4]]") == ((0.0, 0.25, 1.0, 0.5), (0.1, 0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    "text",
    ["faces", "{}", "1", "[0, 0, 1, 1]", "[[0, 0, 1]]", "[[0, 0, 1, 2]]", "[[0.5, 0, 0.4, 1]]", '[["0", 0, 1, 1]]',
     "[[true, 0, 1, 1]]", "[[NaN, 0, 1, 1]]", "[" * 100_000],
)  # fmt: skip
def test_what_is_no_boxes(text: str) -> None:
    with pytest.raises(ValueError, match=r"write \[\[left, top, right, bottom\], \.\.\.\]"):
        parse_boxes(text)
