"""One image in, finished images out: sizes, orientation, formats."""

import pickle
import subprocess
import sys
from collections.abc import Iterable
from io import BytesIO

import pytest
import unmeasured
from making import CORNERS, big_endian, corners, made, near, noise, pixel, saved, shown
from PIL import Image, ImageChops, ImageCms, ImageFile, ImageStat

from downloader.config.settings import AvifOptions, JpegOptions, PngOptions, TransformOptions, WebpOptions
from downloader.model.failures import FailureKind, SkipReason
from downloader.transform import geometry, resample
from downloader.transform.image import ImageError, ImageSkipped, render

STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright image has to be stored so that each EXIF orientation shows it upright."""


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    method = STORED_AS[orientation]
    return upright if method is None else upright.transpose(method)


def orientation_tag(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def assert_upright(image: Image.Image) -> None:
    width, height = image.size
    quarters = [(x, y) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    for (x, y), name in zip(quarters, CORNERS, strict=True):
        assert near(pixel(image.convert("RGB"), x, y), CORNERS[name], 30), name


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_comes_out_upright(name: str, orientation: int) -> None:
    """Orientation is baked in and its tag gone, from EXIF in any format."""
    data = saved(stored(corners(320, 240), orientation), name, exif=orientation_tag(orientation))
    picture = made(data, "80x80")
    output = shown(picture)
    assert output.size == (80, 60)
    assert (picture.width, picture.height) == (320, 240)
    assert output.getexif().get(0x0112) is None
    assert_upright(output)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("gravity", ["northwest", "southeast", "north", "east"])
def test_crop_means_the_upright_image(orientation: int, gravity: str) -> None:
    """Gravity is about the upright image, whatever the orientation of the stored one."""
    upright = corners(320, 240)
    data = saved(stored(upright, orientation), exif=orientation_tag(orientation))
    output = shown(made(data, "60x60", fit="crop", gravity=gravity))
    scaled = upright.resize((80, 60), Image.Resampling.LANCZOS)
    left = {"northwest": 0, "southeast": 20, "north": 10, "east": 20}[gravity]
    expected = scaled.crop((left, 0, left + 60, 60))
    assert max(ImageStat.Stat(ImageChops.difference(output.convert("RGB"), expected)).mean) < 2


@pytest.mark.parametrize("value", [0, 9, 255])
def test_undefined_orientations_change_nothing(value: int) -> None:
    """Orientation values outside 1 to 8 count as upright."""
    assert_upright(shown(made(saved(corners(), "JPEG", exif=orientation_tag(value)))))


def test_orientation_in_xmp_counts() -> None:
    """An orientation that only XMP names turns the image (20 x 40 from 40 x 20)."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert shown(made(saved(corners(40, 20), "JPEG", xmp=xmp))).size == (20, 40)


