"""The documents name everything there is, and nothing that is not there."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import click
import pytest

import build
from gateway.api.errors import allow
from gateway.api.fields import RequestField
from gateway.api.openai import fields as openai_fields
from gateway.app import ROUTES
from gateway.cli.commands import root
from gateway.cli.flags import ALIASES
from gateway.http.request_log import RequestRecord, summary
from gateway.inference.options import TABLE
from gateway.settings import IGNORED, Settings
from runners.build import recipe

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
LONGEST_README = 70
ARCHITECTURE = "docs/concepts/architecture.md"
PARTS = ("gateway", "runners", "tests")
PACKAGES = [path.name for part in PARTS[:2] for path in (ROOT / part).iterdir() if path.is_dir()]
# Read where there are no settings: by build.py, which runs before anything is installed.
BUILD_VARIABLES = {"PADDOCK_CACHE"}

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "vendor" / "llama.cpp" / "README.md",
    )
}
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def code(text: str) -> list[str]:
    """What a page shows as code: the lines of its blocks, and the words between backticks."""
    blocks = FENCE.findall(text)
    return [
        *(line for block in blocks for line in block.splitlines()),
        *SPAN.findall(FENCE.sub("", text)),
    ]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table."""
    result = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in result]


def section(text: str, title: str) -> str:
    """What stands below a heading, down to the next of its rank; empty if there is none."""
    result = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return result[1] if result else ""


def anchors(text: str) -> set[str]:
    """The names that links can use for the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# Settings


def shown(default: Any) -> str:
    """A default as the table writes it; empty for one that is nothing."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`" if default not in ("", ()) else ""


def names(field: Any) -> list[str]:
    return [str(choice) for choice in field.validation_alias.choices]


def settings_table() -> list[list[str]]:
    """What the settings' table must hold."""
    return [
        [
            f"`{names(field)[0]}`",
            ", ".join(f"`{name}`" for name in names(field)[1:]),
            shown(field.default),
            str(field.description),
        ]
        for field in Settings.model_fields.values()
    ]


def test_the_table_of_settings_is_that_of_the_code() -> None:
    result = rows(PAGES["docs/reference/settings.md"].partition("\n## ")[0])
    assert [row for row in result if row[0].startswith("`")] == settings_table()


def test_ignored_variables_are_named_and_no_others() -> None:
    listed = section(PAGES["docs/reference/settings.md"], "Variables of Ollama's that are ignored")
    assert set(re.findall(r"`(OLLAMA_\w+)`", listed)) == set(IGNORED)


@pytest.mark.parametrize("page", PAGES)
def test_a_variable_that_a_page_names_exists(page: str) -> None:
    known = {name for field in Settings.model_fields.values() for name in names(field)}
    # `PADDOCK_NAME` and `OLLAMA_NAME` stand for any of them.
    known |= {*IGNORED, *BUILD_VARIABLES, "PADDOCK_NAME", "OLLAMA_NAME"}
    assert set(re.findall(r"\b(?:PADDOCK|OLLAMA)_[A-Z_]+\b", PAGES[page])) - known == set()


# HTTP


def test_the_table_of_routes_is_that_of_the_code() -> None:
    result = {
        (row[0], row[1].strip("`"))
        for row in rows(PAGES["docs/reference/http-api.md"])
        if row[1].startswith(("`/api", "`/v1", "`/v2", "`/`"))
    }
    assert result == {(allow(route.methods or ()), route.path) for route in ROUTES}


def test_every_option_is_described_with_its_default() -> None:
    table = section(PAGES["docs/reference/http-api.md"], "Options")
    result = {row[0]: row[1:3] for row in rows(table) if row[0].startswith("`")}
    wanted = {
        f"`{option.name}`": [
            option.type.replace("float32", "number").replace("array", "list of strings"),
            shown(option.default) if option.default is not None else "",
        ]
        for option in TABLE.values()
    }
    assert result == wanted


# The command line


@pytest.mark.parametrize("name", root.commands)
def test_a_command_is_described_with_its_flags(name: str) -> None:
    text = section(PAGES["docs/reference/cli.md"], name)
    command = root.commands[name]
    tree = click.Context(root, info_name="paddock", **root.context_settings)
    usage = command.get_usage(click.Context(command, tree, info_name=name))
    assert usage.removeprefix("Usage: ").replace(" [OPTIONS]", "") in text
    assert [alias for alias, of in ALIASES.items() if of == name and f"`{alias}`" not in text] == []
    described = {row[0] for row in rows(text) if row[0].startswith("`-")}
    parts = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    options = (item for part in parts for item in part.params if isinstance(item, click.Option))
    assert described == {f"`{', '.join(option.opts)}`" for option in options}


