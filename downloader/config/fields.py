"""Fields of settings: how each is declared, read from text and checked, in Python as on the command line. Pure.

A section is a frozen dataclass that derives from `Section`. Making one reads and checks every value, so a section that
exists is valid; `downloader.config.load` reads single values by the same rules, and adds where they were written.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from downloader.errors import ConfigError

_Value_co = TypeVar("_Value_co", covariant=True)
_Accepted_contra = TypeVar("_Accepted_contra", contravariant=True)


class Accepts(Generic[_Value_co, _Accepted_contra]):
    """A field that holds the first type and can be set to the second: `Accepts[int, int | str]`.

    Type checkers take the type of a dataclass's `__init__` parameter from `__set__` of a descriptor. At run time it is
    just the first type.
    """

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> _Value_co: ...
        def __set__(self, instance: object, value: _Accepted_contra) -> None: ...

    else:

        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:  # noqa: ANN401 - a type, of any kind
            """The type of the value held."""
            return types[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of a number, for `Annotated`."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None

    def check(self, value: float) -> None:
        """Raise `_Mismatch` if a value is out of bounds; NaN always is."""
        if self.at_least is not None and not value >= self.at_least:
            raise _Mismatch(f"greater than or equal to {self.at_least}")
        if self.above is not None and not value > self.above:
            raise _Mismatch(f"greater than {self.above}")
        if self.at_most is not None and not value <= self.at_most:
            raise _Mismatch(f"less than or equal to {self.at_most}")


class _Mismatch(ValueError):
    """A value does not fit its type; the message says what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How a setting is written by a user.

    `parse` turns text into the value (None: as its type is usually read), `show` turns the value into text again,
    `check` raises ValueError for a value that its type allows and the setting does not.
    """

    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    show: Callable[[Any], str] = str
    check: Callable[[Any], None] | None = None


def option(
    default: Any,  # noqa: ANN401 - of any option
    text: str,
    *flags: str,
    metavar: str | None = None,
    parse: Callable[[str], Any] | None = None,
    show: Callable[[Any], str] = str,
    check: Callable[[Any], None] | None = None,
) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A field of a section: its default, its one-line meaning and its extra flags (`--field-name` is always there)."""
    described = Option(help=text, flags=flags, metavar=metavar, parse=parse, show=show, check=check)
    return field(default=default, metadata={"option": described})


class Checked:
    """Base of dataclasses whose fields are read and checked when an instance is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Replace each value by what it is read as.

        Raises:
            ConfigError: a value is wrong; names the field and says what would be right.
        """
        for name in self.__dataclass_fields__:  # type: ignore[attr-defined]
            given = getattr(self, name)
            try:
                value = self.read(name, given)
            except ValueError as problem:
                raise ConfigError(f"{name}: {problem}") from None
            if value is not given:
                object.__setattr__(self, name, value)
        self.check()

    def check(self) -> None:
        """Check values against each other; raises ConfigError."""

    @classmethod
    def read(cls, name: str, raw: Any) -> Any:  # noqa: ANN401 - a raw value can be anything
        """The value of a field, read from text or checked as it is.

        Raises:
            ValueError: it is wrong; the message says what would be right.
        """
        declared = cls.__dataclass_fields__[name]  # type: ignore[attr-defined]
        described: Option | None = declared.metadata.get("option")
        try:
            value = _converted(declared.type, _parsed(declared.type, described.parse if described else None, raw))
        except _Mismatch as problem:
            raise ValueError(f"should be {problem}, not {raw!r}") from None
        if described and described.check:
            described.check(value)
        return value


class Section(Checked):
    """A group of settings: one TOML table."""

    __slots__ = ()

    @classmethod
    def options(cls) -> dict[str, Option]:
        """The options of this section by field name, in order; tables within it are not among them."""
        return {f.name: f.metadata["option"] for f in fields(cls) if "option" in f.metadata}  # type: ignore[arg-type]


def _parsed(hint: Any, parse: Callable[[str], Any] | None, raw: Any) -> Any:  # noqa: ANN401 - types and values of any kind
    """A raw value with the option's parser applied to its text; a single value of a list is a list of one."""
    if get_origin(hint) is tuple:
        parts = raw if isinstance(raw, (list, tuple)) else [raw]
        if parse is None:
            return tuple(parts)
        return tuple(value for part in parts for value in (parse(str(part)) if _is_written(part) else (part,)))
    return parse(raw) if parse and isinstance(raw, str) else raw


def _is_written(part: object) -> bool:
    """Whether a part of a list is as a user writes it, rather than a parsed value."""
    return isinstance(part, (str, int, float))


def _converted(hint: Any, raw: Any) -> Any:  # noqa: ANN401 - types and values of any kind
    """A value of the type that `hint` describes; raises `_Mismatch` where `raw` does not stand for one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = _converted(arguments[0], raw)
        for bounds in arguments[1:]:
            bounds.check(value)
        return value
    if origin in {Union, UnionType}:
        return _one_of(arguments, raw)
    if origin is Literal:
        if raw not in arguments:
            raise _Mismatch(_listed([repr(choice) for choice in arguments]))
        return raw
    if origin is tuple:
        return tuple(_converted(arguments[0], part) for part in raw)
    return _SCALARS[hint](raw) if hint in _SCALARS else _instance(hint, raw)


def _one_of(hints: Iterable[Any], raw: Any) -> Any:  # noqa: ANN401 - types and values of any kind
    """A value of the first type that takes the raw one."""
    wanted = []
    for hint in hints:
        if hint is type(None):
            if raw is None:
                return None
            continue
        try:
            return _converted(hint, raw)
        except _Mismatch as problem:
            wanted.append(str(problem))
    raise _Mismatch(" or ".join(sorted(wanted)))


def _instance(home: type, raw: Any) -> Any:  # noqa: ANN401 - a raw value can be anything
    """An instance of a dataclass, made from its fields where they are given as a mapping (JSON)."""
    if isinstance(raw, home):
        return raw
    if not isinstance(raw, Mapping):
        raise _Mismatch(f"of type {home.__name__}")
    if unknown := [name for name in raw if name not in home.__dataclass_fields__]:  # type: ignore[attr-defined]
        raise ValueError(f"there is no setting {unknown[0]!r}")
    return home(**raw)


def _listed(choices: list[str]) -> str:
    """Choices in words: `a, b or c`."""
    return " or ".join([", ".join(choices[:-1]), choices[-1]] if choices[1:] else choices)


def _integer(raw: object) -> int:
    if isinstance(raw, str):
        try:
            return int(raw)
        except ValueError:
            raw = _number(raw, "a valid integer")
    if isinstance(raw, float):
        if not raw.is_integer():
            raise _Mismatch("a valid integer")
        return int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise _Mismatch("a valid integer")


def _number(raw: object, what: str = "a valid number") -> float:
    if isinstance(raw, (int, float, str)) and not isinstance(raw, bool):
        try:
            return float(raw)
        except (ValueError, OverflowError):
            pass
    raise _Mismatch(what)


_SWITCH = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}


def _boolean(raw: object) -> bool:
    if isinstance(raw, (bool, int, str)) and str(raw).lower() in _SWITCH:
        return _SWITCH[str(raw).lower()]
    raise _Mismatch("a valid boolean")


def _text(raw: object) -> str:
    if isinstance(raw, (str, PurePath)):
        return str(raw)
    raise _Mismatch("a valid string")


_SCALARS: dict[type, Callable[[object], Any]] = {int: _integer, float: _number, bool: _boolean, str: _text}
"""How values of simple types are read, from text too, since flags and environment variables are text."""
