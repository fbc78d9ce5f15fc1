"""One image: bytes in, encoded bytes out. No file is written, no process started, nothing global stays changed.

`render` is all there is to call. It works in this order, each step on as few pixels as possible:

    sniff -> header checks -> orientation -> plan -> (scaled) decode -> working mode -> resample -> turn upright
          -> sRGB -> flatten or pad -> encode

**Output format.** `same` keeps jpeg, png, webp and avif; bmp and tiff become png; a gif stays a gif where several
frames are kept (`animated=all`) and becomes a png otherwise; heif becomes a jpeg. Samples are 8-bit in every output.

**Colours.** CMYK always becomes sRGB, with `icc=keep` too: browsers differ on CMYK JPEG, and no other output format
holds it.

**Pixels that count against `max_pixels`** are those that get decoded: of an animation one frame, or all of them with
`animated=all`.

**Truncated images** with `truncated=keep`: a JPEG is decoded again with the missing end marker added, so that libjpeg
fills what is missing with grey; of other formats the rows that were decoded are used, the rest is black or clear.
Pillow's own switch, `LOAD_TRUNCATED_IMAGES`, is never touched: it is global, and also turns off its guard against text
bombs.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from PIL import Image, ImageFile

from downloader.config.settings import TransformOptions
from downloader.model.failures import FailureKind, SkipReason, Warn
from downloader.transform import color, decode, encode, geometry, metadata, sniff
from downloader.transform.geometry import Plan, Sides
from downloader.transform.picture import Encoded, Picture, Unusable, Unwanted, plain
from downloader.transform.resample import Source

__all__ = ["Encoded", "Picture", "Unusable", "Unwanted", "render"]

_SAME_FORMAT = {"bmp": "png", "tiff": "png", "gif": "png", "heif": "jpeg"}
"""Output format for `same` where it is not the input's own."""

_MOVING = frozenset(("gif", "webp", "png", "avif"))
"""Formats that hold animations, to be read and to be written; pages of a TIFF and pictures of a HEIC are none."""

