"""Colour spaces that a file names without an ICC profile, as ICC profiles made here. Pure.

PNG (cICP, gAMA, cHRM) and the containers of AVIF and HEIC (nclx) describe colours by numbers. Made into a profile, they
take the same way as a profile of the file: converted to sRGB, or kept along with the pixels.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp

Xy = tuple[float, float]
Matrix = tuple[tuple[float, float, float], ...]

_D65, _CENTRE, _C, _DCI = (0.3127, 0.3290), (1 / 3, 1 / 3), (0.310, 0.316), (0.314, 0.351)


@dataclass(frozen=True, slots=True, kw_only=True)
class Primaries:
    """CIE 1931 x, y of white and of the three primary colours."""

    white: Xy
    red: Xy
    green: Xy
    blue: Xy


SRGB_PRIMARIES = Primaries(white=_D65, red=(0.640, 0.330), green=(0.300, 0.600), blue=(0.150, 0.060))
_NTSC = Primaries(white=_D65, red=(0.630, 0.340), green=(0.310, 0.595), blue=(0.155, 0.070))

_PRIMARIES = {
    1: SRGB_PRIMARIES,
    4: Primaries(white=_C, red=(0.67, 0.33), green=(0.21, 0.71), blue=(0.14, 0.08)),
    5: Primaries(white=_D65, red=(0.64, 0.33), green=(0.29, 0.60), blue=(0.15, 0.06)),
    6: _NTSC,
    7: _NTSC,
    8: Primaries(white=_C, red=(0.681, 0.319), green=(0.243, 0.692), blue=(0.145, 0.049)),
    9: Primaries(white=_D65, red=(0.708, 0.292), green=(0.170, 0.797), blue=(0.131, 0.046)),
    10: Primaries(white=_CENTRE, red=(1.0, 0.0), green=(0.0, 1.0), blue=(0.0, 0.0)),
    11: Primaries(white=_DCI, red=(0.680, 0.320), green=(0.265, 0.690), blue=(0.150, 0.060)),
    12: Primaries(white=_D65, red=(0.680, 0.320), green=(0.265, 0.690), blue=(0.150, 0.060)),
    22: Primaries(white=_D65, red=(0.630, 0.340), green=(0.295, 0.605), blue=(0.155, 0.077)),
}
"""ITU-T H.273, table 2."""

_SRGB_TRANSFERS = frozenset((1, 2, 6, 11, 12, 13, 14, 15))
"""Transfer characteristics (ITU-T H.273, table 3) that are shown as sRGB.

