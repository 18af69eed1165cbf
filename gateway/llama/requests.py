"""The engine's own dialect: what is posted to llama-server.

A reply is always streamed from it, and a long prompt with progress: only then does it notice within
milliseconds that the client has left, be it before the first token. It looks between two batches;
so a prompt that surely fits one has no progress to tell, and is spared two events before its reply.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.errors import Invalid
from gateway.inference.types import Call, Turn

CHAT = "/v1/chat/completions"
COMPLETION = "/completion"
APPLY_TEMPLATE = "/apply-template"
COUNT = CHAT + "/input_tokens"
TOKENIZE = "/tokenize"
DETOKENIZE = "/detokenize"
PROPS = "/props"

Think = bool | str | None
Prompt = str | Sequence[int] | Mapping[str, Any]

_ANY_OBJECT = {"type": "object"}
_ALWAYS = {"stream": True, "cache_prompt": True}
# The engine then goes on from the last message without repeating it.
_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
BATCH = 2048
"""Tokens that the engine computes at once, unless it is told otherwise."""
# The last event would repeat the prompt and every setting.
_FIELDS = ("content", "stop", "stop_type", "stopping_word", "timings", "truncated")
# What only the chat template of the engine's own could heed.
_TEMPLATE_ONLY = ("tool_choice", "parallel_tool_calls", "chat_template_kwargs", "stream_options")


def chat(
    turn: Turn,
    messages: Iterable[Mapping[str, Any]],
    sampling: Mapping[str, Any],
    think: Think,
    batch: int = BATCH,
) -> Call:
    """The next message, by the GGUF's own chat template. `batch`: of the runner, tokens."""
    conversation = list(messages)
    payload = {**sampling, **turn.extra, **_ALWAYS, "messages": conversation}
    if conversation and _begun(conversation[-1]) and not _CONTINUE.keys() & payload.keys():
        payload |= _CONTINUE
    if turn.format:
        payload["response_format"] = turn.format
    if turn.tools:
        payload["tools"] = turn.tools
    if turn.top_logprobs is not None:
        # By the name that OpenAI gives it the engine refuses it for streams with tools.
        payload["n_probs"] = max(1, turn.top_logprobs)
    if kwargs := {**_thinking(think), **turn.extra.get("chat_template_kwargs", {})}:
        payload["chat_template_kwargs"] = kwargs
    return _generation(CHAT, payload, batch)


def _begun(message: Mapping[str, Any]) -> bool:
    """Whether a message is the beginning of the reply."""
    return message.get("role") == "assistant" and not message.get("tool_calls")


def render(
    messages: Iterable[Mapping[str, Any]], think: Think, tools: Sequence[Mapping[str, Any]] = ()
) -> Call:
    """The prompt text that a conversation becomes by the GGUF's own chat template."""
    conversation = list(messages)
    payload: dict[str, Any] = {"messages": conversation}
    if conversation and _begun(conversation[-1]):
        payload |= _CONTINUE
    if kwargs := _thinking(think):
        payload["chat_template_kwargs"] = kwargs
    if tools:
        payload["tools"] = tools
    return _call(APPLY_TEMPLATE, payload)


def completion(
    prompt: Prompt,
    sampling: Mapping[str, Any],
    *,
    schema: Mapping[str, Any] | None = None,
    top_logprobs: int | None = None,
    extra: Mapping[str, Any] | None = None,
    batch: int = BATCH,
) -> Call:
    """Go on from `prompt`: a text, token numbers, or a text with media (see `media`)."""
    payload: dict[str, Any] = {
        **sampling,
        **{key: value for key, value in (extra or {}).items() if key not in _TEMPLATE_ONLY},
        **_ALWAYS,
        "prompt": prompt,
        "response_fields": list(_FIELDS),
    }
    if schema is not None:
        payload["json_schema"] = schema
        payload.pop("grammar", None)  # which would win here, unlike in a chat
    if top_logprobs is not None:
        payload["n_probs"] = max(1, top_logprobs)
        payload["response_fields"].append("completion_probabilities")
    return _generation(COMPLETION, payload, batch)


def uncached(call: Call) -> Call:
    """The same call, of which nothing is taken from the cache of earlier prompts."""
    return _call(call.path, {**orjson.loads(call.body), "cache_prompt": False})


def media(text: str, data: Sequence[str]) -> Prompt:
    """A prompt whose markers stand for `data`, base64 each."""
    return {"prompt_string": text, "multimodal_data": list(data)}


def count(chat: Call) -> Call:
    """How many tokens the prompt of a chat has, media included. Nothing is computed for it."""
    return Call(COUNT, chat.body)


def tokenize(text: str | Sequence[str], *, special: bool = False) -> Call:
    """`special`: with the tokens that the vocabulary puts before every prompt.

    Texts, not one text, are those between media: no token reaches from one into the next.
    """
    payload = {"content": text, "add_special": True} if special else {"content": text}
    return _call(TOKENIZE, payload)


def detokenize(tokens: Iterable[int]) -> Call:
    return _call(DETOKENIZE, {"tokens": list(tokens)})


def schema(form: Mapping[str, Any]) -> Any:
    """The JSON Schema of a `response_format`; without one, any object will do."""
    if form.get("type") == "json_object":
        return form.get("schema") or _ANY_OBJECT
    return (form.get("json_schema") or {}).get("schema") or _ANY_OBJECT


def _thinking(think: Think) -> dict[str, Any]:
    if think is None:
        return {}
    kwargs: dict[str, Any] = {"enable_thinking": bool(think)}
    if isinstance(think, str):
        kwargs["reasoning_effort"] = think
    return kwargs


def _generation(path: str, payload: dict[str, Any], batch: int) -> Call:
    """With progress, unless even a token for each byte would fit the batch."""
    call = _call(path, payload)
    return call if len(call.body) <= batch else _call(path, payload | {"return_progress": True})


def _call(path: str, payload: Mapping[str, Any]) -> Call:
    try:
        return Call(path, orjson.dumps(payload))
    except orjson.JSONEncodeError as exc:
        raise Invalid(f"the request cannot be passed on: {exc}".lower()) from exc
