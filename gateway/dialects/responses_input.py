"""The items of a conversation in OpenAI's Responses API: checked, and as messages for a model.

Items are kept in one form, each with a type and an id and with contents as lists of parts, so that
what is stored of an earlier response and what a client sends now can be joined.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from gateway.dialects.openai_checks import check_messages
from gateway.errors import Invalid

Item = dict[str, Any]

ITEMS: Mapping[str, str] = {
    "message": "`role` user, assistant, system or developer; `content` a text or a list of parts",
    "function_call": "a call that the model made; `arguments` are JSON text",
    "function_call_output": "its result: a text, or a list of `input_text` and `input_image`",
    "reasoning": "what the model thought, from `encrypted_content` (here plain text), else "
    "`content`, else `summary`; it goes with the message or the call that follows",
    "item_reference": "an item of a stored response, by its `id`",
    "web_search_call": "left out of the conversation",
}
PARTS: Mapping[str, str] = {
    "input_text": "text",
    "output_text": "text of an earlier reply",
    "refusal": "taken as text",
    "input_image": "`image_url` with base64 data; a web address or a `file_id` is 400",
}
_ROLES = ("user", "assistant", "system", "developer")
_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}
_GO_KINDS = {bool: "bool", str: "string", dict: "object", list: "array"}


def items(value: Any, token: str) -> list[Item]:
    """What a request's `input` holds; ids that are missing are made of `token`. May be empty."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise Invalid(f"input must be a string or array: {_not_a_list(value)}")
    return [_item(item, f"input[{n}]", f"{token}i{n:02x}") for n, item in enumerate(value)]


def references(given: Iterable[Item]) -> list[str]:
    """The ids that are to be looked up."""
    return [item["id"] for item in given if item["type"] == "item_reference"]


def resolved(given: Iterable[Item], found: Mapping[str, Item]) -> list[Item]:
    """The same with what the references mean; Invalid for one that means nothing."""
    result = []
    for item in given:
        if item["type"] == "item_reference" and item["id"] not in found:
            raise Invalid(f"Item with id '{item['id']}' not found.")
        result.append(found[item["id"]] if item["type"] == "item_reference" else item)
    return result


def messages(given: Iterable[Item]) -> list[dict[str, Any]]:
    """The conversation as messages of a chat completion; Invalid for media that are not data.

    A call belongs to the assistant's message before it, for templates want the result of a call
    right behind it; a text between a call and its result belongs to that message too.
    """
    joined = _Joined()
    for item in given:
        _JOIN[item["type"]](joined, item)
    joined.settle()
    return check_messages(joined.messages) if joined.messages else []


def _item(value: Any, where: str, ident: str) -> Item:
    if not isinstance(value, dict):
        raise Invalid(f"{where}: an input item must be an object")
    item = {key: member for key, member in value.items() if member is not None}
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind is None:
        raise Invalid(f"{where}: input item missing required 'type' field")
    if not isinstance(kind, str) or kind not in ITEMS:
        raise Invalid(f'{where}: unknown input item type: "{kind}"')
    item["type"] = kind
    if not isinstance(item.get("id"), str) or not item["id"]:
        if kind == "item_reference":
            raise Invalid(f"{where}: an item_reference must have an id")
        item["id"] = f"{_PREFIXES.get(kind, 'rs')}_{ident}"
    check = _CHECKS.get(kind)
    if check is not None:
        check(item, where)
    return item


def _check_message(item: Item, where: str) -> None:
    role = item.get("role")
    if role not in _ROLES:
        raise Invalid(f'{where}: unknown role: "{role}"')
    kind = "output_text" if role == "assistant" else "input_text"
    item["content"] = _parts(item.get("content"), "content", where, kind)
    item.setdefault("status", "completed")


def _check_call(item: Item, where: str) -> None:
    for name in ("call_id", "name"):
        if not isinstance(item.get(name), str):
            raise Invalid(f"{where}: a function_call must have a {name}")
    arguments = item.setdefault("arguments", "")
    if not isinstance(arguments, str):
        raise Invalid(f"{where}: arguments must be a string")
    try:
        if arguments.strip() and not isinstance(orjson.loads(arguments), dict):
            raise Invalid("failed to parse function call arguments: they must be a JSON object")
    except orjson.JSONDecodeError as exc:
        raise Invalid(f"failed to parse function call arguments: {exc}") from exc
    item.setdefault("status", "completed")


def _check_output(item: Item, where: str) -> None:
    if not isinstance(item.get("call_id"), str):
        raise Invalid(f"{where}: a function_call_output must have a call_id")
    output = item.get("output")
    if not isinstance(output, str):
        item["output"] = _parts(output, "output", where, "input_text")
    item.setdefault("status", "completed")


