"""Animations: the first frame, or all of them as they are meant to be seen."""

from io import BytesIO

import pytest
from making import corners, made, near, noise, pixel, saved, shown
from PIL import Image, ImageChops, ImageStat

from downloader.config.settings import TransformOptions
from downloader.model.failures import FailureKind, Warn
from downloader.transform import encode
from downloader.transform.image import ImageError
from downloader.transform.metadata import Blocks

COLOURS = ((255, 0, 0), (0, 160, 0), (0, 0, 255), (200, 200, 0))
DURATIONS = [100, 200, 50, 400]


def animation(name: str, **options: object) -> bytes:
    frames = [Image.new("RGB", (60, 40), colour) for colour in COLOURS]
    return saved(frames[0], name, save_all=True, append_images=frames[1:], duration=DURATIONS, **options)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_first_frame_is_the_default(name: str) -> None:
    """One frame by default, with a warning."""
    picture = made(animation(name), "30")
    assert picture.warnings == (Warn.FRAMES_DROPPED,)
    image = shown(picture)
    assert getattr(image, "n_frames", 1) == 1
    assert near(pixel(image.convert("RGB"), 15, 10), COLOURS[0], 24)


@pytest.mark.parametrize("output", ["same", "webp", "png", "avif"])
@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "AVIF"])
def test_all_frames_keep_their_order_and_time(name: str, output: str) -> None:
    """With `animated=all` every frame is resized, and is shown as long as before."""
    picture = made(animation(name), "30", animated="all", format=output)
    assert picture.warnings == ()
    image = shown(picture)
    assert image.n_frames == 4  # type: ignore[attr-defined]
    for index, (colour, duration) in enumerate(zip(COLOURS, DURATIONS, strict=True)):
        image.seek(index)
        image.load()
        assert image.size == (30, 20)
        assert near(pixel(image.convert("RGB"), 15, 10), colour, 24)
        assert image.info["duration"] == duration


@pytest.mark.parametrize("output", ["same", "webp", "png"])
@pytest.mark.parametrize(("loop", "plays"), [(None, 1), (0, 0), (2, 3)])
def test_loops_mean_the_same_in_every_format(output: str, loop: int | None, plays: int) -> None:
    """GIF counts repetitions, WebP and APNG count plays; 0 means for ever in all of them."""
    data = animation("GIF") if loop is None else animation("GIF", loop=loop)
    info = shown(made(data, animated="all", format=output)).info
    assert info.get("loop") == (loop if output == "same" else plays)


def test_jpeg_cannot_move() -> None:
    """`animated=all` into a format without animation: the first frame, with a warning."""
    picture = made(animation("GIF"), animated="all", format="jpeg")
    assert picture.warnings == (Warn.FRAMES_DROPPED,)


def test_frames_are_composed_before_they_are_resized() -> None:
    """A frame that changes a corner only is resized as the whole picture it shows."""
    base = corners(64, 64)
    second = base.copy()
    second.paste((0, 0, 0), (0, 0, 8, 8))
    data = saved(base, "GIF", save_all=True, append_images=[second], duration=100, disposal=1)
    image = shown(made(data, "32", animated="all", format="png"))
    image.seek(1)
    expected = second.resize((32, 32), Image.Resampling.LANCZOS)
    assert max(ImageStat.Stat(ImageChops.difference(image.convert("RGB"), expected)).mean) < 4


def test_transparency_of_an_animation_survives() -> None:
    """Clear parts stay clear in every frame, into GIF too."""
    frames = []
    for colour in COLOURS:
        frame = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
        frame.paste((*colour, 255), (10, 10, 30, 30))
        frames.append(frame)
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, disposal=2)
    for output in ("same", "webp", "png"):
        image = shown(made(data, "20", animated="all", format=output))
        for index in range(4):
            image.seek(index)
            shown_frame = image.convert("RGBA")
            assert pixel(shown_frame, 1, 1)[3] == 0
            assert near(pixel(shown_frame, 10, 10), (*COLOURS[index], 255), 40)


@pytest.mark.parametrize("output", ["same", "webp", "png", "avif"])
def test_what_moves_leaves_nothing_behind(output: str) -> None:
    """Where a shape was one frame before, the next frame is clear again, in every format."""
    frames = []
    for left in (0, 20, 40):
        frame = Image.new("RGBA", (60, 20), (0, 0, 0, 0))
        frame.paste((255, 0, 0, 255), (left, 0, left + 20, 20))
        frames.append(frame)
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, disposal=2)
    image = shown(made(data, "30x", animated="all", format=output))
    for index in range(3):
        image.seek(index)
        alphas = [pixel(image.convert("RGBA"), x, 5)[3] > 128 for x in (5, 15, 25)]
        assert alphas == [index == 0, index == 1, index == 2]


@pytest.mark.parametrize("name", ["gif", "webp", "png", "avif"])
def test_frames_of_different_modes_go_together(name: str) -> None:
    """Frames in grey, then colour, then with alpha keep everything, though encoders use the mode of the first."""
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 10, 20))
    frames = [Image.new("L", (20, 20), 90), Image.new("RGB", (20, 20), (255, 0, 0)), clear]
    animation = encode.Animation(frames=frames, durations_ms=[100, 100, 100], plays=0)
    image = Image.open(BytesIO(encode.encode_animation(animation, name, TransformOptions(), Blocks(), None)))
    expected = [(90, 90, 90, 255), (255, 0, 0, 255), (0, 0, 255, 255)]
    for index, colour in enumerate(expected):
        image.seek(index)
        assert near(pixel(image.convert("RGBA"), 5, 10), colour, 24)
    if name in {"png", "avif"}:  # of GIF and WebP, Pillow reads all frames as opaque where the first one is
        assert pixel(image.convert("RGBA"), 15, 10)[3] < 24


def test_padding_and_cropping_work_on_every_frame() -> None:
    """Fits work the same for animations."""
    for fit in ("pad", "crop", "stretch"):
        image = shown(made(animation("GIF"), "24x24", fit=fit, animated="all", format="webp"))
        assert (image.size, image.n_frames) == ((24, 24), 4)  # type: ignore[attr-defined]


def test_several_sizes_of_an_animation() -> None:
    """Several sizes come from one pass over the frames."""
    picture = made(animation("WEBP"), "a=30 b=15", animated="all")
    assert [(r.variant, r.width, r.height) for r in picture.renditions] == [("a", 30, 20), ("b", 15, 10)]
    assert [shown(picture, index).n_frames for index in range(2)] == [4, 4]  # type: ignore[attr-defined]


def test_the_still_for_old_viewers_is_no_frame() -> None:
    """An APNG may start with a picture that is not part of the animation."""
    data = animation("PNG", default_image=True)
    assert shown(made(data, animated="all", format="webp")).n_frames == 3  # type: ignore[attr-defined]
    assert near(pixel(shown(made(data)).convert("RGB"), 30, 20), COLOURS[0])


def test_a_cut_animation_keeps_the_frames_it_has() -> None:
    """A truncated animation fails by default; with `truncated=keep` it keeps whole frames, with a warning."""
    frames = [noise(64, 64) for _ in range(6)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    cut = data[: len(data) // 2]
    with pytest.raises(ImageError) as refused:
        made(cut, animated="all")
    assert refused.value.kind is FailureKind.TRUNCATED_IMAGE
    picture = made(cut, animated="all", truncated="keep", format="webp")
    assert Warn.TRUNCATED_KEPT in picture.warnings
    assert 1 < shown(picture).n_frames < 6  # type: ignore[attr-defined]
