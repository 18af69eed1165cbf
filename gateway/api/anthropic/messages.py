"""Messages of the Anthropic dialect in the engine's shape; Invalid for what cannot be one.

A message is a list of blocks there. Here its texts are one text, its calls and thinking are members
of it, and each result of a tool is a message of its own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.api.anthropic.fields import BLOCKS
from gateway.errors import Invalid
from gateway.golang.json_decode import IMAGES, JsonPath

Block = Mapping[str, Any]
Content = str | list[dict[str, Any]]

_ROLES = ("user", "assistant", "system")
_BILLING = re.compile(r"(x-anthropic-billing-header:[^\n]*?)\s?\bcch=\w+;?")
_CALLS = ("tool_use", "server_tool_use")
_RESULTS = ("tool_result", "web_search_tool_result", "web_fetch_tool_result")
_THOUGHTS = ("thinking", "redacted_thinking")
_WRITTEN = (*_CALLS, *_THOUGHTS)
"""What only an assistant says."""
_INLINE = ("text", "image", "document", "search_result")


def system_text(system: Any) -> str:
    """The text of `system`, as one."""
    if system is None or isinstance(system, str):
        return _steady(system or "")
    if not isinstance(system, list):
        raise Invalid("system: must be a string or a list of text blocks")
    return _steady("".join(_system_block(block) for block in system))


def _system_block(block: Any) -> str:
    if not isinstance(block, dict) or block.get("type") != "text":
        raise Invalid("system: must be a string or a list of text blocks")
    return _text(block)


def _steady(text: str) -> str:
    """Without the stamp that one client renews with each request: the cache would never hold."""
    return _BILLING.sub(r"\1", text, count=1) if "cch=" in text else text


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages, fit for the engine."""
    made = [part for at, one in enumerate(messages) for part in _message(f"messages.{at}", one)]
    if not made:
        raise Invalid("messages is required")
    if made[-1]["role"] == "assistant" and made[-1].get("tool_calls"):
        ids = ", ".join(call["id"] for call in made[-1]["tool_calls"])
        raise Invalid(f"messages: `tool_use` ids without `tool_result` blocks after them: {ids}")
    return _merged(made)


def _message(at: str, message: Mapping[str, Any]) -> list[dict[str, Any]]:
    role, content = str(message.get("role") or "").lower(), message.get("content")
    if role not in _ROLES:
        raise Invalid(f"{at}.role: must be 'user', 'assistant' or 'system'")
    if content is None:
        raise Invalid(f"{at}.content: must be a string or a list of blocks")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    for block in content:
        _known(at, role, block)
    if role == "assistant":
        return list(_answer(content))
    if role == "system":
        return [{"role": role, "content": system_text(content)}]
    return _question(content)


def _known(at: str, role: str, block: Block) -> None:
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in BLOCKS or kind == "tool_reference":
        raise Invalid(f"{at}.content: blocks of type {kind!r} are not supported")
    if (kind in _WRITTEN and role != "assistant") or (kind == "tool_result" and role != "user"):
        raise Invalid(f"{at}.content: a block of type {kind!r} cannot be the {role}'s")


def _question(content: Sequence[Block]) -> list[dict[str, Any]]:
    """Results stand before the text: templates expect them right after the calls."""
    made = [_result(block) for block in content if block["type"] in _RESULTS]
    said = [block for block in content if block["type"] in _INLINE]
    return [*made, {"role": "user", "content": _content(said)}] if said else made


def _answer(content: Sequence[Block]) -> Iterator[dict[str, Any]]:
    """What stands before a result and what stands after it are two messages."""
    before: list[Block] = []
    for block in content:
        if block["type"] not in _RESULTS:
            before.append(block)
            continue
        yield from _said(before)
        before = []
        yield _result(block)
    yield from _said(before)


def _said(content: Sequence[Block]) -> Iterator[dict[str, Any]]:
    thoughts = [_thought(block) for block in content if block["type"] == "thinking"]
    calls = [_call(block) for block in content if block["type"] in _CALLS]
    said = [block for block in content if block["type"] in _INLINE]
    if not (said or calls or any(thoughts)):
        return
    message: dict[str, Any] = {"role": "assistant", "content": _content(said)}
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    yield message


def _thought(block: Block) -> str:
    return _string(block, "thinking")


def _string(block: Block, member: str) -> str:
    """A member that may be missing."""
    value = block.get(member)
    if not isinstance(value, str | None):
        raise Invalid(f"{block['type']} block: '{member}' must be a string")
    return value or ""