_GREY_OUTPUT = frozenset(("jpeg", "png", "avif"))
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a stored image upright, by EXIF orientation."""


def render(data: bytes, settings: TransformOptions) -> Picture:
    """Make every wanted size of one image.

    Raises `Unusable` or `Unwanted`, and no other `Exception`; what does not derive from it (an alarm, an interrupt)
    passes through.
    """
    try:
        # Pillow warns about oddities of files; in a worker nobody reads that, and the outcome says what matters.
        with warnings.catch_warnings(action="ignore"):
            return _Rendering(data=data, settings=settings).picture()
    except (Unusable, Unwanted):
        raise
    except MemoryError as error:
        raise Unusable(
            FailureKind.OUT_OF_MEMORY,
            "there was not enough memory for the image: raise --worker-memory, or run fewer --processes",
        ) from error
    except Exception as error:
        raise Unusable(
            FailureKind.INTERNAL,
            f"a fault of downloader itself, please report it ({type(error).__name__}: {plain(error)})",
        ) from error


@dataclass(slots=True, kw_only=True)
class _Rendering:
    """One call of `render`: what is known so far, and the steps."""

    data: bytes
    settings: TransformOptions
    warned: dict[Warn, None] = field(default_factory=dict)  # a dict keeps the order and holds each once
    timings_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("decode", "resize", "encode"), 0.0))

    def picture(self) -> Picture:
        with self._timed("decode"):
            name = decode.identify(self.data)
            if declared := sniff.sides(name, self.data):
                self._check_pixels(declared, 1)
            with decode.decoding(name, self.data):
                image = decode.open_image(name, self.data)
                animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
            target = self._target(name, animated=animated)
            several = animated and self.settings.animated == "all" and {name, target} <= _MOVING
            with decode.decoding(name, self.data):
                frames = image.n_frames if several else 1  # type: ignore[attr-defined]
            self._check_pixels(image.size, frames)
            self._check_wanted(image.size)
        if animated and not several:
            self._warn(Warn.FRAMES_DROPPED)
        if name == "jpeg" and metadata.has_gain_map(image, self.data):
            self._warn(Warn.HDR_GAINMAP_DROPPED)
        return self._animation(name, image, target) if several else self._still(name, image, target)

    def _still(self, name: str, image: ImageFile.ImageFile, target: str) -> Picture:
        """One frame; several sizes come from one decode."""
        with self._timed("decode"):
            reduction = 1
            if name == "jpeg":  # its orientation can be read before the pixels, and it alone decodes at a smaller scale
                upright = geometry.turned(image.size, metadata.orientation(image))
                reduction = geometry.scaled_decode(self._plans(upright))
            pixels = decode.load(
                name, self.data, image, reduction=reduction, keep_cut=self.settings.truncated == "keep"
            )
        if pixels.cut:
            self._warn(Warn.TRUNCATED_KEPT)
        turn = metadata.orientation(pixels.image)
        upright = geometry.turned(pixels.size, turn)
        plans = self._plans(upright)
        self._check_outputs(plans, target)
        with self._timed("resize"):
            source = Source(color.to_working(pixels.image))
        profile = _profile(pixels.image)
        renditions = []
        for variant, plan in zip(self._variants(), plans, strict=True):
            with self._timed("resize"):
                frame, kept = self._finish(source, plan, target, turn=turn, reduction=pixels.reduction, profile=profile)
            with self._timed("encode"):
                blocks = self._metadata(pixels.image, plan)
                data = encode.encode(frame, target, self.settings, blocks, kept)
            renditions.append(_encoded(variant, target, plan, data))
        return self._picture(name, renditions, upright)

    def _animation(self, name: str, image: ImageFile.ImageFile, target: str) -> Picture:
        """All frames, each composed to a whole picture by Pillow before it is resized."""
        turn = metadata.orientation(image)
        upright = geometry.turned(image.size, turn)
        plans = self._plans(upright)
        self._check_outputs(plans, target, image.n_frames)  # type: ignore[attr-defined]
        finished: list[list[Image.Image]] = [[] for _ in plans]
        durations_ms = []
        kept: bytes | None = None
        for whole in self._frames(name, image):
            durations_ms.append(round(whole.info.get("duration", 0)))
            with self._timed("resize"):
                source = Source(color.to_working(whole))
                for done, plan in zip(finished, plans, strict=True):
                    frame, kept = self._finish(source, plan, target, turn=turn, reduction=1, profile=_profile(image))
                    done.append(frame)
        plays = _plays(name, image)
        renditions = []
        for variant, plan, done in zip(self._variants(), plans, finished, strict=True):
            with self._timed("encode"):
                blocks = self._metadata(image, plan)
                animation = encode.Animation(frames=done, durations_ms=durations_ms, plays=plays)
                data = encode.encode_animation(animation, target, self.settings, blocks, kept)
            renditions.append(_encoded(variant, target, plan, data))
        return self._picture(name, renditions, upright)

    def _frames(self, name: str, image: ImageFile.ImageFile) -> Iterator[Image.Image]:
        """A copy of the whole picture at every frame; a cut file gives the frames it has, if the settings keep them."""
        size = image.size
        first = 1 if getattr(image, "default_image", False) else 0  # an APNG may begin with a still for old viewers
        color.clear_colour_in_8_bits(image)
        for index in range(first, image.n_frames):  # type: ignore[attr-defined]
            try:
                limit = decode.growing_to(self.settings.max_pixels)
                with self._timed("decode"), decode.decoding(name, self.data), limit:
                    image.seek(index)
                    image.load()
                    frame = image.crop((0, 0, *size))  # frames of a GIF may reach beyond the first
            except Unusable as failure:
                if index == first or self.settings.truncated != "keep" or failure.kind != FailureKind.TRUNCATED_IMAGE:
                    raise
                self._warn(Warn.TRUNCATED_KEPT)
                return
            yield frame

    def _finish(
        self, source: Source, plan: Plan, target: str, *, turn: int, reduction: float, profile: bytes | None
    ) -> tuple[Image.Image, bytes | None]:
        """One size of one frame, ready for the encoder, and the ICC profile that goes with it."""
        left, top, right, bottom = geometry.stored_region(plan.region, plan.source, turn)
        region = (left / reduction, top / reduction, right / reduction, bottom / reduction)
        frame = source.resized(geometry.turned(plan.kept_size, turn), region)
        if turn in _UPRIGHT:
            frame = frame.transpose(_UPRIGHT[turn])
        kept = profile if profile and self._keeps(profile, frame, plan, target) else None
        if kept is None:
            frame, understood = color.to_srgb(frame, profile)
            if not understood:
                self._warn(Warn.ICC_IGNORED)
        if target == "jpeg":
            frame = color.flatten(frame, self.settings.background)
        if plan.padded:
            frame = color.pad(frame, plan.final, plan.offset, self.settings.background)
        return frame, kept

    def _keeps(self, profile: bytes, frame: Image.Image, plan: Plan, target: str) -> bool:
        """Whether the profile goes into the output, rather than the pixels into sRGB."""
        if self.settings.icc != "keep" or target == "gif":  # GIF has no place for one
            return False
        grey_stays = target in _GREY_OUTPUT and not plan.padded  # the padding may be coloured
        return color.keepable(frame, profile, grey_stays=grey_stays)

    def _metadata(self, image: Image.Image, plan: Plan) -> metadata.Blocks:
        """What of the source's metadata goes into one output."""
        blocks = metadata.kept(image, self.settings.metadata, plan.final)
        if not blocks.complete:
            self._warn(Warn.METADATA_DROPPED)
        return blocks

    def _target(self, name: str, *, animated: bool) -> str:
        """The output format."""
        if self.settings.format != "same":
            return self.settings.format
        if name == "gif" and animated and self.settings.animated == "all":
            return "gif"
        return _SAME_FORMAT.get(name, name)

    def _check_pixels(self, size: Sides, frames: int) -> None:
        """Refuse what is too large, before any pixel is decoded."""
        width, height = size
        limit = self.settings.max_pixels
        if geometry.pixels(size, frames) > limit:
            each = f" x {frames} frames" if frames > 1 else ""
            raise Unusable(
                FailureKind.IMAGE_TOO_LARGE,
                f"{width} x {height}{each} is more than --max-pixels {limit}: raise it if you trust the file",
            )

    def _check_wanted(self, size: Sides) -> None:
        """Leave out what is not wanted, before any pixel is decoded."""
        width, height = size
        if self.settings.min_side is not None and min(size) < self.settings.min_side:
            raise Unwanted(
                SkipReason.TOO_SMALL, f"{width} x {height} has a side shorter than --min-side {self.settings.min_side}"
            )
        if self.settings.max_aspect is not None and geometry.aspect_ratio(size) > self.settings.max_aspect:
            raise Unwanted(
                SkipReason.ASPECT_RATIO,
                f"{width} x {height} is longer than --max-aspect {self.settings.max_aspect:g} allows",
            )

    def _check_outputs(self, plans: list[Plan], target: str, frames: int = 1) -> None:
        """Refuse outputs that the format cannot hold, or that `--enlarge` would make larger than any input may be."""
        limit = self.settings.max_pixels
        for plan in plans:
            encode.check_sides(target, *plan.final)
            if geometry.pixels(plan.final, frames) > limit:
                width, height = plan.final
                raise Unusable(
                    FailureKind.IMAGE_TOO_LARGE,
                    f"the output would be {width} x {height}, more than --max-pixels {limit}: give a smaller --resize",
                )

    def _plans(self, upright: Sides) -> list[Plan]:
        wanted = self.settings
        return [
            geometry.plan(upright, size, fit=wanted.fit, enlarge=wanted.enlarge, gravity=wanted.gravity)
            for size in wanted.resize or (None,)
        ]

    def _variants(self) -> tuple[str | None, ...]:
        return self.settings.variants

    def _picture(self, name: str, renditions: list[Encoded], upright: Sides) -> Picture:
        return Picture(
            renditions=tuple(renditions),
            format=name,
            width=upright[0],
            height=upright[1],
            warnings=tuple(self.warned),
            timings_s=self.timings_s,
        )

    def _warn(self, warning: Warn) -> None:
        self.warned[warning] = None

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self.timings_s[step] += perf_counter() - began


def _profile(image: Image.Image) -> bytes | None:
    """The ICC profile of the source, if any; Lab pixels need none, they say which colours they are."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile and image.mode != "LAB" else None


def _plays(name: str, image: Image.Image) -> int:
    """How often an animation runs, 0 for ever.

    GIF counts the times after the first (Netscape 2.0 extension), and without that extension runs once; WebP and APNG
    count all of them; AVIF sequences as Pillow reads them do not say.
    """
    loop = image.info.get("loop")
    if name == "gif":
        return 1 if loop is None else loop and loop + 1
    return loop or 0


def _encoded(variant: str | None, target: str, plan: Plan, data: bytes) -> Encoded:
    width, height = plan.final
    return Encoded(
        variant=variant, extension=encode.EXTENSIONS[target], format=target, width=width, height=height, data=data
    )