def _check_reasoning(item: Item, where: str) -> None:
    if not isinstance(item.get("encrypted_content", ""), str):
        raise Invalid(f"{where}: encrypted_content must be a string")
    for name in ("content", "summary"):
        parts = item.setdefault(name, []) if name == "summary" else item.get(name, [])
        if not isinstance(parts, list) or not all(_has_text(part) for part in parts):
            raise Invalid(f"{where}: {name} must be an array of texts")


_CHECKS: Mapping[str, Callable[[Item, str], None]] = {
    "message": _check_message,
    "function_call": _check_call,
    "function_call_output": _check_output,
    "reasoning": _check_reasoning,
}


def _has_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _parts(value: Any, name: str, where: str, kind: str) -> list[Item]:
    """A content as a list of parts; a text alone becomes one of `kind`."""
    if isinstance(value, str):
        return [_text(value, kind)]
    if not isinstance(value, list):
        raise Invalid(f"{where}: {name} must be a string or array: {_not_a_list(value)}")
    return [_part(part, f"{where}: {name}[{n}]") for n, part in enumerate(value)]


def _text(text: str, kind: str) -> Item:
    part = {"type": kind, "text": text}
    return {**part, "annotations": []} if kind == "output_text" else part


def _part(part: Any, where: str) -> Item:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "input_file":
        raise Invalid("file inputs are not currently supported")
    if not isinstance(kind, str) or kind not in PARTS:
        raise Invalid(f"{where}: unknown content type: {kind}")
    if kind == "input_image":
        if not isinstance(part.get("image_url"), str):
            raise Invalid(
                f"{where}: an input_image must have an image_url; files are not kept here"
            )
        return {**part, "detail": part.get("detail") or "auto"}
    if not isinstance(part.get("refusal" if kind == "refusal" else "text"), str):
        raise Invalid(f"{where}: a part of type {kind} must have a text")
    return {"annotations": [], **part} if kind == "output_text" else dict(part)


def _not_a_list(value: Any) -> str:
    """Go's words for it."""
    kind = _GO_KINDS.get(type(value), "number")
    if value is None:
        return "unexpected end of JSON input"
    return f"json: cannot unmarshal {kind} into Go value of type []json.RawMessage"


class _Joined:
    """The messages so far, and thinking that waits for the message it belongs to."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._thinking = ""
        self._names: dict[str, str] = {}

    def message(self, item: Item) -> None:
        content = _content(item["content"])
        if item["role"] != "assistant":
            self.settle()
            self.messages.append({"role": item["role"], "content": content})
            return
        last = self._last()
        if last is not None and "tool_calls" in last and not self._thinking:
            last["content"] = _plus(last["content"], content)
        else:
            self._assistant(content)

    def call(self, item: Item) -> None:
        message = self._last()
        if message is None or self._thinking:
            message = self._assistant("")
        function = {"name": item["name"], "arguments": item["arguments"].strip() or "{}"}
        call = {"id": item["call_id"], "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(call)
        self._names[item["call_id"]] = item["name"]

    def output(self, item: Item) -> None:
        self.settle()
        output, ident = item["output"], item["call_id"]
        content = output if isinstance(output, str) else _content(output)
        name = {"name": self._names[ident]} if ident in self._names else {}
        self.messages.append({"role": "tool", "tool_call_id": ident, **name, "content": content})

    def reasoning(self, item: Item) -> None:
        parts = item.get("content") or item["summary"]
        self._thinking += item.get("encrypted_content") or "".join(part["text"] for part in parts)

    def nothing(self, item: Item) -> None:
        """Of no meaning to a model here."""

    def settle(self) -> None:
        """Thinking that nothing followed is a message of its own."""
        if self._thinking:
            self._assistant("")

    def _assistant(self, content: Any) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if self._thinking:
            message["reasoning"], self._thinking = self._thinking, ""
        self.messages.append(message)
        return message

    def _last(self) -> dict[str, Any] | None:
        """The last message, if the assistant wrote it."""
        last = self.messages[-1] if self.messages else None
        return last if last is not None and last["role"] == "assistant" else None


_JOIN: Mapping[str, Callable[[_Joined, Item], None]] = {
    "message": _Joined.message,
    "function_call": _Joined.call,
    "function_call_output": _Joined.output,
    "reasoning": _Joined.reasoning,
    "web_search_call": _Joined.nothing,
}


def _content(parts: Iterable[Item]) -> str | list[dict[str, Any]]:
    """One text if there is nothing else, for that is what most templates expect."""
    found = [_chat_part(part) for part in parts]
    if all(part["type"] == "text" for part in found):
        return "".join(part["text"] for part in found)
    return found


def _chat_part(part: Item) -> dict[str, Any]:
    """A part as chat completions have it."""
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return {"type": "text", "text": part["refusal" if part["type"] == "refusal" else "text"]}


def _plus(first: Any, second: Any) -> Any:
    """Two contents as one."""
    if isinstance(first, str) and isinstance(second, str):
        return first + second
    lists = [[{"type": "text", "text": c}] if isinstance(c, str) else c for c in (first, second)]
    return [*lists[0], *lists[1]]
