"""The Ollama dialect: chat and generate requests as turns.

Bodies come from `decode`, so every member has its type.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.errors import Invalid
from gateway.inference.types import Turn
from gateway.llama.pictures import part

_MOST_LOGPROBS = 20


def chat(body: Mapping[str, Any]) -> Turn:
    """A chat; without messages it only loads the model."""
    messages = [message(item) for item in body.get("messages", ())]
    return _turn(body, messages, tools=body.get("tools") or ())


def generate(body: Mapping[str, Any]) -> Turn:
    """A prompt as a conversation of one message."""
    user = {"role": "user", "content": body.get("prompt", ""), "images": body.get("images")}
    return _turn(
        body,
        [message(user)],
        system=body.get("system", ""),
        stored="context" not in body,
    )


def _turn(body: Mapping[str, Any], messages: list[dict[str, Any]], **more: Any) -> Turn:
    return Turn(
        messages=messages,
        think=body.get("think"),
        options=body.get("options", {}),
        format=_format(body.get("format")),
        top_logprobs=body.get("top_logprobs", 0) if body.get("logprobs") else None,
        keep_alive=body.get("keep_alive"),
        truncate=body.get("truncate", True),
        shift=body.get("shift"),
        **more,
    )


def check(body: Mapping[str, Any]) -> None:
    """What is looked at before the model's name."""
    if not 0 <= body.get("top_logprobs", 0) <= _MOST_LOGPROBS:
        raise Invalid("top_logprobs must be between 0 and 20")


def _format(form: Any) -> dict[str, Any] | None:
    """A `response_format`: only "json", a schema, or nothing can be a format."""
    match form:
        case None | "":
            return None
        case "json":
            return {"type": "json_object"}
        case dict():
            return {"type": "json_schema", "json_schema": {"name": "schema", "schema": form}}
    quoted = orjson.dumps(orjson.dumps(form).decode()).decode()
    raise Invalid(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


def message(item: Mapping[str, Any]) -> dict[str, Any]:
    """A message of Ollama's, as clients send it and models store it, in the engine's form."""
    out: dict[str, Any] = {"role": item.get("role", ""), "content": item.get("content", "")}
    if images := item.get("images"):
        text = [{"type": "text", "text": out["content"]}] if out["content"] else []
        out["content"] = [*text, *map(part, images)]
    if thinking := item.get("thinking"):
        out["reasoning_content"] = thinking
    if calls := item.get("tool_calls"):
        out["tool_calls"] = [_tool_call(call) for call in calls]
    if name := item.get("tool_name"):
        out["name"] = name
    if call_id := item.get("tool_call_id"):
        out["tool_call_id"] = call_id
    return out


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = orjson.dumps(function.get("arguments") or {}).decode()
    out: dict[str, Any] = {
        "type": "function",
        "function": {"name": function.get("name", ""), "arguments": arguments},
    }
    if call.get("id"):
        out["id"] = call["id"]
    return out
