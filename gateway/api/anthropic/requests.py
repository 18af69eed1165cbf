"""The Anthropic dialect: a request for a message, or for the count of its tokens, as a turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.api.anthropic.fields import MESSAGES, UNKNOWN, refuse
from gateway.api.anthropic.messages import check_messages, system_text
from gateway.api.anthropic.stream import Terms
from gateway.api.anthropic.tools import choose, eager, functions
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import decode
from gateway.inference.types import GenerationRequest

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}
_OPTIONS = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
# The engine tells which stop text it met in a member for developers; all else in it is left out.
_TELL_STOP = {"verbose": True, "response_fields": ["stop_type", "stopping_word"]}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read."""

    turn: GenerationRequest
    terms: Terms
    stream: bool
    unknown: tuple[str, ...]
    """Members that nobody knows, for the log."""


def read(data: bytes, *, counting: bool = False) -> Asked:
    """What a body asks for; Invalid, in Ollama's order and words, for one that cannot be.

    `counting`: whether only the tokens of its prompt are asked for.
    """
    if not data.strip():
        raise Invalid("EOF")
    body = decode(data, MESSAGES)
    if not body.get("model", "").strip():
        raise Invalid("model is required")
    if not counting and body.get("max_tokens", 0) <= 0:
        raise Invalid("max_tokens is required and must be positive")
    if not body.get("messages"):
        raise Invalid("messages is required")
    refuse(body)
    system, messages = system_text(body.get("system")), check_messages(body["messages"])
    estimate = max(1, (len(system) + sum(map(_letters, messages))) // 4)
    messages = _edited(messages, body.get("context_management"))
    if system:
        messages.insert(0, {"role": "system", "content": system})
    turn = _turn(body, messages)
    return Asked(turn, _terms(body, estimate), body.get("stream", False), body.get(UNKNOWN, ()))


def _letters(message: Mapping[str, Any]) -> int:
    content = message["content"]
    parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return len(message["role"]) + sum(map(len, parts))


def _turn(body: Mapping[str, Any], messages: list[dict[str, Any]]) -> GenerationRequest:
    tools, extra = choose(functions(body.get("tools") or []), body.get("tool_choice"))
    think, budget = _thinking(body)
    options = {option: body[name] for name, option in _OPTIONS.items() if name in body}
    if "max_tokens" in body:
        options["num_predict"] = body["max_tokens"]
    if stops := _stops(body):
        options["stop"] = list(stops)
        extra |= _TELL_STOP
    return GenerationRequest(
        model=body["model"],
        think_if_able=True,
        messages=messages,
        tools=tools,
        think=think,
        options=options,
        response_format=_format(body),
        extra={**extra, **budget},
        keep_alive=parse_keep_alive(body.get("keep_alive")),
    )


def _terms(body: Mapping[str, Any], estimate: int) -> Terms:
    return Terms(
        model=body["model"],
        max_tokens=body.get("max_tokens", 0),
        stops=_stops(body),
        eager=eager(body.get("tools") or []),
        hidden=(body.get("thinking") or {}).get("display") == "omitted",
        cached=_marked(body),
        estimate=estimate,
    )


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text for text in body.get("stop_sequences") or () if text)


def _thinking(body: Mapping[str, Any]) -> tuple[bool | str | None, dict[str, Any]]:
    """Whether and how hard to think, and what bounds it."""
    effort = _effort(body.get("output_config") or {})
    asked = body.get("thinking")
    if asked is None:
        return effort, {}
    kind, budget = asked.get("type"), asked.get("budget_tokens")
    if not isinstance(asked.get("display"), str | None):
        raise Invalid("thinking.display: must be a string")
    if not isinstance(kind, str):
        raise Invalid("thinking.type: must be 'enabled', 'disabled' or 'adaptive'")
    if kind == "disabled":
        return False, {}
    if kind != "enabled":
        return effort, {}
    if budget is None:
        return effort or True, {}
    if type(budget) is not int or budget <= 0:
        raise Invalid("thinking.budget_tokens: must be an integer above 0")
    return effort or True, {"thinking_budget_tokens": budget}


def _effort(config: Mapping[str, Any]) -> str | None:
    effort = config.get("effort")
    if effort is None:
        return None
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise Invalid(f"output_config.effort: must be one of {', '.join(_EFFORTS)}")
    return _EFFORTS[effort]


def _format(body: Mapping[str, Any]) -> dict[str, Any] | None:
    asked = (body.get("output_config") or {}).get("format")
    if asked is None:
        asked = body.get("output_format")
    if asked is None:
        return None
    schema = asked.get("schema") if isinstance(asked, dict) else None
    if not isinstance(schema, dict) or asked.get("type") != "json_schema":
        raise Invalid("output_config.format: must be of type 'json_schema' and have a schema")
    return {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}}


def _edited(
    messages: list[dict[str, Any]], management: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The conversation after the edits that the client wants made to it."""
    edits = (management or {}).get("edits")
    if not isinstance(edits, list | None) or any(type(edit) is not dict for edit in edits or ()):
        raise Invalid("context_management.edits: must be a list of objects")
    for edit in edits or ():
        if (kind := edit.get("type")) != "clear_thinking_20251015":
            raise Invalid(f"context_management.edits: edits of type {kind!r} are not supported")
        messages = _without_thinking(messages, _kept(edit.get("keep")))
    return messages


def _kept(keep: Any) -> int | None:
    """How many of the last answers keep their thinking; None: all."""
    match keep:
        case None:
            return 1
        case "all" | {"type": "all"}:
            return None
        case {"type": "thinking_turns", "value": int(value)} if value >= 0 and value is not True:
            return value
    raise Invalid("context_management.edits: 'keep' must be 'all' or a number of thinking_turns")


def _without_thinking(messages: list[dict[str, Any]], keep: int | None) -> list[dict[str, Any]]:
    if keep is None:
        return messages
    thought = [at for at, message in enumerate(messages) if "reasoning_content" in message]
    cleared = set(thought[: max(0, len(thought) - keep)])
    return [
        {key: value for key, value in message.items() if key != "reasoning_content"}
        if at in cleared
        else message
        for at, message in enumerate(messages)
    ]


def _marked(body: Mapping[str, Any]) -> bool:
    """Whether `cache_control` stands anywhere that it may."""
    if body.get("cache_control"):
        return True
    contents = [message.get("content") for message in body.get("messages") or ()]
    lists: list[Sequence[Any]] = [body.get("tools") or ()]
    lists += [value for value in (body.get("system"), *contents) if isinstance(value, list)]
    return any(isinstance(one, dict) and one.get("cache_control") for many in lists for one in many)