The curve of BT.709 and its relatives describes cameras, and no display undoes it; browsers show such images as sRGB.
"""

_BT709, _UNSPECIFIED = 1, 2
_SRGB_CODE, _PQ, _HLG = 13, 16, 18
_WHITE_NITS = 203
"""Luminance of diffuse white in HDR images (ITU-R BT.2408); what is brighter becomes white."""

_SAME_XY = 0.01
_SAME_GAMMA = 0.05
"""How far chromaticities and a gamma may be from those of sRGB and still be taken for it; as libpng has it."""

_GAMMA_RANGE = (0.1, 10.0)
"""Other exponents are taken for a defect: they would make an image black or white."""

_CURVE_POINTS = 1024

Transfer = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSpace:
    """Primaries, and how a sample is decoded to linear light: by an exponent, or by a code point of H.273.

    `full_range` is false for video levels: 16 is black and 235 white.
    """

    primaries: Primaries
    transfer: int = _SRGB_CODE
    exponent: float | None = None
    full_range: bool = True

    @property
    def hdr(self) -> bool:
        """Whether it holds what is brighter than the white of sRGB."""
        return self.transfer in {_PQ, _HLG}


def of_code_points(primaries: int, transfer: int, *, full_range: bool = True) -> ColorSpace | None:
    """The space with these code points of H.273; None if it is sRGB in effect, or they are reserved."""
    found = _PRIMARIES.get(_BT709 if primaries == _UNSPECIFIED else primaries)
    if found is None or (transfer not in _SRGB_TRANSFERS and transfer not in _TRANSFERS):
        return None
    if found is SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS and full_range:
        return None
    return ColorSpace(primaries=found, transfer=transfer, full_range=full_range)


def of_gamma(gamma: float | None, primaries: Primaries | None) -> ColorSpace | None:
    """The space with this exponent for encoding (0.45 is usual) and these primaries; None if it is sRGB in effect."""
    exponent = 1 / gamma if gamma else None
    if exponent is not None and not _GAMMA_RANGE[0] <= exponent <= _GAMMA_RANGE[1]:
        exponent = None
    usual = primaries is None or not _usable(primaries) or _close(primaries, SRGB_PRIMARIES)
    if exponent is not None and abs(exponent / 2.2 - 1) <= _SAME_GAMMA:
        exponent = None  # 1/2.2 is how writers have always said sRGB here
    if exponent is None and usual:
        return None
    wanted = SRGB_PRIMARIES if usual or primaries is None else primaries
    return ColorSpace(primaries=wanted, exponent=exponent)


def _points(primaries: Primaries) -> tuple[Xy, Xy, Xy, Xy]:
    return primaries.white, primaries.red, primaries.green, primaries.blue


def _close(one: Primaries, other: Primaries) -> bool:
    pairs = zip(_points(one), _points(other), strict=True)
    return all(abs(a - b) <= _SAME_XY for pair in pairs for a, b in zip(*pair, strict=True))


def _usable(primaries: Primaries) -> bool:
    """Whether the points are colours, and the primaries span a triangle around white."""
    if any(not (0 <= x <= 1 and 0 <= y <= 1 and x + y <= 1) for x, y in _points(primaries)) or not primaries.white[1]:
        return False
    corners = (primaries.red, primaries.green, primaries.blue, primaries.red)
    sides = [_side(a, b, primaries.white) for a, b in pairwise(corners)]
    return all(side > _SMALLEST_AREA for side in sides) or all(side < -_SMALLEST_AREA for side in sides)


_SMALLEST_AREA = 1e-4


def _side(start: Xy, end: Xy, point: Xy) -> float:
    """On which side of a line a point lies, by the sign."""
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])


def _srgb(v: float) -> float:
    """IEC 61966-2-1."""
    linear: float = v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4  # noqa: PLR2004
    return linear


def _smpte_240(v: float) -> float:
    linear: float = v / 4 if v < 0.0913 else ((v + 0.1115) / 1.1115) ** (1 / 0.45)  # noqa: PLR2004
    return linear


def _pq(v: float) -> float:
    """SMPTE ST 2084, equation 4.1, relative to diffuse white."""
    root: float = v ** (1 / 78.84375)
    nits: float = 10_000 * (max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return nits / _WHITE_NITS


def _hlg(v: float) -> float:
    """For a display of 1,000 cd/m2 (ITU-R BT.2100, table 5), each channel by itself."""
    scene = v * v / 3 if v <= 0.5 else (exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12  # noqa: PLR2004
    nits: float = 1000 * scene**1.2
    return nits / _WHITE_NITS


_TRANSFERS: dict[int, Transfer] = {
    4: lambda v: v**2.2,
    5: lambda v: v**2.8,
    7: _smpte_240,
    8: lambda v: v,
    9: lambda v: 10 ** (2 * (v - 1)) if v else 0.0,
    10: lambda v: 10 ** (2.5 * (v - 1)) if v else 0.0,
    _PQ: _pq,
    17: lambda v: 52.37 / 48 * v**2.6,
    _HLG: _hlg,
}
"""ITU-T H.273, table 3, from a sample of 0 to 1 to linear light in which 1 is white."""


def _transfer(space: ColorSpace) -> Transfer:
    exponent = space.exponent
    return _TRANSFERS.get(space.transfer, _srgb) if exponent is None else lambda v: v**exponent


@lru_cache(maxsize=16)
def profile(space: ColorSpace, *, grey: bool = False) -> bytes:
    """An ICC profile (ICC.1:2022, version 4.4) of the space: for RGB pixels, or for grey ones."""
    curve = _curve(space)
    tags = {
        b"desc": _text("Colours as signalled by the file"),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(_D50),
    }
    if grey:
        tags[b"kTRC"] = curve
    else:
        adapted = _times(_adaptation(space.primaries.white), _rgb_to_xyz(space.primaries))
        columns = zip(*adapted, strict=True)
        tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
        tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
        tags[b"chad"] = b"sf32\0\0\0\0" + _fixed(v for row in _adaptation(space.primaries.white) for v in row)
    return _assembled(b"GRAY" if grey else b"RGB ", tags)


_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def _assembled(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Header, table and data of a display profile (section 7); equal values are stored once."""
    start = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    body = b""
    for value in tags.values():
        if value not in places:
            places[value] = start + len(body)
            body += value + b"\0" * (-len(value) % 4)
    table = b"".join(name + struct.pack(">II", places[value], len(value)) for name, value in tags.items())
    head = struct.pack(">I4xI", start + len(body), 0x04400000) + b"mntr" + space + b"XYZ "
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _fixed(_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _curve(space: ColorSpace) -> bytes:
    """A sampled curve (section 10.6)."""
    decode = _transfer(space)
    levels = (step / (_CURVE_POINTS - 1) for step in range(_CURVE_POINTS))
    if not space.full_range:
        levels = (min(max((v * 255 - 16) / 219, 0), 1) for v in levels)
    linear = [round(65535 * min(max(decode(v), 0), 1)) for v in levels]
    return struct.pack(">4s4xI", b"curv", _CURVE_POINTS) + struct.pack(f">{_CURVE_POINTS}H", *linear)


def _text(text: str) -> bytes:
    """A multiLocalizedUnicodeType with one record (section 10.15)."""
    raw = text.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(raw), 28) + raw


def _fixed(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _xyz_of(point: Xy, luminance: float = 1.0) -> tuple[float, float, float]:
    x, y = point
    return (x / y * luminance, luminance, (1 - x - y) / y * luminance)


def _rgb_to_xyz(primaries: Primaries) -> Matrix:
    """From linear RGB to XYZ: the primaries, each as bright as it takes for their sum to be white (SMPTE RP 177)."""
    points = primaries.red, primaries.green, primaries.blue
    columns: Matrix = tuple(zip(*((x, y, 1 - x - y) for x, y in points), strict=True))
    scale = _applied(_inverse(columns), _xyz_of(primaries.white))
    return tuple(tuple(v * s for v, s in zip(row, scale, strict=True)) for row in columns)  # type: ignore[misc]


def _adaptation(white: Xy) -> Matrix:
    """From XYZ under this white to XYZ under D50, by the Bradford transform (annex E)."""
    before, after = _applied(_BRADFORD, _xyz_of(white)), _applied(_BRADFORD, _D50)
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    scaled: Matrix = tuple(tuple(v * ratio for v in row) for row, ratio in zip(_BRADFORD, ratios, strict=True))  # type: ignore[misc]
    return _times(_inverse(_BRADFORD), scaled)


def _applied(matrix: Matrix, vector: tuple[float, ...]) -> tuple[float, float, float]:
    a, b, c = (sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def _times(one: Matrix, other: Matrix) -> Matrix:
    columns = [_applied(one, column) for column in zip(*other, strict=True)]
    return tuple(zip(*columns, strict=True))


def _inverse(m: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = m
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    return tuple(tuple(v / determinant for v in row) for row in cofactors)  # type: ignore[misc]
