"""The items of a conversation in OpenAI's Responses API, checked.

Items are kept in one form, each with a type and an id and with contents as lists of parts, so that
what is stored of an earlier response and what a client sends now can be joined.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from gateway.errors import Invalid

InputItem = dict[str, Any]
"""An item or a part of its content, checked: the fields that `_CHECKS` names are of their types,
and nothing is known of any other."""

ITEMS: Mapping[str, str] = {
    "message": "`role` user, assistant, system or developer, which is taken as system; `content` a "
    "text or a list of parts",
    "function_call": "a call that the model made; `arguments` are JSON text. Left out if its "
    "`status` is `incomplete`, as is any other call",
    "function_call_output": "its result: a text, or a list of `input_text` and `input_image`",
    "custom_tool_call": "a call of a custom tool; `input` is its text",
    "custom_tool_call_output": "as `function_call_output`",
    "tool_search_call": "a search for tools that the client makes; left out if it has no `call_id`",
    "tool_search_output": "its `tools`, the result of the search, join those of the request",
    "additional_tools": "its `tools` join those of the request",
    "reasoning": "what the model thought, from `encrypted_content` (here plain text), else "
    "`content`, else `summary`; it goes with the message or the call that follows",
    "item_reference": "an item of a stored response, by its `id`",
    "agent_message": "what another agent wrote, as a message of the user that names its `author`",
    "web_search_call": "left out of the conversation",
}
PARTS: Mapping[str, str] = {
    "input_text": "text",
    "output_text": "text of an earlier reply",
    "refusal": "taken as text",
    "input_image": "`image_url` with base64 data; a web address or a `file_id` is 400",
}
_ROLES = ("user", "assistant", "system", "developer")
ITEMS_WITH_TOOLS = ("additional_tools", "tool_search_output")
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "additional_tools": "at",
    "agent_message": "amsg",
}
_GO_KINDS = {bool: "bool", str: "string", dict: "object", list: "array"}


def read_items(value: object, token: str) -> list[InputItem]:
    """The items of a request's `input`; ids that are missing are made of `token`. May be empty."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        part = {"type": "input_text", "text": value}
        ident = f"msg_{token}i00"
        return [
            {
                "role": "user",
                "content": [part],
                "type": "message",
                "id": ident,
                "status": "completed",
            }
        ]
    if not isinstance(value, list):
        raise Invalid(f"input must be a string or array: {_not_a_list(value)}")
    return [_item(item, f"input[{n}]", f"{token}i{n:02x}") for n, item in enumerate(value)]


def referenced_ids(items: Iterable[InputItem]) -> list[str]:
    return [item["id"] for item in items if item["type"] == "item_reference"]


def resolve_references(
    items: Iterable[InputItem], stored: Mapping[str, InputItem]
) -> list[InputItem]:
    """The items, each reference replaced by the stored item of its id; Invalid if there is none."""
    resolved = []
    for item in items:
        if item["type"] == "item_reference" and item["id"] not in stored:
            raise Invalid(f"Item with id '{item['id']}' not found.")
        resolved.append(stored[item["id"]] if item["type"] == "item_reference" else item)
    return resolved


def _item(value: object, where: str, ident: str) -> InputItem:
    if not isinstance(value, dict):
        raise Invalid(f"{where}: an input item must be an object")
    item = {key: field for key, field in value.items() if field is not None}
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind is None:
        raise Invalid(f"{where}: input item missing required 'type' field")
    if not isinstance(kind, str) or kind not in ITEMS:
        raise Invalid(f'{where}: unknown input item type: "{kind}"')
    item["type"] = kind
    # Items are stored by their ids, and a later request may refer to them.
    if not isinstance(item.get("id"), str) or not item["id"]:
        if kind == "item_reference":
            raise Invalid(f"{where}: an item_reference must have an id")
        item["id"] = f"{_PREFIXES.get(kind, 'rs')}_{ident}"
    check = _CHECKS.get(kind)
    if check is not None:
        check(item, where)
    return item


def _check_message(item: InputItem, where: str) -> None:
    role = item.get("role")
    if role not in _ROLES:
        raise Invalid(f'{where}: unknown role: "{role}"')
    # As a reply has it: what the assistant wrote is kept as output, whoever sends it.
    kind = "output_text" if role == "assistant" else "input_text"
    item["content"] = _parts(item.get("content"), "content", where, kind)
    item.setdefault("status", "completed")


def _check_named(item: InputItem, where: str) -> None:
    for name in ("call_id", "name"):
        if not isinstance(item.get(name), str):
            raise Invalid(f"{where}: a {item['type']} must have a {name}")
    if not isinstance(item.get("namespace", ""), str):
        raise Invalid(f"{where}: namespace must be a string")