def test_damaged_exif_is_no_reason_to_fail() -> None:
    """An EXIF block that cannot be read counts as absent."""
    assert_upright(shown(made(saved(corners(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"), metadata="all")))


@pytest.mark.parametrize("fit", ["inside", "outside", "crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(2000, 3), (3, 2000)])
def test_thin_images_keep_at_least_one_pixel(fit: str, size: tuple[int, int]) -> None:
    """No fit makes a side of zero pixels."""
    output = shown(made(saved(Image.new("RGB", size, "red"), "JPEG"), "100x100", fit=fit))
    assert min(output.size) >= 1


@pytest.mark.parametrize("spec", ["256x256", "256x", "x192"])
def test_large_jpegs_are_decoded_at_a_smaller_scale(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaled decode is used, also with one side given; sizes are exact, and it looks like a full decode."""
    reductions = []
    plain = geometry.scaled_decode

    def full_decode(plans: Iterable[geometry.ResizePlan]) -> int:
        reductions.append(plain(plans))
        return 1

    monkeypatch.setattr(geometry, "scaled_decode", full_decode)
    data = saved(noise(2048, 1536).resize((512, 384)).resize((2048, 1536)), "JPEG", quality=90)
    full = shown(made(data, spec, format="png"))
    monkeypatch.undo()
    scaled = shown(made(data, spec, format="png"))
    assert reductions == [4]
    assert scaled.size == full.size == (256, 192)
    error = ImageStat.Stat(ImageChops.difference(scaled, full)).rms
    assert 0 < max(error) < 255 / 10 ** (38 / 20), "the scaled decode must differ, but by less than 38 dB"


@pytest.mark.parametrize("spec", ["128x96", "128x"])
def test_progressive_jpegs_are_decoded_at_a_smaller_scale(spec: str) -> None:
    """Scaled decode works for progressive files too, and gives the same picture as the baseline file."""
    photo = noise(64, 48).resize((1024, 768))
    baseline, progressive = (
        shown(made(saved(photo, "JPEG", quality=90, progressive=progressive), spec, format="png"))
        for progressive in (False, True)
    )
    assert ImageChops.difference(baseline, progressive).getbbox() is None


def test_resizing_mixes_the_values_of_the_file() -> None:
    """Encoded values are mixed, as browsers and other tools do: black and white make 128, not 188."""
    checks = Image.new("L", (256, 256))
    checks.putdata([255 * ((x + y) % 2) for y in range(256) for x in range(256)])
    result = shown(made(saved(checks), "16"))
    assert abs(ImageStat.Stat(result).mean[0] - 127.5) < 2


def test_several_sizes_come_from_one_image() -> None:
    """Several sizes: each exact, named, and in the requested order."""
    picture = made(saved(corners(1600, 1200), "JPEG"), "thumb=64 200x 50%")
    assert [(r.variant, r.width, r.height) for r in picture.renditions] == [
        ("thumb", 64, 48),
        ("200x", 200, 150),
        ("50pct", 800, 600),
    ]
    for index in range(3):
        assert_upright(shown(picture, index))


def test_without_resize_there_is_one_output_of_the_source_size() -> None:
    """No `--resize`: one rendition, no variant name, same size, and still re-encoded."""
    data = saved(corners(), "JPEG")
    picture = made(data)
    assert [(r.variant, r.width, r.height) for r in picture.renditions] == [(None, 80, 60)]


def test_small_images_grow_only_with_enlarge() -> None:
    """Images are enlarged only on request."""
    data = saved(corners(40, 30))
    assert shown(made(data, "80x80")).size == (40, 30)
    assert shown(made(data, "80x80", enlarge=True)).size == (80, 60)


def test_padding_has_the_background_colour() -> None:
    """`pad`: the image in the middle, the background around it, also around grey images."""
    for mode in ("RGB", "L"):
        output = shown(made(saved(corners(80, 40, mode)), "80x80", fit="pad", background="#8080ff")).convert("RGB")
        assert output.size == (80, 80)
        assert near(pixel(output, 40, 5), (128, 128, 255))
        assert near(pixel(output, 40, 75), (128, 128, 255))
        assert not near(pixel(output, 40, 30), (128, 128, 255))


@pytest.mark.parametrize(
    ("name", "extension", "output"),
    [
        ("JPEG", "jpg", "jpeg"),
        ("PNG", "png", "png"),
        ("WEBP", "webp", "webp"),
        ("AVIF", "avif", "avif"),
        ("GIF", "png", "png"),
        ("BMP", "png", "png"),
        ("TIFF", "png", "png"),
        ("MPO", "jpg", "jpeg"),
    ],
)
def test_same_keeps_the_format_where_it_is_one_to_keep(name: str, extension: str, output: str) -> None:
    """`--format same`, and the extension follows the encoder; an MPO counts as JPEG."""
    (rendition,) = made(saved(corners(), name), "40").renditions
    assert (rendition.extension, rendition.format) == (extension, output)


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "PA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"]
)
def test_no_mode_is_refused_by_any_format(mode: str, output: str) -> None:
    """Modes that encoders refuse are converted first, and stay recognisable."""
    source = corners(64, 48, "RGB")
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        source = ImageCms.profileToProfile(source, ImageCms.createProfile("sRGB"), lab, outputMode="LAB") or source
    elif mode.startswith("I;16"):
        deep = source.convert("I").point(lambda v: v * 256).convert("I;16")
        source = big_endian(deep) if mode == "I;16B" else deep
    elif mode == "PA":
        source = source.convert("P").convert("PA")
    else:
        source = source.convert(mode)
    result = shown(
        made(saved(source, "PNG" if mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"} else "TIFF"), format=output)
    )
    red, yellow = pixel(result.convert("L"), 16, 12)[0], pixel(result.convert("L"), 48, 36)[0]
    assert red < yellow - 60


def test_format_limits_are_said_before_time_is_spent() -> None:
    """An output longer than the format can hold fails as `encode` and names the limit."""
    data = saved(Image.new("L", (16_400, 2)))
    with pytest.raises(ImageError) as refused:
        made(data, format="webp")
    assert refused.value.kind is FailureKind.ENCODE
    assert "16383" in refused.value.message
    assert made(data, "8000x", format="webp").renditions[0].width == 8000


def test_enlarging_has_the_same_limit_as_decoding() -> None:
    """`--enlarge` cannot be used to make an image larger than `--max-pixels`."""
    with pytest.raises(ImageError) as refused:
        made(saved(Image.new("L", (2000, 2))), "x1000", enlarge=True, max_pixels=1_000_000)
    assert refused.value.kind is FailureKind.IMAGE_TOO_LARGE
    assert "--max-pixels" in refused.value.message


def test_unwanted_images_are_left_out_by_their_header() -> None:
    """`--min-side`, `--max-aspect` and `--min-size` come before the pixels, which these files lack."""
    header_only = saved(noise(200, 50))[:200]
    with pytest.raises(ImageSkipped) as small:
        made(header_only, min_side=60)
    assert small.value.reason is SkipReason.TOO_SMALL
    assert "--min-side 60" in small.value.message
    with pytest.raises(ImageSkipped) as long:
        made(header_only, max_aspect=3.5)
    assert long.value.reason is SkipReason.ASPECT_RATIO
    assert "--max-aspect 3.5" in long.value.message
    with pytest.raises(ImageSkipped) as light:
        made(header_only, min_size=201)
    assert (light.value.reason, light.value.message) == (SkipReason.TOO_SMALL, "200 bytes are less than --min-size 201")
    assert made(saved(noise(200, 50)), min_side=50, max_aspect=4, min_size="1K").width == 200


def test_pillow_alone_gives_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SIMD resizer, Pillow's own Lanczos is used."""
    for mode in ("RGB", "RGBA", "L"):
        data = saved(corners(300, 200, mode))
        fast = shown(made(data, "90x90", fit="crop"))
        with monkeypatch.context() as patch:
            patch.setattr(resample, "FAST", False)
            slow = shown(made(data, "90x90", fit="crop"))
        assert fast.size == slow.size
        assert max(ImageStat.Stat(ImageChops.difference(fast.convert("RGB"), slow.convert("RGB"))).mean) < 1


def test_what_was_appended_to_an_image_does_not_survive() -> None:
    """Polyglots: text after the end and in the comment of a JPEG is gone from the output."""
    output = made(saved(corners(), "JPEG", comment=b"<?php evil") + b"<?php evil").renditions[0].data
    assert b"<?php" not in output


class Alarm(BaseException):
    """Like the worker's soft alarm, not an `Exception`."""


def test_an_alarm_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `Exception` is turned into an outcome; the alarm of a deadline reaches the worker."""

    def ring(_: ImageFile.ImageFile) -> None:
        raise Alarm

    data = saved(corners(), "JPEG")
    with monkeypatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", ring)
        with pytest.raises(Alarm):
            made(data)
    assert made(data).width == 80


def test_refusals_cross_processes() -> None:
    """Both exceptions survive pickling with their attributes."""
    for refusal in (ImageError(FailureKind.ENCODE, "why"), ImageSkipped(SkipReason.TOO_SMALL, "why")):
        again = pickle.loads(pickle.dumps(refusal))  # noqa: S301 - our own bytes
        assert (type(again), vars(again), str(again)) == (type(refusal), vars(refusal), "why")


def test_a_worker_stays_light() -> None:
    """Importing the transform modules loads no command line, network or database, and few of Pillow's plugins."""
    code = "import sys, downloader.transform.image; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured.environment(), capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"httpx", "typer", "tqdm", "sqlite3", "pydantic", "numpy", "multiprocessing"}
    assert not loaded & {"PIL.EpsImagePlugin", "PIL.PsdImagePlugin", "PIL.FitsImagePlugin"}


def test_rendering_loads_no_further_plugins() -> None:
    """No format makes Pillow load parsers that are not on the list."""
    code = (
        "import sys; from downloader.transform.image import render\n"
        "from downloader.config.settings import TransformOptions\n"
        "render(sys.stdin.buffer.read(), TransformOptions(format='webp')); print(*sys.modules)"
    )
    data = saved(corners(), "TIFF")
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert b"PIL.WebPImagePlugin" in done.stdout
    assert b"PIL.EpsImagePlugin" not in done.stdout


def test_jpeg_output_is_what_the_settings_say() -> None:
    """JPEG: baseline and 4:2:0 by default, and the requested quality changes the size."""
    data = saved(noise(200, 150))
    low, high = (made(data, format="jpeg", quality=quality).renditions[0].data for quality in (30, 95))
    assert len(low) < len(high) / 2
    image = Image.open(BytesIO(low))
    assert "progressive" not in image.info
    assert image.layer == [(1, 2, 2, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # type: ignore[attr-defined]
    full = shown(made(data, format="jpeg", jpeg=JpegOptions(progressive=True, subsampling="4:4:4")))
    assert full.info["progressive"]
    assert full.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_an_encoder_may_have_a_quality_of_its_own(name: str) -> None:
    """`[transform.NAME] quality` applies to one format; without it the common one applies."""
    data = saved(noise(120, 90))
    own = {"jpeg": JpegOptions(quality=20), "webp": WebpOptions(quality=20), "avif": AvifOptions(quality=20)}
    common = made(data, format=name, quality=20)
    assert made(data, format=name, quality=90, **{name: own[name]}).renditions == common.renditions
    others = {other: encoder for other, encoder in own.items() if other != name}
    assert made(data, format=name, quality=20, **others).renditions == common.renditions
    assert len(common.renditions[0].data) < len(made(data, format=name, quality=90).renditions[0].data)


def test_lossless_webp_keeps_every_pixel() -> None:
    """`[transform.webp] lossless`: the output has exactly the pixels of the input."""
    image = noise(60, 40)
    assert ImageChops.difference(shown(made(saved(image), format="webp")), image).getbbox() is not None
    lossless = shown(made(saved(image), format="webp", webp=WebpOptions(lossless=True)))
    assert ImageChops.difference(lossless, image).getbbox() is None


@pytest.mark.parametrize(
    ("name", "small", "fast"),
    [
        ("png", {"png": PngOptions(compress_level=9)}, {"png": PngOptions(compress_level=0)}),
        ("webp", {"webp": WebpOptions(method=6)}, {"webp": WebpOptions(method=0)}),
        ("avif", {"avif": AvifOptions(speed=3)}, {"avif": AvifOptions(speed=10)}),
    ],
)
def test_effort_makes_outputs_smaller(name: str, small: dict[str, object], fast: dict[str, object]) -> None:
    """`compress_level`, `method` and `speed` reach their encoders."""
    data = saved(noise(64, 48).resize((256, 192)))
    sizes = [len(made(data, format=name, **options).renditions[0].data) for options in (small, fast)]
    assert sizes[0] < sizes[1]


SCARCE: dict[str, dict[str, object]] = {
    "PNG": {},
    "GIF": {},
    "TIFF": {},
    "BMP": {},
    "WEBP": {"method": 0},
    "AVIF": {"speed": 10},
    "JPEG": {"progressive": True},
}
"""Formats, and how to write a large file quickly; of JPEGs the progressive ones need memory for all coefficients."""


@pytest.mark.parametrize("name", SCARCE)
def test_memory_that_is_not_there_is_an_outcome(name: str) -> None:
    """An image that needs more memory than there is fails as `out_of_memory` in every format,
    which is not damage, and the process goes on.
    """
    code = """if True:
        import resource, sys
        from downloader.config.settings import TransformOptions
        from downloader.transform.image import ImageError, render
        data = sys.stdin.buffer.read()
        small, big = data[:int(sys.argv[1])], data[int(sys.argv[1]):]
        render(small, TransformOptions())  # libraries are loaded before memory becomes scarce
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, used + 2**25))
        try:
            render(big, TransformOptions())
        except ImageError as refused:
            print(refused.kind, "--worker-memory" in refused.message)
        print(render(small, TransformOptions()).width)
    """
    small, big = saved(corners(), name), saved(Image.new("RGB", (4000, 3500)), name, **SCARCE[name])
    command = [sys.executable, "-c", code, str(len(small))]
    done = subprocess.run(command, input=small + big, capture_output=True, check=True)
    assert done.stdout.split() == [b"out_of_memory", b"True", b"80"]


def test_settings_alone_decide() -> None:
    """The same bytes and settings give the same output: no image leaves anything behind that changes the next."""
    data = saved(corners(), "JPEG")
    first = render(data, TransformOptions()).renditions
    made(saved(noise(50, 50)), "20", metadata="all", icc="keep", truncated="keep")
    assert render(data, TransformOptions()).renditions == first
