"""Anthropic's requests, checked, and made requests for a generation."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.api.anthropic.fields import MESSAGES, MessagesRequest, check_refused
from gateway.api.anthropic.messages import AnthropicMessage, check_messages, system_text
from gateway.api.anthropic.object import AnthropicReplyOptions
from gateway.api.anthropic.tools import choose_tools, eager_tools, functions
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.inference.types import GenerationRequest
from gateway.llama.requests import JsonObject, ThinkLevel

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}
# The engine names the stop text that it met in a field for developers, which then has only these.
_REPORT_STOP = {"verbose": True, "response_fields": ["stop_type", "stopping_word"]}


@dataclass(frozen=True, slots=True)
class AnthropicRequest:
    """A request, checked. `unknown`: the names of fields that have no effect here, for the log."""

    generation: GenerationRequest
    reply: AnthropicReplyOptions
    stream: bool
    unknown: tuple[str, ...]


def read_request(data: bytes, *, counting: bool = False) -> AnthropicRequest:
    """The request of a body; Invalid, in Ollama's order and words, for what cannot be one.

    `counting`: only the tokens of its prompt are to be counted, for which it needs no limit.
    """
    if not data.strip():
        raise Invalid("EOF")
    request = MESSAGES.decode(data)
    if not request.model.strip():
        raise Invalid("model is required")
    if not counting and (request.max_tokens or 0) <= 0:
        raise Invalid("max_tokens is required and must be positive")
    if not request.messages:
        raise Invalid("messages is required")
    check_refused(request)
    system = system_text(request.system)
    messages = check_messages(request.messages)
    # For the first event of a stream, which comes before the engine has counted the prompt.
    estimated_tokens = max(1, (len(system) + sum(map(_characters, messages))) // 4)
    if request.context_management is not None:
        messages = _edited(messages, request.context_management)
    if system:
        messages.insert(0, {"role": "system", "content": system})
    stops = tuple(text for text in request.stop_sequences if text)
    generation = _generation_request(request, messages, stops)
    reply = AnthropicReplyOptions(
        model=request.model,
        max_tokens=request.max_tokens or 0,
        stops=stops,
        eager_tools=eager_tools(request.tools) if request.tools else frozenset(),
        thinking_omitted=(request.thinking or {}).get("display") == "omitted",
        cache_reported=_cache_marked(request),
        estimated_tokens=estimated_tokens,
    )
    return AnthropicRequest(generation, reply, request.stream, request.unknown)


def _characters(message: AnthropicMessage) -> int:
    content = message["content"]
    texts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return len(message["role"]) + sum(map(len, texts))


def _generation_request(
    request: MessagesRequest, messages: list[AnthropicMessage], stops: Sequence[str]
) -> GenerationRequest:
    tools: Sequence[JsonObject] = ()
    extra: dict[str, object] = {}
    if request.tools or request.tool_choice is not None:
        tools, extra = choose_tools(functions(request.tools), request.tool_choice)
    think: ThinkLevel = None
    if request.thinking is not None or request.output_config is not None:
        think, budget = _thinking(request)
        if budget is not None:
            extra["thinking_budget_tokens"] = budget
    options = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "num_predict": request.max_tokens,
        # An empty list would take the model's own stop texts away.
        "stop": list(stops) or None,
    }
    # `truncate` stays off: clients shorten conversations better than a server can, and do so on the
    # error for a prompt that is too long.
    return GenerationRequest(
        model=request.model,
        # On a model that cannot think, `thinking` has no effect; that is no error.
        think_if_able=True,
        messages=messages,
        tools=tools,
        think=think,
        options={name: value for name, value in options.items() if value is not None},
        response_format=_response_format(request),
        extra={**extra, **_REPORT_STOP} if stops else extra,
        keep_alive=None if request.keep_alive is None else parse_keep_alive(request.keep_alive),
    )


def _thinking(request: MessagesRequest) -> tuple[ThinkLevel, int | None]:
    """Whether and how hard to think, and the most tokens of it."""
    level: str | None = None
    effort = request.output_config.get("effort") if request.output_config else None
    if effort is not None:
        if not isinstance(effort, str) or effort not in _EFFORTS:
            raise Invalid(f"output_config.effort: must be one of {', '.join(_EFFORTS)}")
        level = _EFFORTS[effort]
    thinking = request.thinking
    if thinking is None:
        return level, None
    kind, budget = thinking.get("type"), thinking.get("budget_tokens")
    if not isinstance(thinking.get("display"), str | None):
        raise Invalid("thinking.display: must be a string")
    if not isinstance(kind, str):
        raise Invalid("thinking.type: must be 'enabled', 'disabled' or 'adaptive'")
    if kind == "disabled":
        return False, None
    if kind != "enabled":
        return level, None
    if budget is not None and (type(budget) is not int or budget <= 0):
        raise Invalid("thinking.budget_tokens: must be an integer above 0")
    return level or True, budget


def _response_format(request: MessagesRequest) -> JsonObject | None:
    wanted = request.output_config.get("format") if request.output_config else None
    if wanted is None:
        wanted = request.output_format  # its older name
    if wanted is None:
        return None
    match wanted:
        case {"type": "json_schema", "schema": dict(schema)}:
            return {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}}
    raise Invalid("output_config.format: must be of type 'json_schema' and have a schema")


def _edited(messages: list[AnthropicMessage], management: JsonObject) -> list[AnthropicMessage]:
    """The conversation after the edits that the client wants made to it."""
    edits = management.get("edits")
    if not isinstance(edits, list | None) or any(type(edit) is not dict for edit in edits or ()):
        raise Invalid("context_management.edits: must be a list of objects")
    for edit in edits or ():
        if (kind := edit.get("type")) != "clear_thinking_20251015":
            raise Invalid(f"context_management.edits: edits of type {kind!r} are not supported")
        keep = _thoughts_kept(edit.get("keep"))
        if keep is not None:
            answers = [message for message in messages if "reasoning_content" in message]
            for message in answers[: max(0, len(answers) - keep)]:
                del message["reasoning_content"]
    return messages


def _thoughts_kept(keep: object) -> int | None:
    """How many of the last answers keep their thinking; None: all."""
    match keep:
        case None:
            return 1
        case "all" | {"type": "all"}:
            return None
        case {"type": "thinking_turns", "value": int(value)} if value >= 0 and value is not True:
            return value
    raise Invalid("context_management.edits: 'keep' must be 'all' or a number of thinking_turns")


def _cache_marked(request: MessagesRequest) -> bool:
    """Whether `cache_control` stands anywhere that it may."""
    if request.cache_control:
        return True
    contents = [request.system, *(message.get("content") for message in request.messages)]
    lists: list[Sequence[object]] = [request.tools]
    lists += [content for content in contents if isinstance(content, list)]
    return any(
        isinstance(block, dict) and block.get("cache_control")
        for blocks in lists
        for block in blocks
    )
