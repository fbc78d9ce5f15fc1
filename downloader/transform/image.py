"""One image: bytes in, encoded bytes out. Writes no file, starts no process, leaves no global setting changed.

`render` is the only entry point. It works in this order, each step on as few pixels as possible:

    sniff -> header checks -> orientation -> plan -> (scaled) decode -> working mode -> resample -> turn upright
          -> sRGB -> flatten or pad -> encode

**Output format.** `same` keeps jpeg, png, webp and avif; bmp and tiff become png; a gif stays a gif where several
frames are kept (`animated=all`) and becomes a png otherwise; heif becomes a jpeg. Samples are 8-bit in every output.

**Colours.** CMYK always becomes sRGB, even with `icc=keep`: browsers disagree on CMYK JPEG, and no other output format
holds it.

**Pixels that count against `max_pixels`** are those that are decoded: one frame of an animation, or all of them with
`animated=all`.

**Truncated images** with `truncated=keep`: a JPEG is decoded again with the missing end marker added, so that libjpeg
fills what is missing with grey; of other formats the rows decoded so far are used, and the rest is black or clear.
Pillow's own switch, `LOAD_TRUNCATED_IMAGES`, is never touched: it is global, and also disables its guard against text
bombs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageFile

from downloader.config.settings import TransformOptions
from downloader.config.values import show_size
from downloader.model.failures import FailureKind, SkipReason, Warn
from downloader.model.items import RelativeBox
from downloader.model.spans import Phase
from downloader.transform import blur, color, decode, encode, geometry, hashes, metadata, pillow, sniff
from downloader.transform.geometry import ResizePlan, Sides
from downloader.transform.hashes import NO_HASHES, ImageHashes
from downloader.transform.picture import Encoded, ImageError, ImageSkipped, Picture, plain
from downloader.transform.readable import Box, Readable
from downloader.transform.recorder import SpanRecorder
from downloader.transform.resample import Resampler

__all__ = ["Encoded", "ImageError", "ImageSkipped", "Picture", "render"]

_SAME_FORMAT = {"bmp": "png", "tiff": "png", "gif": "png", "heif": "jpeg"}
"""Output format for `same` where it differs from the input's."""

_MOVING = frozenset(("gif", "webp", "png", "avif"))
"""Formats whose animations are read and written. Pages of a TIFF and pictures of a HEIC are not animations."""

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


def render(
    data: bytes,
    settings: TransformOptions,
    recorder: SpanRecorder | None = None,
    *,
    boxes: Sequence[RelativeBox] = (),
    reads_exif: bool = False,
) -> Picture:
    """Make every wanted size of one image, with `boxes` of the upright image blurred.

    `recorder` receives the phases (decode, resize with colours, encode), and keeps those reached before an exception.
    With `reads_exif` the picture says what EXIF the source has.

    Raises:
        ImageError: no output can be made.
        ImageSkipped: the settings leave the image out.

    No other `Exception` is raised; what does not derive from it (an alarm, an interrupt) passes through.
    """
    try:
        with pillow.rendering():
            recorder = recorder or SpanRecorder(lane="")
            return _Rendering(
                data=data, settings=settings, recorder=recorder, boxes=boxes, reads_exif=reads_exif
            ).picture()
    except (ImageError, ImageSkipped):
        raise
    except MemoryError as error:
        raise ImageError(
            FailureKind.OUT_OF_MEMORY,
            "there was not enough memory for the image: raise --worker-memory, or run fewer --processes",
        ) from error
    except Exception as error:
        raise ImageError(
            FailureKind.INTERNAL,
            f"a defect in downloader, please report it ({type(error).__name__}: {plain(error)})",
        ) from error


