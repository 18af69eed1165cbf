"""What each endpoint of the Ollama dialect accepts in its body, member by member.

`decode(data, CHAT)` gives a dict with the members below that the client sent and that were not
null. Aliases (`name`, `quantization`) are members of their own; `model_name` resolves the first.
"""

from collections.abc import Mapping
from typing import Any

from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import (
    ANY,
    BOOL,
    IMAGES,
    INT,
    MAP,
    MAP_STRING,
    STRING,
    Custom,
    Kind,
    ListOf,
    MapOf,
    Own,
    Place,
    Struct,
)
from gateway.golang.json_syntax import quoted

THINK_LEVELS = ("high", "medium", "low", "max")

_CHOICES = '"high", "medium", "low", "max", true, or false'
_NOT_AN_OBJECT = "Value looks like object, but can't find closing '}' symbol"


def parse_think(value: Any) -> bool | str:
    """The value of `think`: a switch or one of THINK_LEVELS."""
    if isinstance(value, str):
        if value not in THINK_LEVELS:
            raise Invalid(f"invalid think value: {quoted(value)} (must be {_CHOICES})")
        return value
    if isinstance(value, bool):
        return value
    raise Invalid(f"think must be a boolean or string ({_CHOICES})")


def model_name(body: Mapping[str, Any]) -> str:
    """The model that a decoded body names, by its present or by its older member; "" if none."""
    return str(body.get("model") or body.get("name") or "")


class _Role(Kind):
    """A role, in lower case."""

    go = STRING.go

    def take(self, value: Any, at: Place) -> Any:
        return value.lower() if type(value) is str else STRING.take(value, at)


class _Words(Kind):
    """The type of a tool's property: a word or a list of words. A list of one is that word."""

    go = "[]string"
    plain = str

    def take(self, value: Any, at: Place) -> Any:
        words = _STRINGS.take(value, at)
        return words[0] if words is not None and len(words) == 1 else words


class _Property(Kind):
    """A tool's property. Its members are looked up late, for they hold properties again."""

    go = "api.ToolProperty"

    def zero(self) -> Any:
        return {}

    def take(self, value: Any, at: Place) -> Any:
        return _TOOL_PROPERTY.take(value, at)


_STRINGS = ListOf(STRING)
_KEEP_ALIVE = Custom(parse_keep_alive)
_THINK = Custom(parse_think)
_PROPERTIES = Own(MapOf(_Property()), _NOT_AN_OBJECT)

_TOOL_PROPERTY = Struct(
    "ToolProperty",
    {
        "anyOf": ListOf(_Property()),
        "type": Own(_Words()),
        "items": ANY,
        "description": STRING,
        "enum": ListOf(ANY),
        "properties": _PROPERTIES,
        "required": _STRINGS,
    },
)
_TOOL_PARAMETERS = Struct(
    "ToolFunctionParameters",
    {
        "type": STRING,
        "$defs": ANY,
        "items": ANY,
        "required": _STRINGS,
        "properties": _PROPERTIES,
    },
)
_TOOL_FUNCTION = Struct(
    "ToolFunction",
    {"name": STRING, "description": STRING, "parameters": _TOOL_PARAMETERS},
)
_TOOL = Struct(
    "Tool",
    {"type": STRING, "items": ANY, "function": _TOOL_FUNCTION},
)
_CALLED_FUNCTION = Struct(
    "ToolCallFunction",
    {"index": INT, "name": STRING, "arguments": Own(MAP, _NOT_AN_OBJECT)},
)
_TOOL_CALL = Struct("ToolCall", {"id": STRING, "function": _CALLED_FUNCTION})
_MESSAGE = Struct(
    "Message",
    {
        "role": _Role(),
        "content": STRING,
        "thinking": STRING,
        "images": IMAGES,
        "tool_calls": ListOf(_TOOL_CALL),
        "tool_name": STRING,
        "tool_call_id": STRING,
    },
    go="api.Alias",
)
_MESSAGES = ListOf(Own(_MESSAGE), "[]api.Message")

_INFERENCE: Mapping[str, Kind] = {
    "model": STRING,
    "stream": BOOL,
    "format": ANY,
    "keep_alive": _KEEP_ALIVE,
    "options": MAP,
    "think": _THINK,
    "truncate": BOOL,
    "shift": BOOL,
    "_debug_render_only": BOOL,
    "logprobs": BOOL,
    "top_logprobs": INT,
}
_NAMED: Mapping[str, Kind] = {"model": STRING, "name": STRING}
_TRANSFER: Mapping[str, Kind] = {
    **_NAMED,
    "insecure": BOOL,
    "username": STRING,
    "password": STRING,
    "stream": BOOL,
}

GENERATE = Struct(
    "GenerateRequest",
    {
        **_INFERENCE,
        "prompt": STRING,
        "suffix": STRING,
        "system": STRING,
        "template": STRING,
        "context": ListOf(INT),
        "raw": BOOL,
        "images": IMAGES,
    },
)
CHAT = Struct(
    "ChatRequest",
    {**_INFERENCE, "messages": _MESSAGES, "tools": ListOf(_TOOL, "api.Tools")},
)
EMBED = Struct(
    "EmbedRequest",
    {
        "model": STRING,
        "input": ANY,
        "keep_alive": _KEEP_ALIVE,
        "truncate": BOOL,
        "dimensions": INT,
        "options": MAP,
    },
)
EMBEDDINGS = Struct(
    "EmbeddingRequest",
    {"model": STRING, "prompt": STRING, "keep_alive": _KEEP_ALIVE, "options": MAP},
)
SHOW = Struct(
    "ShowRequest",
    {**_NAMED, "system": STRING, "template": STRING, "verbose": BOOL, "options": MAP},
)
COPY = Struct("CopyRequest", {"source": STRING, "destination": STRING})
DELETE = Struct("DeleteRequest", _NAMED)
CREATE = Struct(
    "CreateRequest",
    {
        **_NAMED,
        "stream": BOOL,
        "quantize": STRING,
        "quantization": STRING,
        "from": STRING,
        "remote_host": STRING,
        "files": MAP_STRING,
        "adapters": MAP_STRING,
        "draft_files": MAP_STRING,
        "draft_quantize": STRING,
        "template": STRING,
        "license": ANY,
        "system": STRING,
        "parameters": MAP,
        "messages": _MESSAGES,
        "renderer": STRING,
        "parser": STRING,
        "requires": STRING,
        "info": MAP,
    },
)
PULL = Struct("PullRequest", _TRANSFER)
PUSH = Struct("PushRequest", _TRANSFER)
