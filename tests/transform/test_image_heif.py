"""HEIC: read with its plugin, and a helpful message without."""

import sys
from io import BytesIO

import pytest
from making import corners, made, near, noise, pixel, saved, shown
from PIL import Image

from downloader.model.failures import FailureKind, Warn
from downloader.transform.image import ImageError

HEAD = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"


def test_without_the_plugin_heic_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """HEIC is recognised by its bytes, and the message names the package that reads it."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # what Python itself notes of a module that is not there
    with pytest.raises(ImageError) as refused:
        made(HEAD)
    assert refused.value.kind is FailureKind.UNSUPPORTED_FORMAT
    assert "pip install pillow-heif" in refused.value.message


class TestWithThePlugin:
    """With `pillow-heif`, HEIC works like any other format."""

    @pytest.fixture(autouse=True)
    def _plugin(self) -> None:
        pytest.importorskip("pillow_heif").register_heif_opener()

    @pytest.mark.parametrize("output", ["same", "png", "webp", "avif"])
    def test_heic_is_read(self, output: str) -> None:
        """Every output format; `same` makes a JPEG."""
        picture = made(saved(corners(160, 120), "HEIF"), "80", format=output)
        image = shown(picture)
        assert (image.size, image.format) == ((80, 60), "JPEG" if output == "same" else output.upper())
        assert near(pixel(image.convert("RGB"), 20, 15), (220, 30, 30), 24)
        assert (picture.format, picture.warnings) == ("heif", ())

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_heic_comes_out_upright_once(self, orientation: int) -> None:
        """HEIC turns itself while decoding; an EXIF tag beside that does not turn it again."""
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = saved(corners(160, 120), "HEIF", exif=exif.tobytes())
        upright = Image.open(BytesIO(data))
        image = shown(made(data))
        assert image.size == upright.size
        for at in ((20, 20), (image.width - 20, 20), (20, image.height - 20)):
            assert near(pixel(image, *at), pixel(upright.convert("RGB"), *at), 24)

    def test_alpha_survives(self) -> None:
        """Clear parts of a HEIC are laid on the background for JPEG, and stay clear in PNG."""
        image = corners(160, 120)
        image.putalpha(Image.new("L", image.size, 0))
        data = saved(image, "HEIF")
        assert near(pixel(shown(made(data)), 20, 20), (255, 255, 255), 8)
        assert pixel(shown(made(data, format="png")), 20, 20)[3] == 0

    def test_a_heic_of_several_pictures_is_no_animation(self) -> None:
        """The primary picture is used, with a warning."""
        data = saved(corners(80, 60), "HEIF", save_all=True, append_images=[noise(80, 60)])
        for animated in ("first", "all"):
            picture = made(data, animated=animated, format="webp")
            assert picture.warnings == (Warn.FRAMES_DROPPED,)
            assert near(pixel(shown(picture).convert("RGB"), 20, 15), (220, 30, 30), 24)

    @pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
    def test_a_cut_heic_is_truncated(self, share: float) -> None:
        """As for every other format."""
        data = saved(noise(120, 90), "HEIF")
        with pytest.raises(ImageError) as refused:
            made(data[: int(len(data) * share)])
        assert refused.value.kind is FailureKind.TRUNCATED_IMAGE

    def test_too_many_pixels_are_refused(self) -> None:
        """`--max-pixels` applies to HEIC too."""
        with pytest.raises(ImageError) as refused:
            made(saved(corners(80, 60), "HEIF"), max_pixels=4799)
        assert refused.value.kind is FailureKind.IMAGE_TOO_LARGE