def test_no_other_command_is_described() -> None:
    text = PAGES["docs/reference/cli.md"]
    titles = re.findall(r"^## ([a-z]+)$", text, re.MULTILINE)
    assert titles == list(root.commands)
    assert [item.opts for item in root.params if f"`{', '.join(item.opts)}`" not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_command_that_a_page_runs_exists(page: str) -> None:
    known = {*root.commands, *ALIASES}
    run = {
        result[1]
        for line in code(PAGES[page])
        for result in re.finditer(r"\bpaddock ([a-z]+)", line)
    }
    assert run - known == set()


# The build


def test_every_option_of_the_build_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build.parse(["--help"])
    usage = capsys.readouterr().out
    flags = set(re.findall(r"^  (-{1,2}[\w-]+)", usage, re.MULTILINE))
    assert {"--flavour", "-D", "--check"} <= flags
    table = {row[0] for row in rows(PAGES["docs/guides/install.md"]) if row[0].startswith("`-")}
    assert {name for cell in table for name in re.findall(r"`(-{1,2}[\w-]+)", cell)} == {
        *flags,
        "--help",
    }


def test_every_flavour_is_described() -> None:
    result = re.search(r"^\| `--flavour` (.*?) \|", PAGES["docs/guides/install.md"], re.MULTILINE)
    assert result is not None
    flavours = SPAN.findall(result[1])
    assert [build.parse(["--flavour", name]).flavour for name in flavours] == flavours
    assert {"auto", "cpu", *recipe.TOOLKITS} == set(flavours)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def made(text: str) -> set[str]:
    """The targets that a page asks make for."""
    result = set()
    for line in code(text):
        # Not what a comment says, nor the value of a variable.
        command = re.sub(r'"[^"]*"', "", line.partition(" #")[0])
        for words in re.findall(r"\bmake((?: [^\s#`]+)+)", command):
            result |= {word for word in words.split() if re.fullmatch("[a-z]+(-[a-z]+)*", word)}
    return result


def test_every_target_is_described() -> None:
    assert len(targets()) > 5
    assert targets() - made(PAGES["CONTRIBUTING.md"]) == set()


@pytest.mark.parametrize("page", PAGES)
def test_a_target_that_a_page_names_exists(page: str) -> None:
    assert made(PAGES[page]) - targets() == set()


# Logs


def test_every_field_of_a_requests_line_is_described() -> None:
    record = RequestRecord("id", 0.0, "m", 200, 1.0, 1.0, 1.0, 1, 1.0, "1 message", "why")
    table = section(PAGES["docs/reference/logs.md"], "A request")
    result = [row[0].strip("`") for row in rows(table) if row[0].startswith("`")]
    assert result == list(summary(record, "GET", "/", 1.0))


# Pages


def test_the_readme_fits_a_screen_and_names_the_two_commands() -> None:
    text = PAGES["README.md"]
    assert text.count("\n") <= LONGEST_README
    assert {"run", "test"} <= made(text)


@pytest.mark.parametrize("page", PAGES)
def test_a_file_that_a_page_names_exists(page: str) -> None:
    spans = SPAN.findall(FENCE.sub("", PAGES[page]))
    named = {span for span in spans if re.fullmatch(r"[\w./]+/([\w.]+\.(py|json))?", span)}
    # The architecture's paths begin below `gateway/` where they do not name a package of ours.
    ours = {name for name in named if re.match(r"(gateway|runners|tests|bench)/", name)}
    if page == ARCHITECTURE:
        ours = {name if name in ours else f"gateway/{name}" for name in named}
    assert [name for name in sorted(ours) if not (ROOT / name).exists()] == []


def test_the_architecture_names_what_the_code_has() -> None:
    spans = SPAN.findall(FENCE.sub("", PAGES[ARCHITECTURE]))
    named = {span for span in spans if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", span)}
    files = {span for span in named if span.endswith((".py", ".json", ".md"))}
    words = {word for span in named - files for word in span.split(".")}
    sources = (path.read_text() for part in PARTS for path in (ROOT / part).rglob("*.py"))
    known = set(re.findall(r"\w+", "\n".join((*sources, *PARTS, *PACKAGES))))
    assert {"find_model", "send_now", "Scheduler"} <= words
    assert words - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", PAGES[page])):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_the_readme_leads_to_every_page() -> None:
    linked = {PurePath(link.partition("#")[0]) for link in LINK.findall(PAGES["README.md"])}
    pages = {PurePath(page) for page in PAGES if page.startswith("docs/")}
    assert pages
    assert pages - linked == set()


# OpenAI


@pytest.mark.parametrize(
    ("title", "fields"),
    [
        ("Chat completions", openai_fields.CHAT.fields),
        ("Completions", openai_fields.COMPLETION.fields),
    ],
)
def test_every_field_of_a_request_is_in_its_table_with_what_happens(
    title: str, fields: Mapping[str, RequestField]
) -> None:
    page = (REFERENCE / "openai.md").read_text()
    result = [tuple(row) for row in rows(section(page, title)) if row[0].startswith("`")]
    assert result == [(f"`{name}`", field.doc) for name, field in fields.items()]
