"""From a turn to what its runner is asked, and asked again when the prompt was too long.

The common case costs one call: only when the engine refuses a prompt for its length is it known
that it must be shortened. Then the oldest messages go, as many as must, while system messages and
the last one stay; and if that one alone is too long, the middle of its prompt goes.
"""

import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from gateway.errors import Broken, Invalid
from gateway.golang.template import TemplateError
from gateway.http.request_log import Facts
from gateway.inference.encoder import Translation
from gateway.inference.history import Message, cut, gathered, media_of, starts, tail
from gateway.inference.types import Call, Restart, Turn
from gateway.llama import requests as engine
from gateway.llama.events import ChatReader, CompletionReader
from gateway.llama.queries import ask, beginning, counted, media_marker, tokens
from gateway.store.model import Model
from gateway.templates import forced_call as forced
from gateway.templates.media import Rendered, marked, placed
from gateway.templates.reasoning import ReasoningParser
from gateway.templates.render import Template
from gateway.templates.tool_calls import CallParser
from gateway.templates.values import Think
from runners import Lease, Refused, Spec

TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the "
    "prompt, adjust the context length in settings, or use a model with a longer context length"
)
_OVERFLOW = "exceed_context_size_error"
# What the engine says where a prompt in its cache parts from this one between two images.
_BETWEEN_IMAGES = "Chunk not found"
# What the engine says where a chat template itself refuses a conversation.
_TEMPLATE_REFUSED = "Jinja Exception"
_PICTURE_TOKENS = 768
"""What an image is taken to need in the context, where a projector of its own reads it."""
_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Inference:
    """A turn with all that its model says, checked."""

    turn: Turn
    model: Model
    spec: Spec
    context: int
    """Tokens that prompt and reply may have; those of the runner may be more."""
    messages: Sequence[Message]
    """The model's own first."""
    think: bool | str | None
    sampling: Mapping[str, Any]