@dataclass(slots=True, kw_only=True)
class _Rendering:
    """One call of `render`: its steps, and what they have learned."""

    data: bytes
    settings: TransformOptions
    recorder: SpanRecorder
    boxes: Sequence[RelativeBox]
    reads_exif: bool = False
    exif: str | None = None
    source: Readable = field(init=False)
    hashed: ImageHashes = NO_HASHES
    hashed_pixels: int | None = None  # of the rendition that the hashes are of
    warned: dict[Warn, None] = field(default_factory=dict)  # a dict keeps the order and holds each once

    def picture(self) -> Picture:
        with self.recorder.phase(Phase.DECODE):
            name = decode.identify(self.data)
            self._check_size()
            if declared := sniff.sides(name, self.data):
                self._check_pixels(declared, 1)
            with decode.decoding(name, self.data):
                source = self.source = decode.inspect(name, self.data)
                self.data = source.data
                image = decode.open_image(name, source)
                animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
            target = self._target(name, animated=animated)
            several = animated and self.settings.animated == "all" and {name, target} <= _MOVING
            with decode.decoding(name, self.data):
                frames = image.n_frames if several else 1  # type: ignore[attr-defined]
            self._check_pixels(image.size, frames)
            left, top, right, bottom = self._visible(image)
            self._check_wanted((right - left, bottom - top))
        for warning in source.warnings:
            self._warn(warning)
        if image.info.get("icc_profile", b"") is None:  # there was one, in pieces that do not fit together
            self._warn(Warn.ICC_IGNORED)
        if animated and not several:
            self._warn(Warn.FRAMES_DROPPED)
        if name == "jpeg" and metadata.has_gain_map(image, self.data):
            self._warn(Warn.HDR_GAINMAP_DROPPED)
        return self._animation(name, image, target) if several else self._still(name, image, target)

    def _still(self, name: str, image: ImageFile.ImageFile, target: str) -> Picture:
        """One frame, decoded once for all sizes."""
        with self.recorder.phase(Phase.DECODE):
            reduction = 1
            if name == "jpeg":  # only JPEG decodes at a smaller scale; its orientation can be read before the pixels
                upright = geometry.turned(image.size, metadata.orientation(image))
                reduction = geometry.scaled_decode(self._plans(upright))
            keep_cut = self.settings.truncated == "keep"
            pixels = decode.load(name, self.source, image, reduction=reduction, keep_cut=keep_cut)
        if pixels.cut:
            self._warn(Warn.TRUNCATED_KEPT)
        turn = self._turn(pixels.image)
        self._read_exif(pixels.image)
        upright = geometry.turned(pixels.size, turn)
        plans = self._plans(upright)
        self._check_outputs(plans, target)
        with self.recorder.phase(Phase.RESIZE):
            source = Resampler(color.to_working(pixels.image))
        profile = _profile(pixels.image)
        renditions = []
        for variant, plan in zip(self.settings.variants, plans, strict=True):
            with self.recorder.phase(Phase.RESIZE):
                frame, kept = self._finish(source, plan, target, turn=turn, reduction=pixels.reduction, profile=profile)
            with self.recorder.phase(Phase.ENCODE):
                blocks = self._metadata(pixels.image, plan)
                data = encode.encode(frame, target, self.settings, blocks, kept)
            renditions.append(_encoded(variant, target, plan, data))
        return self._picture(name, renditions, upright)

    def _animation(self, name: str, image: ImageFile.ImageFile, target: str) -> Picture:
        """All frames, each composed to a whole picture by Pillow before it is resized."""
        turn = self._turn(image)
        self._read_exif(image)
        left, top, right, bottom = self._visible(image)
        upright = geometry.turned((right - left, bottom - top), turn)
        plans = self._plans(upright)
        self._check_outputs(plans, target, image.n_frames)  # type: ignore[attr-defined]
        finished: list[list[Image.Image]] = [[] for _ in plans]
        durations_ms = []
        kept: bytes | None = None
        self._check_frames(name)
        for whole in self._frames(name, image):
            durations_ms.append(round(whole.info.get("duration", 0)))
            with self.recorder.phase(Phase.RESIZE):
                source = Resampler(color.to_working(whole))
                for done, plan in zip(finished, plans, strict=True):
                    frame, kept = self._finish(source, plan, target, turn=turn, reduction=1, profile=_profile(image))
                    done.append(frame)
        plays = _plays(name, image)
        renditions = []
        for variant, plan, done in zip(self.settings.variants, plans, finished, strict=True):
            with self.recorder.phase(Phase.ENCODE):
                blocks = self._metadata(image, plan)
                animation = encode.Animation(frames=done, durations_ms=durations_ms, plays=plays)
                data = encode.encode_animation(animation, target, self.settings, blocks, kept)
            renditions.append(_encoded(variant, target, plan, data))
        return self._picture(name, renditions, upright)

    def _check_frames(self, name: str) -> None:
        try:
            decode.check_frames(name, self.source)
        except ImageError as failure:
            if self.settings.truncated != "keep" or failure.kind != FailureKind.TRUNCATED_IMAGE:
                raise
            self._warn(Warn.TRUNCATED_KEPT)

    def _frames(self, name: str, image: ImageFile.ImageFile) -> Iterator[Image.Image]:
        """A copy of the whole picture at every frame; of a truncated file the frames it has, if the settings say so."""
        visible = self._visible(image)
        first = 1 if getattr(image, "default_image", False) else 0  # an APNG may start with a still for old viewers
        color.clear_colour_in_8_bits(image)
        for index in range(first, image.n_frames):  # type: ignore[attr-defined]
            try:
                limit = pillow.pixel_limit(self.settings.max_pixels)
                with self.recorder.phase(Phase.DECODE), decode.decoding(name, self.data), limit:
                    image.seek(index)
                    image.load()
                    frame = image.crop(visible)  # frames of a GIF may reach beyond the first
            except ImageError as failure:
                if index == first or self.settings.truncated != "keep" or failure.kind != FailureKind.TRUNCATED_IMAGE:
                    raise
                self._warn(Warn.TRUNCATED_KEPT)
                return
            yield frame

    def _visible(self, image: Image.Image) -> Box:
        """The part of the stored pixels that belongs to the picture."""
        return self.source.visible or (0, 0, *image.size)

    def _turn(self, image: Image.Image) -> int:
        """The EXIF orientation: as the container says, where it does."""
        return metadata.orientation(image) if self.source.turn is None else self.source.turn

    def _finish(
        self, source: Resampler, plan: ResizePlan, target: str, *, turn: int, reduction: float, profile: bytes | None
    ) -> tuple[Image.Image, bytes | None]:
        """One size of one frame, ready for the encoder, and the ICC profile to write with it."""
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
        if self.boxes:
            frame = blur.blurred(frame, plan, self.boxes)
        if target == "jpeg":
            frame = color.flatten(frame, self.settings.background)
        if self.settings.perceptual_hash or self.settings.blurhash:
            self._hash(frame)
        if plan.padded:
            frame = color.pad(frame, plan.final, plan.offset, self.settings.background)
        return frame, kept

    def _hash(self, frame: Image.Image) -> None:
        """Take the hashes of the smallest rendition, without its padding; of an animation, of its first frame."""
        count = frame.width * frame.height
        if self.hashed_pixels is None or count < self.hashed_pixels:
            self.hashed, self.hashed_pixels = hashes.hashes_of(frame, self.settings), count

    def _keeps(self, profile: bytes, frame: Image.Image, plan: ResizePlan, target: str) -> bool:
        """Whether the output keeps the profile, instead of being converted to sRGB."""
        if self.settings.icc != "keep" or target == "gif":  # GIF has no place for one
            return False
        grey_stays = target in _GREY_OUTPUT and not plan.padded  # the padding may be coloured
        return color.keepable(frame, profile, grey_stays=grey_stays)

    def _metadata(self, image: Image.Image, plan: ResizePlan) -> metadata.Blocks:
        """The part of the source's metadata that goes into one output."""
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
        """Refuse an image that is too large, before any pixel is decoded."""
        width, height = size
        limit = self.settings.max_pixels
        if geometry.pixels(size, frames) > limit:
            each = f" x {frames} frames" if frames > 1 else ""
            raise ImageError(
                FailureKind.IMAGE_TOO_LARGE,
                f"{width} x {height}{each} is more than --max-pixels {limit}: raise it if you trust the file",
            )

    def _check_size(self) -> None:
        """Skip an image whose file is too small."""
        size, least = len(self.data), self.settings.min_size
        if least is not None and size < least:
            raise ImageSkipped(SkipReason.TOO_SMALL, f"{size} bytes are less than --min-size {show_size(least)}")

    def _check_wanted(self, size: Sides) -> None:
        """Skip an image that the settings leave out, before any pixel is decoded."""
        width, height = size
        if self.settings.min_side is not None and min(size) < self.settings.min_side:
            raise ImageSkipped(
                SkipReason.TOO_SMALL, f"{width} x {height} has a side shorter than --min-side {self.settings.min_side}"
            )
        if self.settings.max_aspect is not None and geometry.aspect_ratio(size) > self.settings.max_aspect:
            raise ImageSkipped(
                SkipReason.ASPECT_RATIO,
                f"{width} x {height} is longer than --max-aspect {self.settings.max_aspect:g} allows",
            )

    def _check_outputs(self, plans: list[ResizePlan], target: str, frames: int = 1) -> None:
        """Refuse outputs that the format cannot hold, or that `--enlarge` would make larger than an input may be."""
        limit = self.settings.max_pixels
        for plan in plans:
            encode.check_sides(target, *plan.final)
            if geometry.pixels(plan.final, frames) > limit:
                width, height = plan.final
                raise ImageError(
                    FailureKind.IMAGE_TOO_LARGE,
                    f"the output would be {width} x {height}, more than --max-pixels {limit}: give a smaller --resize",
                )

    def _plans(self, upright: Sides) -> list[ResizePlan]:
        wanted = self.settings
        return [
            geometry.plan(upright, size, fit=wanted.fit, enlarge=wanted.enlarge, gravity=wanted.gravity)
            for size in wanted.resize or (None,)
        ]

    def _picture(self, name: str, renditions: list[Encoded], upright: Sides) -> Picture:
        return Picture(
            renditions=tuple(renditions),
            format=name,
            width=upright[0],
            height=upright[1],
            warnings=tuple(self.warned),
            perceptual_hash=self.hashed.perceptual_hash,
            blurhash=self.hashed.blurhash,
            exif=self.exif,
        )

    def _read_exif(self, image: Image.Image) -> None:
        if self.reads_exif:
            self.exif = metadata.described(image, self.settings.metadata)

    def _warn(self, warning: Warn) -> None:
        self.warned[warning] = None


def _profile(image: Image.Image) -> bytes | None:
    """The ICC profile of the source, if any; Lab pixels need none, as they define their colours themselves."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile and image.mode != "LAB" else None


def _plays(name: str, image: Image.Image) -> int:
    """How often an animation plays; 0 means for ever.

    GIF counts the repetitions (Netscape 2.0 extension), and plays once without that extension; WebP and APNG count
    every time; of AVIF sequences Pillow does not tell.
    """
    loop = image.info.get("loop")
    if name == "gif":
        return 1 if loop is None else loop and loop + 1
    return loop or 0


def _encoded(variant: str | None, target: str, plan: ResizePlan, data: bytes) -> Encoded:
    width, height = plan.final
    return Encoded(
        variant=variant, extension=encode.EXTENSIONS[target], format=target, width=width, height=height, data=data
    )
