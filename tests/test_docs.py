"""The documents say what the code does. `python tests/test_docs.py` writes the generated parts anew."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from pytest_httpserver import HTTPServer
from support import Command

from downloader.cli.app import app
from downloader.cli.options import shown_default
from downloader.config.load import as_toml, load
from downloader.config.settings import SECTIONS, TABLES, Settings
from downloader.demo import photograph
from downloader.model.states import TRANSITIONS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "downloader"
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
SECURITY = ROOT / "SECURITY.md"
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
DEFAULTS = ROOT / "config" / "default.toml"
COMMAND: Any = typer.main.get_command(app)
"""Untyped: typer brings its own copy of click, whose classes are private."""
NOT_RUN = re.compile(r"example\.com|jq |failed\.txt")
"""README commands that need the network, another program, or failures; they are parsed, not run."""


def fenced(document: Path, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def between(document: Path, mark: str) -> str:
    """What stands between `<!-- mark -->` and `<!-- /mark -->`; empty where the marks are not there."""
    found = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", document.read_text("utf-8"), re.DOTALL)
    return found[1] if found else ""


def shell_lines() -> list[str]:
    """Every line of the README's shell blocks that uses our command."""
    return [line for block in fenced(README, "sh") for line in block.splitlines() if "downloader " in line]


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each call of our command in a shell line; assignments before it and redirections are dropped."""
    for part in re.split(r"\s[|;]\s|\s&&\s", line):
        words = shlex.split(re.sub(r"\s[<>]\s*\S+", "", part))
        if "downloader" in words:
            yield words[words.index("downloader") + 1 :]


def resolve(arguments: list[str]) -> Any:
    """The context of the innermost command, its arguments parsed; raises where they are wrong."""
    command = COMMAND
    name = "downloader"
    while hasattr(command, "commands"):
        name, *arguments = arguments
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    return command.make_context(name, list(arguments))


@cache
def options_of_everything() -> frozenset[str]:
    """Every option of every command."""
    pending = [COMMAND]
    options = {"--help"}
    while pending:
        command = pending.pop()
        pending.extend(getattr(command, "commands", {}).values())
        for parameter in command.params:
            options |= {*parameter.opts, *parameter.secondary_opts}
    return frozenset(options)


def modules_table() -> str:
    """Every module of the package with the first paragraph of its docstring, as a Markdown table."""
    lines = ["| module | content |", "|---|---|"]
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: path.relative_to(PACKAGE).as_posix()):
        name = path.relative_to(PACKAGE).as_posix()
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        first = " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")
        lines.append(f"| `{name.removesuffix('__init__.py') or name}` | {first.removesuffix('.')} |")
    return "\n".join(lines) + "\n"


def anchors(document: Path) -> set[str]:
    """The fragments by which a document's headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def transitions_table() -> str:
    """The state machine as a Markdown table."""
    lines = ["| from | fact | to |", "|---|---|---|"]
    lines += [
        f"| {state.name} | `{fact.__name__}` | {target.name} |"
        for state, moves in TRANSITIONS.items()
        for fact, target in moves.items()
    ]
    return "\n".join(lines) + "\n"


def layers_list() -> str:
    """The layers that import-linter checks, as a Markdown list."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return "".join(
        f"{number}. {', '.join(f'`{name}`' for name in re.split(r' [|:] ', layer))}\n"
        for number, layer in enumerate(layers, 1)
    )


def without_effect() -> list[str]:
    """Options that no code but the table and the loader ever reads, as flags."""
    read = {
        node.attr
        for path in PACKAGE.rglob("*.py")
        if path.name != "load.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    names = [name for table in TABLES.values() for name in table.options() if name not in read]
    return ["--" + name.replace("_", "-") for name in names]


def without_effect_text() -> str:
    """The README's admission."""
    flags = [f"`{flag}`" for flag in without_effect()]
    return f"- Options that are accepted and have no effect yet: {', '.join(flags)}.\n" if flags else ""


GENERATED = (
    (ARCHITECTURE, "transitions", transitions_table),
    (ARCHITECTURE, "modules", modules_table),
    (ARCHITECTURE, "layers", layers_list),
    (README, "without effect", without_effect_text),
)
"""Document, mark, and what makes the text between the marks."""


def _name(path: Path) -> str:
    return path.name


# -- configuration files -------------------------------------------------------------------------------------------


