"""A request for a response: checked, made a GenerationRequest, repeated in the reply.

The effect of each field is in `fields`; none of those is ignored in silence.
"""

from collections.abc import Iterable, Mapping, Sequence

from gateway.api.effort import think_level
from gateway.api.responses.fields import INCLUDABLE, RESPONSES, ResponsesRequest
from gateway.api.responses.items import ITEMS_WITH_TOOLS, InputItem
from gateway.api.responses.messages import chat_messages
from gateway.api.responses.output import ResponseReplyOptions
from gateway.api.responses.tools import (
    ResponsesTool,
    add_tools,
    choose_functions,
    echoed_tool,
    is_left_out,
    read_tools,
)
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.inference.types import GenerationRequest
from gateway.llama.requests import JsonObject

_LOGPROBS = "message.output_text.logprobs"
# Unlike in a chat completion, top_p is the model's own then.
_DEFAULTS = {"temperature": 1.0}
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_SUMMARIES = ("auto", "concise", "detailed")
_REASONING_VALUES: Mapping[str, Sequence[str]] = {
    "summary": _SUMMARIES,
    "generate_summary": _SUMMARIES,
    "context": ("auto",),
    "mode": ("standard",),
}
_MAX_METADATA = 16
_TEXT_FORMAT = {"format": {"type": "text"}}
_REFUSALS = {
    name: f"'{name}' is not supported: {field.doc.removeprefix('400: ')}"
    for name, field in RESPONSES.fields.items()
    if field.refused
}


def check_request(request: ResponsesRequest) -> None:
    """Invalid for what is not supported here, and for values that mean nothing."""
    for name, message in _REFUSALS.items():
        if getattr(request, name):
            raise Invalid(message)
    if request.max_output_tokens is not None and request.max_output_tokens < 1:
        raise Invalid("'max_output_tokens' must be at least 1")
    if not 0 <= request.top_logprobs <= 20:
        raise Invalid("top_logprobs must be between 0 and 20")
    stop = request.stop
    if stop is not None and (
        not isinstance(stop, str | list) or any(not isinstance(text, str) for text in stop)
    ):
        raise Invalid("invalid type for 'stop' field")
    _check_value("truncation", request.truncation, ("auto", "disabled"))
    _check_value("service_tier", request.service_tier, _TIERS)
    if request.metadata is not None:
        _check_metadata(request.metadata)
    check_include(request.include)
    if request.stream_options is not None and request.stream_options.get("include_obfuscation"):
        raise Invalid("'stream_options.include_obfuscation' is not supported")
    if request.reasoning is not None:
        for name, values in _REASONING_VALUES.items():
            _check_value(f"reasoning.{name}", request.reasoning.get(name), values)
    if request.text is not None:
        _check_value("text.verbosity", request.text.get("verbosity"), ("low", "medium", "high"))


def check_include(include: Iterable[str]) -> None:
    """Invalid for what the official API does not have."""
    for value in include:
        if value not in INCLUDABLE:
            raise Invalid(f"invalid 'include': {value!r}")


def request_tools(
    request: ResponsesRequest, items: Iterable[InputItem]
) -> Mapping[str, ResponsesTool]:
    """The tools of the request and those that came with its conversation."""
    tools = read_tools(request.tools) if request.tools else {}
    for item in items:
        if item["type"] in ITEMS_WITH_TOOLS:
            add_tools(tools, read_tools(item["tools"], f"input item {item['id']}: tools"))
    return tools


def generation_request(
    request: ResponsesRequest, items: Iterable[InputItem], tools: Mapping[str, ResponsesTool]
) -> GenerationRequest:
    """`items`: the whole conversation; `tools`: its own too, see `request_tools`."""
    messages = chat_messages(items, request.instructions or "")
    if not messages:
        raise Invalid("input is required")
    functions: Sequence[JsonObject] = ()
    extra: dict[str, object] = {}
    # Even without tools, another choice than auto may be an error.
    if tools or request.tool_choice != "auto":
        functions, choice = choose_functions(request.tool_choice, tools)
        if choice != "auto":
            extra["tool_choice"] = choice
        if functions and request.parallel_tool_calls is not None:
            extra["parallel_tool_calls"] = request.parallel_tool_calls
    effort = request.reasoning.get("effort") if request.reasoning else None
    options = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "num_predict": request.max_output_tokens,
        "seed": request.seed,
        "stop": request.stop,
        "top_k": request.top_k,
        "min_p": request.min_p,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
    }
    return GenerationRequest(
        model=request.model,
        messages=messages,
        tools=functions,
        think=think_level(effort) if effort else None,
        options={name: value for name, value in options.items() if value is not None},
        defaults=_DEFAULTS,
        response_format=_response_format(request.text["format"])
        if request.text and request.text.get("format") is not None
        else None,
        top_logprobs=alternatives(request),
        extra=extra,
        keep_alive=None if request.keep_alive is None else parse_keep_alive(request.keep_alive),
        truncate=request.truncation != "disabled",
    )


