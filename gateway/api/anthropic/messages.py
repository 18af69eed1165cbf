"""Anthropic's messages in the engine's shape; Invalid for what cannot be one.

A message is a list of blocks there. Here its texts are one text, its calls and thinking are fields
of it, and each result of a tool is a message of its own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

import orjson

from gateway.api.anthropic.fields import BLOCKS
from gateway.errors import Invalid
from gateway.golang.json_decode import IMAGES, JsonPath
from gateway.llama.requests import JsonObject


class _CalledFunction(TypedDict):
    name: str
    arguments: str
    """JSON text."""


class _ToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: _CalledFunction


class MessagePart(TypedDict):
    """Of a content with images."""

    type: Literal["text", "image_url"]
    text: NotRequired[str]
    image_url: NotRequired[Mapping[str, str]]


class AnthropicMessage(TypedDict):
    """A message of a chat completion, with the fields that are used here."""

    role: str
    content: str | list[MessagePart]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[_ToolCall]]
    tool_call_id: NotRequired[str]


_ROLES = ("user", "assistant", "system")
_BILLING = re.compile(r"(x-anthropic-billing-header:[^\n]*?)\s?\bcch=\w+;?")
_CALLS = ("tool_use", "server_tool_use")
_RESULTS = ("tool_result", "web_search_tool_result", "web_fetch_tool_result")
_ASSISTANT_ONLY = (*_CALLS, "thinking", "redacted_thinking")
_CONTENT = ("text", "image", "document", "search_result")
"""Blocks that are part of a message's content, and not fields or messages of their own."""


def system_text(system: object) -> str:
    """The text of `system`, which may be text or text blocks."""
    if system is None or isinstance(system, str):
        text = system or ""
    elif isinstance(system, list):
        text = "".join(_system_block(block) for block in system)
    else:
        raise Invalid("system: must be a string or a list of text blocks")
    # One client puts a stamp there that changes with each request. It is at the prompt's beginning,
    # so with it nothing of a conversation would ever come from the cache.
    return _BILLING.sub(r"\1", text, count=1) if "cch=" in text else text


def _system_block(block: object) -> str:
    if not isinstance(block, dict) or block.get("type") != "text":
        raise Invalid("system: must be a string or a list of text blocks")
    return _string(block, "text")


def check_messages(messages: Sequence[JsonObject]) -> list[AnthropicMessage]:
    """The messages, fit for the engine."""
    converted: list[AnthropicMessage] = []
    for number, message in enumerate(messages):
        converted += _message(f"messages.{number}", message)
    if not converted:
        raise Invalid("messages is required")
    # A call must be answered before the model can go on.
    last = converted[-1]
    if last["role"] == "assistant" and "tool_calls" in last:
        ids = ", ".join(call["id"] for call in last["tool_calls"])
        raise Invalid(f"messages: `tool_use` ids without `tool_result` blocks after them: {ids}")
    return _merge_answers(converted) if len(converted) > 1 else converted


def _message(where: str, message: JsonObject) -> list[AnthropicMessage]:
    role, content = str(message.get("role") or "").lower(), message.get("content")
    if role not in _ROLES:
        raise Invalid(f"{where}.role: must be 'user', 'assistant' or 'system'")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if not isinstance(content, list):
        raise Invalid(f"{where}.content: must be a string or a list of blocks")
    for block in content:
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in BLOCKS or kind == "tool_reference":
            raise Invalid(f"{where}.content: blocks of type {kind!r} are not supported")
        if (kind in _ASSISTANT_ONLY and role != "assistant") or (
            kind == "tool_result" and role != "user"
        ):
            raise Invalid(f"{where}.content: a block of type {kind!r} cannot be the {role}'s")
    if role == "assistant":
        return list(_answer(content))
    if role == "system":
        return [{"role": role, "content": system_text(content)}]
    # Results stand before the text: templates expect them right after the calls.
    converted = [_result(block) for block in content if block["type"] in _RESULTS]
    if blocks := [block for block in content if block["type"] in _CONTENT]:
        converted.append({"role": "user", "content": _content(blocks)})
    return converted


def _answer(content: Sequence[JsonObject]) -> Iterator[AnthropicMessage]:
    """What comes before a result and what comes after it are two messages."""
    before: list[JsonObject] = []
    for block in content:
        if block["type"] not in _RESULTS:
            before.append(block)
            continue
        yield from _answer_part(before)
        before = []
        yield _result(block)
    yield from _answer_part(before)


def _answer_part(content: Sequence[JsonObject]) -> Iterator[AnthropicMessage]:
    """One message; none, if there is nothing in it that a model can be shown."""
    # Redacted thinking is in neither list: only its author can read it.
    thinking = "".join(
        [_string(block, "thinking") for block in content if block["type"] == "thinking"]
    )
    calls = [_tool_call(block) for block in content if block["type"] in _CALLS]
    blocks = [block for block in content if block["type"] in _CONTENT]
    if not (blocks or calls or thinking):
        return
    message: AnthropicMessage = {"role": "assistant", "content": _content(blocks)}
    if thinking:
        message["reasoning_content"] = thinking
    if calls:
        message["tool_calls"] = calls
    yield message


def _string(block: JsonObject, name: str) -> str:
    """A field that may be missing."""
    value = block.get(name)
    if not isinstance(value, str | None):
        raise Invalid(f"{block['type']} block: '{name}' must be a string")
    return value or ""


