"""The messages of a conversation as templates see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from gateway.golang.template import Fields, Struct
from gateway.templates.encode import encoded
from gateway.templates.media import marked
from gateway.templates.tools import floats


@dataclass(frozen=True, slots=True)
class Think:
    """Whether the model shall think, how hard if a level was named, and whether that was asked."""

    on: bool
    level: str = ""
    given: bool = True

    @property
    def data(self) -> Mapping[str, Any]:
        """What templates see of it."""
        return {"Think": self.on, "ThinkLevel": self.level, "IsThinkSet": self.given}


class Arguments(Fields):
    """What a tool was called with; prints as JSON."""

    go_type = "template.templateArgs"

    def text(self) -> str:
        return encoded(dict(self))


@dataclass(frozen=True)
class CalledFunction(Struct):
    """The tool that was called, and with what; `index` counts within a message."""

    go_type = "template.templateToolCallFunction"

    index: int
    name: str
    arguments: Arguments

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return {"Index": self.index, "Name": self.name, "Arguments": self.arguments}


@dataclass(frozen=True)
class ToolCall(Struct):
    """A call that the model made earlier."""

    go_type = "template.templateToolCall"

    id: str
    function: CalledFunction

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return {"ID": self.id, "Function": self.function}


@dataclass(frozen=True)
class Message(Struct):
    """One message. `images` are bytes in base64, which is how JSON shows them."""

    go_type = "*template.templateMessage"

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return {
            "Role": self.role,
            "Content": self.content,
            "Thinking": self.thinking,
            "Images": self.images,
            "ToolCalls": self.calls,
            "ToolName": self.tool_name,
            "ToolCallID": self.tool_call_id,
        }


def messages_of(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """Messages in the engine's form as templates see them, and the media their markers stand for.

    The form is that of chat completions, checked by whoever took the request in.
    """
    found: list[Message] = []
    media: list[str] = []
    for message in messages:
        content, images = marked(message.get("content"), len(media))
        media += images
        found.append(
            Message(
                role=message.get("role") or "",
                content=content,
                thinking=message.get("reasoning_content") or "",
                images=images,
                calls=_calls(message.get("tool_calls") or ()),
                tool_name=message.get("name") or "",
                tool_call_id=message.get("tool_call_id") or "",
            )
        )
    return tuple(found), tuple(media)


def _calls(calls: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(call.get("id") or "", _called(index, call["function"]))
        for index, call in enumerate(calls)
    )


def _called(index: int, function: Mapping[str, Any]) -> CalledFunction:
    arguments = orjson.loads(function.get("arguments") or "{}")
    return CalledFunction(index, function.get("name") or "", Arguments(floats(arguments)))
