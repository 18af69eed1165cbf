"""What `/v1/messages` takes: every member of a request, content block and tool, and its fate.

The tables are the contract: bodies are read by them, and the reference page repeats them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import Invalid
from gateway.golang.json_decode import ANY, BOOL, INT, STRING, JsonKind, JsonPath, ListOf, Struct

_MESSAGE = 'struct { Role string "json:\\"role\\""; Content json.RawMessage "json:\\"content\\"" }'


class _Number(JsonKind):
    """An integer or a fraction."""

    go = "float64"

    def take(self, value: Any, at: JsonPath) -> Any:
        number = at.free(value)
        return number if type(number) in (int, float) else at.mismatch(value, self.go)


class _Object(JsonKind):
    """An object whose members are looked at later, by what it is for."""

    def __init__(self, go: str) -> None:
        self.go = go

    def zero(self) -> Any:
        return {}

    def take(self, value: Any, at: JsonPath) -> Any:
        return at.free(value) if type(value) is dict else at.mismatch(value, self.go)


class _Message(JsonKind):
    """A role, and content that is text or a list of objects."""

    go = _MESSAGE

    def zero(self) -> Any:
        return {}

    def take(self, value: Any, at: JsonPath) -> Any:
        if type(value) is not dict:
            return at.mismatch(value, self.go)
        message = at.free(value)
        if "content" not in message:
            raise Invalid("unexpected end of JSON input")
        role, content = message.get("role"), message["content"]
        if role is not None and type(role) is not str:
            at.mismatch(role, "string")
        if content is not None and type(content) not in (str, list):
            at.mismatch(content, "[]anthropic.ContentBlock")
        for block in content if type(content) is list else ():
            if type(block) is not dict:
                at.mismatch(block, "anthropic.ContentBlock")
        return message


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a request: what it may hold, and what happens to it."""

    kind: JsonKind
    effect: str
    refused: bool = False
    """Whether anything but null or an empty value is an error."""


_ACCEPTED = "accepted, without effect: "
_REFUSED = "400: "

FIELDS: Mapping[str, Field] = {
    "model": Field(STRING, "required; a name in the library"),
    "max_tokens": Field(INT, "required, above 0; the most tokens of the reply, thinking included"),
    "messages": Field(
        ListOf(_Message(), "[]anthropic.MessageParam"),
        "required; roles `user`, `assistant`, `system`; a last one from the assistant is continued",
    ),
    "system": Field(ANY, "text, or text blocks, joined without a separator"),
    "stream": Field(BOOL, "whether the reply comes event by event"),
    "temperature": Field(_Number(), "else the model's own"),
    "top_p": Field(_Number(), "else the model's own"),
    "top_k": Field(INT, "else the model's own"),
    "stop_sequences": Field(ListOf(STRING), "instead of the model's own, empty ones left out"),
    "tools": Field(ListOf(_Object("anthropic.Tool")), "see tools; the model must be able to"),
    "tool_choice": Field(
        _Object("anthropic.ToolChoice"),
        "`auto`; `any`: some call is made; `tool`: a call of the one named, the others are left "
        "out; `none`: all tools are left out; `disable_parallel_tool_use`: one call at most",
    ),
    "thinking": Field(
        _Object("anthropic.ThinkingConfig"),
        "`enabled` with `budget_tokens`, `disabled`; any other type leaves it to the model; "
        "`display` `omitted` empties the blocks; `block_binding` has no effect; none of it has on "
        "a model that cannot think",
    ),
    "output_config": Field(
        _Object("anthropic.OutputConfig"),
        "`effort`: how hard to think; `format`: a `json_schema` that the reply keeps to; "
        "`task_budget` has no effect",
    ),
    "output_format": Field(
        _Object("anthropic.OutputFormat"), "the older name of `output_config.format`"
    ),
    "context_management": Field(
        _Object("anthropic.ContextManagement"),
        "`clear_thinking_20251015` clears thinking; any other edit is 400",
    ),
    "cache_control": Field(
        ANY,
        "here, on a block or on a tool: the reply's `usage` sets apart what came from the cache; "
        "caching itself is always on",
    ),
    "container": Field(ANY, _REFUSED + "there are no containers", refused=True),
    "mcp_servers": Field(ANY, _REFUSED + "there is no MCP client", refused=True),
    "compaction": Field(ANY, _REFUSED + "conversations are not compacted here", refused=True),
    "thread": Field(
        ANY,
        _REFUSED + "conversations are not kept here; clients then send the whole of them",
        refused=True,
    ),
    "metadata": Field(_Object("anthropic.Metadata"), _ACCEPTED + "there are no users"),
    "service_tier": Field(ANY, _ACCEPTED + "there is one tier"),
    "speed": Field(ANY, _ACCEPTED + "there is one speed"),
    "inference_geo": Field(ANY, _ACCEPTED + "there is one place"),
    "diagnostics": Field(ANY, _ACCEPTED + "there are none"),
    "fallbacks": Field(ANY, _ACCEPTED + "nothing falls back to another model"),
    "fallback_credit_token": Field(ANY, _ACCEPTED + "there is no credit"),
    "billing_policy": Field(ANY, _ACCEPTED + "nobody is billed"),
    "user_profile_id": Field(ANY, _ACCEPTED + "there are no profiles"),
    "workspace_id": Field(ANY, _ACCEPTED + "there are no workspaces"),
    "betas": Field(ANY, _ACCEPTED + "every beta that is listed here is on"),
    "keep_alive": Field(ANY, "not in the official API: as in `/api/chat`"),
}

