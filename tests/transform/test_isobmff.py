"""AVIF and HEIC: what the container says of the picture."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso_making import box, clap, imir, irot, with_properties
from making import CORNERS, corners, made, near, noise, pixel, saved, shown
from PIL import Image

from downloader.model.failures import SkipReason, Warn
from downloader.transform import isobmff
from downloader.transform.image import ImageSkipped

FORMATS = ["AVIF", "HEIF"]


@pytest.fixture(autouse=True, params=FORMATS)
def container(request: pytest.FixtureRequest) -> str:
    if request.param == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    return str(request.param)


def corner_names(image: Image.Image) -> list[str]:
    """The colours of the four corners, left to right."""
    rgb = image.convert("RGB")
    places = ((4, 4), (rgb.width - 5, 4), (4, rgb.height - 5), (rgb.width - 5, rgb.height - 5))
    return [min(CORNERS, key=lambda name: distance(CORNERS[name], pixel(rgb, *at))) for at in places]


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


UPRIGHT = ["red", "green", "blue", "yellow"]


@pytest.mark.parametrize(
    ("properties", "size", "names"),
    [
        ([clap(40, 20)], (40, 20), UPRIGHT),
        ([clap(20, 20, -30, -20)], (20, 20), ["red"] * 4),
        ([clap(80, 60)], (80, 60), UPRIGHT),
        ([irot(1)], (60, 80), ["green", "yellow", "red", "blue"]),
        ([irot(2)], (80, 60), UPRIGHT[::-1]),
        ([irot(3)], (60, 80), ["blue", "red", "yellow", "green"]),
        ([imir(0)], (80, 60), ["blue", "yellow", "red", "green"]),
        ([imir(1)], (80, 60), ["green", "red", "yellow", "blue"]),
        ([irot(1), imir(0)], (60, 80), ["red", "blue", "green", "yellow"]),
        ([irot(1), imir(1)], (60, 80), ["yellow", "green", "blue", "red"]),
        ([irot(3), imir(0)], (60, 80), ["yellow", "green", "blue", "red"]),
        ([clap(40, 30, -20, 15), irot(1)], (30, 40), ["blue"] * 4),
        ([clap(60, 20), irot(3), imir(1)], (20, 60), ["red", "blue", "green", "yellow"]),
    ],
)
def test_the_picture_is_cut_and_turned(
    container: str, properties: list[bytes], size: tuple[int, int], names: list[str]
) -> None:
    """Aperture, rotation and mirroring apply in this order; both formats, whose decoders differ, agree."""
    data = with_properties(saved(corners(80, 60), container, quality=90), *properties)
    picture = made(data, format="png")
    assert (picture.width, picture.height) == size
    assert corner_names(shown(picture)) == names
    half = shown(made(data, "50%", format="png"))
    assert half.size == (round(size[0] / 2), round(size[1] / 2))


def test_exif_does_not_turn_what_the_container_turns(container: str) -> None:
    """The turn of the container counts, whatever EXIF or XMP say beside it."""
    exif = Image.Exif()
    exif[0x0112] = 8
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if container == "HEIF":
        pytest.skip("its encoder here takes the turn from XMP")
    turned = saved(corners(80, 60), container, exif=exif.tobytes(), xmp=xmp)
    assert corner_names(shown(made(turned, format="png"))) == ["green", "yellow", "red", "blue"]
    assert shown(made(saved(corners(80, 60), container, xmp=xmp), format="png")).size == (80, 60)


def test_a_broken_exif_block_costs_nothing(container: str) -> None:
    """The picture is read without it."""
    exif = Image.Exif()
    exif[0x010E] = "hello"
    data = saved(corners(80, 60), container, exif=exif.tobytes())
    at = data.rindex(b"MM\0*") if b"MM\0*" in data else data.rindex(b"II*\0")
    for broken in (b"XXXX", b"MM\0*"[:2] + b"\xff\xff"):
        picture = made(data[:at] + broken + data[at + 4 :], format="png", metadata="all")
        assert corner_names(shown(picture)) == UPRIGHT


def test_what_is_visible_is_what_options_apply_to(container: str) -> None:
    """`--min-side` looks at the picture, not at what is stored."""
    data = with_properties(saved(corners(80, 60), container), clap(40, 20))
    if container == "HEIF":
        pytest.skip("known only to libheif, once it has decoded")
    with pytest.raises(ImageSkipped) as skipped:
        made(data, min_side=30)
    assert skipped.value.reason is SkipReason.TOO_SMALL


def coloured(container: str, primaries: int, transfer: int) -> bytes:
    data = saved(Image.new("RGB", (64, 64), (200, 100, 50)), container, quality=95)
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


@pytest.mark.parametrize(
    ("primaries", "transfer", "wanted"),
    [
        (1, 13, (200, 100, 50)),
        (2, 2, (200, 100, 50)),
        (1, 1, (200, 100, 50)),
        (1, 6, (200, 100, 50)),
        (12, 13, (215, 93, 31)),
        (9, 14, (241, 76, 29)),
        (1, 8, (229, 168, 122)),
    ],
)
def test_colours_are_those_that_the_container_says(
    container: str, primaries: int, transfer: int, wanted: tuple[int, ...]
) -> None:
    """Code points of ITU-T H.273 are converted to sRGB; reserved and unspecified ones are taken for it."""
    picture = made(coloured(container, primaries, transfer), format="png")
    assert near(pixel(shown(picture), 30, 30), wanted, 3)
    assert picture.warnings == ()


@pytest.mark.parametrize(("primaries", "transfer"), [(99, 13), (1, 99), (99, 99)])
def test_reserved_code_points_are_taken_for_srgb(primaries: int, transfer: int) -> None:
    """Numbers without a meaning say nothing; libheif refuses them by itself."""
    assert near(pixel(shown(made(coloured("AVIF", primaries, transfer), format="png")), 30, 30), (200, 100, 50), 3)


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_told(container: str, transfer: int) -> None:
    """PQ and HLG come out in the range of sRGB, with a warning."""
    assert made(coloured(container, 9, transfer), format="png").warnings == (Warn.HDR_GAINMAP_DROPPED,)


def test_signalled_colours_can_be_kept(container: str) -> None:
    """`--icc keep` writes a profile that says the same."""
    kept = shown(made(coloured(container, 12, 13), format="png", icc="keep"))
    assert near(pixel(kept, 30, 30), (200, 100, 50), 3)
    again = shown(made(saved(kept, icc_profile=kept.info["icc_profile"])))
    assert near(pixel(again, 30, 30), (215, 93, 31), 4)


def test_alpha_is_left_alone(container: str) -> None:
    """Colours are converted, alpha is not."""
    image = Image.new("RGBA", (64, 64), (200, 100, 50, 120))
    data = saved(image, container, quality=95)
    at = data.index(b"nclx") + 4
    result = shown(made(data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :], format="png"))
    assert near(pixel(result, 30, 30), (215, 93, 31, 120), 4)


@pytest.mark.parametrize(
    "aperture",
    [
        clap(400, 20),
        clap(40, 20, 30, 0),
        clap(0, 20),
        box(b"clap", bytes(32)),
        box(b"clap", b"short"),
        box(b"clap", struct.pack(">8I", *[2**32 - 1, 1] * 4)),
    ],
)
def test_an_aperture_that_is_none_is_ignored(aperture: bytes) -> None:
    """A malformed one, or one that reaches outside, cuts nothing."""
    found = isobmff.inspect("avif", with_properties(saved(corners(80, 60), "AVIF"), aperture))
    assert found.visible is None


def test_fractions_are_rounded() -> None:
    """An aperture between pixels takes the nearest whole ones."""
    found = isobmff.inspect("avif", with_properties(saved(corners(80, 60), "AVIF"), clap(40.5, 20, 0.5, 0)))
    assert found.visible is not None
    left, top, right, bottom = found.visible
    assert (right - left, bottom - top, top) == (40, 20, 20)


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 1, 2, 8, 127, 255])), max_size=9), st.floats(0, 1))
def test_any_boxes_get_an_answer(changes: list[tuple[int, int]], share: float) -> None:
    """Sizes, counts and nesting of any kind: never an exception, never a loop."""
    data = bytearray(WHOLE[: int(len(WHOLE) * share)])
    for at, value in changes:
        if at < len(data):
            data[at] = value
    for name in ("avif", "heif"):
        assert isobmff.inspect(name, bytes(data)).data == bytes(data)
    assert len(isobmff.without_exif(bytes(data))) == len(data)


WHOLE = with_properties(saved(noise(20, 20), "AVIF", exif=Image.Exif().tobytes()), clap(10, 10), irot(1), imir(1))


def test_many_boxes_take_no_time() -> None:
    """A file of nothing but empty boxes, or of a million associations, is passed over."""
    many = box(b"meta", b"\0\0\0\0" + box(b"free", b"") * 300_000)
    claims = struct.pack(">II", 0, 2**32 - 1)
    deep = box(b"meta", bytes(4) + box(b"pitm", bytes(6)) + box(b"iprp", box(b"ipco", b"") + box(b"ipma", claims)))
    for data in (many, deep):
        assert isobmff.inspect("avif", data).turn is None
