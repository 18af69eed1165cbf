"""The messages of a conversation as templates see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from gateway.golang.json_encode import marshal
from gateway.golang.template import GoMap, GoStruct
from gateway.templates.media import marked
from gateway.templates.tools import floats


@dataclass(frozen=True, slots=True)
class ThinkFlags:
    """A request's `think`: on or off, the level if it names one, and whether it is there."""

    on: bool
    level: str = ""
    given: bool = True

    @property
    def data(self) -> Mapping[str, object]:
        return {"Think": self.on, "ThinkLevel": self.level, "IsThinkSet": self.given}


class CallArguments(GoMap):
    """The arguments of a tool call; prints as JSON."""

    go_type = "template.templateArgs"

    def text(self) -> str:
        return marshal(dict(self))


@dataclass(frozen=True)
class TemplateCallFunction(GoStruct):
    """`index` counts the calls of a message."""

    go_type = "template.templateToolCallFunction"

    index: int
    name: str
    arguments: CallArguments

    @cached_property
    def fields(self) -> Mapping[str, object]:
        return {"Index": self.index, "Name": self.name, "Arguments": self.arguments}


@dataclass(frozen=True)
class TemplateToolCall(GoStruct):
    """A call in an earlier message of the model's."""

    go_type = "template.templateToolCall"

    id: str
    function: TemplateCallFunction

    @cached_property
    def fields(self) -> Mapping[str, object]:
        return {"ID": self.id, "Function": self.function}


@dataclass(frozen=True)
class TemplateMessage(GoStruct):
    """One message. `images` are bytes in base64, which is how JSON shows them."""

    go_type = "*template.templateMessage"

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    calls: tuple[TemplateToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""

    @cached_property
    def fields(self) -> Mapping[str, object]:
        return {
            "Role": self.role,
            "Content": self.content,
            "Thinking": self.thinking,
            "Images": self.images,
            "ToolCalls": self.calls,
            "ToolName": self.tool_name,
            "ToolCallID": self.tool_call_id,
        }


def template_messages(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[tuple[TemplateMessage, ...], tuple[str, ...]]:
    """Messages in the engine's form as templates see them, and the media their markers stand for.

    The form is that of chat completions, and its types have been checked.
    """
    converted: list[TemplateMessage] = []
    media: list[str] = []
    for message in messages:
        content, images = marked(message.get("content"), len(media))
        media += images
        calls: list[TemplateToolCall] = []
        for index, call in enumerate(message.get("tool_calls") or ()):
            function = call["function"]
            arguments = CallArguments(floats(orjson.loads(function.get("arguments") or "{}")))
            called = TemplateCallFunction(index, function.get("name") or "", arguments)
            calls.append(TemplateToolCall(call.get("id") or "", called))
        converted.append(
            TemplateMessage(
                role=message.get("role") or "",
                content=content,
                thinking=message.get("reasoning_content") or "",
                images=images,
                calls=tuple(calls),
                tool_name=message.get("name") or "",
                tool_call_id=message.get("tool_call_id") or "",
            )
        )
    return tuple(converted), tuple(media)
