"""The laws of the size arithmetic."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from downloader.config.settings import Fit, Gravity
from downloader.config.values import Size, parse_sizes, variant_names
from downloader.transform import geometry
from downloader.transform.geometry import ResizePlan, Sides

SIDE = st.integers(1, 20_000)
SIDES = st.tuples(SIDE, SIDE)
FITS: tuple[Fit, ...] = ("inside", "outside", "crop", "pad", "stretch")
GRAVITIES: tuple[Gravity, ...] = (
    "center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
)  # fmt: skip
BOXES = st.builds(lambda w, h: Size(width=w, height=h), SIDE, SIDE)
SIZES = st.one_of(
    BOXES,
    st.builds(lambda w: Size(width=w), SIDE),
    st.builds(lambda h: Size(height=h), SIDE),
    st.builds(lambda p: Size(percent=p), st.floats(0.01, 1000)),
)


@given(SIDES, SIZES, st.sampled_from(FITS), st.booleans(), st.sampled_from(GRAVITIES))
def test_no_side_is_ever_empty_and_the_kept_part_lies_within(
    source: Sides, size: Size, fit: Fit, enlarge: bool, gravity: Gravity
) -> None:
    """Every side is at least 1 px; the kept part is within the source, and its place within the canvas."""
    plan = geometry.plan(source, size, fit=fit, enlarge=enlarge, gravity=gravity)
    assert min(*plan.scaled, *plan.kept_size, *plan.final) >= 1
    left, top, right, bottom = plan.region
    assert 0 <= left < right <= source[0]
    assert 0 <= top < bottom <= source[1]
    assert plan.offset[0] >= 0
    assert plan.offset[1] >= 0
    assert plan.offset[0] + plan.kept_size[0] <= plan.final[0]
    assert plan.offset[1] + plan.kept_size[1] <= plan.final[1]


@given(SIDES, SIZES, st.sampled_from(FITS), st.sampled_from(GRAVITIES))
def test_without_enlarge_nothing_is_scaled_up(source: Sides, size: Size, fit: Fit, gravity: Gravity) -> None:
    """No-enlarge law: no side of the resized image exceeds the source, in any fit."""
    plan = geometry.plan(source, size, fit=fit, gravity=gravity)
    assert plan.scaled[0] <= source[0]
    assert plan.scaled[1] <= source[1]


@given(SIDES, BOXES)
def test_inside_touches_the_box_and_stays_in_it(source: Sides, size: Size) -> None:
    """`inside`: within the box, the binding side exactly as requested, the other by one rounding of the same scale."""
    assert size.width is not None
    assert size.height is not None
    width, height = geometry.plan(source, size, enlarge=True).final
    assert width <= size.width
    assert height <= size.height
    assert width == size.width or height == size.height
    scale = min(size.width / source[0], size.height / source[1])
    assert (width, height) == tuple(max(1, round(side * scale)) for side in source)


@given(SIDES, BOXES)
def test_outside_covers_the_box(source: Sides, size: Size) -> None:
    """`outside`: no side is shorter than the box, one is exactly the box."""
    assert size.width is not None
    assert size.height is not None
    width, height = geometry.plan(source, size, fit="outside", enlarge=True).final
    assert width >= size.width
    assert height >= size.height
    assert width == size.width or height == size.height


@given(SIDES, BOXES, st.sampled_from(FITS[2:]), st.sampled_from(GRAVITIES))
def test_crop_pad_and_stretch_give_the_box_exactly(source: Sides, size: Size, fit: Fit, gravity: Gravity) -> None:
    """`crop`, `pad` and `stretch` with enlarge: the output is the box."""
    assert geometry.plan(source, size, fit=fit, enlarge=True, gravity=gravity).final == (size.width, size.height)


@given(SIDES, BOXES, st.sampled_from(GRAVITIES))
def test_pad_gives_the_box_without_enlarge_too(source: Sides, size: Size, gravity: Gravity) -> None:
    """`pad` still pads to the box when it may not enlarge."""
    assert geometry.plan(source, size, fit="pad", gravity=gravity).final == (size.width, size.height)


@given(SIDES, BOXES)
def test_crop_cuts_only_what_exceeds_the_box(source: Sides, size: Size) -> None:
    """`crop` without enlarge: each side is the box or, where the source is smaller, the source."""
    assert size.width is not None
    assert size.height is not None
    final = geometry.plan(source, size, fit="crop").final
    assert final[0] <= size.width
    assert final[1] <= size.height
    if source[0] >= size.width and source[1] >= size.height:
        assert final == (size.width, size.height)


@given(SIDES, SIZES, st.sampled_from(("inside", "outside")), st.booleans())
def test_the_ratio_is_kept_within_one_rounding(source: Sides, size: Size, fit: Fit, enlarge: bool) -> None:
    """Ratio law: both sides come from one scale, each off by half a pixel at most (or held at 1 px)."""
    plan = geometry.plan(source, size, fit=fit, enlarge=enlarge)
    assert plan.scale[0] == plan.scale[1]
    for before, after in zip(source, plan.final, strict=True):
        assert after == 1 or abs(after - before * plan.scale[0]) <= 0.5 + 1e-6


@given(SIDES, st.sampled_from(FITS), SIDE)
def test_a_one_sided_size_fixes_that_side_in_every_fit(source: Sides, fit: Fit, wanted: int) -> None:
    """`800x` and `x600`: the given side is exact, the free one follows the ratio, whatever the fit."""
    by_width = geometry.plan(source, Size(width=wanted), fit=fit, enlarge=True)
    by_height = geometry.plan(source, Size(height=wanted), fit=fit, enlarge=True)
    assert by_width.final == (wanted, max(1, round(source[1] * (wanted / source[0]))))
    assert by_height.final == (max(1, round(source[0] * (wanted / source[1]))), wanted)


@given(SIDES, st.sampled_from(FITS), st.floats(0.01, 1000))
def test_a_percentage_scales_both_sides_in_every_fit(source: Sides, fit: Fit, percent: float) -> None:
    """`50%`: both sides by the same factor, whatever the fit."""
    final = geometry.plan(source, Size(percent=percent), fit=fit, enlarge=True).final
    assert final == tuple(max(1, round(side * (percent / 100))) for side in source)


@given(SIDES)
def test_no_size_keeps_the_size(source: Sides) -> None:
    """Without a requested size the plan changes nothing."""
    plan = geometry.plan(source, None, fit="crop", enlarge=True)
    assert plan.final == plan.scaled == source
    assert plan.region == (0, 0, *source)


@pytest.mark.parametrize(
    ("source", "size", "fit", "enlarge", "final"),
    [
        ((1000, 500), "256", "inside", False, (256, 128)),
        ((500, 1000), "256", "inside", False, (128, 256)),
        ((1000, 500), "256", "outside", False, (512, 256)),
        ((1000, 500), "256", "crop", False, (256, 256)),
        ((1000, 500), "256", "pad", False, (256, 256)),
        ((1000, 500), "256x64", "stretch", False, (256, 64)),
        ((100, 50), "256", "inside", False, (100, 50)),
        ((100, 50), "256", "inside", True, (256, 128)),
        ((100, 50), "256", "crop", False, (100, 50)),
        ((300, 50), "256", "crop", False, (256, 50)),
        ((100, 50), "256", "pad", False, (256, 256)),
        ((100, 500), "256", "stretch", False, (100, 256)),
        ((1000, 500), "800x", "pad", False, (800, 400)),
        ((600, 500), "800x", "pad", False, (800, 500)),
        ((1000, 500), "x100", "stretch", False, (200, 100)),
        ((1000, 501), "50%", "inside", False, (500, 250)),  # 250.5: halves go to the even number
        ((1000, 503), "50%", "inside", False, (500, 252)),  # 251.5
        ((1000, 500), "200%", "inside", False, (1000, 500)),
        ((1000, 500), "200%", "pad", False, (2000, 1000)),
        ((10_000, 3), "100", "inside", False, (100, 1)),
        ((3, 10_000), "100", "inside", False, (1, 100)),
        ((10_000, 3), "100", "outside", False, (10_000, 3)),
        ((10_000, 3), "100", "crop", False, (100, 3)),
    ],
)
def test_sizes_that_people_ask_for(source: Sides, size: str, fit: Fit, enlarge: bool, final: Sides) -> None:
    """Concrete cases of the fit rules, thin images and halves among them."""
    assert geometry.plan(source, parse_sizes(size)[0], fit=fit, enlarge=enlarge).final == final


@pytest.mark.parametrize(
    ("gravity", "kept", "offset"),
    [
        ("center", (50, 0, 150, 100), (0, 25)),
        ("west", (0, 0, 100, 100), (0, 25)),
        ("east", (100, 0, 200, 100), (0, 25)),
        ("north", (50, 0, 150, 100), (0, 0)),
        ("southeast", (100, 0, 200, 100), (0, 50)),
    ],
)
def test_gravity_chooses_what_crop_keeps_and_where_pad_lays(
    gravity: Gravity, kept: tuple[int, int, int, int], offset: Sides
) -> None:
    """Gravity: towards the named edge, in the middle along an axis that is not named."""
    box = Size(width=100, height=100)
    assert geometry.plan((400, 200), box, fit="crop", gravity=gravity).kept == kept
    assert geometry.plan((400, 200), box, fit="pad", gravity=gravity).offset == offset


def _upright_place(x: float, y: float, stored: Sides, orientation: int) -> tuple[float, float]:
    """Where a point of the stored image stands upright, straight from the table of EXIF 0x0112."""
    width, height = stored
    return {
        1: (x, y),
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }[orientation]


@given(SIDES, st.integers(1, 8), st.data())
def test_a_region_of_the_upright_image_is_found_in_the_stored_one(
    upright: Sides, orientation: int, data: st.DataObject
) -> None:
    """Orientations 1 to 8: turning the stored region upright gives the requested region."""
    left, right = sorted((data.draw(st.integers(0, upright[0])), data.draw(st.integers(0, upright[0]))))
    top, bottom = sorted((data.draw(st.integers(0, upright[1])), data.draw(st.integers(0, upright[1]))))
    stored = geometry.turned(upright, orientation)
    box = geometry.stored_region((left, top, right, bottom), upright, orientation)
    assert box[0] <= box[2]
    assert box[1] <= box[3]
    ends = [_upright_place(x, y, stored, orientation) for x, y in (box[:2], box[2:])]
    assert sorted(x for x, _ in ends) == [left, right]
    assert sorted(y for _, y in ends) == [top, bottom]


@given(SIDES, st.lists(SIZES, min_size=1, max_size=3), st.sampled_from(FITS))
def test_scaled_decode_leaves_the_margin_for_every_size(source: Sides, sizes: list[Size], fit: Fit) -> None:
    """Scaled decode: at least 1.95 decoded pixels for each output pixel, and no larger reduction would do."""
    plans = [geometry.plan(source, size, fit=fit) for size in sizes]
    reduction = geometry.scaled_decode(plans)
    wanted = max(max(plan.scale) for plan in plans)
    assert reduction in {1, 2, 4, 8}
    assert reduction == 1 or reduction * wanted * 1.95 <= 1
    assert reduction == 8 or 2 * reduction * wanted * 1.95 > 1


@pytest.mark.parametrize(
    ("source", "size", "fit", "reduction"),
    [
        ((4000, 3000), "256", "inside", 8),  # 1.953: a margin of exactly 2 would decode four times as much
        ((4000, 2667), "256", "inside", 8),  # the rounding of the shorter side does not count
        ((3900, 3000), "256", "inside", 4),
        ((4000, 3000), "256", "crop", 4),  # the shorter side binds
        ((4000, 3000), "256x", "inside", 8),  # one side given
        ((4000, 3000), "256x1024", "stretch", 1),
        ((500, 400), "256", "inside", 1),
        ((4000, 3000), "50%", "inside", 1),
    ],
)
def test_scaled_decode_of_known_cases(source: Sides, size: str, fit: Fit, reduction: int) -> None:
    """One side given, and the measured 4,000 px case: the reduction comes from the tight size."""
    assert geometry.scaled_decode([geometry.plan(source, parse_sizes(size)[0], fit=fit)]) == reduction


@given(SIDES, SIZES, st.sampled_from(FITS), st.booleans())
def test_the_far_edge_of_the_region_is_exact(source: Sides, size: Size, fit: Fit, enlarge: bool) -> None:
    """A region that reaches the edge of the source ends exactly there: no float error beyond the last pixel."""
    plan: ResizePlan = geometry.plan(source, size, fit=fit, enlarge=enlarge)
    assume(plan.kept[2] == plan.scaled[0])
    assert plan.region[2] == source[0]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("256", (None,)),
        ("thumb=256", ("thumb",)),
        ("256 800x x600 50% 12.5%", ("256x256", "800x", "x600", "50pct", "12_5pct")),
        ("thumb=256 1600x1200", ("thumb", "1600x1200")),
        ("256 256x256", ("256x256", "256x256_2")),
    ],
)
def test_variant_names_are_safe_in_file_names(spec: str, names: tuple[str | None, ...]) -> None:
    """Variants: letters, digits and `_` only, each once; a single unnamed size has none."""
    assert variant_names(parse_sizes(spec)) == names


@given(SIDES)
def test_aspect_ratio_does_not_depend_on_orientation(sides: Sides) -> None:
    """`--max-aspect` looks at longer over shorter side, so it can be judged before the image is turned."""
    assert geometry.aspect_ratio(sides) == geometry.aspect_ratio((sides[1], sides[0])) >= 1
    assert math.isclose(geometry.aspect_ratio(sides), max(sides) / min(sides))