def _tool_call(block: JsonObject) -> _ToolCall:
    ident, name = _required(block, "id"), _required(block, "name")
    arguments = block.get("input")
    if not isinstance(arguments, dict | None):
        raise Invalid(f"{block['type']} block: 'input' must be an object")
    text = orjson.dumps(arguments or {}).decode()
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": text}}


def _required(block: JsonObject, name: str) -> str:
    if not (value := _string(block, name)):
        raise Invalid(f"{block['type']} block missing required '{name}' field")
    return value


def _result(block: JsonObject) -> AnthropicMessage:
    ident, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(ident, str) or not ident:
        raise Invalid(f"{block['type']} block missing required 'tool_use_id' field")
    result: str | list[MessagePart]
    if block["type"] != "tool_result":
        # From a tool of Anthropic's servers: its content has a shape of its own for each of them.
        result = orjson.dumps(content).decode()
    elif isinstance(content, list):
        result = _content([_result_block(part) for part in content])
    elif isinstance(content, str | None):
        result = content or ""
    else:
        raise Invalid("tool_result block: 'content' must be a string or a list of blocks")
    failed = block.get("is_error")
    if not isinstance(failed, bool | None):
        raise Invalid("tool_result block: 'is_error' must be a boolean")
    # Templates know no failures, and nothing at all would read like a success.
    return {
        "role": "tool",
        "tool_call_id": ident,
        "content": result or ("Error" if failed else ""),
    }


def _result_block(block: object) -> JsonObject:
    if not isinstance(block, dict):
        raise Invalid("tool_result block: 'content' must be a string or a list of blocks")
    kind = block.get("type")
    if kind == "tool_reference":
        return {"type": "text", "text": _string(block, "tool_name")}
    if not isinstance(kind, str) or kind not in _CONTENT:
        raise Invalid(f"tool_result block: blocks of type {kind!r} are not supported")
    if kind == "image" and not isinstance(block.get("source"), dict):
        raise Invalid("invalid tool_result image source")
    return block


def _content(blocks: Sequence[JsonObject]) -> str | list[MessagePart]:
    """One text, or parts if there are images among it; neighbouring texts are one part."""
    parts: list[MessagePart] = []
    for block in blocks:
        if block["type"] == "image":
            parts.append(_image(block))
            continue
        text = _block_text(block)
        if parts and parts[-1]["type"] == "text":
            parts[-1]["text"] += text
        else:
            parts.append({"type": "text", "text": text})
    # Many templates take a text alone. Neighbours are joined, so no images means one part at most.
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _image(block: JsonObject) -> MessagePart:
    source = block.get("source")
    if not isinstance(source, dict):
        raise Invalid("invalid image source")
    if (kind := source.get("type")) != "base64":
        raise Invalid(f"invalid image source type: {kind}. Only base64 images are supported.")
    media_type = source.get("media_type") or "image/jpeg"
    if not isinstance(media_type, str) or not media_type.startswith("image/"):
        raise Invalid("invalid image source: 'media_type' must be that of an image")
    # Checked as in the requests of Ollama's own API, in the same words of Go's decoder.
    try:
        path = JsonPath()
        [data] = IMAGES.take([source.get("data") or ""], path) or [""]
        path.settle()
    except Invalid as exc:
        raise Invalid(f"invalid base64 image data: {exc.message}") from None
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def _block_text(block: JsonObject) -> str:
    match block["type"]:
        case "document":
            text, heads = _document_text(block), ("title", "context")
        case "search_result":
            text, heads = (
                _joined_texts("search_result", block.get("content", [])),
                ("title", "source"),
            )
        case _:
            return _string(block, "text")
    return "\n".join([*filter(None, [_string(block, name) for name in heads]), text])


def _document_text(block: JsonObject) -> str:
    source = block.get("source")
    match source:
        case {"type": "text", "data": str(text)} | {"type": "content", "content": str(text)}:
            return text
        case {"type": "content", "content": list(blocks)}:
            return _joined_texts("document", blocks)
    kind = source.get("type") if isinstance(source, dict) else None
    raise Invalid(f"invalid document source type: {kind}. Only text is supported.")


def _joined_texts(where: str, blocks: object) -> str:
    if not isinstance(blocks, list) or any(
        not isinstance(block, dict) or block.get("type") != "text" for block in blocks
    ):
        raise Invalid(f"{where} block: only text blocks are supported in it")
    return "".join(_string(block, "text") for block in blocks)


def _merge_answers(messages: list[AnthropicMessage]) -> list[AnthropicMessage]:
    """Answers that follow one another are one: the engine goes on from one message only."""
    merged: list[AnthropicMessage] = []
    for message in messages:
        last = merged[-1] if merged else None
        if (
            last is None
            or not message["role"] == "assistant" == last["role"]
            or "tool_calls" in last
        ):
            merged.append(message)
            continue
        one, other = last["content"], message["content"]
        if isinstance(one, str) and isinstance(other, str):
            last["content"] = one + other
        else:
            last["content"] = [*_parts(one), *_parts(other)]
        if "reasoning_content" in message:
            last["reasoning_content"] = (
                last.get("reasoning_content", "") + message["reasoning_content"]
            )
        if "tool_calls" in message:
            last["tool_calls"] = message["tool_calls"]
    return merged


def _parts(content: str | list[MessagePart]) -> list[MessagePart]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
