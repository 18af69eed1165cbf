"""The items of a conversation in OpenAI's Responses API, as messages for a model."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.api.chat_messages import check_messages
from gateway.api.responses.items import Item
from gateway.api.responses.tools import INPUT, known_as


def messages(given: Iterable[Item], instructions: str = "") -> list[dict[str, Any]]:
    """The conversation as messages of a chat completion; Invalid for media that are not data.

    A call belongs to the assistant's message before it, for templates want the result of a call
    right behind it; a text between a call and its result belongs to that message too. System
    messages next to each other are one, `instructions` among them, for there are templates that
    take a second one for a mistake.
    """
    joined = _Joined()
    if instructions:
        joined.system(instructions)
    for item in given:
        _JOIN[item["type"]](joined, item)
    joined.settle()
    return check_messages(joined.messages) if joined.messages else []


class _Joined:
    """The messages so far, and thinking that waits for the message it belongs to."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._thinking = ""
        self._names: dict[str, str] = {}

    def system(self, content: Any) -> None:
        """What the operator says; few templates know the role of a developer."""
        self.settle()
        last = self.messages[-1] if self.messages else None
        if last is not None and last["role"] == "system":
            last["content"] = _plus(last["content"], content, "\n\n")
        else:
            self.messages.append({"role": "system", "content": content})

    def user(self, content: Any) -> None:
        self.settle()
        self.messages.append({"role": "user", "content": content})

    def message(self, item: Item) -> None:
        content = _content(item["content"])
        if item["role"] in ("system", "developer"):
            self.system(content)
            return
        if item["role"] == "user":
            self.user(content)
            return
        last = self._last()
        if last is not None and "tool_calls" in last and not self._thinking:
            last["content"] = _plus(last["content"], content)
        else:
            self._assistant(content)

    def call(self, item: Item) -> None:
        self._call(item, _called(item), item["arguments"].strip() or "{}")

    def custom_call(self, item: Item) -> None:
        self._call(item, _called(item), json.dumps({INPUT: item["input"]}, ensure_ascii=False))

    def search(self, item: Item) -> None:
        """One without an id was made by a server, which showed what it found by itself."""
        if "call_id" in item:
            self._call(item, "tool_search", json.dumps(item["arguments"], ensure_ascii=False))

    def _call(self, item: Item, name: str, arguments: str) -> None:
        if item.get("status") == "incomplete":
            return  # cut short, it called nothing
        message = self._last()
        if message is None or self._thinking:
            message = self._assistant("")
        function = {"name": name, "arguments": arguments}
        call = {"id": item["call_id"], "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(call)
        self._names[item["call_id"]] = name

    def output(self, item: Item) -> None:
        output = item["output"]
        self._result(item["call_id"], output if isinstance(output, str) else _content(output))

    def found(self, item: Item) -> None:
        names = [tool["name"] for tool in item["tools"] if isinstance(tool.get("name"), str)]
        if "call_id" in item:
            told = f"There are now: {', '.join(names)}" if names else "No tools were found."
            self._result(item["call_id"], told)

    def _result(self, ident: str, content: Any) -> None:
        self.settle()
        name = {"name": self._names[ident]} if ident in self._names else {}
        self.messages.append({"role": "tool", "tool_call_id": ident, **name, "content": content})

    def agent(self, item: Item) -> None:
        self.user(_plus(f"Message from {item['author']}:\n", _content(item["content"])))

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
    "custom_tool_call": _Joined.custom_call,
    "custom_tool_call_output": _Joined.output,
    "tool_search_call": _Joined.search,
    "tool_search_output": _Joined.found,
    "additional_tools": _Joined.nothing,
    "agent_message": _Joined.agent,
    "reasoning": _Joined.reasoning,
    "web_search_call": _Joined.nothing,
}


def _called(item: Item) -> str:
    """The tool of a call, as the model knows it."""
    return known_as(item["name"], item.get("namespace", ""))


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


def _plus(first: Any, second: Any, between: str = "") -> Any:
    """Two contents as one."""
    if isinstance(first, str) and isinstance(second, str):
        return between.join(filter(None, (first, second)))
    lists = [[{"type": "text", "text": c}] if isinstance(c, str) else c for c in (first, second)]
    return [*lists[0], *lists[1]]
