"""The line editor of the prompt loop: prompt_toolkit's, with its history, paste and completion."""

from collections.abc import Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from gateway.cli.console import Console, dimensions
from gateway.cli.repl import COMMAND_NAMES, PROMPT, is_open_block

CONTINUATION = "... "


def message_reader(
    console: Console, *, input: Input | None = None, output: Output | None = None
) -> Callable[[], str]:
    """A function that reads one message at the terminal; a block between `\"""` marks is one.

    It raises EOFError for Ctrl+D on an empty line and KeyboardInterrupt for Ctrl+C. The history is
    kept in memory.
    """
    session = PromptSession[str](
        PROMPT,
        # Enter ends a message, except in a block, where it begins another line.
        multiline=Condition(lambda: is_open_block(session.default_buffer.text)),
        prompt_continuation=CONTINUATION,
        completer=WordCompleter(list(COMMAND_NAMES), sentence=True),
        # On Tab only, and below the line: a menu would keep eight lines free under every prompt.
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        input=input,
        output=output or terminal_output(console),
    )
    return session.prompt


def terminal_output(console: Console) -> Output:
    """The terminal behind standard output."""

    def size() -> Size:
        columns, rows = dimensions(console.stdout)
        return Size(rows=rows, columns=columns)

    # Without the question where the cursor is: only menus need the answer, and a terminal that does
    # not give any gets a warning printed over the conversation.
    return Vt100_Output(console.stdout, size, term=console.environ.get("TERM"), enable_cpr=False)
