"""run: one answer for a prompt from the command line or standard input, else a chat."""

import contextlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from gateway.cli.client import Api, ServerError
from gateway.cli.console import Console, dimensions, is_terminal
from gateway.cli.json_fields import JsonMapping, list_field, object_field, text_field
from gateway.cli.media_paths import extract_media
from gateway.cli.progress import WaitingSpinner
from gateway.cli.render import AnswerRenderer, WordWrap, statistics
from gateway.cli.transfer import pull_model
from gateway.errors import Invalid
from gateway.golang.duration import parse_duration

LEVELS = ("high", "medium", "low", "max")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the flags set, and what the model can do. None leaves the choice to the server."""

    model: str
    capabilities: frozenset[str] = frozenset()
    think: bool | str | None = None
    format: object = None  # "json" or a JSON schema
    keep_alive: str | int | None = None
    hide_thinking: bool = False
    word_wrap: bool = True
    verbose: bool = False
    insecure: bool = False
    truncate: bool | None = None
    dimensions: int = 0  # 0: the model's own

    @property
    def takes_media(self) -> bool:
        """The model takes images or sounds."""
        return not self.capabilities.isdisjoint(("vision", "audio"))

    def request(self, **fields: object) -> dict[str, object]:
        """A request body with the fields that every request of this run has."""
        shared = {"think": self.think, "format": self.format, "keep_alive": self.keep_alive}
        given = {name: value for name, value in shared.items() if value is not None}
        return {"model": self.model, **fields, **given}

    def renderer(self, console: Console) -> AnswerRenderer:
        """A fresh renderer for one answer on this console."""
        # A file has no width: broken lines would be part of the answer there.
        wraps = is_terminal(console.stdout) and self.word_wrap
        wrap = WordWrap(dimensions(console.stdout)[0]) if wraps else None
        return AnswerRenderer(wrap=wrap, color=console.color, hide=self.hide_thinking)


def parse_think(text: str) -> bool | str:
    """The value of --think; raises Invalid."""
    if text in LEVELS:
        return text
    if text not in ("true", "false"):
        choices = "true, false, high, medium, low, or max"
        raise Invalid(f'invalid value for --think: "{text}" (must be {choices})')
    return text == "true"


def parse_format(text: str) -> object:
    """The value of --format: `json`, a schema, or None; raises Invalid."""
    if text in ("", "json"):
        return text or None
    try:
        schema: object = json.loads(text)
    except ValueError as exc:
        raise Invalid(f"--format is neither json nor a JSON schema: {exc}") from exc
    return schema


def parse_keep_alive(text: str) -> str | int | None:
    """The value of --keepalive; raises Invalid."""
    if not text:
        return None
    # Any negative duration means for ever, which the API writes as the number -1.
    return text if parse_duration(text) >= 0 else -1


def run_model(options: RunOptions, words: Sequence[str], console: Console, api: Api) -> None:
    """Answer one prompt, or chat when there is none and someone is at the terminal."""
    piped = console.piped().decode("utf-8", "replace")
    prompt = " ".join([piped, *words] if piped else words)
    info = show_or_pull(options, console, api)
    options = with_capabilities(options, info)
    if "embedding" in options.capabilities:
        embed(options, prompt, console, api)
    elif not words and console.interactive:
        # prompt_toolkit takes some 70 ms to import, which only a chat should wait for.
        from gateway.cli.prompt import message_reader
        from gateway.cli.repl import chat

        chat(options, info, message_reader(console), console, api)
    else:
        answer_once(options, prompt, console, api)


def show_or_pull(options: RunOptions, console: Console, api: Api) -> JsonMapping:
    """What the server knows of the model, which is pulled first if it is not there."""
    try:
        return api.show(options.model)
    except ServerError as exc:
        if exc.status != 404:
            raise
    pull_model(options.model, options.insecure, console, api)
    return api.show(options.model)


def with_capabilities(options: RunOptions, info: JsonMapping) -> RunOptions:
    """The options, knowing the model: one that can think does so unless a flag decides."""
    capabilities = frozenset(str(name) for name in list_field(info, "capabilities"))
    think = options.think
    if think is None and "thinking" in capabilities:
        think = True
    return replace(options, capabilities=capabilities, think=think)


def answer_once(options: RunOptions, prompt: str, console: Console, api: Api) -> None:
    """Stream one answer. No prompt only loads the model."""
    images: list[str] = []
    if options.takes_media:
        prompt, images = extract_media(prompt, console)
    renderer = options.renderer(console)
    try:
        last = print_stream(open_stream(options, prompt, images, api), renderer, console)
    except KeyboardInterrupt:
        # Whoever has read enough ends the answer this way: exit code 0, as Ollama's.
        console.out(renderer.finish())
        return
    console.out(renderer.finish() + ("\n\n" if prompt else ""))
    if options.verbose:
        console.stderr.write(statistics(last))


def open_stream(
    options: RunOptions, prompt: str, images: list[str], api: Api
) -> Generator[JsonMapping, None, None]:
    """The reply stream for one prompt."""
    media = {"images": images} if images else {}
    # In a generate reply Ollama leaves the thinking of some templates among the text; a chat reply
    # has it apart on every server.
    if "thinking" in options.capabilities and prompt:
        message = {"role": "user", "content": prompt, **media}
        return api.stream("/api/chat", options.request(messages=[message]))
    return api.stream("/api/generate", options.request(prompt=prompt, **media))


def print_stream(
    stream: Generator[JsonMapping, None, None], renderer: AnswerRenderer, console: Console
) -> JsonMapping:
    """Print a reply as it comes, with a spinner until there is text; returns its last object."""
    last: JsonMapping = {}
    with contextlib.closing(stream), WaitingSpinner(console) as waiting:
        for event in stream:
            if text := renderer.feed(*thinking_and_content(event)):
                # The spinner and the text share the line.
                waiting.clear()
                console.out(text)
            last = event
    return last


def thinking_and_content(event: JsonMapping) -> tuple[str, str]:
    """Both texts of one object of a generate or chat stream."""
    if message := object_field(event, "message"):
        return text_field(message, "thinking"), text_field(message, "content")
    return text_field(event, "thinking"), text_field(event, "response")


def embed(options: RunOptions, prompt: str, console: Console, api: Api) -> None:
    """Print the vector of the prompt as a JSON array."""
    if not prompt:
        usage = f'paddock run {options.model} "your text here"'
        raise Invalid(f"embedding models require input text. Usage: {usage}")
    body: dict[str, object] = {"model": options.model, "input": prompt}
    if options.keep_alive is not None:
        body["keep_alive"] = options.keep_alive
    if options.truncate is not None:
        body["truncate"] = options.truncate
    if options.dimensions > 0:
        body["dimensions"] = options.dimensions
    vectors = api.embed(body)
    if not vectors:
        raise Invalid("no embeddings returned")
    console.out(json.dumps(vectors[0], separators=(",", ":")) + "\n")
