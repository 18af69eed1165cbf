"""What `/v1/messages` takes: every field of a request, content block and tool, and its effect.

The tables are the contract: bodies are read by them, and the reference page repeats them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gateway.api.fields import NumberKind, ObjectKind, RequestTable, json_field
from gateway.errors import Invalid
from gateway.golang.json_decode import ANY, BOOL, INT, STRING, JsonKind, JsonPath, ListOf


class _MessageKind(JsonKind):
    """A role, and content that is text or a list of objects."""

    # Ollama decodes messages with an anonymous struct, and Go spells that out in its errors.
    go = 'struct { Role string "json:\\"role\\""; Content json.RawMessage "json:\\"content\\"" }'

    def zero(self) -> object:
        return {}

    def take(self, value: object, at: JsonPath) -> object:
        if type(value) is not dict:
            at.mismatch(value, self.go)
            return None
        message = at.free(value)
        # Go gives an empty text to the decoder of a content that is not there.
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


_NUMBER = NumberKind()


def _unused(kind: JsonKind, why: str) -> object:
    return json_field(kind, f"accepted, without effect: {why}", default=None)


def _refused(why: str) -> object:
    # Each would change the reply: without it the client would get something else than it wants.
    return json_field(ANY, f"400: {why}", default=None, refused=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesRequest:
    """A request for a message, or for the count of its tokens. Nothing within objects is checked.

    A field that was not sent is None, or empty if it is a text or a list.
    """

    model: str = json_field(STRING, "required; a name in the library", default="")
    max_tokens: int | None = json_field(
        INT, "required, above 0; the most tokens of the reply, thinking included", default=None
    )
    messages: Sequence[Mapping[str, object]] = json_field(
        ListOf(_MessageKind(), "[]anthropic.MessageParam"),
        "required; roles `user`, `assistant`, `system`; a last one from the assistant is continued",
        default=(),
    )
    system: object = json_field(ANY, "text, or text blocks, joined without a separator", default="")
    stream: bool = json_field(BOOL, "whether the reply comes event by event", default=False)
    temperature: float | None = json_field(_NUMBER, "else the model's own", default=None)
    top_p: float | None = json_field(_NUMBER, "else the model's own", default=None)
    top_k: int | None = json_field(INT, "else the model's own", default=None)
    stop_sequences: Sequence[str] = json_field(
        ListOf(STRING), "instead of the model's own, empty ones left out", default=()
    )
    tools: Sequence[Mapping[str, object]] = json_field(
        ListOf(ObjectKind("anthropic.Tool")), "see tools; the model must be able to", default=()
    )
    tool_choice: Mapping[str, object] | None = json_field(
        ObjectKind("anthropic.ToolChoice"),
        "`auto`; `any`: some call is made; `tool`: a call of the one named, the others are left "
        "out; `none`: all tools are left out; `disable_parallel_tool_use`: one call at most",
        default=None,
    )
    thinking: Mapping[str, object] | None = json_field(
        ObjectKind("anthropic.ThinkingConfig"),
        "`enabled` with `budget_tokens`, `disabled`; any other type leaves it to the model; "
        "`display` `omitted` empties the blocks; `block_binding` has no effect; none of it has on "
        "a model that cannot think",
        default=None,
    )
    output_config: Mapping[str, object] | None = json_field(
        ObjectKind("anthropic.OutputConfig"),
        "`effort`: how hard to think; `format`: a `json_schema` that the reply keeps to; "
        "`task_budget` has no effect",
        default=None,
    )
    output_format: Mapping[str, object] | None = json_field(
        ObjectKind("anthropic.OutputFormat"),
        "the older name of `output_config.format`",
        default=None,
    )
    context_management: Mapping[str, object] | None = json_field(
        ObjectKind("anthropic.ContextManagement"),
        "`clear_thinking_20251015` clears thinking; any other edit is 400",
        default=None,
    )
    cache_control: object = json_field(
        ANY,
        "here, on a block or on a tool: the reply's `usage` sets apart what came from the cache; "
        "caching itself is always on",
        default=None,
    )
    container: object = _refused("there are no containers")
    mcp_servers: object = _refused("there is no MCP client")
    compaction: object = _refused("conversations are not compacted here")
    thread: object = _refused(
        "conversations are not kept here; clients then send the whole of them"
    )
    metadata: ClassVar[object] = _unused(ObjectKind("anthropic.Metadata"), "there are no users")
    service_tier: ClassVar[object] = _unused(ANY, "there is one tier")
    speed: ClassVar[object] = _unused(ANY, "there is one speed")
    inference_geo: ClassVar[object] = _unused(ANY, "there is one place")
    diagnostics: ClassVar[object] = _unused(ANY, "there are none")
    fallbacks: ClassVar[object] = _unused(ANY, "nothing falls back to another model")
    fallback_credit_token: ClassVar[object] = _unused(ANY, "there is no credit")
    billing_policy: ClassVar[object] = _unused(ANY, "nobody is billed")
    user_profile_id: ClassVar[object] = _unused(ANY, "there are no profiles")
    workspace_id: ClassVar[object] = _unused(ANY, "there are no workspaces")
    betas: ClassVar[object] = _unused(ANY, "every beta that is listed here is on")
    keep_alive: object = json_field(ANY, "not in the official API: as in `/api/chat`", default=None)
    # No error, but for the log: clients send new fields before servers know them.
    unknown: tuple[str, ...] = ()
    """The names of fields that are not in this table."""


MESSAGES = RequestTable(
    MessagesRequest, "MessagesRequest", go="anthropic.MessagesRequest", unknown="unknown"
)

_REFUSALS = {
    name: f"{name}: not supported: {field.doc.removeprefix('400: ')}"
    for name, field in MESSAGES.fields.items()
    if field.refused
}
NO_THREADS = _REFUSALS["thread"]


def check_refused(request: MessagesRequest) -> None:
    """Invalid, by name, for a field that would change the reply and is not supported."""
    for name, message in _REFUSALS.items():
        if getattr(request, name):
            raise Invalid(message)


# What Anthropic's own client can send besides these is refused by its type: a block that is dropped
# in silence would make the model answer another question.
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

# By type without its date. Every other type is 400: those tools run on Anthropic's servers, or need
# a screen.
TOOLS: Mapping[str, str] = {
    "custom": "`name`, `description`, `input_schema`; also without a type; `strict`, "
    "`input_examples` and `allowed_callers` have no effect",
    "bash": "a function with the parameters that Anthropic documents",
    "text_editor": "a function with the parameters that Anthropic documents",
    "memory": "a function with the parameters that Anthropic documents",
    "tool_search_tool_bm25": "left out: all tools are always loaded, `defer_loading` or not",
    "tool_search_tool_regex": "the same",
}
