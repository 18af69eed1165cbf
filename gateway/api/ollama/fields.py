"""What each endpoint of Ollama's own API accepts in its body, field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.api.fields import RequestTable, json_field
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
    JsonKind,
    JsonPath,
    ListOf,
    MapOf,
    Own,
    Struct,
)
from gateway.golang.strconv import quote

THINK_LEVELS = ("high", "medium", "low", "max")

_CHOICES = '"high", "medium", "low", "max", true, or false'
# In the words of the ordered map that Ollama decodes into where the order of fields must be kept.
_NOT_AN_OBJECT = "Value looks like object, but can't find closing '}' symbol"


def parse_think(value: object) -> bool | str:
    """The value of `think`: a switch or one of THINK_LEVELS."""
    if isinstance(value, str):
        if value not in THINK_LEVELS:
            raise Invalid(f"invalid think value: {quote(value)} (must be {_CHOICES})")
        return value
    if isinstance(value, bool):
        return value
    raise Invalid(f"think must be a boolean or string ({_CHOICES})")


class _Role(JsonKind):
    """A role. Ollama puts it in lower case before it looks at it, or shows it to a template."""

    go = STRING.go

    def take(self, value: object, at: JsonPath) -> object:
        # By type, for a JsonNumber is a str as well.
        return value.lower() if type(value) is str else STRING.take(value, at)


class _Words(JsonKind):
    """The type of a tool's property: a word or a list of words. A list of one is that word."""

    go = "[]string"
    plain = str

    def take(self, value: object, at: JsonPath) -> object:
        words = _STRINGS.take(value, at)
        return words[0] if words is not None and len(words) == 1 else words


class _Property(JsonKind):
    """A tool's property. It holds properties again, so its fields are looked up only by `take`."""

    go = "api.ToolProperty"

    def zero(self) -> object:
        return {}

    def take(self, value: object, at: JsonPath) -> object:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceRequest:
    """What /api/chat and /api/generate both accept."""

    model: str = json_field(STRING, default="")
    stream: bool = json_field(BOOL, default=True)
    format: object = json_field(ANY, default=None)
    keep_alive: float | None = json_field(_KEEP_ALIVE, default=None)
    options: Mapping[str, object] = json_field(MAP, default_factory=dict)
    think: bool | str | None = json_field(_THINK, default=None)
    truncate: bool = json_field(BOOL, default=True)
    shift: bool | None = json_field(BOOL, default=None)
    debug_render_only: bool = json_field(BOOL, name="_debug_render_only", default=False)
    logprobs: bool = json_field(BOOL, default=False)
    top_logprobs: int = json_field(INT, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest(InferenceRequest):
    messages: Sequence[Mapping[str, object]] = json_field(_MESSAGES, default=())
    tools: Sequence[Mapping[str, object]] = json_field(ListOf(_TOOL, "api.Tools"), default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(InferenceRequest):
    prompt: str = json_field(STRING, default="")
    suffix: str = json_field(STRING, default="")
    system: str = json_field(STRING, default="")
    template: str = json_field(STRING, default="")
    context: Sequence[int] | None = json_field(ListOf(INT), default=None)
    """Tokens; even an empty list leaves the model's stored messages out."""
    raw: bool = json_field(BOOL, default=False)
    images: Sequence[str] = json_field(IMAGES, default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRequest:
    """A request about one model, by its present or by its older field."""

    model: str = json_field(STRING, default="")
    older_name: str = json_field(STRING, name="name", default="")

    @property
    def named(self) -> str:
        """The model that the request names; "" if none."""
        return self.model or self.older_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowRequest(NamedRequest):
    system: str = json_field(STRING, default="")
    template: str = json_field(STRING, default="")
    verbose: bool = json_field(BOOL, default=False)
    options: Mapping[str, object] | None = json_field(MAP, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRequest:
    source: str = json_field(STRING, default="")
    destination: str = json_field(STRING, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest(NamedRequest):
    """Of /api/pull and /api/push."""

    insecure: bool = json_field(BOOL, default=False)
    # Accepted, as Ollama does, and not used: a registry knows a client by its key.
    username: str = json_field(STRING, default="")
    password: str = json_field(STRING, default="")
    stream: bool = json_field(BOOL, default=True)


CHAT = RequestTable(ChatRequest, "ChatRequest")
GENERATE = RequestTable(GenerateRequest, "GenerateRequest")
SHOW = RequestTable(ShowRequest, "ShowRequest")
COPY = RequestTable(CopyRequest, "CopyRequest")
DELETE = RequestTable(NamedRequest, "DeleteRequest")
PULL = RequestTable(TransferRequest, "PullRequest")
PUSH = RequestTable(TransferRequest, "PushRequest")

# A request to create a model stays a mapping: `store.recipe` checks it, which tells a field that is
# missing from an empty one, and which must know no class of an API.
CREATE = Struct(
    "CreateRequest",
    {
        "model": STRING,
        "name": STRING,
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
