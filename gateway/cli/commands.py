"""The table of commands: what each is called, what it takes and which module runs it.

Nothing here imports those modules, so help is instant.
"""

from dataclasses import dataclass

from gateway.cli.flags import Flag, switch
from gateway.errors import Invalid

HOST = ("PADDOCK_HOST", "address of the Paddock server (default 127.0.0.1:11434)")
NO_COLOR = ("NO_COLOR", "no colours, whatever the terminal can do")

INSECURE = switch("insecure", "speak plain http with the registry")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `run` is `module:function` below `gateway.cli`."""

    name: str
    run: str
    summary: str
    usage: str = ""  # what follows the name
    least: int = 0  # words it needs
    exact: bool = False  # and it takes no more
    flags: tuple[Flag, ...] = ()
    aliases: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = (HOST,)
    client: bool = True  # talks to a server, which must answer before it runs

    def check(self, words: tuple[str, ...]) -> None:
        """Raise Invalid when the number of words is not one this command takes."""
        if self.exact and len(words) != self.least:
            raise Invalid(f"accepts {self.least} arg(s), received {len(words)}")
        if len(words) < self.least:
            raise Invalid(f"requires at least {self.least} arg(s), only received {len(words)}")


COMMANDS = (
    Command(
        "serve",
        "serve:serve",
        "Start the server",
        exact=True,
        aliases=("start",),
        variables=(("PADDOCK_HOST", "address to listen on (default 127.0.0.1:11434)"),),
        client=False,
    ),
    Command(
        "create",
        "create:create",
        "Create a model from a Modelfile",
        "MODEL",
        least=1,
        exact=True,
        flags=(
            Flag("file", "Modelfile to read, - for standard input", short="f"),
            Flag("quantize", "quantise the model to this type (e.g. q4_K_M)", short="q"),
            Flag("draft-quantize", "quantise the draft model to this type"),
        ),
    ),
    Command(
        "show",
        "show:show",
        "Show what a model is",
        "MODEL",
        least=1,
        exact=True,
        flags=(
            switch("license", "the licence only"),
            switch("modelfile", "the Modelfile only"),
            switch("parameters", "the parameters only"),
            switch("system", "the system text only"),
            switch("template", "the template only"),
            switch("verbose", "metadata and tensors as well", short="v"),
        ),
    ),
    Command(
        "run",
        "run:run",
        "Run a model: answer a prompt, or chat",
        "MODEL [PROMPT]",
        least=1,
        flags=(
            Flag("dimensions", "length of the vector (embedding models)", kind="int"),
            Flag("format", "form of the answer: json, or a JSON schema"),
            switch("hidethinking", "do not show the thinking"),
            INSECURE,
            Flag("keepalive", "how long the model stays loaded (e.g. 5m)"),
            switch("nowordwrap", "leave long lines to the terminal"),
            Flag("think", "true, false, high, medium, low or max", bare="true"),
            switch("truncate", "cut a text that is too long (embedding models)"),
            switch("verbose", "show timings after the answer"),
        ),
        variables=(HOST, NO_COLOR),
    ),
    Command("stop", "models:stop", "Unload a running model", "MODEL", least=1, exact=True),
    Command(
        "pull",
        "transfer:pull",
        "Get a model from a registry",
        "MODEL",
        least=1,
        exact=True,
        flags=(INSECURE,),
    ),
    Command(
        "push",
        "transfer:push",
        "Send a model to a registry",
        "MODEL",
        least=1,
        exact=True,
        flags=(INSECURE,),
    ),
    Command("list", "models:list_models", "List the models", "[PREFIX]", aliases=("ls",)),
    Command("ps", "models:list_running", "List the running models", "[PREFIX]"),
    Command("cp", "models:copy", "Copy a model", "SOURCE DESTINATION", least=2, exact=True),
    Command("rm", "models:remove", "Remove models", "MODEL [MODEL...]", least=1),
    Command("version", "version:version", "Show the version", exact=True, client=False),
)


def find(name: str) -> Command:
    """The command called `name`; raises Invalid, with what may have been meant."""
    for command in COMMANDS:
        if name == command.name or name in command.aliases:
            return command
    message = f'unknown command "{name}" for "paddock"'
    if near := suggestions(name):
        message += "\n\nDid you mean this?" + "".join(f"\n\t{item}" for item in near)
    raise Invalid(message)


def suggestions(name: str) -> list[str]:
    """Commands that start with `name` or are at most two edits away from it."""
    typed = name.lower()
    return [
        command.name
        for command in COMMANDS
        if command.name.startswith(typed) or distance(typed, command.name) <= 2
    ]


def distance(left: str, right: str) -> int:
    """Insertions, deletions and replacements that turn one word into the other."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = row[j], min(diagonal + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]