NO_THREADS = f"thread: not supported: {FIELDS['thread'].effect.removeprefix(_REFUSED)}"

BLOCKS: Mapping[str, str] = {
    "text": "text; neighbours are joined without a separator",
    "image": "`source` of type `base64`; any other source is 400; `transformations` has no effect",
    "document": "`source` of type `text` or `content`, as text; PDF, URLs and files are 400; "
    "`citations` has no effect: none are made",
    "search_result": "its title, source and texts, as text; `citations` as above",
    "thinking": "the assistant's; given to the template; `signature` is not looked at",
    "redacted_thinking": "left out: only its author can read it",
    "tool_use": "the assistant's; `id` and `name` required",
    "server_tool_use": "the same",
    "tool_result": "text, images, documents, search results; stands before the message's text; "
    "with `is_error` one without content says `Error`",
    "web_search_tool_result": "as a result, in JSON",
    "web_fetch_tool_result": "as a result, in JSON",
    "tool_reference": "in a `tool_result`: the tool's name",
}

TOOLS: Mapping[str, str] = {
    "custom": "`name`, `description`, `input_schema`; also without a type; `strict`, "
    "`input_examples` and `allowed_callers` have no effect",
    "bash": "a function with the parameters that Anthropic documents",
    "text_editor": "a function with the parameters that Anthropic documents",
    "memory": "a function with the parameters that Anthropic documents",
    "tool_search_tool_bm25": "left out: all tools are always loaded, `defer_loading` or not",
    "tool_search_tool_regex": "the same",
}
"""By type without its date. Every other type is 400: those tools run on Anthropic's servers, or
need a screen."""


class _Body(Struct):
    """A request that also tells which of its members nobody knows."""

    def take(self, value: Any, at: JsonPath) -> Any:
        found = super().take(value, at)
        if type(value) is dict and found is not None:
            found[UNKNOWN] = tuple(key for key in value if key.lower() not in FIELDS)
        return found


UNKNOWN = ""
"""Where in a decoded body the names of unknown members stand."""

MESSAGES = _Body(
    "MessagesRequest",
    {name: field.kind for name, field in FIELDS.items()},
    go="anthropic.MessagesRequest",
)


def refuse(body: Mapping[str, Any]) -> None:
    """Invalid, by name, for a member that would change the reply and cannot be had."""
    for name, field in FIELDS.items():
        if field.refused and body.get(name):
            raise Invalid(f"{name}: not supported: {field.effect.removeprefix(_REFUSED)}")
