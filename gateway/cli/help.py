"""Help pages, built from the table of commands."""

from collections.abc import Iterable, Sequence

from gateway.cli.commands import COMMANDS, Command
from gateway.cli.flags import HELP, Flag, switch

ROOT_FLAGS = (switch("version", "show the version", short="v"),)


def root_page() -> str:
    """What `paddock --help` prints."""
    lines = ["A local model server and its command line", ""]
    lines += ["Usage:", "  paddock [flags]", "  paddock [command]", ""]
    lines += ["Available Commands:"]
    rows = [(command.name, command.summary) for command in COMMANDS]
    rows.append(("help", "Help about any command"))
    lines += [f"  {name:<11} {summary}" for name, summary in rows]
    lines += ["", "Flags:", *_flags(ROOT_FLAGS), ""]
    lines.append('Use "paddock [command] --help" for more information about a command.')
    return _page(lines)


def command_page(command: Command) -> str:
    """What `paddock COMMAND --help` prints."""
    usage = " ".join(part for part in (command.name, command.usage, "[flags]") if part)
    lines = [command.summary, "", "Usage:", f"  paddock {usage}", ""]
    if command.aliases:
        lines += ["Aliases:", f"  {', '.join((command.name, *command.aliases))}", ""]
    lines += ["Flags:", *_flags(command.flags)]
    if command.variables:
        lines += ["", "Environment Variables:"]
        lines += [f"      {name:<27}   {text}" for name, text in command.variables]
    return _page(lines)


def _flags(flags: Sequence[Flag]) -> list[str]:
    """One line per flag, by name; the texts start three columns after the longest left part."""
    ordered = sorted((*flags, HELP), key=lambda flag: flag.name)
    lefts = [_left(flag) for flag in ordered]
    width = max(map(len, lefts))
    return [f"{left:<{width}}   {flag.text}" for left, flag in zip(lefts, ordered, strict=True)]


def _left(flag: Flag) -> str:
    start = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
    if flag.kind == "bool":
        return start
    return f"{start} {flag.kind}" + (f'[="{flag.bare}"]' if flag.bare is not None else "")


def _page(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
