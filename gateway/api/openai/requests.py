"""Chat completions and completions, checked, and made requests for a generation."""

from collections.abc import Mapping, Sequence

from gateway.api.effort import think_level
from gateway.api.openai.fields import ChatCompletionRequest, CompletionRequest, SamplingRequest
from gateway.api.openai.tools import chosen_tools
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.inference.types import GenerationRequest
from gateway.llama.requests import JsonObject, Message

# Slots, caches, adapters, the shape of the stream and how a reply is parsed belong to the gateway;
# `n_predict` would outvote the client's own limit.
_INTERNAL = (
    "id_slot",
    "n_keep",
    "n_predict",
    "cache_prompt",
    "lora",
    "response_fields",
    "return_progress",
    "verbose",
    "sse_ping_interval",
    "grammar_lazy",
    "grammar_triggers",
    "preserved_tokens",
    "chat_format",
    "chat_parser",
    "generation_prompt",
    "reasoning_in_content",
    "n_cmpl",
)
# The engine speaks this API itself, and would heed a field of the other endpoint.
_OF_CHATS = (
    "messages",
    "tools",
    "tool_choice",
    "reasoning",
    "reasoning_effort",
    "top_logprobs",
)
_OF_COMPLETIONS = ("prompt", "suffix", "best_of")
DEFAULTS = {"temperature": 1.0, "top_p": 1.0}
"""What OpenAI's clients expect where neither the model nor the request says otherwise."""

_SCHEMA_PATHS = {"json_object": ("schema",), "json_schema": ("json_schema", "schema")}
"""The kinds of response_format that bind a reply, and the path to the schema of each."""
_NOT_SUPPORTED = {
    "post_sampling_probs": "log probabilities are those before sampling",
    "audio": "no model here speaks",
    "web_search_options": "there is no search here",
    "functions": "use 'tools'",
    "function_call": "use 'tool_choice'",
}


def check_chat(request: ChatCompletionRequest) -> None:
    """Invalid for a field that a chat completion cannot have, or cannot have so."""
    _check_sampling(request)
    if any(kind != "text" for kind in request.modalities):
        raise Invalid("'modalities' must be [\"text\"]")
    _check_count("top_logprobs", request.top_logprobs or 0)


def check_completion(request: CompletionRequest) -> None:
    """The same for a text completion, which takes one prompt."""
    _check_sampling(request)
    _check_one("best_of", request.best_of)
    _check_count("top_logprobs", request.logprobs or 0)


def _check_sampling(request: SamplingRequest) -> None:
    for name, why in _NOT_SUPPORTED.items():
        if getattr(request, name, None) is not None or name in request.extra:
            raise Invalid(f"'{name}' is not supported: {why}")
    stop = request.stop
    if stop is not None and (
        not isinstance(stop, str | list) or any(not isinstance(text, str) for text in stop)
    ):
        raise Invalid("invalid type for 'stop' field")
    for token, bias in request.logit_bias.items():
        if not isinstance(bias, int | float) or bias is True:
            raise Invalid(f"'logit_bias': that of {token!r} must be a number")
    _check_one("n", request.n)
    _check_count("n_probs", request.n_probs)
    if request.grammar is not None and request.json_schema is not None:
        raise Invalid("'grammar' and 'json_schema' cannot both constrain a reply")


def _check_one(name: str, count: int) -> None:
    if count != 1:
        raise Invalid(f"'{name}' must be 1: a request gets one reply")


def _check_count(name: str, count: int) -> None:
    if not 0 <= count <= 20:
        raise Invalid(f"{name} must be between 0 and 20")


def chat(request: ChatCompletionRequest, messages: Sequence[Message]) -> GenerationRequest:
    """A chat completion; `messages` are checked, see `check_messages`."""
    tools: Sequence[JsonObject] = ()
    choice: str | None = None
    if request.tools or request.tool_choice is not None:
        tools, choice = chosen_tools(request.tools, request.tool_choice)
    extra = _for_engine(request, _OF_COMPLETIONS)
    if choice is not None:
        extra["tool_choice"] = choice
    # OpenAI's own fields win over the engine's.
    alternatives = request.n_probs or None
    if request.logprobs:
        alternatives = request.top_logprobs
        if alternatives is None:
            alternatives = request.n_probs
    # The engine always streams; a client that does not has no say in how.
    if not request.stream:
        extra["stream_options"] = {"include_usage": True}
    effort = request.reasoning.get("effort") or request.reasoning_effort
    return GenerationRequest(
        model=request.model,
        messages=messages,
        tools=tools,
        think=think_level(effort) if effort else None,
        options=options(request),
        defaults=DEFAULTS,
        response_format=_bound_format(request.response_format),
        top_logprobs=alternatives,
        extra=extra,
        keep_alive=_keep_alive(request),
    )


def completion(request: CompletionRequest) -> GenerationRequest:
    """A text completion: the prompt goes through the model's template, as Ollama does it."""
    return GenerationRequest(
        model=request.model,
        kind="generate",
        text_only=True,
        suffix=request.suffix,
        messages=[{"role": "user", "content": request.prompt}],
        options=options(request),
        defaults=DEFAULTS,
        response_format=_bound_format(request.response_format),
        top_logprobs=(request.n_probs or None) if request.logprobs is None else request.logprobs,
        extra=_for_engine(request, _OF_CHATS),
        keep_alive=_keep_alive(request),
    )


def _for_engine(request: SamplingRequest, foreign: Sequence[str]) -> dict[str, object]:
    """What may go to the engine as it came; `foreign` fields belong to the other endpoint."""
    extra = dict(request.extra)
    for name in (*_INTERNAL, *foreign):
        extra.pop(name, None)
    return extra


def _keep_alive(request: SamplingRequest) -> float | None:
    return None if request.keep_alive is None else parse_keep_alive(request.keep_alive)


def options(request: SamplingRequest) -> dict[str, object]:
    """What the request says about sampling, by Ollama's names."""
    limit = request.max_completion_tokens
    if limit is None:
        limit = request.max_tokens
    values = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "seed": request.seed,
        # A negative limit is none, as the engine has it.
        "num_predict": limit if limit is not None and limit >= 0 else None,
        # An empty stop text would end every reply.
        "stop": stop_texts(request.stop) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def stop_texts(value: object) -> list[str]:
    """The client's stop texts, without empty ones."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [text for text in texts if isinstance(text, str) and text]


def _bound_format(value: Mapping[str, object] | None) -> JsonObject | None:
    """What binds the reply; None: nothing. A schema that is missing allows any object."""
    kind = value.get("type") if value else None
    if value is None or kind in (None, "", "text"):
        return None
    if kind not in _SCHEMA_PATHS:
        names = ", ".join(_SCHEMA_PATHS)
        raise Invalid(f"invalid 'response_format': {kind!r} (must be text, {names})")
    if kind == "json_schema" and "json_schema" not in value and "schema" in value:
        value = {"type": kind, "json_schema": {"schema": value["schema"]}}  # as the engine has it
    inner: object = value
    for name in _SCHEMA_PATHS[kind]:
        assert isinstance(inner, dict)
        inner = inner.get(name)
        if inner is None:
            break
        if not isinstance(inner, dict):
            raise Invalid(f"'response_format': '{name}' must be an object")
    return value
