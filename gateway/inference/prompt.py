"""From a generation to the call that a runner gets, rendered by the engine or here.

A builder never changes: what the next call is made of is a PromptState, see `recover`.
"""

import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from gateway.errors import Broken
from gateway.golang.template import TemplateError
from gateway.inference.history import drop_points, media_parts
from gateway.inference.types import Attempt, GenerationRequest, PromptState
from gateway.llama import requests
from gateway.llama.events import ChatEventReader, CompletionEventReader
from gateway.llama.queries import (
    apply_template,
    bos_text,
    count_tokens,
    detokenize,
    known_bos_text,
    media_marker,
    tokenize,
)
from gateway.llama.requests import JsonObject, Message, Prompt, ThinkLevel
from gateway.store.model import Model
from gateway.templates import forced_call
from gateway.templates.media import Rendered, marked, placed
from gateway.templates.messages import ThinkFlags
from gateway.templates.reasoning import ReasoningParser
from gateway.templates.render import Template
from gateway.templates.tool_calls import CallParser
from runners import Lease, Spec

_IMAGE_TOKENS = 768
"""What an image is assumed to need in the context, where a projector of its own reads it."""
_ID_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Generation:
    """A request with all that its model adds to it, checked."""

    request: GenerationRequest
    model: Model
    spec: Spec
    context: int
    """Tokens that prompt and reply may have; those of the runner may be more."""
    messages: Sequence[Message]
    """The model's own first."""
    think: ThinkLevel
    sampling: JsonObject

    @property
    def batch(self) -> int:
        """Tokens that the runner computes at once."""
        return self.spec.batch or requests.BATCH


