"""What chat completions and completions take, field by field, and what happens to each.

The docs' tables are checked against these. Fields that have an effect in the engine alone are
passed on to it, and so are those that nobody here knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.api.fields import OpenRequestTable, PlainKind, PlainType, json_field

_INTEGER = PlainKind("integer")
_BOOLEAN = PlainKind("boolean")
_STRING = PlainKind("string")
_OBJECT = PlainKind("object")
_ANY = PlainKind("any")


def _go(name: PlainType, go: str, **inner: PlainKind) -> PlainKind:
    return PlainKind(name, go, inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRequest:
    """What both have in common."""

    model: str = json_field(_go("string", "string"), "names the model", default="")
    stream: bool = json_field(
        _go("boolean", "bool"),
        "server-sent events instead of one object",
        default=False,
        passed_on=True,
    )
    stream_options: Mapping[str, object] = json_field(
        _go("object", "openai.StreamOptions", include_usage=_go("boolean", "bool")),
        "`include_usage` adds a last chunk with counts",
        default_factory=dict,
        passed_on=True,
    )
    max_tokens: int | None = json_field(_go("integer", "int"), "limits the reply", default=None)
    max_completion_tokens: int | None = json_field(
        _INTEGER, "limits the reply; wins over max_tokens", default=None
    )
    temperature: float | None = json_field(
        _go("number", "float64"), "1.0 where neither model nor request says", default=None
    )
    top_p: float | None = json_field(
        _go("number", "float64"), "1.0 where neither model nor request says", default=None
    )
    frequency_penalty: float | None = json_field(_go("number", "float64"), "honoured", default=None)
    presence_penalty: float | None = json_field(_go("number", "float64"), "honoured", default=None)
    seed: int | None = json_field(_go("integer", "int"), "honoured", default=None)
    stop: object = json_field(
        _ANY, "a text or a list of texts, instead of the model's own", default=None
    )
    n: int = json_field(_INTEGER, "1; more is refused", default=1)
    logit_bias: Mapping[str, object] = json_field(
        _OBJECT, "honoured", default_factory=dict, passed_on=True
    )
    response_format: Mapping[str, object] | None = json_field(
        _go("object", "openai.ResponseFormat", type=_go("string", "string")),
        "json_object or json_schema constrain the reply; other types are refused",
        default=None,
    )
    grammar: str | None = json_field(
        _STRING,
        "the engine's own: a GBNF grammar constrains the reply",
        default=None,
        passed_on=True,
    )
    json_schema: Mapping[str, object] | None = json_field(
        _OBJECT,
        "the engine's own: a schema alone constrains the reply",
        default=None,
        passed_on=True,
    )
    n_probs: int = json_field(
        _INTEGER, "the engine's own: log probabilities with so many alternatives", default=0
    )
    post_sampling_probs: object = json_field(
        _ANY, "refused: log probabilities are those before sampling", default=None
    )
    user: str = json_field(_STRING, "accepted; nothing depends on it", default="", passed_on=True)
    keep_alive: object = json_field(
        _ANY, "ours: how long the model stays loaded afterwards", default=None
    )
    extra: Mapping[str, object]
    """What goes to the engine as it came."""


def _unused(doc: str) -> object:
    """A field of OpenAI's service; it goes to the engine, which ignores it."""
    return json_field(_ANY, doc, default=None, passed_on=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCompletionRequest(SamplingRequest):
    messages: Sequence[object] | None = json_field(
        _go("array", "[]openai.Message"), "required", default=None
    )
    tools: Sequence[object] = json_field(
        _go("array", "[]api.Tool"), "functions; other kinds are refused", default=()
    )
    tool_choice: object = json_field(
        _ANY, "none, auto, required, a function, or allowed_tools", default=None
    )
    parallel_tool_calls: bool | None = json_field(
        _BOOLEAN, "false: at most one call in a reply", default=None, passed_on=True
    )
    reasoning_effort: str = json_field(
        _go("string", "string"), "none switches thinking off; a level switches it on", default=""
    )
    reasoning: Mapping[str, object] = json_field(
        _go("object", "openai.Reasoning", effort=_go("string", "string")),
        "`effort` wins over reasoning_effort",
        default_factory=dict,
    )
    logprobs: bool = json_field(
        _go("boolean", "bool"), "log probabilities of the tokens", default=False
    )
    top_logprobs: int | None = json_field(
        _go("integer", "int"), "0 to 20 alternatives for each token", default=None
    )
    chat_template_kwargs: Mapping[str, object] | None = json_field(
        _OBJECT, "for the GGUF's own chat template", default=None, passed_on=True
    )
    metadata: object = _unused("accepted; nothing depends on it")
    store: object = _unused("accepted; nothing is stored")
    service_tier: object = _unused("accepted; there is one")
    prediction: object = _unused("accepted; the engine drafts by itself")
    verbosity: object = _unused("accepted; no local model knows it")
    safety_identifier: object = _unused("accepted; nothing depends on it")
    prompt_cache_retention: object = _unused("accepted; nothing depends on it")
    prompt_cache_options: object = _unused("accepted; the cache of prompts is the engine's own")
    moderation: object = _unused("accepted, and not done: there is no moderation")
    prompt_cache_key: object = _unused("accepted; prompts are cached by what they say")
    modalities: Sequence[object] = json_field(
        PlainKind("array"), "`text`; anything else is refused", default=(), passed_on=True
    )
    audio: object = json_field(_ANY, "refused: no model here speaks", default=None)
    web_search_options: object = json_field(_ANY, "refused: there is no search", default=None)
    functions: object = json_field(_ANY, "refused: tools took their place", default=None)
    function_call: object = json_field(_ANY, "refused: tool_choice took its place", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest(SamplingRequest):
    # Ollama's types of these are narrower here than in a chat.
    temperature: float | None = json_field(
        _go("number", "float32"), "1.0 where neither model nor request says", default=None
    )
    top_p: float | None = json_field(
        _go("number", "float32"), "1.0 where neither model nor request says", default=None
    )
    frequency_penalty: float | None = json_field(_go("number", "float32"), "honoured", default=None)
    presence_penalty: float | None = json_field(_go("number", "float32"), "honoured", default=None)
    prompt: str = json_field(
        _go("string", "string"), "goes through the model's template", default=""
    )
    suffix: str = json_field(
        _go("string", "string"), "fill in the middle, by models that can", default=""
    )
    logprobs: int | None = json_field(
        _go("integer", "int"), "0 to 20 alternatives for each token", default=None
    )
    echo: bool = json_field(
        _go("boolean", "bool"), "the reply begins with the prompt", default=False
    )
    best_of: int = json_field(_INTEGER, "1; more is refused", default=1)


CHAT = OpenRequestTable(ChatCompletionRequest, "ChatCompletionRequest")
COMPLETION = OpenRequestTable(CompletionRequest, "CompletionRequest")
