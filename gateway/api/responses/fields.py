"""Every member of a request to `/v1/responses`: what it may hold, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.golang.json_decode import (
    ANY,
    BOOL,
    INT,
    MAP,
    STRING,
    JsonKind,
    JsonPath,
    ListOf,
    Struct,
)


class _Number(JsonKind):
    go = "float64"

    def take(self, value: Any, at: JsonPath) -> Any:
        if type(value) in (bool, str, list, dict):
            return at.mismatch(value, self.go)
        return at.free(value)


class _Object(JsonKind):
    """An object whose members are looked at later, under Go's name for it."""

    def __init__(self, go: str) -> None:
        self.go = f"openai.{go}"

    def zero(self) -> Any:
        return {}

    def take(self, value: Any, at: JsonPath) -> Any:
        return at.free(value) if type(value) is dict else at.mismatch(value, self.go)


@dataclass(frozen=True, slots=True)
class Member:
    """`says` is the line of the reference."""

    kind: JsonKind
    says: str
    refused: bool = False
    """Whether any value but null, false and an empty one is refused by name."""


_NUMBER = _Number()
_ECHOED = "accepted and repeated in the reply; nothing here depends on it"


def _no(kind: JsonKind, why: str) -> Member:
    return Member(kind, f"400: {why}", refused=True)


FIELDS: Mapping[str, Member] = {
    "model": Member(STRING, "required; a model of the library"),
    "input": Member(ANY, "required; a text, or a list of the [items](#input-items) below"),
    "instructions": Member(
        STRING, "the first system message; not taken over from the previous response"
    ),
    "previous_response_id": Member(
        STRING, "goes on from a [stored response](#stored-responses); 400 if it is not there"
    ),
    "store": Member(
        BOOL,
        "false: the response is not stored. The reply says `false` in any case, as Ollama does; "
        "the stored response says `true`",
    ),
    "tools": Member(
        ListOf(_Object("ResponsesTool")),
        "see [tools](#tools); any other type is 400. The model must be able to call tools",
    ),
    "tool_choice": Member(
        ANY,
        "`none` and `auto`; `required`, a named function or custom tool, and `allowed_tools`: the "
        "others are not shown to the model. Naming a tool that is not there is 400",
    ),
    "parallel_tool_calls": Member(BOOL, "false: at most one call in a reply"),
    "max_tool_calls": Member(
        INT, "accepted and repeated; it bounds the service's own tools, of which there are none"
    ),
    "text": Member(
        _Object("ResponsesText"),
        "`format`: `text`, `json_object` or `json_schema`, which the reply is held to; "
        "`verbosity`: checked and repeated, no template knows it",
    ),
    "reasoning": Member(
        Struct(
            "ResponsesReasoning",
            {
                "effort": STRING,
                "generate_summary": STRING,
                "summary": STRING,
                "context": STRING,
                "mode": STRING,
            },
            go="openai.ResponsesReasoning",
        ),
        "`effort`: how much the model thinks, `none` for not at all; 400 for more than none if it "
        "cannot. `summary` (or `generate_summary`): also sends the events of the summary's parts; "
        "the summary is the whole reasoning in any case. `context` and `mode`: 400 but for `auto` "
        "and `standard`",
    ),
    "max_output_tokens": Member(INT, "most tokens of the reply, reasoning included; at least 1"),
    "temperature": Member(_NUMBER, "1 where neither the request nor the model sets it"),
    "top_p": Member(_NUMBER, "the model's own where the request does not set it"),
    "top_logprobs": Member(
        INT, "0 to 20 alternatives for each token of the text; more than 0 asks for logprobs"
    ),
    "truncation": Member(
        STRING,
        "`auto`: the oldest messages go when the prompt is too long; `disabled`: 400 then. "
        "Without it: as `auto`, though the reply says `disabled`, both as Ollama",
    ),
    "stream": Member(BOOL, "events instead of one object"),
    "stream_options": Member(
        MAP, "`include_obfuscation`: false is accepted, true is 400: events are not padded"
    ),
    "include": Member(
        ListOf(STRING),
        "`message.output_text.logprobs` asks for logprobs. The others of the official API are "
        "accepted: reasoning always comes with its content, and results of the service's own "
        "tools do not occur. Anything else is 400",
    ),
    "metadata": Member(MAP, "up to 16 texts, kept with the response and repeated"),
    "user": Member(STRING, _ECHOED),
    "safety_identifier": Member(STRING, _ECHOED),
    "prompt_cache_key": Member(
        STRING, "accepted and repeated; the reply then counts the cached tokens of the prompt"
    ),
    "prompt_cache_retention": Member(STRING, _ECHOED),
    "service_tier": Member(STRING, "checked; there is one tier, and the reply says `default`"),
    "background": _no(BOOL, "replies are not made in the background; false is accepted"),
    "background_options": _no(MAP, "as `background`"),
    "conversation": _no(ANY, "there are no conversation objects; use `previous_response_id`"),
    "prompt": _no(ANY, "there are no stored prompts"),
    "prompt_cache_options": _no(MAP, "the cache of prompts is the engine's own"),
    "context_management": _no(ANY, "conversations are not compacted"),
    "moderation": _no(ANY, "there is no moderation"),
    "image": _no(ANY, "images are not compressed"),
    "access_programs": _no(ANY, "there are none"),
    "seed": Member(INT, "not in the official API: honoured"),
    "stop": Member(ANY, "not in the official API: a text or a list of texts, honoured"),
    "top_k": Member(INT, "not in the official API: honoured"),
    "min_p": Member(_NUMBER, "not in the official API: honoured"),
    "presence_penalty": Member(_NUMBER, "not in the official API: honoured and repeated"),
    "frequency_penalty": Member(_NUMBER, "not in the official API: honoured and repeated"),
    "keep_alive": Member(ANY, "not in the official API: as in `/api/chat`"),
}

REQUEST = Struct(
    "ResponsesRequest",
    {name: member.kind for name, member in FIELDS.items()},
    go="openai.ResponsesRequest",
)

INCLUDABLE = (
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)