def test_default_toml_is_what_the_code_says() -> None:
    """config/default.toml is exactly what `config init` writes."""
    assert DEFAULTS.read_text("utf-8") == as_toml(Settings()), "run: python tests/test_docs.py"


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.toml")), ids=_name)
def test_example_files_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file in config/ is accepted, and all but default.toml change something."""
    for name in [name for name in os.environ if name.startswith("DOWNLOADER_")]:
        monkeypatch.delenv(name)
    settings = load(config_file=path).settings
    assert (settings == Settings()) == (path == DEFAULTS)


def test_every_option_of_run_is_in_default_toml() -> None:
    """Every option of `run --help` made from the settings table is a key of config/default.toml, in its section."""
    written = tomllib.loads(DEFAULTS.read_text("utf-8"))
    keys = [parameter.name.partition("_")[::2] for parameter in resolve(["run", "x"]).command.params]
    from_table = [(section, name) for section, name in keys if section in SECTIONS and name]
    assert from_table
    assert [f"[{section}] {name}" for section, name in from_table if name not in written.get(section, {})] == []


def test_toml_in_the_readme_loads(tmp_path: Path) -> None:
    """The configuration shown in the README is accepted."""
    blocks = fenced(README, "toml")
    assert blocks
    for block in blocks:
        file = tmp_path / "shown.toml"
        file.write_text(block)
        assert load(config_file=file).settings != Settings()


# -- commands in the README ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", shell_lines())
def test_commands_in_the_readme_are_accepted(line: str) -> None:
    """Each command shown exists, takes the options shown, and the settings accept their values."""
    for arguments in calls(line):
        context = resolve(arguments)
        flags: dict[str, dict[str, object]] = {}
        for key, value in context.params.items():
            section, _, name = key.partition("_")
            if section in SECTIONS and name and value:
                flags.setdefault(section, {})[name] = value
        config = context.params.get("config")
        load(flags=flags, config_file=config and ROOT / config)


def test_commands_in_the_readme_run(cli: Command, tmp_path: Path, httpserver: HTTPServer) -> None:
    """The commands shown work in the order shown, beside `urls.txt`, `cats.csv` and `photos`: each exits with 0."""
    picture = photograph(1)
    httpserver.expect_request(re.compile("/.*")).respond_with_data(picture, content_type="image/jpeg")
    (tmp_path / "urls.txt").write_text("".join(f"{httpserver.url_for(f'/{name}.jpg')}\n" for name in "abc"))
    (tmp_path / "cats.csv").write_text(f"URL,TEXT\n{httpserver.url_for('/cat.jpg')},a cat\n")
    (tmp_path / "photos" / "trip").mkdir(parents=True)
    (tmp_path / "photos" / "trip" / "d.jpg").write_bytes(picture)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    lines = [line for line in shell_lines() if not NOT_RUN.search(line)]
    assert len(lines) > 5
    for line in lines:
        if line.startswith("downloader "):
            done = cli(*shlex.split(line)[1:])
            assert done.code == 0, f"{line}\n{done.err}"
        else:  # with a pipe, or an assignment
            subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, check=True, timeout=60)


def test_the_library_example_runs(tmp_path: Path) -> None:
    """The Python shown in the README runs as it stands and makes an image."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "d.jpg").write_bytes(photograph(1))
    (example,) = fenced(README, "python")
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "1 0 {}\n"), done.stderr
    assert (tmp_path / "thumbnails" / "d.webp").is_file()


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "benchmarks.md"], ids=_name)
def test_options_named_in_documents_exist(document: Path) -> None:
    """Every `--option` that a document names is an option of some command; other programs are named in front."""
    text = re.sub(
        r"^\s*(?:pip|python|make|ruff)\b.*$|`make [^`]*`", "", document.read_text("utf-8"), flags=re.MULTILINE
    )
    named = set(re.findall(r"(?<![\w<-])--[a-z][a-z0-9-]+[a-z0-9](?![\w-])", text))
    assert sorted(named - options_of_everything()) == []


def test_defaults_in_the_option_table() -> None:
    """The README's table of options gives each the default that the settings have."""
    shown = {
        "--" + name.replace("_", "-"): shown_default(option, getattr(section(), name))
        for section in SECTIONS.values()
        for name, option in section.options().items()
    }
    rows = re.findall(r"^\| (?:`-\w`, )?`(--[a-z-]+)` \| (.*?) \|", between(README, "options"), re.MULTILINE)
    assert len(rows) > 10
    assert dict(rows) == {flag: shown[flag] for flag, _ in rows}


# -- generated parts and lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("document", "mark", "make"), GENERATED, ids=[mark for _, mark, _ in GENERATED])
def test_generated_parts_equal_the_code(document: Path, mark: str, make: object) -> None:
    """State table, modules, layers, and the options admitted to have no effect are those of the code."""
    assert callable(make)
    assert between(document, mark) == make(), "run: python tests/test_docs.py"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """Every relative link names a file or folder of the repository, and its fragment a heading there."""
    for target, fragment in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", document.read_text("utf-8")):
        path = document.parent / target if target else document
        assert path.exists(), target
        assert not fragment or fragment in anchors(path), f"{target}#{fragment}"


def test_targets_of_make_named_in_documents_exist() -> None:
    """Every `make TARGET` that a document shows is one that `make help` lists."""
    listed = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for document in DOCUMENTS:
        shown = re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE)
        assert sorted(set(shown) - set(listed)) == [], document.name


def test_every_defence_has_its_tests() -> None:
    """Each line of SECURITY's threat model names tests that exist."""
    rows = re.findall(r"^\| (?!threat|---).*\|$", SECURITY.read_text("utf-8"), re.MULTILINE)
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert [name for name in named if f"def {name}(" not in sources] == []


def write_generated() -> None:
    """Write everything that is made from the code."""
    DEFAULTS.write_text(as_toml(Settings()), "utf-8")
    for document, mark, make in GENERATED:
        text = document.read_text("utf-8")
        document.write_text(text.replace(_marked(mark, between(document, mark)), _marked(mark, make())), "utf-8")


def _marked(mark: str, text: str) -> str:
    return f"<!-- {mark} -->\n{text}<!-- /{mark} -->"


if __name__ == "__main__":
    write_generated()
