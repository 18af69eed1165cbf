"""What Ollama's command line does and click does not, on top of click's own parser.

Ollama's parser (pflag) and click differ in two points that scripts depend on:

- A value that may be left out has to be attached with `=`: in `--think low` the word `low` belongs
  to the prompt, and switches are turned off by `--verbose=false`. click would read `low` as the
  value of `--think`, and refuses any value for a switch.
- `-f=x` means `x`, which click reads as `=x`.

To click each such flag is an option with an optional value, and `attach_values` writes every value
where both parsers agree on it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

import click

ALIASES = {"start": "serve", "ls": "list"}

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def switch(
    *names: str, help: str, default: bool | None = False
) -> Callable[[Decorated], Decorated]:
    """A flag that is on when it is there; `--name=false` turns it off."""
    # The empty metavar keeps the help page from announcing a value that nobody needs to give.
    return click.option(
        *names,
        is_flag=False,
        flag_value="true",
        type=click.BOOL,
        default=default,
        metavar="",
        help=help,
    )


def attach_values(arguments: Iterable[str], parameters: Iterable[click.Parameter]) -> list[str]:
    """The arguments, `--think` written as `--think=true`, `-v` as `--verbose=true`, `-f=x` in full.

    Only what `parameters` declare is changed, and nothing after `--`.
    """
    options = {
        name: parameter
        for parameter in parameters
        if isinstance(parameter, click.Option) and not parameter.is_flag
        for name in parameter.opts
    }
    attached: list[str] = []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        name, equals, value = argument.partition("=")
        option, joined = options.get(name), options.get(argument[:2])
        if argument == "--":
            return [*attached, argument, *rest]
        if option is None:
            if joined and has_bare_value(joined):
                # `-vh` is `-v -h`; behind a flag that needs a value the rest would be that value.
                rest.extendleft([f"-{argument[2:]}", argument[:2]])
            else:
                attached.append(argument)
        elif equals:
            attached.append(f"{option.opts[-1]}={value}")
        elif has_bare_value(option):
            attached.append(f"{option.opts[-1]}={option.flag_value}")
        else:
            # Its value is the next argument, even one that looks like a flag.
            attached += [argument, *(rest.popleft() for _ in range(min(1, len(rest))))]
    return attached


def has_bare_value(option: click.Option) -> bool:
    """The value of `option` may be left out."""
    return isinstance(option.flag_value, str)


class FlagCommand(click.Command):
    """A command that reads its flags the way Ollama's do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, attach_values(args, self.get_params(ctx)))


class CommandTree(click.Group):
    """Commands in the order of their declaration, with aliases, and flags in front of the name."""

    command_class = FlagCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `paddock --verbose run m` is `paddock run --verbose m`: scripts put the flags of a command
        # in front of its name, and click would look for them among the flags of `paddock`.
        first = next((i for i, word in enumerate(args) if not word.startswith("-")), 0)
        return super().parse_args(
            ctx, [*args[first : first + 1], *args[:first], *args[first + 1 :]]
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)
