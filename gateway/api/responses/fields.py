"""What `/v1/responses` takes: every field of a request, and its effect.

Bodies are read by this table, and the reference page repeats it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.api.fields import NumberKind, ObjectKind, RequestTable, json_field
from gateway.golang.json_decode import ANY, BOOL, INT, MAP, STRING, JsonKind, ListOf, Struct

_NUMBER = NumberKind()
_REASONING = Struct(
    "ResponsesReasoning",
    {
        "effort": STRING,
        "generate_summary": STRING,
        "summary": STRING,
        "context": STRING,
        "mode": STRING,
    },
    go="openai.ResponsesReasoning",
)
_ECHOED = "accepted and repeated in the reply; nothing here depends on it"


def _field(kind: JsonKind, doc: str) -> object:
    return json_field(kind, doc, default=None)


# As a request for these would get another reply than it wants, they are refused instead of ignored.
def _refused(kind: JsonKind, why: str) -> object:
    return json_field(kind, f"400: {why}", default=None, refused=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest:
    """A request for a response. Nothing within objects is checked but `reasoning`'s types.

    A field that was not sent is None, unless it has a default that the reply need not tell apart.
    """

    model: str = json_field(STRING, "required; a model of the library", default="")
    input: object = _field(ANY, "required; a text, or a list of the [items](#input-items) below")
    instructions: str | None = json_field(
        STRING,
        "the first system message; not taken over from the previous response",
        default=None,
    )
    previous_response_id: str | None = json_field(
        STRING,
        "goes on from a [stored response](#stored-responses); 400 if it is not there",
        default=None,
    )
    store: bool = json_field(
        BOOL,
        "false: the response is not stored. The reply says `false` in any case, as Ollama does; "
        "the stored response says `true`",
        default=True,
    )
    tools: Sequence[Mapping[str, object]] = json_field(
        ListOf(ObjectKind("openai.ResponsesTool")),
        "see [tools](#tools); any other type is 400. The model must be able to call tools",
        default=(),
    )
    tool_choice: object = json_field(
        ANY,
        "`none` and `auto`; `required`, a named function or custom tool, and `allowed_tools`: the "
        "others are not shown to the model. Naming a tool that is not there is 400",
        default="auto",
    )
    parallel_tool_calls: bool | None = json_field(
        BOOL, "false: at most one call in a reply", default=None
    )
    max_tool_calls: int | None = json_field(
        INT,
        "accepted and repeated; it bounds the service's own tools, of which there are none",
        default=None,
    )
    text: Mapping[str, object] | None = json_field(
        ObjectKind("openai.ResponsesText"),
        "`format`: `text`, `json_object` or `json_schema`, which the reply is held to; "
        "`verbosity`: checked and repeated, no template knows it",
        default=None,
    )
    reasoning: Mapping[str, str] | None = json_field(
        _REASONING,
        "`effort`: how much the model thinks, `none` for not at all; 400 for more than none if it "
        "cannot. `summary` (or `generate_summary`): also sends the events of the summary's parts; "
        "the summary is the whole reasoning in any case. `context` and `mode`: 400 but for `auto` "
        "and `standard`",
        default=None,
    )
    max_output_tokens: int | None = json_field(
        INT, "most tokens of the reply, reasoning included; at least 1", default=None
    )
    temperature: float | None = json_field(
        _NUMBER, "1 where neither the request nor the model sets it", default=None
    )
    top_p: float | None = json_field(
        _NUMBER, "the model's own where the request does not set it", default=None
    )
    top_logprobs: int = json_field(
        INT,
        "0 to 20 alternatives for each token of the text; more than 0 asks for logprobs",
        default=0,
    )
    truncation: str | None = json_field(
        STRING,
        "`auto`: the oldest messages go when the prompt is too long; `disabled`: 400 then. "
        "Without it: as `auto`, though the reply says `disabled`, both as Ollama",
        default=None,
    )
    stream: bool = json_field(BOOL, "events instead of one object", default=False)
    stream_options: Mapping[str, object] | None = json_field(
        MAP,
        "`include_obfuscation`: false is accepted, true is 400: events are not padded",
        default=None,
    )
    include: Sequence[str] = json_field(
        ListOf(STRING),
        "`message.output_text.logprobs` asks for logprobs. The others of the official API are "
        "accepted: reasoning always comes with its content, and results of the service's own "
        "tools do not occur. Anything else is 400",
        default=(),
    )
    metadata: Mapping[str, object] | None = json_field(
        MAP, "up to 16 texts, kept with the response and repeated", default=None
    )
    user: str | None = json_field(STRING, _ECHOED, default=None)
    safety_identifier: str | None = json_field(STRING, _ECHOED, default=None)
    prompt_cache_key: str | None = json_field(
        STRING,
        "accepted and repeated; the reply then counts the cached tokens of the prompt",
        default=None,
    )
    prompt_cache_retention: str | None = json_field(STRING, _ECHOED, default=None)
    service_tier: str | None = json_field(
        STRING, "checked; there is one tier, and the reply says `default`", default=None
    )
    background: object = _refused(BOOL, "replies are not made in the background; false is accepted")
    background_options: object = _refused(MAP, "as `background`")
    conversation: object = _refused(
        ANY, "there are no conversation objects; use `previous_response_id`"
    )
    prompt: object = _refused(ANY, "there are no stored prompts")
    prompt_cache_options: object = _refused(MAP, "the cache of prompts is the engine's own")
    context_management: object = _refused(ANY, "conversations are not compacted")
    moderation: object = _refused(ANY, "there is no moderation")
    image: object = _refused(ANY, "images are not compressed")
    access_programs: object = _refused(ANY, "there are none")
    seed: int | None = json_field(INT, "not in the official API: honoured", default=None)
    stop: object = _field(ANY, "not in the official API: a text or a list of texts, honoured")
    top_k: int | None = json_field(INT, "not in the official API: honoured", default=None)
    min_p: float | None = json_field(_NUMBER, "not in the official API: honoured", default=None)
    presence_penalty: float | None = json_field(
        _NUMBER, "not in the official API: honoured and repeated", default=None
    )
    frequency_penalty: float | None = json_field(
        _NUMBER, "not in the official API: honoured and repeated", default=None
    )
    keep_alive: object = _field(ANY, "not in the official API: as in `/api/chat`")


RESPONSES = RequestTable(ResponsesRequest, "ResponsesRequest", go="openai.ResponsesRequest")

# All that the official API has. Most name what never occurs here, so nothing is missing without it.
INCLUDABLE = (
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)
