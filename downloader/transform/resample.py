"""Resizing with a Lanczos kernel, by `cykooz_resizer` where it is available, otherwise by Pillow.

`cykooz_resizer` works on Pillow's own memory with SIMD instructions: 0.8 ms against 4.5 ms for halving a web photograph
with the same kernel, results within 55 dB of each other (measured, 2 cores, AMD EPYC).
"""

from PIL import Image

from downloader.transform.geometry import Box, Sides

FAST: bool
"""Whether the SIMD resizer is available."""

try:
    from cykooz_resizer import (  # type: ignore[import-untyped]  # it has stubs, but does not say so (no py.typed)
        AlphaMulDiv,
        CropBox,
        FilterType,
        ResizeAlg,
        ResizeOptions,
        Resizer,
    )
except ImportError:  # no wheel for this platform: Pillow's own kernel gives the same picture, slower
    FAST = False
else:
    FAST = True
    _RESIZER = Resizer()
    _ALPHA = AlphaMulDiv()
    _LANCZOS = ResizeAlg.convolution(FilterType.lanczos3)


class Resampler:
    """Makes one or several sizes of a decoded image."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self._weighted: Image.Image | None = None

    def resized(self, size: Sides, region: Box) -> Image.Image:
        """`region` of the image at `size`; the image itself if that changes nothing."""
        whole: Box = (0.0, 0.0, float(self.image.width), float(self.image.height))
        if size == self.image.size and region == whole:
            return self.image
        if not FAST or self.image.mode not in {"L", "RGB", "RGBA", "CMYK"}:
            return self.image.resize(size, Image.Resampling.LANCZOS, box=region)
        return self._resized_fast(size, region)

    def _resized_fast(self, size: Sides, region: Box) -> Image.Image:
        source = self._alpha_weighted() if self.image.mode == "RGBA" else self.image
        target = Image.new(source.mode, size)
        left, top, right, bottom = region
        options = ResizeOptions(resize_alg=_LANCZOS, crop_box=CropBox(left, top, right - left, bottom - top))
        _RESIZER.resize_pil(source, target, options)
        if source.mode == "RGBa":
            _ALPHA.divide_alpha_pil_inplace(target)
        return target

    def _alpha_weighted(self) -> Image.Image:
        """The image with colours multiplied by alpha, so that colours of transparent pixels do not bleed into others.

        Done once for all sizes, and here rather than inside the resizer: where Pillow raises MemoryError, the resizer
        aborts the process.
        """
        if self._weighted is None:
            self._weighted = _ALPHA.multiply_alpha_pil(self.image)
        return self._weighted