@dataclass(slots=True)
class Prompting(ABC):
    """One turn on its way to a runner. Every call sets the reader that its reply needs."""

    asked: Inference
    translation: Translation
    facts: Facts
    messages: Sequence[Message] = ()
    """What is left of the conversation."""
    _shortened: bool = False
    _uncached: bool = False
    _gathered: bool = False

    def __post_init__(self) -> None:
        self.messages = self.asked.messages
        self.translation.single = self.asked.turn.extra.get("parallel_tool_calls") is False

    async def first(self, lease: Lease) -> Call:
        """What to ask to begin with. A larger runner would not refuse what is too long here."""
        call: Call | None = await self.call(lease)
        context = self.asked.context
        while call is not None and context < self.asked.spec.context:
            if len(call.body) < context or (count := await self._sent(lease)) < context:
                break
            too_long = f"request ({count} tokens) exceeds the available context size ({context}"
            refused = Refused(f"{too_long} tokens), try increasing it", 400, _OVERFLOW)
            call = await self.retry(lease, refused)
            if call is None:
                raise refused
        assert call is not None
        return call

    async def _sent(self, lease: Lease) -> int:
        """Tokens of the prompt that is to be sent."""
        return await self.count(lease)

    @abstractmethod
    async def call(self, lease: Lease) -> Call: ...

    @abstractmethod
    async def text(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        """The prompt that `messages` become."""

    async def retry(self, lease: Lease, reason: Refused | Restart) -> Call | None:
        """What to ask instead; None: nothing else."""
        if isinstance(reason, Restart):
            return await self._restarted(lease)
        if _BETWEEN_IMAGES in reason.message and not self._uncached:
            self._uncached = True
            return engine.uncached(await self.call(lease))
        if self._gather(reason):
            return await self.call(lease)
        if reason.kind != _OVERFLOW or not self.asked.turn.truncate:
            return None
        if not self._can_shorten():
            return await self._cut(lease)
        await self.shorten(lease)
        return await self.call(lease)

    def _gather(self, reason: Refused) -> bool:
        """Whether the template refused it, and what it is given next is another conversation."""
        if _TEMPLATE_REFUSED not in reason.message or self._gathered:
            return False
        self._gathered, before = True, self.messages
        self.messages = gathered(before)
        return self.messages != before

    def _can_shorten(self) -> bool:
        """Whether the prompt becomes shorter with fewer messages."""
        return bool(starts(self.messages))

    async def shorten(self, lease: Lease) -> None:
        """Leave out as few of the oldest messages as need be; from the second time on, one.

        For what fits by Ollama's count may still be a token or two too long for the engine.
        """
        candidates = starts(self.messages)
        low, high = 0, 0 if self._shortened else len(candidates) - 1
        self._shortened = True
        while low < high:
            middle = (low + high) // 2
            if await self._fits(lease, tail(self.messages, candidates[middle])):
                high = middle
            else:
                low = middle + 1
        self.messages = tail(self.messages, candidates[low])
        self._note()

    async def fit(self, lease: Lease) -> None:
        """Shorten now if that will be needed; for prompts that are shown, not run."""
        if not self.asked.turn.truncate or not self._can_shorten():
            return
        if not await self._fits(lease, self.messages):
            await self.shorten(lease)

    @abstractmethod
    async def count(self, lease: Lease) -> int:
        """Tokens of the prompt, media and what the vocabulary puts before it included."""

    async def _fits(self, lease: Lease, messages: Sequence[Message]) -> bool:
        count = len(await tokens(lease, (await self.text(lease, messages)).text))
        if self.asked.model.projectors:
            count += _PICTURE_TOKENS * len(media_of(messages))
        return count <= self.asked.context

    async def _cut(self, lease: Lease) -> Call | None:
        """A shorter prompt that is no whole conversation any more."""
        return None

    async def _restarted(self, lease: Lease) -> Call | None:
        """What goes on from the reply so far."""
        return None

    def _note(self, tokens: int = 0) -> None:
        """Write down what was left out: messages, and `tokens` of what they became."""
        gone = len(self.asked.messages) - len(self.messages)
        told = {"messages": gone, "tokens": tokens}
        self.facts.cut = ", ".join(f"{count} {what}" for what, count in told.items() if count)


class NativeChat(Prompting):
    """A conversation by the GGUF's own chat template: the engine does it all."""

    async def call(self, lease: Lease) -> Call:
        asked = self.asked
        self.translation.reader = ChatReader()
        batch = asked.spec.batch or engine.BATCH
        return engine.chat(asked.turn, self.messages, asked.sampling, asked.think, batch)

    async def text(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        call = engine.render(messages, self.asked.think, self.asked.turn.tools)
        return Rendered(str((await ask(lease, call))["prompt"]), ())

    async def count(self, lease: Lease) -> int:
        return await counted(lease, await self.call(lease))


@dataclass(slots=True)
class Completing(Prompting):
    """A prompt that is put together here, and a reply that is read here."""

    template: Template | None = None
    """None: the GGUF's own."""
    whole: str | None = None
    """A prompt that is complete already; conversations do not matter then."""
    suffix: str = ""
    """What follows the text that is asked for."""
    earlier: Sequence[int] = ()
    """Tokens of a conversation before the prompt."""
    tags: tuple[str, str] | None = None
    """What thinking stands between."""
    prompt: str = ""
    """The prompt as it was sent last."""
    begun: str = ""
    """What stood before it, and is the engine's to put there."""
    media: tuple[str, ...] = ()
    forcing: bool = False
    """Whether nothing but a tool call can follow."""
    constrained: bool = True
    """Whether the reply must keep to the format."""
    reader: CompletionReader = field(default_factory=CompletionReader)
    _going_on: bool = False
    """Whether part of the reply is in the prompt already."""
    _halved: bool = False
    """Whether the engine has been sent no more than fits for certain."""

    def _can_shorten(self) -> bool:
        complete = self.whole is not None or self.suffix or self._going_on
        return not complete and bool(starts(self.messages))

    async def text(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        rendered = self._by_template(messages) or await self._native(lease, messages)
        if not self.earlier:
            return rendered
        before = (await ask(lease, engine.detokenize(self.earlier)))["content"]
        return Rendered(before + rendered.text, rendered.media)

    def _by_template(self, messages: Sequence[Message]) -> Rendered | None:
        """None where the GGUF's own template is to be asked."""
        turn, think = self.asked.turn, shown(self.asked.think)
        if self.whole is not None:
            _, media = _marked(messages)
            return Rendered(self.whole, media)
        if self.template is None:
            return None
        today = date.today()
        try:
            if self.suffix:
                prompt, media = marked(messages[-1].get("content"), 0)
                text = self.template.insert(prompt, self.suffix, think, today=today)
                return Rendered(text, media)
            return self.template.conversation(messages, turn.tools, think, today=today)
        except TemplateError as exc:
            raise Broken(str(exc)) from exc

    async def _native(self, lease: Lease, messages: Sequence[Message]) -> Rendered:
        plain, media = _marked(messages)
        call = engine.render(plain, self.asked.think, self.asked.turn.tools)
        return Rendered(str((await ask(lease, call))["prompt"]), media)

    async def call(self, lease: Lease) -> Call:
        rendered = await self._rendered(lease)
        self.prompt, self.media = rendered.text, rendered.media
        self._read(restart=self._two_passes())
        return self._completion(await self._with_media(lease))

    async def _rendered(self, lease: Lease) -> Rendered:
        """What is left of the conversation, without what the engine begins every prompt with."""
        rendered, begun = await self.text(lease, self.messages), await beginning(lease)
        self.begun = begun if rendered.text.startswith(begun) else ""
        return replace(rendered, text=rendered.text.removeprefix(begun))

    async def _sent(self, lease: Lease) -> int:
        return 0 if self._halved else len(await tokens(lease, self.prompt, special=True))

    async def count(self, lease: Lease) -> int:
        """The engine counts media in chats only, so theirs is the rest of such a chat's count."""
        rendered = await self._rendered(lease)
        if not rendered.media:
            return len(await tokens(lease, rendered.text, special=True))
        marker = await media_marker(lease)
        text, data = placed(rendered, marker)
        count = len(await tokens(lease, text.split(marker), special=True))
        if not data:
            return count
        known = dict(zip(rendered.media, media_of(self.messages), strict=True))
        chat = engine.render([{"role": "user", "content": [known[one] for one in data]}], None)
        whole = await counted(lease, chat)
        around = str((await ask(lease, chat))["prompt"]).split(marker)
        return count + whole - len(await tokens(lease, around, special=True))

    async def _with_media(self, lease: Lease) -> engine.Prompt:
        if not self.media:
            return self.prompt
        return engine.media(*placed(Rendered(self.prompt, self.media), await media_marker(lease)))

    async def _cut(self, lease: Lease) -> Call | None:
        if self.media or self._halved:
            return None
        if not self.asked.spec.context_shift:
            raise Invalid(TOO_LONG)
        whole = await tokens(lease, self.prompt, special=True)
        plain = await tokens(lease, self.prompt)
        keep = int(self.asked.sampling["n_keep"])
        keep = keep + len(whole) - len(plain) if keep >= 0 else -1
        kept = cut(whole, self.asked.context, keep)
        self._halved = True
        self._note(len(whole) - len(kept))
        return self._completion(kept)

    async def _restarted(self, lease: Lease) -> Call | None:
        """Go on from what was written: to the format after thinking, or with a call after text."""
        self.prompt += "".join(self.reader.pieces)
        self.forcing = self._must_call()
        if self.forcing:
            self.prompt += forced.opening(self._tag())
        self._read(restart=False)
        self._going_on, self._halved = True, False
        return self._completion(await self._with_media(lease))

    def _two_passes(self) -> bool:
        """A format would forbid the model to think, so it is put up after that."""
        thinks = self.tags is not None and bool(self.asked.think)
        return thinks and self.asked.turn.format is not None and not self.media

    def _must_call(self) -> bool:
        """Whether the reply must hold a tool call: if the model makes none, it is made to."""
        turn = self.asked.turn
        required = turn.extra.get("tool_choice") == "required"
        return required and self.template is not None and bool(turn.tools)

    def _tag(self) -> str:
        return self.template.tool_tag if self.template else ""

    def _read(self, *, restart: bool) -> None:
        turn, splitter, finder = self.asked.turn, None, None
        self.constrained = not restart
        if self.tags is not None and not self.forcing:
            inside = self.prompt.rstrip().endswith(self.tags[0])
            splitter = ReasoningParser(*self.tags, inside=inside)
        if self.template is not None and turn.tools:
            finder = CallParser(self._tag(), turn.tools)
            if self.forcing:
                finder.feed(forced.opening(self._tag()))
        self.reader = CompletionReader(
            splitter,
            finder,
            ident,
            restart=restart,
            must_call=self._must_call() and not self.forcing,
            quiet=not self.asked.think,
            spent=self.reader.spent,
            prompt=self.reader.prompt,
        )
        self.translation.reader = self.reader

    def _completion(self, prompt: engine.Prompt) -> Call:
        turn = self.asked.turn
        schema = engine.schema(turn.format) if turn.format and self.constrained else None
        if self.forcing:
            schema = forced.schema(turn.tools, self.asked.model.template or "")
        sampling = dict(self.asked.sampling)
        if spent := self.reader.spent:
            sampling["n_predict"] = max(sampling["n_predict"] - spent, 1)
        return engine.completion(
            prompt,
            sampling,
            schema=schema,
            top_logprobs=turn.top_logprobs,
            extra=turn.extra,
            batch=self.asked.spec.batch or engine.BATCH,
        )


def _marked(messages: Sequence[Message]) -> tuple[list[Message], tuple[str, ...]]:
    """Messages of text alone, with markers for their media, and the media."""
    plain: list[Message] = []
    media: tuple[str, ...] = ()
    for message in messages:
        text, more = marked(message.get("content"), len(media))
        plain.append({**message, "content": text})
        media += more
    return plain, media


def shown(think: bool | str | None) -> Think:
    """What a TEMPLATE sees of it: a switch without a level means a medium one."""
    level = think if isinstance(think, str) else "medium" if think else ""
    return Think(bool(think), level, think is not None)


def ident() -> str:
    """A new id for a tool call."""
    return "call_" + "".join(secrets.choice(_LETTERS) for _ in range(8))
