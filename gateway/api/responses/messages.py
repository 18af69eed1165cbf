"""The items of a conversation in OpenAI's Responses API, as messages for a model."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import NotRequired, TypedDict

from gateway.api.chat_messages import check_messages
from gateway.api.responses.items import InputItem
from gateway.api.responses.tools import INPUT, function_name

_Content = str | list[dict[str, object]]
"""A text, or parts as chat completions have them."""


class _ChatMessage(TypedDict):
    role: str
    content: _Content
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, object]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


def chat_messages(items: Iterable[InputItem], instructions: str = "") -> list[dict[str, object]]:
    """The conversation as messages of a chat completion; Invalid for media that are not data."""
    builder = _ChatBuilder()
    if instructions:
        builder.add_system(instructions)
    for item in items:
        _ADD[item["type"]](builder, item)
    builder.flush_thinking()
    return check_messages(builder.messages) if builder.messages else []


class _ChatBuilder:
    """The messages so far, and thinking that waits for the message it belongs to."""

    def __init__(self) -> None:
        self.messages: list[_ChatMessage] = []
        self._thinking = ""
        self._function_names: dict[str, str] = {}
        """Of the calls, by their ids."""

    def add_system(self, content: _Content) -> None:
        self.flush_thinking()
        last = self.messages[-1] if self.messages else None
        # Some templates refuse a second system message, and `instructions` are the first.
        if last is not None and last["role"] == "system":
            last["content"] = _concatenate(last["content"], content, "\n\n")
        else:
            self.messages.append({"role": "system", "content": content})

    def add_user(self, content: _Content) -> None:
        self.flush_thinking()
        self.messages.append({"role": "user", "content": content})

    def add_message(self, item: InputItem) -> None:
        content = _content(item["content"])
        # Few templates know the role of a developer.
        if item["role"] in ("system", "developer"):
            self.add_system(content)
            return
        if item["role"] == "user":
            self.add_user(content)
            return
        # A text between a call and its result belongs to the message with the call.
        last = self._last_answer()
        if last is not None and "tool_calls" in last and not self._thinking:
            last["content"] = _concatenate(last["content"], content)
        else:
            self._add_answer(content)

    def add_function_call(self, item: InputItem) -> None:
        name = function_name(item["name"], item.get("namespace", ""))
        self._add_call(item, name, item["arguments"].strip() or "{}")

    def add_custom_call(self, item: InputItem) -> None:
        name = function_name(item["name"], item.get("namespace", ""))
        self._add_call(item, name, json.dumps({INPUT: item["input"]}, ensure_ascii=False))

    def add_search(self, item: InputItem) -> None:
        # One without an id was made by a server, which then listed the tools by itself.
        if "call_id" in item:
            self._add_call(item, "tool_search", json.dumps(item["arguments"], ensure_ascii=False))

    def _add_call(self, item: InputItem, name: str, arguments: str) -> None:
        if item.get("status") == "incomplete":
            return  # cut short, it called nothing
        # Templates want the result of a call right behind the message that has the call, and texts
        # of that message before it; new thinking begins another.
        message = self._last_answer()
        if message is None or self._thinking:
            message = self._add_answer("")
        function = {"name": name, "arguments": arguments}
        call: dict[str, object] = {
            "id": item["call_id"],
            "type": "function",
            "function": function,
        }
        message.setdefault("tool_calls", []).append(call)
        self._function_names[item["call_id"]] = name

    def add_output(self, item: InputItem) -> None:
        output = item["output"]
        self._add_result(item["call_id"], output if isinstance(output, str) else _content(output))

    def add_search_output(self, item: InputItem) -> None:
        names = [tool["name"] for tool in item["tools"] if isinstance(tool.get("name"), str)]
        if "call_id" in item:
            text = f"There are now: {', '.join(names)}" if names else "No tools were found."
            self._add_result(item["call_id"], text)

    def _add_result(self, call_id: str, content: _Content) -> None:
        self.flush_thinking()
        message: _ChatMessage = {"role": "tool", "tool_call_id": call_id, "content": content}
        if call_id in self._function_names:
            message["name"] = self._function_names[call_id]
        self.messages.append(message)

    def add_agent_message(self, item: InputItem) -> None:
        head = f"Message from {item['author']}:\n"
        self.add_user(_concatenate(head, _content(item["content"])))

    def add_reasoning(self, item: InputItem) -> None:
        parts = item.get("content") or item["summary"]
        self._thinking += item.get("encrypted_content") or "".join(part["text"] for part in parts)

    def add_nothing(self, item: InputItem) -> None:
        """For an item that has no meaning to a model here."""

    def flush_thinking(self) -> None:
        """Thinking that nothing followed is a message of its own."""
        if self._thinking:
            self._add_answer("")

    def _add_answer(self, content: _Content) -> _ChatMessage:
        message: _ChatMessage = {"role": "assistant", "content": content}
        if self._thinking:
            message["reasoning"], self._thinking = self._thinking, ""
        self.messages.append(message)
        return message

    def _last_answer(self) -> _ChatMessage | None:
        """The last message, if the assistant wrote it."""
        last = self.messages[-1] if self.messages else None
        return last if last is not None and last["role"] == "assistant" else None


_ADD: Mapping[str, Callable[[_ChatBuilder, InputItem], None]] = {
    "message": _ChatBuilder.add_message,
    "function_call": _ChatBuilder.add_function_call,
    "function_call_output": _ChatBuilder.add_output,
    "custom_tool_call": _ChatBuilder.add_custom_call,
    "custom_tool_call_output": _ChatBuilder.add_output,
    "tool_search_call": _ChatBuilder.add_search,
    "tool_search_output": _ChatBuilder.add_search_output,
    "additional_tools": _ChatBuilder.add_nothing,
    "agent_message": _ChatBuilder.add_agent_message,
    "reasoning": _ChatBuilder.add_reasoning,
    "web_search_call": _ChatBuilder.add_nothing,
}


def _content(parts: Iterable[InputItem]) -> _Content:
    # One text if there is nothing else, for that is what most templates expect.
    converted = [_chat_part(part) for part in parts]
    texts = [text for part in converted if isinstance(text := part.get("text"), str)]
    return "".join(texts) if len(texts) == len(converted) else converted


def _chat_part(part: InputItem) -> dict[str, object]:
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return {"type": "text", "text": part["refusal" if part["type"] == "refusal" else "text"]}


def _concatenate(first: _Content, second: _Content, separator: str = "") -> _Content:
    if isinstance(first, str) and isinstance(second, str):
        return separator.join(filter(None, (first, second)))
    return [*_parts(first), *_parts(second)]


def _parts(content: _Content) -> list[dict[str, object]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
