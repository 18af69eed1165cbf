"""The OpenAI dialect, towards the engine, which speaks it itself: check, patch, forward.

Only the members that are ours are touched: what a Modelfile lays under the request, what bounds
the reply, and what would reach into the supervisor's business. Unknown members pass.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.dialects.call import Call
from gateway.dialects.decode import Place
from gateway.dialects.ollama import CHAT
from gateway.dialects.openai_checks import check_tools
from gateway.dialects.syntax import first_value
from gateway.errors import Invalid

# Slots, caches, adapters and the shape of the stream belong to the gateway; `n_predict` would
# outvote the client's own limit, and `reasoning_effort` what the template is told of it.
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
        "max_tokens",
        "max_completion_tokens",
        "model",
        "keep_alive",
        "reasoning",
        "reasoning_effort",
        "functions",
        "function_call",
        "stop",
        "n",
        "n_cmpl",
    }
)
_INTEGERS = ("seed", "n", "max_tokens", "max_completion_tokens", "top_logprobs")
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_BOOLEANS = ("stream", "logprobs", "parallel_tool_calls")
_OBJECTS = ("stream_options", "response_format", "logit_bias", "chat_template_kwargs", "reasoning")


def body(data: bytes) -> dict[str, Any]:
    """A request body: an object, its nulls left out. What Go would tolerate is tolerated."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = Place().free(first_value(data))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid("the request body must be a JSON object")
    return {key: item for key, item in value.items() if item is not None}


def check(request: Mapping[str, Any]) -> None:
    """Invalid for a member of the wrong type; the engine would answer 500, or nothing, to many."""
    for names, types, what in (
        (_BOOLEANS, (bool,), "a boolean"),
        (_OBJECTS, (dict,), "an object"),
    ):
        for name in names:
            if name in request and not isinstance(request[name], types):
                raise Invalid(f"'{name}' must be {what}")
    for name in _INTEGERS:
        value = request.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
            raise Invalid(f"'{name}' must be an integer")
    for name in _NUMBERS:
        value = request.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Invalid(f"'{name}' must be a number")
    if request.get("n", 1) != 1:
        raise Invalid("'n' must be 1: a request gets one reply")
    if not 0 <= request.get("top_logprobs", 0) <= 20:
        raise Invalid("top_logprobs must be between 0 and 20")


def chat(
    request: Mapping[str, Any],
    messages: list[Mapping[str, Any]],
    settings: Mapping[str, Any],
    think: bool | str | None,
) -> Call:
    """A chat completion. `messages`: what the model puts before them included."""
    check_tools(request)
    payload = sampling(request, settings)
    payload |= {key: value for key, value in request.items() if key not in _OURS}
    payload |= {"stream": True, "return_progress": True, "cache_prompt": True}
    payload["messages"] = messages
    if not request.get("logprobs"):
        payload.pop("top_logprobs", None)
    elif not request.get("top_logprobs"):
        payload["top_logprobs"] = 1
    if think is not None:
        kwargs: dict[str, Any] = {"enable_thinking": bool(think)}
        if isinstance(think, str):
            kwargs["reasoning_effort"] = think
        payload["chat_template_kwargs"] = {**kwargs, **request.get("chat_template_kwargs", {})}
    if not request.get("stream"):
        payload["stream_options"] = {"include_usage": True}
    try:
        return Call(CHAT, orjson.dumps(payload))
    except orjson.JSONEncodeError as exc:
        raise Invalid(f"the request cannot be passed on: {exc}".lower()) from exc


def sampling(request: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the model says about sampling, under what the request says."""
    said = {name: request[name] for name in (*_NUMBERS, "seed") if name in request}
    return {
        **settings,
        **said,
        "n_predict": limit(request, settings["n_predict"]),
        "stop": stops(request.get("stop"), settings["stop"]),
    }


def check_completion(request: Mapping[str, Any]) -> None:
    """The same for a text completion, which takes one prompt."""
    check({key: value for key, value in request.items() if key != "logprobs"})
    if not isinstance(request.get("prompt", ""), str):
        raise Invalid("'prompt' must be a string")
    if not isinstance(request.get("suffix", ""), str):
        raise Invalid("'suffix' must be a string")
    stop = request.get("stop", [])
    if not isinstance(stop, str | list) or any(not isinstance(text, str) for text in stop):
        raise Invalid("invalid type for 'stop' field")
    logprobs = request.get("logprobs", 0)
    if isinstance(logprobs, bool) or not isinstance(logprobs, int):
        raise Invalid("'logprobs' must be an integer")
    if not 0 <= logprobs <= 20:
        raise Invalid("top_logprobs must be between 0 and 20")


def limit(request: Mapping[str, Any], default: int) -> int:
    """Most tokens of the reply; a negative number means no limit of the client's own."""
    value = request.get("max_completion_tokens", request.get("max_tokens", -1))
    return min(int(value), default) if value >= 0 else default


def stops(value: Any, default: list[str]) -> list[str]:
    """The client's stop texts instead of the model's; an empty text would end every reply."""
    given = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [text for text in given if isinstance(text, str) and text] or default


_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}


def effort(request: Mapping[str, Any]) -> bool | str | None:
    """How much the client wants the model to think: None if it does not say."""
    asked = request.get("reasoning", {}).get("effort") or request.get("reasoning_effort")
    if asked in (None, ""):
        return None
    if not isinstance(asked, str) or asked not in _EFFORTS:
        raise Invalid(
            f'invalid reasoning value: "{asked}" (must be "minimal", "low", "medium", "high", '
            '"xhigh", "ultra", "max", or "none")'
        )
    return _EFFORTS[asked]


def error_body(message: str, status: int, code: str | None = None) -> dict[str, Any]:
    """The envelope of every error on /v1."""
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    kind = kinds.get(status, "api_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