def _call(block: Block) -> dict[str, Any]:
    for member in ("id", "name"):
        if not _string(block, member):
            raise Invalid(f"{block['type']} block missing required '{member}' field")
    given = block.get("input")
    if not isinstance(given, dict | None):
        raise Invalid(f"{block['type']} block: 'input' must be an object")
    function = {"name": block["name"], "arguments": orjson.dumps(given or {}).decode()}
    return {"id": block["id"], "type": "function", "function": function}


def _result(block: Block) -> dict[str, Any]:
    ident, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(ident, str) or not ident:
        raise Invalid(f"{block['type']} block missing required 'tool_use_id' field")
    if block["type"] != "tool_result":
        content = orjson.dumps(content).decode()
    elif isinstance(content, list):
        content = _content([_of_result(part) for part in content])
    elif not isinstance(content, str | None):
        raise Invalid("tool_result block: 'content' must be a string or a list of blocks")
    failed = block.get("is_error")
    if not isinstance(failed, bool | None):
        raise Invalid("tool_result block: 'is_error' must be a boolean")
    # Templates know no failures, and nothing at all would read like a success.
    return {
        "role": "tool",
        "tool_call_id": ident,
        "content": content or ("Error" if failed else ""),
    }


def _of_result(block: Any) -> Block:
    if not isinstance(block, dict):
        raise Invalid("tool_result block: 'content' must be a string or a list of blocks")
    kind = block.get("type")
    if kind == "tool_reference":
        return {"type": "text", "text": _string(block, "tool_name")}
    if not isinstance(kind, str) or kind not in _INLINE:
        raise Invalid(f"tool_result block: blocks of type {kind!r} are not supported")
    if kind == "image" and not isinstance(block.get("source"), dict):
        raise Invalid("invalid tool_result image source")
    return block


def _content(blocks: Sequence[Block]) -> Content:
    """One text, or parts if there are images among it; neighbouring texts are one part."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        part = _image(block) if block["type"] == "image" else _as_text(block)
        if part["type"] == "text" and parts and parts[-1]["type"] == "text":
            parts[-1]["text"] += part["text"]
        else:
            parts.append(part)
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _image(block: Block) -> dict[str, Any]:
    source = block.get("source")
    if not isinstance(source, dict):
        raise Invalid("invalid image source")
    if (kind := source.get("type")) != "base64":
        raise Invalid(f"invalid image source type: {kind}. Only base64 images are supported.")
    media_type = source.get("media_type") or "image/jpeg"
    if not isinstance(media_type, str) or not media_type.startswith("image/"):
        raise Invalid("invalid image source: 'media_type' must be that of an image")
    try:
        place = JsonPath()
        [data] = IMAGES.take([source.get("data") or ""], place) or [""]
        place.settle()
    except Invalid as exc:
        raise Invalid(f"invalid base64 image data: {exc.message}") from None
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def _as_text(block: Block) -> dict[str, Any]:
    match block["type"]:
        case "document":
            text = _document(block)
        case "search_result":
            inner = _texts("search_result", block.get("content", []))
            text = _headed(block, "title", "source", text=inner)
        case _:
            text = _text(block)
    return {"type": "text", "text": text}


def _text(block: Block) -> str:
    return _string(block, "text")


def _document(block: Block) -> str:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    match source:
        case {"type": "text", "data": str(data)}:
            inner = data
        case {"type": "content", "content": str(data)}:
            inner = data
        case {"type": "content", "content": list(blocks)}:
            inner = _texts("document", blocks)
        case _:
            raise Invalid(f"invalid document source type: {kind}. Only text is supported.")
    return _headed(block, "title", "context", text=inner)


def _texts(where: str, blocks: Any) -> str:
    if not isinstance(blocks, list) or any(
        not isinstance(block, dict) or block.get("type") != "text" for block in blocks
    ):
        raise Invalid(f"{where} block: only text blocks are supported in it")
    return "".join(_text(block) for block in blocks)


def _headed(block: Block, *members: str, text: str) -> str:
    heads = [_string(block, member) for member in members]
    return "\n".join([*filter(None, heads), text])


def _merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers that follow one another are one: the engine goes on from one message only."""
    made: list[dict[str, Any]] = []
    for message in messages:
        last = made[-1] if made else {}
        if message["role"] == "assistant" == last.get("role") and not last.get("tool_calls"):
            made[-1] = _joined(last, message)
        else:
            made.append(message)
    return made


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    thoughts = first.get("reasoning_content", "") + second.get("reasoning_content", "")
    one, other = first["content"], second["content"]
    if isinstance(one, str) and isinstance(other, str):
        content: Content = one + other
    else:
        content = [*_parts(one), *_parts(other)]
    joined = {**first, **second, "content": content}
    return {**joined, "reasoning_content": thoughts} if thoughts else joined


def _parts(content: Content) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
