"""The commands."""

import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, NoReturn, get_args

import typer  # noqa: TID251 - its home

from downloader import __version__
from downloader.cli.options import Flags, with_options
from downloader.cli.show import escaped
from downloader.cli.streams import ReaderGone, StdoutFailed
from downloader.config.settings import Mode, TableFormat
from downloader.errors import CannotGoOn, ConfigError, DownloaderError, NotThereYet
from downloader.model.failures import FailureKind, is_transient

if TYPE_CHECKING:
    from downloader.config.settings import Settings
    from downloader.report.summary import Summary
    from downloader.stop import Stop

# Commands import what they need when they run, so that --help stays quick.

app = typer.Typer(
    name="downloader",
    help="Download, check, resize and store images: threads for I/O, processes for CPU.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(
    help="Show the settings in force and where each came from, or write a starter file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(config_app, name="config")

_ALL = ("concurrency", "download", "transform", "output", "source", "run")
_TABLE_FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
_STATES = ("pending", "fetched", "succeeded", "failed", "skipped")

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE...", help="URL, list of URLs (.txt, .txt.gz, - for stdin), image, folder or .tar"),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="settings file (TOML)")]
AsJson = Annotated[bool, typer.Option("--json", help="print the summary as JSON on stdout")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="output of a run: its folder or URL")]
StateDir = Annotated[
    str | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        envvar="DOWNLOADER_RUN__STATE_DIR",
        show_envvar=False,
        help="folder for the state of outputs given as URLs",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"downloader {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Download, check, resize and store images: threads for I/O, processes for CPU."""


@app.command()
@with_options(*_ALL)
def run(sources: Sources, *, config: ConfigFile = None, as_json: AsJson = False, flags: Flags) -> None:
    """Download and transform, from any kind of source."""
    _do("run", sources, config, flags, as_json=as_json)


@app.command()
@with_options("concurrency", "download", "output", "source", "run")
def fetch(sources: Sources, *, config: ConfigFile = None, as_json: AsJson = False, flags: Flags) -> None:
    """Download only: the bytes as they come, no transform."""
    _do("fetch", sources, config, flags, as_json=as_json)


@app.command()
@with_options("concurrency", "transform", "output", "source", "run")
def process(sources: Sources, *, config: ConfigFile = None, as_json: AsJson = False, flags: Flags) -> None:
    """Transform local files and folders; touches no network."""
    _do("process", sources, config, flags, as_json=as_json)


@app.command()
@with_options("concurrency", "download", "run")
def retry(
    out: Out,
    *,
    kind: Annotated[
        str | None, typer.Option(metavar="K,K...", help="only failures of these kinds [transient ones]")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all failures, permanent ones too")] = False,
    as_json: AsJson = False,
    flags: Flags,
) -> None:
    """Retry failed items with the settings and rows stored in OUT; options given here override the stored ones."""
    from downloader.config.load import override  # noqa: PLC0415
    from downloader.pipeline import retry as retry_pipeline  # noqa: PLC0415
    from downloader.workspace import stored_settings  # noqa: PLC0415

    if kind is not None and everything:
        raise ConfigError("--kind and --all exclude each other; give one of them")
    wanted = _wanted(kind, everything=everything)
    settings = override(stored_settings(out, _state_dir(flags)), flags)
    _execute(settings, lambda stop: retry_pipeline(settings, wanted, stop=stop), as_json=as_json)


def _state_dir(flags: Mapping[str, Mapping[str, object]]) -> str | None:
    """The folder given with --state-dir, or by its variable."""
    given = flags.get("run", {}).get("state_dir") or os.environ.get("DOWNLOADER_RUN__STATE_DIR")
    return None if given is None else str(given)


def _wanted(kinds: str | None, *, everything: bool) -> Callable[[FailureKind, int | None], bool]:
    """Which failures to retry."""
    if everything:
        return lambda *_: True
    if kinds is None:
        return is_transient
    named = {name.strip() for name in kinds.split(",")}
    if unknown := named.difference(FailureKind):
        raise ConfigError(f"--kind: {min(unknown)!r} is not a failure kind; choose from {', '.join(FailureKind)}")
    return lambda kind, _: kind in named


@app.command()
def status(
    out: Out,
    *,
    as_json: AsJson = False,
    items: Annotated[bool, typer.Option("--items", help="one JSON object per item and line")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="the failed items as a table, for people")] = False,
    state: Annotated[str | None, typer.Option(metavar="|".join(_STATES), help="only items in this state")] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="only items with this failure kind or skip reason")
    ] = None,
    table_format: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(_TABLE_FORMATS), help="items as a table, one row each; see -o"),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="file for the table, instead of stdout")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Show the state of an output, as a summary or item by item."""
    from downloader.cli.show import failures_table, summary_text  # noqa: PLC0415
    from downloader.workspace import open_output  # noqa: PLC0415

    if state is not None and state not in _STATES:
        raise ConfigError(f"--state: {state!r} is not a state; choose from {', '.join(_STATES)}")
    if table_format is not None or file is not None:
        _write_item_table(out, state_dir, table_format, file, state=state, kind=kind)
        return
    with open_output(out, state_dir) as view:
        if failed:
            for line in failures_table(view.records(state="failed", kind=kind), get_terminal_size().columns):
                typer.echo(line)
        elif items or state or kind:
            for record in view.records(state=state, kind=kind):
                typer.echo(json.dumps(record))
        elif as_json:
            typer.echo(json.dumps(view.summary()))
        else:
            typer.echo(summary_text(str(out), view.summary()))


def _write_item_table(
    out: str,
    state_dir: str | None,
    wanted: str | None,
    file: Path | None,
    *,
    state: str | None,
    kind: str | None,
) -> None:
    """Write the items of an output as a table: into a file, which appears whole or not at all, or to stdout."""
    from downloader.cli.streams import StdoutBytes  # noqa: PLC0415
    from downloader.tables import check_format, replaced_file, table_format_of  # noqa: PLC0415
    from downloader.workspace import open_output  # noqa: PLC0415

    if wanted is not None and wanted not in _TABLE_FORMATS:
        raise ConfigError(f"--format: {wanted!r} is no format of tables; choose from {', '.join(_TABLE_FORMATS)}")
    chosen = wanted or table_format_of(file)
    if chosen is None:
        raise ConfigError(f"-o {file}: its name does not tell the format; give --format parquet, csv or jsonl")
    if chosen == "parquet" and file is None:
        raise ConfigError("--format parquet: name a file with -o; stdout takes csv and jsonl")
    check_format(chosen, "--format parquet")
    with open_output(out, state_dir) as view, replaced_file(file) if file else nullcontext(StdoutBytes()) as table:
        view.write_items(table, chosen, state=state, kind=kind)


@app.command()
def verify(
    out: Out,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as one JSON object")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="have missing and changed results made again")] = False,
    state_dir: StateDir = None,
) -> None:
    """Re-hash every result and compare it with the journal; changes nothing, unless told to --repair."""
    from downloader.cli.show import findings_text  # noqa: PLC0415
    from downloader.verification import verify as verify_output  # noqa: PLC0415

    found = verify_output(out, repair=repair, state_dir=state_dir).to_json()
    typer.echo(json.dumps(found) if as_json else findings_text(str(out), found))
    raise typer.Exit(0 if found["good"] else 1)


@app.command()
def report(
    out: Out,
    *,
    open_it: Annotated[bool, typer.Option("--open", help="open it in the browser")] = False,
    state_dir: StateDir = None,
) -> None:
    """Build the HTML report of an output, also while a run is at work on it; prints its path."""
    import webbrowser  # noqa: PLC0415

    from downloader.run_report import rebuild_report  # noqa: PLC0415

    path = rebuild_report(out, state_dir)
    typer.echo(str(path))
    if open_it and not webbrowser.open(path.absolute().as_uri()):
        _say(f"no browser was found; open {path}")


@app.command()
@with_options("concurrency", "run")
def demo(
    *,
    out: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="folder for the results")] = Path(
        "demo-output"
    ),
    images: Annotated[int, typer.Option(min=1, max=10_000, help="photographs to generate")] = 200,
    flags: Flags,
) -> None:
    """Run the whole pipeline against a local server with generated photographs."""
    from downloader.demo import demo_server  # noqa: PLC0415

    with demo_server(images, out) as urls:
        typer.echo(
            f"serving {len(urls)} URLs on this machine: photographs, of which one is slow, one broken and one missing",
            err=True,
        )
        flags |= {"output": {"output": str(out), "overwrite": "always"}, "transform": {"resize": "256x256"}}
        _do("run", urls, None, flags, as_json=False, failures_expected=True)


@config_app.command("show")
@with_options(*_ALL)
def config_show(*, config: ConfigFile = None, flags: Flags) -> None:
    """Show every setting with its value and where that comes from."""
    from downloader.config.load import each_section, load, show_value  # noqa: PLC0415

    resolved = load(flags=flags, config_file=config)
    for section, values in each_section(resolved.settings):
        typer.echo(f"[{section}]")
        for name, option in values.options().items():
            typer.echo(f"{name} = {show_value(option, getattr(values, name))}  # {resolved.origin(section, name)}")


@config_app.command("init")
def config_init(path: Annotated[Path, typer.Argument(help="file to write")] = Path("downloader.toml")) -> None:
    """Write a configuration file with every setting at its default."""
    from downloader.config.load import as_toml  # noqa: PLC0415
    from downloader.config.settings import Settings  # noqa: PLC0415

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(as_toml(Settings()))
    except FileExistsError:
        raise ConfigError(f"{path}: already exists; name another file") from None
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be written: {problem.strerror}") from None
    typer.echo(f"{path}")


def _reserve(name: str, what: str) -> None:
    """Reserve the name of a command that this version does not have."""

    @app.command(name, help=f"{what} (not in this version)", context_settings={"ignore_unknown_options": True})
    def reserved(_arguments: Annotated[list[str] | None, typer.Argument(metavar="...", hidden=True)] = None) -> None:
        raise NotThereYet(f"`downloader {name}` is not there yet: it comes with a later version")


_reserve("bench", "Measure threads against processes on this machine")


def _do(
    mode: Mode,
    sources: list[str],
    config: Path | None,
    flags: Flags,
    *,
    as_json: bool,
    failures_expected: bool = False,
) -> None:
    from downloader.config.load import load  # noqa: PLC0415
    from downloader.pipeline import run as run_pipeline  # noqa: PLC0415

    settings = load(mode, sources, flags=flags, config_file=config).settings
    _execute(
        settings,
        lambda stop: run_pipeline(settings, stop=stop),
        as_json=as_json,
        failures_expected=failures_expected,
    )


def _execute(
    settings: "Settings",
    work: "Callable[[Stop], Summary]",
    *,
    as_json: bool,
    failures_expected: bool = False,
) -> None:
    """Do the work, print the summary, and exit with the code that tells how it went."""
    from downloader.cli.process import set_up  # noqa: PLC0415
    from downloader.cli.show import summary_text  # noqa: PLC0415
    from downloader.report.budget import allows  # noqa: PLC0415
    from downloader.stop import Stop, exit_code  # noqa: PLC0415

    stop = Stop()
    set_up(stop, "error" if settings.run.quiet else settings.run.log_level)
    summary = work(stop)
    shown = summary.to_json()
    if as_json:
        _print_summary(shown, settings.output.output)
    good = allows(settings.run.allow_failures, summary.failed, summary.total) and not summary.gave_up
    if settings.run.shows_summary(good=good):
        typer.echo(summary_text(settings.output.output, shown), err=True)
        if settings.run.report:
            from downloader.places import state_folder  # noqa: PLC0415
            from downloader.workspace import REPORT  # noqa: PLC0415

            typer.echo(
                f"  {'report':<11} {state_folder(settings.output.output, settings.run.state_dir) / REPORT}", err=True
            )
    if stop.signal is not None:
        raise typer.Exit(exit_code(stop.signal))
    raise typer.Exit(0 if good or failures_expected else 1)


def _print_summary(shown: Mapping[str, object], output: str) -> None:
    try:
        typer.echo(json.dumps(shown))
    except StdoutFailed as problem:
        raise StdoutFailed(f"{problem}; the run is over, and `downloader status {output} --json` shows this") from None


def main() -> None:
    """Run the command line and exit."""
    _leave(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; an error is one line on stderr."""
    try:
        app(arguments)
    except DownloaderError as problem:
        _say(str(problem))
        return problem.exit_code
    except SystemExit as end:  # of typer, which has reported wrong usage, or an exit code of ours
        return end.code if isinstance(end.code, int) else 2
    except KeyboardInterrupt:
        return 130
    except ReaderGone:
        return ReaderGone.exit_code
    except Exception as problem:
        if os.environ.get("DOWNLOADER_DEBUG"):
            raise
        _say(f"a defect in downloader, please report it: {type(problem).__name__}: {problem}")
        return CannotGoOn.exit_code
    return 0


def _say(text: str) -> None:
    """Print one line on stderr, with control characters escaped."""
    typer.echo(f"downloader: {escaped(text)}", err=True)


def _leave(code: int) -> NoReturn:
    """Exit; without joining threads if one that was abandoned still waits for a server."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(ReaderGone, StdoutFailed):  # what counts was flushed before
            stream.flush()
    gc.freeze()  # otherwise Python searches every object for reference cycles on its way out: 80 ms
    if any(thread is not threading.main_thread() and thread.is_alive() for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)
