"""run: one answer for a prompt from the command line or standard input, else a chat."""

import contextlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.cli import attachments
from gateway.cli.answer import Answer, Wrap, statistics
from gateway.cli.client import Api, ApiError, Reply
from gateway.cli.console import Console, dimensions, is_terminal
from gateway.cli.flags import Arguments
from gateway.cli.progress import display
from gateway.cli.transfer import fetch
from gateway.errors import Invalid
from gateway.golang.duration import parse_duration

LEVELS = ("high", "medium", "low", "max")


@dataclass(frozen=True, slots=True)
class Options:
    """How to ask and how to show: the flags, and what the model can do."""

    model: str
    capabilities: frozenset[str]
    think: bool | str | None  # None: not said
    shape: Any  # `format` of the request; None: free text
    keep_alive: str | int | None
    hide: bool
    wordwrap: bool
    verbose: bool

    @property
    def sees(self) -> bool:
        """The model takes images or sounds."""
        return not self.capabilities.isdisjoint(("vision", "audio"))

    def body(self, **members: Any) -> dict[str, Any]:
        """A request with the members every request of this run has."""
        shared = {"think": self.think, "format": self.shape, "keep_alive": self.keep_alive}
        given = {key: value for key, value in shared.items() if value is not None}
        return {"model": self.model, **members, **given}

    def answer(self, console: Console) -> Answer:
        """A fresh answer for this console."""
        terminal = is_terminal(console.stdout)
        wrap = Wrap(dimensions(console.stdout)[0]) if terminal and self.wordwrap else None
        return Answer(wrap=wrap, color=console.color, hide=self.hide)


def run(arguments: Arguments, console: Console, api: Api) -> int:
    """Answer one prompt, or chat when there is none and someone is at the terminal."""
    model, *words = arguments.words
    options = options_for(model, arguments)
    piped = console.piped().decode("utf-8", "replace")
    prompt = " ".join([piped, *words] if piped else words)
    info = shown(model, arguments, console, api)
    options = informed(options, info)
    if "embedding" in options.capabilities:
        return embed(options, prompt, arguments, console, api)
    if not words and console.interactive:
        from gateway.cli.chat import chat

        return chat(options, info, console, api)
    return once(options, prompt, console, api)


def shown(model: str, arguments: Arguments, console: Console, api: Api) -> Reply:
    """What the server knows of a model, which is pulled first if it is not there."""
    try:
        return api.show(model)
    except ApiError as exc:
        if exc.status != 404:
            raise
    fetch(model, arguments, console, api)
    return api.show(model)


def options_for(model: str, arguments: Arguments) -> Options:
    """The flags, checked; raises Invalid."""
    return Options(
        model,
        capabilities=frozenset(),
        think=thinking(arguments.text("think")) if arguments.given("think") else None,
        shape=shape(arguments.text("format")),
        keep_alive=keep_alive(arguments.text("keepalive")),
        hide=arguments.on("hidethinking"),
        wordwrap=not arguments.on("nowordwrap"),
        verbose=arguments.on("verbose"),
    )


def informed(options: Options, info: Mapping[str, Any]) -> Options:
    """The options, knowing the model: one that can think does so unless told otherwise."""
    capabilities = frozenset(info.get("capabilities") or ())
    think = options.think
    if think is None and "thinking" in capabilities:
        think = True
    return replace(options, capabilities=capabilities, think=think)


def thinking(text: str) -> bool | str:
    """The value of --think."""
    if text in LEVELS:
        return text
    if text not in ("true", "false"):
        choices = "true, false, high, medium, low, or max"
        raise Invalid(f'invalid value for --think: "{text}" (must be {choices})')
    return text == "true"


def shape(text: str) -> Any:
    """The value of --format: `json`, a schema, or None."""
    if text in ("", "json"):
        return text or None
    try:
        return json.loads(text)
    except ValueError as exc:
        raise Invalid(f"--format is neither json nor a JSON schema: {exc}") from exc


def keep_alive(text: str) -> str | int | None:
    """The value of --keepalive; a negative one means for ever, which is -1."""
    if not text:
        return None
    return text if parse_duration(text) >= 0 else -1


def once(options: Options, prompt: str, console: Console, api: Api) -> int:
    """Stream one answer. An interrupt ends it and is no failure; no prompt only loads the model."""
    images: list[str] = []
    if options.sees:
        prompt, images = attachments.take(prompt, console)
    answer = options.answer(console)
    try:
        final = tell(ask(options, prompt, images, api), answer, console)
    except KeyboardInterrupt:
        console.out(answer.finish())
        return 0
    console.out(answer.finish() + ("\n\n" if prompt else ""))
    if options.verbose:
        console.stderr.write(statistics(final))
    return 0


def ask(options: Options, prompt: str, images: list[str], api: Api) -> Generator[Reply, None, None]:
    """The reply stream for one prompt.

    Models that think are asked as in a chat, because there the server sets thinking apart.
    """
    media = {"images": images} if images else {}
    if "thinking" in options.capabilities and prompt:
        message = {"role": "user", "content": prompt, **media}
        return api.stream("/api/chat", options.body(messages=[message]))
    return api.stream("/api/generate", options.body(prompt=prompt, **media))


def tell(
    stream: Generator[Reply, None, None], answer: Answer, console: Console
) -> Mapping[str, Any]:
    """Print a reply as it comes; returns its last object. Something turns until there is text."""
    final: Mapping[str, Any] = {}
    with contextlib.closing(stream), display(console) as waiting:
        waiting.status("")
        try:
            for reply in stream:
                if text := answer.feed(*pieces(reply)):
                    waiting.clear()
                    console.out(text)
                final = reply
        finally:
            waiting.clear()
    return final


def pieces(reply: Mapping[str, Any]) -> tuple[str, str]:
    """Thinking and content of one object of a generate or chat stream."""
    message = reply.get("message")
    if isinstance(message, Mapping):
        return str(message.get("thinking") or ""), str(message.get("content") or "")
    return str(reply.get("thinking") or ""), str(reply.get("response") or "")


def embed(options: Options, prompt: str, arguments: Arguments, console: Console, api: Api) -> int:
    """Print the vector of the prompt as a JSON array."""
    if not prompt:
        usage = f'paddock run {options.model} "your text here"'
        raise Invalid(f"embedding models require input text. Usage: {usage}")
    body: dict[str, Any] = {"model": options.model, "input": prompt}
    if options.keep_alive is not None:
        body["keep_alive"] = options.keep_alive
    if arguments.given("truncate"):
        body["truncate"] = arguments.on("truncate")
    if arguments.number("dimensions") > 0:
        body["dimensions"] = arguments.number("dimensions")
    vectors = api.embed(body)
    if not vectors:
        raise Invalid("no embeddings returned")
    console.out(json.dumps(vectors[0], separators=(",", ":")) + "\n")
    return 0
