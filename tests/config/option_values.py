"""Settings that tests of several modules make or refuse."""

from hypothesis import strategies as st

from downloader.config.settings import (
    TABLES,
    AvifOptions,
    ConcurrencyOptions,
    DownloadOptions,
    JpegOptions,
    PngOptions,
    Settings,
    TransformOptions,
    WebpOptions,
)
from downloader.config.values import Size, parse_header

OPTIONS = [(section, name, option) for section, home in TABLES.items() for name, option in home.options().items()]
BAD_VALUES = [
    ("concurrency", "threads", "0"),
    ("concurrency", "threads", "many"),
    ("concurrency", "processes", "some"),
    ("download", "max_size", "huge"),
    ("download", "timeout", "-1"),
    ("download", "opt_out", "maybe"),
    ("transform", "resize", "big"),
    ("transform", "quality", "101"),
    ("transform", "background", "mauve"),
    ("run", "progress", "loud"),
]
sides = st.one_of(st.none(), st.integers(1, 65_535))
variants = st.one_of(st.none(), st.text("abcXYZ019_", min_size=1, max_size=8))
sizes = st.one_of(
    st.builds(
        lambda name, box: Size(name=name, width=box[0], height=box[1]), variants, st.tuples(sides, sides).filter(any)
    ),
    st.builds(Size, name=variants, percent=st.integers(1, 10**7).map(lambda number: number / 10**4)),
)
some_settings = st.builds(
    Settings,
    sources=st.tuples(st.text("abc/:.", min_size=1)),
    mode=st.sampled_from(["run", "fetch", "process"]),
    concurrency=st.builds(
        ConcurrencyOptions, threads=st.integers(1, 1024), processes=st.one_of(st.just("auto"), st.integers(1, 256))
    ),
    download=st.builds(
        DownloadOptions,
        timeout=st.floats(0.001, 1e6),
        max_size=st.one_of(st.none(), st.integers(1, 2**50)),
        header=st.lists(st.builds("X-{}: {}".format, st.integers(0, 9), st.text("ab \"'\\#é"))).map(
            lambda headers: tuple(parse_header(header) for header in headers)
        ),
        user_agent=st.one_of(st.none(), st.text("agent/1.0 (é\\\"'#)", min_size=1)),
        netrc=st.booleans(),
    ),
    transform=st.builds(
        TransformOptions,
        resize=st.lists(
            sizes.filter(lambda size: not size.percent or size.percent.is_integer()),
            max_size=3,
            unique_by=lambda size: size.name or id(size),
        ).map(tuple),
        fit=st.sampled_from(["inside", "crop"]),
        max_pixels=st.integers(1, 10**12),
        max_aspect=st.one_of(st.none(), st.floats(1, 100)),
        jpeg=st.builds(
            JpegOptions,
            quality=st.one_of(st.none(), st.integers(1, 100)),
            progressive=st.booleans(),
            subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
        ),
        png=st.builds(PngOptions, compress_level=st.integers(0, 9)),
        webp=st.builds(WebpOptions, method=st.integers(0, 6), lossless=st.booleans()),
        avif=st.builds(AvifOptions, quality=st.one_of(st.none(), st.integers(1, 100)), speed=st.integers(0, 10)),
    ),
)
