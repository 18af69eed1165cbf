"""The lines typed at the prompt loop, put together to messages."""

import contextlib
from collections.abc import Callable

from gateway.cli.repl import PROMPT, is_open_block

CONTINUATION = "... "


def message_reader(ask: Callable[[str], str] = input) -> Callable[[], str]:
    """A function that reads one message; a block between `\"""` marks is one."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives `input` line editing and a history

    def read() -> str:
        text = ask(PROMPT)
        while is_open_block(text):
            text += f"\n{ask(CONTINUATION)}"
        return text

    return read
