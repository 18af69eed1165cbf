"""Messages of a chat completion, as far as the engine must not see them wrong."""

import binascii
from collections.abc import Mapping

import orjson

from gateway.errors import Invalid
from gateway.golang.json_decode import unmarshal_error

# The engine answers 500 to much of what is checked here, which clients retry.

# The engine fetches remote media itself, which a client must never be able to make it do.
_NO_URLS = "image URLs are not currently supported, please use base64 encoded data instead"
_UNTYPED = "data:;base64,"
_MESSAGES = "ChatCompletionRequest.messages"
_INSTEAD_OF_CONTENT = {
    "function_call": "'function_call' is not supported: use 'tool_calls'",
    "audio": "'audio' is not supported: no model here speaks",
}
"""Fields that an assistant's message may have instead of content, for OpenAI."""
# Ollama's sentence names the type that Go's decoder made of the content.
_GO_TYPES = {bool: "bool", int: "float64", float: "float64", dict: "map[string]interface {}"}


def check_messages(messages: object) -> list[dict[str, object]]:
    """The messages, fit for the engine."""
    if messages is not None and not isinstance(messages, list):
        raise Invalid("'messages' must be an array")
    if not messages:
        raise Invalid("[] is too short - 'messages'")
    return [_message(message) for message in messages]


def _message(value: object) -> dict[str, object]:
    if value is not None and not isinstance(value, dict):
        raise Invalid(unmarshal_error(value, "openai.Message", field=_MESSAGES))
    message: dict[str, object] = {k: item for k, item in (value or {}).items() if item is not None}
    for name in ("role", "reasoning", "name", "tool_call_id"):
        if not isinstance(text := message.get(name, ""), str):
            raise Invalid(unmarshal_error(text, "string", field=f"{_MESSAGES}.{name}"))
    content, calls = message.get("content"), message.get("tool_calls")
    refusal = message.pop("refusal", None)
    if "content" not in message and not calls:
        # Of a reply that was refused, the refusal is what there is in place of content.
        if isinstance(refusal, str):
            message["content"] = content = refusal
        else:
            for name, words in _INSTEAD_OF_CONTENT.items():
                if name in message:
                    raise Invalid(words)
    if isinstance(content, list):
        message["content"] = [_part(part) for part in content]
    elif not isinstance(content, str) and (content is not None or not calls):
        raise Invalid(f"invalid message content type: {_GO_TYPES.get(type(content), '<nil>')}")
    if "role" not in message:
        raise Invalid("a message must have a role")
    if calls is not None:
        field = f"{_MESSAGES}.tool_calls"
        if not isinstance(calls, list):
            raise Invalid(unmarshal_error(calls, "[]openai.ToolCall", field=field))
        message["tool_calls"] = [_tool_call(call) for call in calls]
    # Clients send a reply back as they got it; the engine has its own name for the field.
    if "reasoning" in message:
        message["reasoning_content"] = message.pop("reasoning")
    return message


def _tool_call(call: object) -> dict[str, object]:
    function = call.get("function") if isinstance(call, dict) else None
    if (
        not isinstance(call, dict)
        or not isinstance(function, dict)
        or not isinstance(function.get("name"), str)
    ):
        raise Invalid("a tool call must have a function with a name")
    if not isinstance(ident := call.get("id") or "", str):
        raise Invalid(unmarshal_error(ident, "string", field=f"{_MESSAGES}.tool_calls.id"))
    # Some clients send an object where OpenAI has JSON text, as the engine wants it.
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


def _part(part: object) -> Mapping[str, object]:
    if not isinstance(part, dict):
        raise Invalid("invalid message format")
    match part:
        case {"type": "text", "text": str()}:
            return part
        case {"type": "refusal", "refusal": str(refusal)}:
            return {"type": "text", "text": refusal}
        case {"type": "image_url"}:
            return {"type": "image_url", "image_url": {"url": _image_url(part.get("image_url"))}}
        case {"type": "input_audio"}:
            sound = part.get("input_audio")
            if not isinstance(sound, dict):
                raise Invalid("invalid input_audio format")
            data = sound.get("data")
            if not isinstance(data, str) or not data:
                raise Invalid("invalid input_audio format: missing data")
            # A URL has one, and base64 has none.
            if ":" in data:
                raise Invalid("invalid input_audio base64 data: illegal character")
            return {"type": "input_audio", "input_audio": sound}
    raise Invalid("invalid message format")


def _image_url(value: object) -> str:
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