def alternatives(request: ResponsesRequest) -> int | None:
    """How many of them each token shows; None if no log probabilities are wanted."""
    return request.top_logprobs if request.top_logprobs or _LOGPROBS in request.include else None


def reply_options(
    request: ResponsesRequest, tools: Mapping[str, ResponsesTool]
) -> ResponseReplyOptions:
    reasoning = request.reasoning or {}
    return ResponseReplyOptions(
        alternatives=alternatives(request),
        summary_events=bool(reasoning.get("summary") or reasoning.get("generate_summary")),
        cache_reported=bool(request.prompt_cache_key or request.previous_response_id),
        tools=tools,
    )


def response_frame(request: ResponsesRequest, ident: str, created: int) -> dict[str, object]:
    """A response before it has output; its fields are in Ollama's order."""
    # What is not set is shown as OpenAI's default, whatever the model's own may be: as Ollama does.
    frame: dict[str, object] = {
        "id": ident,
        "object": "response",
        "created_at": created,
        "completed_at": None,
        "status": "in_progress",
        "incomplete_details": None,
        "model": request.model,
        "previous_response_id": request.previous_response_id or None,
        "instructions": request.instructions,
        "output": [],
        "error": None,
        "tools": [echoed_tool(tool) for tool in request.tools if not is_left_out(tool)],
        "tool_choice": request.tool_choice,
        "truncation": "disabled" if request.truncation is None else request.truncation,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "text": _TEXT_FORMAT,
        "top_p": 1 if request.top_p is None else request.top_p,
        "presence_penalty": 0 if request.presence_penalty is None else request.presence_penalty,
        "frequency_penalty": 0 if request.frequency_penalty is None else request.frequency_penalty,
        "top_logprobs": request.top_logprobs,
        "temperature": 1 if request.temperature is None else request.temperature,
        "reasoning": request.reasoning,
        "usage": None,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        # Ollama's clients find false whatever they sent; the stored copy has true.
        "store": False,
        "background": False,
        "service_tier": "default",
        "metadata": request.metadata or {},
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
    }
    if request.text:
        given = {key: item for key, item in request.text.items() if item is not None}
        frame["text"] = {**_TEXT_FORMAT, **given}
    if request.prompt_cache_retention is not None:
        frame["prompt_cache_retention"] = request.prompt_cache_retention
    if request.user is not None:
        frame["user"] = request.user
    return frame


def _check_value(name: str, value: object, values: Sequence[str]) -> None:
    if value is not None and value not in values:
        allowed = ", ".join(f"'{word}'" for word in values)
        raise Invalid(f"invalid '{name}': {value!r} (must be {allowed})")


def _check_metadata(metadata: Mapping[str, object]) -> None:
    if len(metadata) > _MAX_METADATA:
        raise Invalid(f"'metadata' has more than {_MAX_METADATA} members")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise Invalid(f"'metadata.{key}' must be a string")
        if len(key) > 64 or len(value) > 512:
            raise Invalid("a name in 'metadata' has at most 64 characters, a value 512")


def _response_format(value: object) -> JsonObject | None:
    """`text.format` as a chat completion's `response_format`."""
    kind = value.get("type") if isinstance(value, dict) else value
    if kind is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise Invalid(f"invalid 'text.format': {kind!r} (must be text, json_object, json_schema)")
    if not isinstance(value, dict) or not isinstance(value.get("schema"), dict):
        raise Invalid("'text.format.schema' must be an object")
    # The official API has flat what a chat completion has in `json_schema`.
    schema = {key: item for key, item in value.items() if key != "type" and item is not None}
    return {"type": "json_schema", "json_schema": {"name": "response", **schema}}
