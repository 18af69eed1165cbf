"""The prompt loop of `run`: type, read the answer, go on. The conversation is kept in memory."""

from collections.abc import Callable

from gateway.cli.client import Api, ServerError
from gateway.cli.console import Console
from gateway.cli.json_fields import JsonMapping, objects_field, text_field
from gateway.cli.media_paths import extract_media, may_name_media
from gateway.cli.progress import WaitingSpinner
from gateway.cli.render import statistics
from gateway.cli.run import RunOptions, print_stream

PROMPT = ">>> "
MARK = '"""'
LEAVE = ("/bye", "/exit")
CLEAR = "/clear"
LIST_COMMANDS = ("/?", "/help")
COMMAND_NAMES = (CLEAR, *LEAVE, *LIST_COMMANDS)
HINT = "Use Ctrl + d or /bye to exit."
HELP = f"""Available Commands:
  /clear          Clear session context
  /bye, /exit     Exit
  /?, /help       Help for a command

Use {MARK} to begin and to end a message of several lines.
"""
# A wrong --think is for the user to see, and no reason to lose the conversation.
HARMLESS_ERRORS = ("does not support thinking", "invalid think value")


def chat(
    options: RunOptions,
    info: JsonMapping,
    read_message: Callable[[], str],
    console: Console,
    api: Api,
) -> None:
    """Load the model, then read and answer until the user leaves.

    `read_message` shows the prompt and returns what was typed; it raises EOFError for Ctrl+D and
    KeyboardInterrupt for Ctrl+C.
    """
    with WaitingSpinner(console):
        for _ in api.stream("/api/generate", options.request(prompt="")):
            pass
    console.out(stored_conversation(info))
    # The server adds the stored messages to every request itself, so they are not sent.
    history: list[dict[str, object]] = []
    while True:
        try:
            text = read_message()
        except EOFError:
            return
        except KeyboardInterrupt:
            console.out(f"\n{HINT}\n")
            continue
        if is_command(text, options):
            name = text.split()[0]
            if name in LEAVE:
                return
            run_command(name, history, console)
        elif (content := without_marks(text)).strip():
            history.append(user_message(content, options, console))
            answer_turn(options, history, console, api)


def is_open_block(text: str) -> bool:
    """`text` begins with a mark, and no mark ends it yet."""
    return text.startswith(MARK) and not text.removeprefix(MARK).endswith(MARK)


def without_marks(text: str) -> str:
    """The message of a block, or `text` itself."""
    return text.removeprefix(MARK).removesuffix(MARK) if text.startswith(MARK) else text


def stored_conversation(info: JsonMapping) -> str:
    """The messages a model begins with, as if they had been typed here."""
    text = ""
    for message in objects_field(info, "messages"):
        content = text_field(message, "content")
        if message.get("role") == "user":
            text += f"{PROMPT}{content}\n"
        elif message.get("role") == "assistant":
            text += f"{content}\n\n"
    return text


def is_command(text: str, options: RunOptions) -> bool:
    """`text` is for the prompt loop, not for the model."""
    # An absolute path begins with a slash as well.
    return text.startswith("/") and not (options.takes_media and may_name_media(text))


def run_command(name: str, history: list[dict[str, object]], console: Console) -> None:
    """Carry out a command that does not leave."""
    if name == CLEAR:
        history.clear()
        console.out("Cleared session context\n")
    elif name in LIST_COMMANDS:
        console.note(HELP)
    else:
        console.out(f"Unknown command '{name}'. Type /? for help\n")


def user_message(text: str, options: RunOptions, console: Console) -> dict[str, object]:
    """A user's turn, with the images it names when the model takes any."""
    if not options.takes_media:
        return {"role": "user", "content": text}
    content, images = extract_media(text, console)
    return {"role": "user", "content": content} | ({"images": images} if images else {})


def answer_turn(
    options: RunOptions, history: list[dict[str, object]], console: Console, api: Api
) -> None:
    """Print one answer and add it to the history."""
    renderer = options.renderer(console)
    stream = api.stream("/api/chat", options.request(messages=history))
    try:
        last = print_stream(stream, renderer, console)
    except KeyboardInterrupt:
        # The question stays in the history and half an answer does not: as in Ollama. The newline
        # keeps the next prompt off its line.
        console.out(f"{renderer.finish()}\n")
        return
    except ServerError as exc:
        if not any(text in exc.message for text in HARMLESS_ERRORS):
            raise
        history.pop()
        console.note(f"error: {exc.message}")
        return
    message: dict[str, object] = {"role": "assistant", "content": renderer.content}
    # Templates of thinking models show the model its earlier thoughts.
    history.append(message | ({"thinking": renderer.thinking} if renderer.thinking else {}))
    console.out(f"{renderer.finish()}\n\n")
    if options.verbose:
        console.stderr.write(statistics(last))
