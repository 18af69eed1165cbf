"""What is sent to a llama-server."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.errors import Invalid

CHAT = "/v1/chat/completions"
COMPLETION = "/completion"
APPLY_TEMPLATE = "/apply-template"
COUNT = CHAT + "/input_tokens"
TOKENIZE = "/tokenize"
DETOKENIZE = "/detokenize"
PROPS = "/props"

JsonObject = Mapping[str, object]
"""An object of JSON whose fields have not been checked."""
Message = JsonObject
"""A message of a conversation, in the shape of the engine's chat completions."""
ThinkLevel = bool | str | None
"""Off, on or a level; None leaves it to the template."""
Prompt = str | Sequence[int] | JsonObject
"""A text, token ids, or a text with media, see `with_media`."""

_ANY_OBJECT = {"type": "object"}
# A reply is always streamed, and a long prompt with progress: only then does the engine notice
# within milliseconds that the client has left, be it before the first token.
_ALWAYS = {"stream": True, "cache_prompt": True}
# The engine then goes on from the last message without repeating it.
_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
BATCH = 2048
"""Tokens that the engine computes at once, unless `--batch-size` says otherwise."""
# Without this list the last event would repeat the prompt and every setting.
_FIELDS = ("content", "stop", "stop_type", "stopping_word", "timings", "truncated")
# What only the chat template of the engine's own could heed.
_TEMPLATE_ONLY = ("tool_choice", "parallel_tool_calls", "chat_template_kwargs", "stream_options")


@dataclass(frozen=True, slots=True)
class Call:
    """Where on the runner, and the JSON to post there. Without a body it is a GET."""

    path: str
    body: bytes


def chat(
    messages: Sequence[Message],
    sampling: JsonObject,
    think: ThinkLevel,
    *,
    tools: Sequence[JsonObject] = (),
    response_format: JsonObject | None = None,
    top_logprobs: int | None = None,
    extra: JsonObject | None = None,
    batch: int = BATCH,
) -> Call:
    """The next message, by the GGUF's own chat template. `batch`: of the runner, tokens.

    `extra`: more fields of a chat completion, as the client sent them.
    """
    extra = extra or {}
    payload = {**sampling, **extra, **_ALWAYS, "messages": messages}
    if messages and _is_begun_reply(messages[-1]) and not _CONTINUE.keys() & payload.keys():
        payload |= _CONTINUE
    if response_format:
        payload["response_format"] = response_format
    if tools:
        payload["tools"] = tools
    if top_logprobs is not None:
        # By the name that OpenAI gives it the engine refuses it for streams with tools.
        payload["n_probs"] = max(1, top_logprobs)
    own = extra.get("chat_template_kwargs")
    if kwargs := {**_template_kwargs(think), **(own if isinstance(own, dict) else {})}:
        payload["chat_template_kwargs"] = kwargs
    return _generation(CHAT, payload, batch)


def _is_begun_reply(message: Message) -> bool:
    return message.get("role") == "assistant" and not message.get("tool_calls")


def apply_template(
    messages: Sequence[Message], think: ThinkLevel, tools: Sequence[JsonObject] = ()
) -> Call:
    """The prompt text that a conversation becomes by the GGUF's own chat template."""
    payload: dict[str, object] = {"messages": messages}
    if messages and _is_begun_reply(messages[-1]):
        payload |= _CONTINUE
    if kwargs := _template_kwargs(think):
        payload["chat_template_kwargs"] = kwargs
    if tools:
        payload["tools"] = tools
    return _call(APPLY_TEMPLATE, payload)


def completion(
    prompt: Prompt,
    sampling: JsonObject,
    *,
    schema: JsonObject | None = None,
    top_logprobs: int | None = None,
    extra: JsonObject | None = None,
    batch: int = BATCH,
) -> Call:
    """Go on from `prompt`."""
    fields = [*_FIELDS] if top_logprobs is None else [*_FIELDS, "completion_probabilities"]
    payload: dict[str, object] = {
        **sampling,
        **{key: value for key, value in (extra or {}).items() if key not in _TEMPLATE_ONLY},
        **_ALWAYS,
        "prompt": prompt,
        "response_fields": fields,
    }
    if schema is not None:
        payload["json_schema"] = schema
        payload.pop("grammar", None)  # which would win here, unlike in a chat
    if top_logprobs is not None:
        payload["n_probs"] = max(1, top_logprobs)
    return _generation(COMPLETION, payload, batch)


def uncached(call: Call) -> Call:
    """The same call, of which nothing is taken from the cache of earlier prompts."""
    return _call(call.path, {**orjson.loads(call.body), "cache_prompt": False})


def with_media(text: str, data: Sequence[str]) -> Prompt:
    """A prompt whose markers stand for `data`, base64 each."""
    return {"prompt_string": text, "multimodal_data": list(data)}


def count_tokens(chat_call: Call) -> Call:
    """How many tokens the prompt of a chat has, media included; no token is computed for it."""
    return Call(COUNT, chat_call.body)


def tokenize(text: str | Sequence[str], *, special: bool = False) -> Call:
    """`special`: with the tokens that the vocabulary puts before every prompt.

    Texts, not one text, are those between media: no token reaches from one into the next.
    """
    payload = {"content": text, "add_special": True} if special else {"content": text}
    return _call(TOKENIZE, payload)


def detokenize(tokens: Iterable[int]) -> Call:
    return _call(DETOKENIZE, {"tokens": list(tokens)})


def schema_of(response_format: JsonObject) -> JsonObject:
    """The JSON Schema of a `response_format`; without one, any object will do."""
    holder: object = response_format
    if response_format.get("type") != "json_object":
        holder = response_format.get("json_schema")
    schema = holder.get("schema") if isinstance(holder, Mapping) else None
    return schema if isinstance(schema, Mapping) and schema else _ANY_OBJECT


def _template_kwargs(think: ThinkLevel) -> dict[str, object]:
    if think is None:
        return {}
    kwargs: dict[str, object] = {"enable_thinking": bool(think)}
    if isinstance(think, str):
        kwargs["reasoning_effort"] = think
    return kwargs


def _generation(path: str, payload: dict[str, object], batch: int) -> Call:
    # The engine looks for the client between two batches, so a prompt that surely fits one, with a
    # token for each byte even, has no progress to report, and is spared two events.
    call = _call(path, payload)
    return call if len(call.body) <= batch else _call(path, payload | {"return_progress": True})


def _call(path: str, payload: JsonObject) -> Call:
    try:
        return Call(path, orjson.dumps(payload))
    except orjson.JSONEncodeError as exc:
        raise Invalid(f"the request cannot be passed on: {exc}".lower()) from exc
