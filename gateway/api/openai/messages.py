"""Messages and tools of a chat completion, as far as the engine must not see them wrong.

The engine answers 500 to much of this, and fetches remote media itself, which a client must never
be able to make it do.
"""

import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api.openai.fields import mismatch
from gateway.errors import Invalid

_NO_URLS = "image URLs are not currently supported, please use base64 encoded data instead"
_UNTYPED = "data:;base64,"
_MESSAGES, _TOOLS = "ChatCompletionRequest.messages", "ChatCompletionRequest.tools"
_INSTEAD = {
    "function_call": "'function_call' is not supported: use 'tool_calls'",
    "audio": "'audio' is not supported: no model here speaks",
}
"""Members that an assistant's message may have instead of content, for OpenAI."""
_GO_TYPES = {bool: "bool", int: "float64", float: "float64", dict: "map[string]interface {}"}


def check_messages(messages: Any) -> list[dict[str, Any]]:
    """The messages, fit for the engine."""
    if messages is not None and not isinstance(messages, list):
        raise Invalid("'messages' must be an array")
    if not messages:
        raise Invalid("[] is too short - 'messages'")
    return [_message(message) for message in messages]


def chosen(request: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """The tools that may be called, and whether one must be: "required", "auto", or None unsaid.

    The engine knows no other choices, so those are made by the tools that are left: a single one
    for a choice that names it, none for "none".
    """
    tools = [_tool(tool) for tool in request.get("tools", ())]
    choice = request.get("tool_choice")
    match choice:
        case None:
            return tools, None
        case "none":
            return [], None
        case "auto" | "required":
            return tools, choice
        case {"type": "function", "function": {"name": str(name)}}:
            return _named(tools, [name]), "required"
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(allowed)}}:
            if mode not in ("auto", "required"):
                raise Invalid(f"invalid 'tool_choice': mode {mode!r}")
            return _named(tools, [_name(tool) for tool in allowed]), mode
    raise Invalid(f"invalid 'tool_choice': {choice!r}")


def _named(tools: list[dict[str, Any]], wanted: list[str]) -> list[dict[str, Any]]:
    names = {_name(tool) for tool in tools}
    for name in wanted:
        if name not in names:
            raise Invalid(f"'tool_choice' names {name!r}, which is not among the tools")
    return [tool for tool in tools if _name(tool) in wanted]


def _name(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    return str(function.get("name")) if isinstance(function, dict) else ""


def _tool(tool: Any) -> dict[str, Any]:
    """A tool must be a function with a name."""
    if tool is None:
        raise Invalid("a tool must be an object")
    if not isinstance(tool, dict):
        raise Invalid(mismatch(tool, _TOOLS, "api.Tool"))
    if tool.get("type", "function") != "function":
        raise Invalid(f"tools of type {tool['type']!r} are not supported")
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Invalid("a tool must have a function with a name")
    if not isinstance(function.get("parameters") or {}, dict):
        raise Invalid(f"the parameters of tool {function['name']!r} must be an object")
    return {**tool, "type": "function"}


def _message(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise Invalid(mismatch(value, _MESSAGES, "openai.Message"))
    message = _given(value or {})
    _check_texts(message)
    content, calls = _content(message), message.get("tool_calls")
    if isinstance(content, list):
        message["content"] = [_part(part) for part in content]
    elif not isinstance(content, str) and (content is not None or not calls):
        raise Invalid(f"invalid message content type: {_GO_TYPES.get(type(content), '<nil>')}")
    if "role" not in message:
        raise Invalid("a message must have a role")
    if calls is not None:
        if not isinstance(calls, list):
            raise Invalid(mismatch(calls, f"{_MESSAGES}.tool_calls", "[]openai.ToolCall"))
        message["tool_calls"] = [_call(call) for call in calls]
    if "reasoning" in message:
        message["reasoning_content"] = message.pop("reasoning")
    return message


def _check_texts(message: Mapping[str, Any]) -> None:
    for name in ("role", "reasoning", "name", "tool_call_id"):
        if not isinstance(text := message.get(name, ""), str):
            raise Invalid(mismatch(text, f"{_MESSAGES}.{name}", "string"))


def _content(message: dict[str, Any]) -> Any:
    """The content; a refusal stands for it where there is none."""
    refusal = message.pop("refusal", None)
    if "content" in message or message.get("tool_calls"):
        return message.get("content")
    if isinstance(refusal, str):
        message["content"] = refusal
        return refusal
    for name, words in _INSTEAD.items():
        if name in message:
            raise Invalid(words)
    return None


def _given(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value is not None}


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Invalid("a tool call must have a function with a name")
    if not isinstance(ident := call.get("id") or "", str):
        raise Invalid(mismatch(ident, f"{_MESSAGES}.tool_calls.id", "string"))
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments).decode()
    try:
        valid = isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        valid = False
    if not valid:
        raise Invalid("invalid tool call arguments")
    return {**call, "type": "function", "function": {**function, "arguments": arguments}}


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "text" if isinstance(part.get("text"), str):
            return dict(part)
        case "refusal" if isinstance(part.get("refusal"), str):
            return {"type": "text", "text": part["refusal"]}
        case "image_url":
            return {"type": "image_url", "image_url": {"url": _image(part.get("image_url"))}}
        case "input_audio":
            return {"type": "input_audio", "input_audio": _audio(part.get("input_audio"))}
    raise Invalid("invalid message format")


def _image(value: Any) -> str:
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str):
        raise Invalid("invalid message format")
    if url.startswith(("http://", "https://")):
        raise Invalid(_NO_URLS)
    if url.startswith(_UNTYPED):  # whichever type is named, the engine looks for itself
        url = f"data:image/png;base64,{url.removeprefix(_UNTYPED)}"
    if not url.startswith("data:image/") or ";base64," not in url:
        raise Invalid("invalid image input")
    try:
        binascii.a2b_base64(url.partition(";base64,")[2].encode(), strict_mode=True)
    except (ValueError, UnicodeEncodeError) as exc:
        raise Invalid("invalid image input") from exc
    return url


def _audio(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("invalid input_audio format")
    data = value.get("data")
    if not isinstance(data, str) or not data:
        raise Invalid("invalid input_audio format: missing data")
    if ":" in data:
        raise Invalid("invalid input_audio base64 data: illegal character")
    return value
