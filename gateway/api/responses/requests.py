"""A request to OpenAI's Responses API: checked, made a GenerationRequest, repeated in the reply.

What becomes of each member is in `responses_fields`; none of those is ignored in silence.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.api.effort import think_level
from gateway.api.responses.fields import FIELDS, INCLUDABLE, REQUEST
from gateway.api.responses.items import WITH_TOOLS, Item
from gateway.api.responses.messages import messages
from gateway.api.responses.tools import Tool, chosen, left_out, merge, shown
from gateway.api.responses.tools import tools as read_tools
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import decode
from gateway.inference.types import GenerationRequest

LOGPROBS = "message.output_text.logprobs"
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_output_tokens": "num_predict",
    "seed": "seed",
    "stop": "stop",
    "top_k": "top_k",
    "min_p": "min_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_SUMMARIES = ("auto", "concise", "detailed")
_MOST_METADATA = 16


def body(data: bytes) -> dict[str, Any]:
    """The members of a request that are known here, each of its type; Invalid in Go's words."""
    return decode(data, REQUEST)


def check(request: Mapping[str, Any]) -> None:
    """Invalid for what is not to be had here, and for values that mean nothing."""
    for name, member in FIELDS.items():
        if member.refused and request.get(name):
            raise Invalid(f"'{name}' is not supported: {member.says.removeprefix('400: ')}")
    _check_numbers(request)
    _one_of(request, "truncation", ("auto", "disabled"))
    _one_of(request, "service_tier", _TIERS)
    _check_metadata(request.get("metadata", {}))
    check_include(request.get("include", ()))
    if request.get("stream_options", {}).get("include_obfuscation"):
        raise Invalid("'stream_options.include_obfuscation' is not supported")
    reasoning = request.get("reasoning", {})
    _one_of(reasoning, "summary", _SUMMARIES, "reasoning.")
    _one_of(reasoning, "generate_summary", _SUMMARIES, "reasoning.")
    _one_of(reasoning, "context", ("auto",), "reasoning.")
    _one_of(reasoning, "mode", ("standard",), "reasoning.")
    _one_of(request.get("text", {}), "verbosity", ("low", "medium", "high"), "text.")


def check_include(given: Iterable[str]) -> None:
    """Invalid for what the official API does not have."""
    for value in given:
        if value not in INCLUDABLE:
            raise Invalid(f"invalid 'include': {value!r}")


def tools(request: Mapping[str, Any], items: Iterable[Item]) -> dict[str, Tool]:
    """The tools of the request and those that came with its conversation."""
    found = read_tools(request.get("tools", ()))
    for item in items:
        if item["type"] in WITH_TOOLS:
            merge(found, read_tools(item["tools"], f"input item {item['id']}: tools"))
    return found


def turn(
    request: Mapping[str, Any], items: Iterable[Item], there: Mapping[str, Tool]
) -> GenerationRequest:
    """The next message after `items`, which are the whole conversation; `there`: its `tools`."""
    conversation = messages(items, request.get("instructions", ""))
    if not conversation:
        raise Invalid("input is required")
    tools, choice = chosen(request.get("tool_choice", "auto"), there)
    extra: dict[str, Any] = {} if choice == "auto" else {"tool_choice": choice}
    if tools and "parallel_tool_calls" in request:
        extra["parallel_tool_calls"] = request["parallel_tool_calls"]
    return GenerationRequest(
        model=request.get("model", ""),
        messages=conversation,
        tools=tools,
        think=think_level(request.get("reasoning", {}).get("effort")),
        options={ours: request[name] for name, ours in _OPTIONS.items() if name in request},
        defaults={"temperature": 1.0},
        response_format=_format(request.get("text", {}).get("format")),
        top_logprobs=logprobs(request),
        extra=extra,
        keep_alive=parse_keep_alive(request.get("keep_alive")),
        truncate=request.get("truncation") != "disabled",
    )


def logprobs(request: Mapping[str, Any]) -> int | None:
    """How many alternatives each token shows; None if no log probabilities are wanted."""
    most = request.get("top_logprobs", 0)
    return int(most) if most or LOGPROBS in request.get("include", ()) else None


def frame(request: Mapping[str, Any], ident: str, created: int) -> dict[str, Any]:
    """A response as it is before anything is said; its members in Ollama's order."""
    return {
        "id": ident,
        "object": "response",
        "created_at": created,
        "completed_at": None,
        "status": "in_progress",
        "incomplete_details": None,
        "model": request.get("model", ""),
        "previous_response_id": request.get("previous_response_id") or None,
        "instructions": request.get("instructions"),
        "output": [],
        "error": None,
        "tools": [shown(tool) for tool in request.get("tools", ()) if not left_out(tool)],
        "tool_choice": request.get("tool_choice", "auto"),
        "truncation": request.get("truncation", "disabled"),
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "text": {"format": {"type": "text"}, **_given(request.get("text", {}))},
        "top_p": request.get("top_p", 1),
        "presence_penalty": request.get("presence_penalty", 0),
        "frequency_penalty": request.get("frequency_penalty", 0),
        "top_logprobs": request.get("top_logprobs", 0),
        "temperature": request.get("temperature", 1),
        "reasoning": request.get("reasoning"),
        "usage": None,
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": request.get("max_tool_calls"),
        # Ollama's clients find this whatever they asked for; the stored copy says otherwise.
        "store": False,
        "background": False,
        "service_tier": "default",
        "metadata": request.get("metadata", {}),
        "safety_identifier": request.get("safety_identifier"),
        "prompt_cache_key": request.get("prompt_cache_key"),
        **{k: request[k] for k in ("prompt_cache_retention", "user") if k in request},
    }


def _given(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}


def _one_of(request: Mapping[str, Any], name: str, known: Iterable[str], within: str = "") -> None:
    value = request.get(name)
    if value is not None and value not in known:
        allowed = ", ".join(f"'{word}'" for word in known)
        raise Invalid(f"invalid '{within}{name}': {value!r} (must be {allowed})")


def _check_numbers(request: Mapping[str, Any]) -> None:
    if request.get("max_output_tokens", 1) < 1:
        raise Invalid("'max_output_tokens' must be at least 1")
    if not 0 <= request.get("top_logprobs", 0) <= 20:
        raise Invalid("top_logprobs must be between 0 and 20")
    stop = request.get("stop", "")
    if not isinstance(stop, str) and not (
        isinstance(stop, list) and all(isinstance(text, str) for text in stop)
    ):
        raise Invalid("invalid type for 'stop' field")


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    if len(metadata) > _MOST_METADATA:
        raise Invalid(f"'metadata' has more than {_MOST_METADATA} members")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise Invalid(f"'metadata.{key}' must be a string")
        if len(key) > 64 or len(value) > 512:
            raise Invalid("a name in 'metadata' has at most 64 characters, a value 512")


def _format(value: Any) -> Mapping[str, Any] | None:
    """`text.format` as a chat completion's `response_format`."""
    kind = value.get("type") if isinstance(value, dict) else value
    if kind is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise Invalid(f"invalid 'text.format': {kind!r} (must be text, json_object, json_schema)")
    if not isinstance(value.get("schema"), dict):
        raise Invalid("'text.format.schema' must be an object")
    schema = {key: item for key, item in value.items() if key != "type" and item is not None}
    return {"type": "json_schema", "json_schema": {"name": "response", **schema}}