def _check_call(item: InputItem, where: str) -> None:
    _check_named(item, where)
    arguments = item.setdefault("arguments", "")
    if not isinstance(arguments, str):
        raise Invalid(f"{where}: arguments must be a string")
    if item.setdefault("status", "completed") == "incomplete":
        return  # its arguments are cut short; no model will see it
    try:
        if arguments.strip() and not isinstance(orjson.loads(arguments), dict):
            raise Invalid("failed to parse function call arguments: they must be a JSON object")
    except orjson.JSONDecodeError as exc:
        raise Invalid(f"failed to parse function call arguments: {exc}") from exc


def _check_output(item: InputItem, where: str) -> None:
    if not isinstance(item.get("call_id"), str):
        raise Invalid(f"{where}: a {item['type']} must have a call_id")
    output = item.get("output")
    if not isinstance(output, str):
        item["output"] = _parts(output, "output", where, "input_text")
    item.setdefault("status", "completed")


def _check_custom_call(item: InputItem, where: str) -> None:
    _check_named(item, where)
    if not isinstance(item.get("input"), str):
        raise Invalid(f"{where}: a custom_tool_call must have an input")
    item.setdefault("status", "completed")


def _check_search(item: InputItem, where: str) -> None:
    if not isinstance(item.get("call_id", ""), str):
        raise Invalid(f"{where}: call_id must be a string")
    if not isinstance(item.setdefault("arguments", {}), dict):
        raise Invalid(f"{where}: the arguments of a tool_search_call must be an object")


def _check_tools(item: InputItem, where: str) -> None:
    if not isinstance(item.get("call_id", ""), str):
        raise Invalid(f"{where}: call_id must be a string")
    tools = item.get("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Invalid(f"{where}: tools must be an array of objects")


def _check_agent_message(item: InputItem, where: str) -> None:
    if not isinstance(item.get("author"), str):
        raise Invalid(f"{where}: an agent_message must have an author")
    item["content"] = _parts(item.get("content"), "content", where, "input_text")


def _check_reasoning(item: InputItem, where: str) -> None:
    if not isinstance(item.get("encrypted_content", ""), str):
        raise Invalid(f"{where}: encrypted_content must be a string")
    for name in ("content", "summary"):
        parts = item.setdefault(name, []) if name == "summary" else item.get(name, [])
        if not isinstance(parts, list) or not all(
            isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts
        ):
            raise Invalid(f"{where}: {name} must be an array of texts")


_CHECKS: Mapping[str, Callable[[InputItem, str], None]] = {
    "message": _check_message,
    "function_call": _check_call,
    "function_call_output": _check_output,
    "custom_tool_call": _check_custom_call,
    "custom_tool_call_output": _check_output,
    "tool_search_call": _check_search,
    "tool_search_output": _check_tools,
    "additional_tools": _check_tools,
    "agent_message": _check_agent_message,
    "reasoning": _check_reasoning,
}


def _parts(value: object, name: str, where: str, kind: str) -> list[InputItem]:
    """A content as a list of parts; a text alone becomes one of `kind`."""
    if isinstance(value, str):
        part = {"type": kind, "text": value}
        return [{**part, "annotations": []} if kind == "output_text" else part]
    if not isinstance(value, list):
        raise Invalid(f"{where}: {name} must be a string or array: {_not_a_list(value)}")
    return [_part(part, f"{where}: {name}[{n}]") for n, part in enumerate(value)]


def _part(part: object, where: str) -> InputItem:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "input_file":
        raise Invalid("file inputs are not currently supported")
    if not isinstance(part, dict) or not isinstance(kind, str) or kind not in PARTS:
        raise Invalid(f"{where}: unknown content type: {kind}")
    if kind == "input_image":
        if not isinstance(part.get("image_url"), str):
            # A `file_id` may stand for it in the official API.
            raise Invalid(
                f"{where}: an input_image must have an image_url; files are not kept here"
            )
        # The official client's type of a stored item requires it.
        return {**part, "detail": part.get("detail") or "auto"}
    if not isinstance(part.get("refusal" if kind == "refusal" else "text"), str):
        raise Invalid(f"{where}: a part of type {kind} must have a text")
    return {"annotations": [], **part} if kind == "output_text" else dict(part)


def _not_a_list(value: object) -> str:
    """In the words of Go's decoder."""
    kind = _GO_KINDS.get(type(value), "number")
    if value is None:
        return "unexpected end of JSON input"
    return f"json: cannot unmarshal {kind} into Go value of type []json.RawMessage"