@dataclass(frozen=True, slots=True)
class PromptBuilder(ABC):
    """Makes the calls of one generation."""

    generation: Generation

    @property
    def start(self) -> PromptState:
        """What the first call is made of."""
        return PromptState(self.generation.messages)

    async def attempt(self, lease: Lease, state: PromptState) -> Attempt:
        """The call that `state` makes."""
        attempt = await self._attempt(lease, state)
        if state.cached:
            return attempt
        return replace(attempt, call=requests.uncached(attempt.call))

    @abstractmethod
    async def _attempt(self, lease: Lease, state: PromptState) -> Attempt: ...

    @abstractmethod
    async def render(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        """The prompt that `messages` become."""

    @abstractmethod
    async def count(self, lease: Lease, state: PromptState) -> int:
        """Tokens of the prompt, media and what the vocabulary puts before it included."""

    async def count_sent(self, lease: Lease, attempt: Attempt) -> int:
        """Tokens of the prompt of `attempt`."""
        return await self.count(lease, attempt.state)

    def can_drop(self, state: PromptState) -> bool:
        """Whether the prompt becomes shorter with fewer messages."""
        return bool(drop_points(state.messages))

    async def fits(self, lease: Lease, messages: Sequence[Message]) -> bool:
        """Whether a prompt of `messages` fits, by Ollama's count; the engine may need two more."""
        count = len(await tokenize(lease, (await self.render(lease, messages)).text))
        if self.generation.model.projectors:
            count += _IMAGE_TOKENS * len(media_parts(messages))
        return count <= self.generation.context


class EngineChat(PromptBuilder):
    """A conversation by the GGUF's own chat template: the engine renders it and reads the reply."""

    async def _attempt(self, lease: Lease, state: PromptState) -> Attempt:
        generation, request = self.generation, self.generation.request
        call = requests.chat(
            state.messages,
            generation.sampling,
            generation.think,
            tools=request.tools,
            response_format=request.response_format,
            top_logprobs=request.top_logprobs,
            extra=request.extra,
            batch=generation.batch,
        )
        return Attempt(call, ChatEventReader(), state)

    async def render(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        request, think = self.generation.request, self.generation.think
        return Rendered(await apply_template(lease, messages, think, request.tools), ())

    async def count(self, lease: Lease, state: PromptState) -> int:
        return await count_tokens(lease, (await self._attempt(lease, state)).call)


@dataclass(frozen=True, slots=True)
class RenderedCompletion(PromptBuilder):
    """A prompt that is rendered here, and a reply whose text is read here."""

    # A TEMPLATE beats the GGUF's own template, as in Ollama: whoever made the model wrote it for
    # this model, while the GGUF's may be that of the model it was trained from.
    template: Template | None = None
    """None: the GGUF's own."""
    tags: tuple[str, str] | None = None
    """What stands before and after thinking, if that is known."""

    @property
    def tool_tag(self) -> str:
        """What stands before a tool call."""
        return self.template.tool_tag if self.template else ""

    @property
    def must_call(self) -> bool:
        """Whether the reply must hold a tool call: if the model makes none, it is made to."""
        request = self.generation.request
        required = request.extra.get("tool_choice") == "required"
        return required and self.template is not None and bool(request.tools)

    def can_drop(self, state: PromptState) -> bool:
        request = self.generation.request
        if state.text is not None or request.raw_prompt is not None or request.suffix:
            return False
        return bool(drop_points(state.messages))

    async def render(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        request, think = self.generation.request, self.generation.think
        if request.raw_prompt is not None:
            rendered = Rendered(request.raw_prompt, _with_markers(messages)[1])
        elif self.template is None:
            plain, media = _with_markers(messages)
            rendered = Rendered(await apply_template(lease, plain, think, request.tools), media)
        else:
            flags, today = template_think(think), date.today()
            try:
                if request.suffix:
                    prompt, media = marked(messages[-1].get("content"), 0)
                    text = self.template.insert(prompt, request.suffix, flags, today=today)
                    rendered = Rendered(text, media)
                else:
                    rendered = self.template.conversation(
                        messages, request.tools, flags, today=today
                    )
            except TemplateError as exc:
                raise Broken(str(exc)) from exc
        if request.context:
            before = await detokenize(lease, request.context)
            rendered = Rendered(before + rendered.text, rendered.media)
        return rendered

    async def _attempt(self, lease: Lease, state: PromptState) -> Attempt:
        text, media, bos = state.text, state.media, state.bos
        if text is None:
            rendered, bos = await self._without_bos(lease, state.messages)
            text, media = rendered.text, rendered.media
        # A format would forbid the model to think, so it is left to a second call, after that.
        thinks = self.tags is not None and bool(self.generation.think) and not media
        formatted = self.generation.request.response_format is not None
        thinks_first = not state.continued and thinks and formatted
        prompt: Prompt = text if state.tokens is None else state.tokens
        if media:
            marker = await media_marker(lease)
            prompt = requests.with_media(*placed(Rendered(text, media), marker))
        reader = self._reader(state, text, stop_at_text=thinks_first)
        call = self._completion(prompt, state, constrained=not thinks_first)
        return Attempt(call, reader, state, text, media, bos)

    async def _without_bos(self, lease: Lease, messages: Sequence[Message]) -> tuple[Rendered, str]:
        """The prompt without what the engine begins every prompt with, and what that is."""
        # Many templates write the token themselves, and a prompt that has it twice is another one.
        rendered = await self.render(lease, messages)
        bos = known_bos_text(self.generation.spec.digest)
        if bos is None:
            bos = await bos_text(lease)
        if not bos or not rendered.text.startswith(bos):
            return rendered, ""
        return replace(rendered, text=rendered.text.removeprefix(bos)), bos

    async def count_sent(self, lease: Lease, attempt: Attempt) -> int:
        if attempt.state.tokens is not None:
            return 0  # they were cut to what fits for certain
        return len(await tokenize(lease, attempt.text, special=True))

    async def count(self, lease: Lease, state: PromptState) -> int:
        rendered, _ = await self._without_bos(lease, state.messages)
        if not rendered.media:
            return len(await tokenize(lease, rendered.text, special=True))
        marker = await media_marker(lease)
        text, data = placed(rendered, marker)
        count = len(await tokenize(lease, text.split(marker), special=True))
        if not data:
            return count
        # The engine counts media in chats only, so theirs is the rest of such a chat's count.
        part = dict(zip(rendered.media, media_parts(state.messages), strict=True))
        chat = [{"role": "user", "content": [part[one] for one in data]}]
        whole = await count_tokens(lease, requests.apply_template(chat, None))
        around = (await apply_template(lease, chat, None)).split(marker)
        return count + whole - len(await tokenize(lease, around, special=True))

    def _reader(
        self, state: PromptState, text: str, *, stop_at_text: bool
    ) -> CompletionEventReader:
        splitter, finder = None, None
        if self.tags is not None and not state.forcing:
            inside = text.rstrip().endswith(self.tags[0])
            splitter = ReasoningParser(*self.tags, inside=inside)
        if self.template is not None and self.generation.request.tools:
            finder = CallParser(self.tool_tag, self.generation.request.tools)
            if state.forcing:
                finder.feed(forced_call.opening(self.tool_tag))
        return CompletionEventReader(
            splitter,
            finder,
            new_call_id,
            stop_at_text=stop_at_text,
            must_call=self.must_call and not state.forcing,
            quiet=not self.generation.think,
            spent=state.spent,
            prompt_tokens=state.prompt_tokens,
        )

    def _completion(
        self, prompt: Prompt, state: PromptState, *, constrained: bool
    ) -> requests.Call:
        generation, request = self.generation, self.generation.request
        schema: JsonObject | None = None
        if state.forcing:
            schema = forced_call.schema(request.tools, generation.model.template or "")
        elif request.response_format and constrained:
            schema = requests.schema_of(request.response_format)
        sampling = dict(generation.sampling)
        if state.spent:
            most: Any = sampling["n_predict"]
            sampling["n_predict"] = max(most - state.spent, 1)
        return requests.completion(
            prompt,
            sampling,
            schema=schema,
            top_logprobs=request.top_logprobs,
            extra=request.extra,
            batch=generation.batch,
        )


def _with_markers(messages: Sequence[Message]) -> tuple[list[Message], tuple[str, ...]]:
    """Messages of text alone, with markers for their media, and the media."""
    plain: list[Message] = []
    media: tuple[str, ...] = ()
    for message in messages:
        text, more = marked(message.get("content"), len(media))
        plain.append({**message, "content": text})
        media += more
    return plain, media


def template_think(think: ThinkLevel) -> ThinkFlags:
    """What a TEMPLATE sees of it: a switch without a level means a medium one."""
    level = think if isinstance(think, str) else "medium" if think else ""
    return ThinkFlags(bool(think), level, think is not None)


def new_call_id() -> str:
    """A new id for a tool call."""
    return "call_" + "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
