"""The OpenAI dialect: requests checked, and made turns.

The engine speaks it itself, so only the members that are ours are touched: what a Modelfile lays
under the request, what bounds the reply, and what would reach into the supervisor's business.
Unknown members pass.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api.effort import effort
from gateway.api.openai.fields import CHAT, COMPLETION, NUMBERS, check_types
from gateway.api.openai.messages import chosen
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import JsonPath
from gateway.golang.json_syntax import first_value
from gateway.inference.types import GenerationRequest

# Slots, caches, adapters, the shape of the stream and how a reply is parsed belong to the gateway;
# `n_predict` would outvote the client's own limit, and `reasoning_effort` what the template is told
# of it.
_OURS = frozenset(
    {
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
        "max_tokens",
        "max_completion_tokens",
        "model",
        "keep_alive",
        "reasoning",
        "reasoning_effort",
        "functions",
        "function_call",
        "tools",
        "tool_choice",
        "messages",
        "response_format",
        "logprobs",
        "top_logprobs",
        "n_probs",
        "stop",
        "seed",
        *NUMBERS,
        "n",
        "n_cmpl",
        "prompt",
        "suffix",
        "best_of",
    }
)
DEFAULTS = {"temperature": 1.0, "top_p": 1.0}
"""What OpenAI's clients expect where nobody says otherwise."""

_FORMATS = {"json_object": ("schema",), "json_schema": ("json_schema", "schema")}
"""The kinds of response_format that bind a reply, and the way to the schema of each."""
_REFUSED = {
    "post_sampling_probs": "log probabilities are those before sampling",
    "audio": "no model here speaks",
    "web_search_options": "there is no search here",
    "functions": "use 'tools'",
    "function_call": "use 'tool_choice'",
}


def body(data: bytes, struct: str, empty: str = "missing request body") -> dict[str, Any]:
    """A request body: an object, its nulls left out. What Go would tolerate is tolerated.

    `struct` is Ollama's name for it, `empty` what it says to no body at all.
    """
    if not data.strip():
        raise Invalid(empty)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = JsonPath().free(first_value(data))
    if value is None:
        return {}
    if not isinstance(value, dict):
        place = JsonPath()
        place.mismatch(value, f"openai.{struct}")
        place.settle()
    return {key: item for key, item in value.items() if item is not None}


def check(request: Mapping[str, Any]) -> None:
    """Invalid for a member that a chat completion cannot have, or cannot have so."""
    check_types(request, CHAT, "ChatCompletionRequest")
    _check_sampling(request)
    if any(kind != "text" for kind in request.get("modalities", ())):
        raise Invalid("'modalities' must be [\"text\"]")
    _check_count(request.get("top_logprobs", 0))


def _check_sampling(request: Mapping[str, Any]) -> None:
    for name, why in _REFUSED.items():
        if name in request:
            raise Invalid(f"'{name}' is not supported: {why}")
    stop = request.get("stop", [])
    if not isinstance(stop, str | list) or any(not isinstance(text, str) for text in stop):
        raise Invalid("invalid type for 'stop' field")
    for token, bias in request.get("logit_bias", {}).items():
        if not isinstance(bias, int | float) or bias is True:
            raise Invalid(f"'logit_bias': that of {token!r} must be a number")
    _check_one(request, "n")
    _check_count(request.get("n_probs", 0), "n_probs")
    if "grammar" in request and "json_schema" in request:
        raise Invalid("'grammar' and 'json_schema' cannot both constrain a reply")


def _check_one(request: Mapping[str, Any], name: str) -> None:
    if request.get(name, 1) != 1:
        raise Invalid(f"'{name}' must be 1: a request gets one reply")


def _check_count(count: int, name: str = "top_logprobs") -> None:
    if not 0 <= count <= 20:
        raise Invalid(f"{name} must be between 0 and 20")


def chat(request: Mapping[str, Any], messages: list[dict[str, Any]]) -> GenerationRequest:
    """A chat completion; `messages` are checked, see `check_messages`."""
    tools, choice = chosen(request)
    extra = _beyond(request)
    if choice is not None:
        extra["tool_choice"] = choice
    alternatives = request.get("n_probs") or None
    if request.get("logprobs"):
        alternatives = request.get("top_logprobs", alternatives or 0)
    if not request.get("stream"):
        extra["stream_options"] = {"include_usage": True}
    return GenerationRequest(
        model=str(request.get("model", "")),
        messages=messages,
        tools=tools,
        think=effort(request),
        options=options(request),
        defaults=DEFAULTS,
        response_format=_format(request.get("response_format")),
        top_logprobs=alternatives,
        extra=extra,
        keep_alive=parse_keep_alive(request.get("keep_alive")),
    )


def completion(request: Mapping[str, Any]) -> GenerationRequest:
    """A text completion: the prompt goes through the model's template, as Ollama does it."""
    return GenerationRequest(
        model=str(request.get("model", "")),
        kind="generate",
        text_only=True,
        suffix=request.get("suffix", ""),
        messages=[{"role": "user", "content": request.get("prompt", "")}],
        options=options(request),
        defaults=DEFAULTS,
        response_format=_format(request.get("response_format")),
        top_logprobs=request.get("logprobs", request.get("n_probs") or None),
        extra={key: value for key, value in _beyond(request).items() if key != "echo"},
        keep_alive=parse_keep_alive(request.get("keep_alive")),
    )


def _beyond(request: Mapping[str, Any]) -> dict[str, Any]:
    """Members that nobody but the engine may know."""
    return {key: value for key, value in request.items() if key not in _OURS}


def options(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the request says about sampling, by Ollama's names."""
    said = {name: request[name] for name in (*NUMBERS, "seed") if name in request}
    limit = request.get("max_completion_tokens", request.get("max_tokens", -1))
    if limit >= 0:
        said["num_predict"] = limit
    if given := stops(request.get("stop")):
        said["stop"] = given
    return said


def _format(form: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What binds the reply; None: nothing. A schema that is missing allows any object."""
    kind = form.get("type") if form else None
    if form is None or kind in (None, "", "text"):
        return None
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise Invalid(f"invalid 'response_format': {kind!r} (must be text, {', '.join(_FORMATS)})")
    if kind == "json_schema" and "json_schema" not in form and "schema" in form:
        form = {"type": kind, "json_schema": {"schema": form["schema"]}}  # as the engine's docs say
    found: Any = form
    for name in _FORMATS[kind]:
        found = found.get(name)
        if found is None:
            break
        if not isinstance(found, dict):
            raise Invalid(f"'response_format': '{name}' must be an object")
    return form


def check_completion(request: Mapping[str, Any]) -> None:
    """The same for a text completion, which takes one prompt."""
    check_types(request, COMPLETION, "CompletionRequest")
    _check_sampling(request)
    _check_one(request, "best_of")
    _check_count(request.get("logprobs", 0))


def stops(value: Any) -> list[str]:
    """The client's stop texts; an empty one would end every reply."""
    given = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [text for text in given if isinstance(text, str) and text]
