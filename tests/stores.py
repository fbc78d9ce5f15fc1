"""Stores for tests, results to store, and crashes between two steps."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from io import BufferedIOBase
from pathlib import Path

from downloader.model.items import Fetched, Item, OutputName, PreviousResult, Rendition, Transformed, Url
from downloader.model.spans import Phase, Span
from downloader.storage.interface import Store
from downloader.storage.local import LocalStore
from downloader.storage.object_store import ObjectStore

STORES: dict[str, Callable[[Path], Store]] = {
    "local": LocalStore,
    "memory": lambda root: ObjectStore(f"memory://{root}"),
}
"""Every kind of store, made over a folder."""


class ObservedStore:
    """A store that calls `before` with the method's name and its names or paths before each step that changes it."""

    def __init__(self, store: Store, before: Callable[[str, tuple[str, ...]], None]) -> None:
        self._store = store
        self._before = before

    def sync_staged(self, paths: Iterable[str]) -> Mapping[str, str]:
        paths = tuple(paths)
        self._before("sync_staged", paths)
        return self._store.sync_staged(paths)

    def check(self, name: str, *, replace: bool) -> None:
        self._before("check", (name,))
        self._store.check(name, replace=replace)

    def put(self, staged: str, name: str) -> None:
        self._before("put", (staged, name))
        self._store.put(staged, name)

    def sync(self, names: Iterable[str]) -> Mapping[str, str]:
        names = tuple(names)
        self._before("sync", names)
        return self._store.sync(names)

    def exists(self, name: str) -> bool:
        return self._store.exists(name)

    def size(self, name: str) -> int | None:
        return self._store.size(name)

    def names(self, *, excluded: str, unlisted: list[str]) -> Iterator[str]:
        return self._store.names(excluded=excluded, unlisted=unlisted)

    def open(self, name: str) -> BufferedIOBase:
        return self._store.open(name)

    def remove(self, name: str) -> None:
        self._before("remove", (name,))
        self._store.remove(name)

    def close(self) -> None:
        self._store.close()


class Crash(BaseException):
    """The process dies here: nothing handles this."""


class CrashAt:
    """Raises `Crash` at the nth step, and at every step after it: a dead process takes none."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.steps: list[str] = []

    def step(self, name: str, _: object = None) -> None:
        self.steps.append(name)
        if len(self.steps) >= self.number:
            raise Crash(name)

    @property
    def crashed(self) -> bool:
        return len(self.steps) >= self.number


def item(
    item_id: int = 1,
    stem: str = "a",
    *,
    extension: str | None = None,
    renewed: bool = False,
    previous: PreviousResult | None = None,
) -> Item:
    url = f"https://h/{stem}"
    name = OutputName(stem=stem, extension=extension)
    key = sha256(stem.encode()).hexdigest()
    return Item(id=item_id, key=key, source=url, what=Url(url), name=name, renewed=renewed, previous=previous)


def staged(staging: Path, name: str, content: bytes) -> str:
    staging.mkdir(exist_ok=True)
    path = staging / name
    path.write_bytes(content)
    return str(path)


def fetched(of: Item, staging: Path, content: bytes = b"fetched") -> Fetched:
    return Fetched(
        item=of,
        path=staged(staging, f"{of.id}.body", content),
        bytes=len(content),
        staged=True,
        sha256=sha256(content).hexdigest(),
        spans=(Span(Phase.BODY, 1.0, 1.5, "download-0"),),
    )


def images(
    of: Item, staging: Path, content: bytes = b"image", *, variants: tuple[str | None, ...] = (None,), to: str = "jpg"
) -> Transformed:
    renditions = tuple(
        Rendition(
            variant=variant,
            path=staged(staging, f"{of.id}.{variant}.new", content + (variant or "").encode()),
            extension=to,
            format=to.upper(),
            width=4,
            height=3,
            bytes=len(content) + len(variant or ""),
            sha256=sha256(content + (variant or "").encode()).hexdigest(),
        )
        for variant in variants
    )
    spans = (Span(Phase.DECODE, 2.0, 2.5, "transform-7"),)
    return Transformed(item=of, renditions=renditions, width=4, height=3, sha256="cd", spans=spans)
