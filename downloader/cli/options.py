"""Command line options generated from the settings table, so that each setting is described once."""

import inspect
from collections.abc import Callable
from functools import cache, wraps
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer  # noqa: TID251 - its home

from downloader.config.fields import Option
from downloader.config.settings import SECTIONS

Flags = dict[str, dict[str, Any]]
"""The values given on the command line, by section and field; no defaults."""


def with_options(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of some sections to a command, which gets those that were given as its argument `flags`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        mine = [parameter for name, parameter in own.parameters.items() if name != "flags"]
        made = {parameter.name: parameter for section in sections for parameter in _parameters(section)}

        @wraps(command)
        def wrapped(**arguments: Any) -> None:  # noqa: ANN401 - of the types of the options
            flags: Flags = {}
            for key in made:
                value = arguments.pop(key)
                if value is not None and value != []:
                    section, _, name = key.partition("_")
                    flags.setdefault(section, {})[name] = value
            command(**arguments, flags=flags)

        parameters = [*mine, *made.values()]
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


@cache  # most commands have the same sections
def _parameters(section: str) -> list[inspect.Parameter]:
    home = SECTIONS[section]
    hints, defaults = get_type_hints(home), home()
    return [
        _parameter(section, name, option, hints[name], getattr(defaults, name))
        for name, option in home.options().items()
    ]


def _parameter(section: str, name: str, option: Option, hint: Any, default: object) -> inspect.Parameter:  # noqa: ANN401 - a type, of any kind
    flag = "--" + name.replace("_", "-")
    text = f"{option.help} [{shown_default(option, default)}]"
    kind: Any
    if hint is bool:
        kind = bool | None
        flags: tuple[str, ...] = (f"{flag}/--no-{name.replace('_', '-')}",)
    else:
        kind, flags = (list[str] if get_origin(hint) is tuple else str) | None, (*option.flags, flag)
    made = typer.Option(*flags, help=text, metavar=None if hint is bool else option.metavar or _choices(hint))
    return inspect.Parameter(
        f"{section}_{name}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, made]
    )


def shown_default(option: Option, default: object) -> str:
    """How help texts and documents show the default of an option."""
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else option.show(default)


def _choices(hint: object) -> str:
    if get_origin(hint) is Literal:
        return "|".join(get_args(hint))
    if get_origin(hint) in {Union, UnionType}:
        return _choices(next(part for part in get_args(hint) if part is not type(None)))
    return "TEXT"
