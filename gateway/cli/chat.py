"""The prompt loop of `run`: type, read the answer, go on. The conversation is kept in memory."""

import contextlib
from collections.abc import Mapping
from typing import Any

from gateway.cli import attachments
from gateway.cli.answer import statistics
from gateway.cli.client import Api, ApiError
from gateway.cli.console import Console
from gateway.cli.progress import display
from gateway.cli.run import Options, tell

PROMPT, CONTINUATION = ">>> ", "... "
MARK = '"""'
HINT = "Use Ctrl + d or /bye to exit."
HELP = f"""Available Commands:
  /clear          Clear session context
  /bye, /exit     Exit
  /?, /help       Help for a command

Use {MARK} to begin and to end a message of several lines.
"""
# A wrong --think is for the user to see, and no reason to lose the conversation.
FORGIVEN = ("does not support thinking", "invalid think value")

Message = dict[str, Any]


class Draft:
    """The message being typed: one line, or the lines between two `\"""` marks."""

    def __init__(self) -> None:
        self._lines: list[str] | None = None

    @property
    def open(self) -> bool:
        """A block has begun and not ended."""
        return self._lines is not None

    def feed(self, line: str) -> str | None:
        """The whole message, once `line` completes it."""
        if self._lines is None:
            if not line.startswith(MARK):
                return line
            self._lines = []
            line = line.removeprefix(MARK)
        self._lines.append(line.removesuffix(MARK))
        if not line.endswith(MARK):
            return None
        message = "\n".join(self._lines)
        self.reset()
        return message

    def reset(self) -> None:
        self._lines = None


def chat(options: Options, info: Mapping[str, Any], console: Console, api: Api) -> int:
    """Load the model, then read and answer until the user leaves."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives `input` line editing and a history

    load(options, console, api)
    console.out(stored(info.get("messages") or []))
    history: list[Message] = []
    draft = Draft()
    while True:
        try:
            line = console.ask(CONTINUATION if draft.open else PROMPT)
        except EOFError:
            console.out("\n")
            return 0
        except KeyboardInterrupt:
            draft.reset()
            console.out(f"\n{HINT}\n")
            continue
        if not draft.open and is_command(line, options):
            if line.split()[0] in ("/bye", "/exit"):
                return 0
            command(line, history, console)
        elif (text := draft.feed(line)) and text.strip():
            history.append(message(text, options, console))
            turn(options, history, console, api)


def load(options: Options, console: Console, api: Api) -> None:
    """Bring the model into memory while something turns."""
    with display(console) as waiting:
        waiting.status("")
        try:
            for _ in api.stream("/api/generate", options.body(prompt="")):
                pass
        finally:
            waiting.clear()


def stored(messages: list[Message]) -> str:
    """The messages a model begins with, as if they had been typed here."""
    text = ""
    for item in messages:
        if item.get("role") == "user":
            text += f"{PROMPT}{item.get('content', '')}\n"
        elif item.get("role") == "assistant":
            text += f"{item.get('content', '')}\n\n"
    return text


def is_command(line: str, options: Options) -> bool:
    """A line for us, not for the model: a slash and a word, unless it may name an image."""
    return line.startswith("/") and not (options.sees and attachments.hinted(line))


def command(line: str, history: list[Message], console: Console) -> None:
    """Carry out a slash command that does not leave."""
    name = line.split()[0]
    if name == "/clear":
        history.clear()
        console.out("Cleared session context\n")
    elif name in ("/?", "/help"):
        console.note(HELP)
    else:
        console.out(f"Unknown command '{name}'. Type /? for help\n")


def message(text: str, options: Options, console: Console) -> Message:
    """A user's turn, with the images it names when the model takes any."""
    if not options.sees:
        return {"role": "user", "content": text}
    content, images = attachments.take(text, console)
    return {"role": "user", "content": content} | ({"images": images} if images else {})


def turn(options: Options, history: list[Message], console: Console, api: Api) -> None:
    """One answer, printed and added to the history; an interrupted one is printed only."""
    answer = options.answer(console)
    try:
        final = tell(api.stream("/api/chat", options.body(messages=history)), answer, console)
    except KeyboardInterrupt:
        console.out(f"{answer.finish()}\n")
        return
    except ApiError as exc:
        if not any(text in exc.message for text in FORGIVEN):
            raise
        history.pop()
        console.note(f"error: {exc.message}")
        return
    said = {"role": "assistant", "content": answer.content}
    history.append(said | ({"thinking": answer.thinking} if answer.thinking else {}))
    console.out(f"{answer.finish()}\n\n")
    if options.verbose:
        console.stderr.write(statistics(final))
