"""The Ollama dialect, towards the engine: chat and generate requests as calls on a runner.

Bodies come from `decode`, so every member has its type.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.dialects.call import Call
from gateway.errors import Invalid

CHAT = "/v1/chat/completions"
COMPLETION = "/completion"
APPLY_TEMPLATE = "/apply-template"
TOKENIZE = "/tokenize"
DETOKENIZE = "/detokenize"

_MOST_LOGPROBS = 20
# A reply is always streamed from the engine, with progress: only then does it notice within
# milliseconds that the client has left, be it before the first token.
_ALWAYS = {"stream": True, "return_progress": True, "cache_prompt": True}


def chat(
    body: Mapping[str, Any],
    messages: Iterable[Mapping[str, Any]],
    sampling: Mapping[str, Any],
    think: bool | str | None,
) -> Call:
    """A chat, its messages complete (see `conversation`), as a chat completion."""
    payload = {
        "messages": [_message(message) for message in messages],
        **sampling,
        **_constraint(body.get("format")),
        **_thinking(think),
        **_ALWAYS,
    }
    if body.get("tools"):
        payload["tools"] = body["tools"]
    if body.get("logprobs"):
        payload["logprobs"] = True
        payload["top_logprobs"] = max(1, body.get("top_logprobs", 0))
    return Call(CHAT, orjson.dumps(payload))


def render(
    messages: Iterable[Mapping[str, Any]],
    think: bool | str | None,
    tools: Any = None,
) -> Call:
    """Ask for the prompt text that a conversation becomes."""
    payload = {"messages": [_message(message) for message in messages], **_thinking(think)}
    if tools:
        payload["tools"] = tools
    return Call(APPLY_TEMPLATE, orjson.dumps(payload))


def completion(body: Mapping[str, Any], prompt: str, sampling: Mapping[str, Any]) -> Call:
    """Go on from `prompt` as it is."""
    payload: dict[str, Any] = {
        "prompt": prompt,
        **sampling,
        **_ALWAYS,
        "return_tokens": True,
        # The last event would repeat the prompt and every setting.
        "response_fields": ["content", "stop", "tokens", "stop_type", "timings", "truncated"],
    }
    match body.get("format"):
        case None | "":
            pass
        case "json":
            payload["json_schema"] = {"type": "object"}
        case dict() as schema:
            payload["json_schema"] = schema
        case other:
            raise _bad_format(other)
    if body.get("logprobs"):
        payload["n_probs"] = max(1, body.get("top_logprobs", 0))
        payload["response_fields"].append("completion_probabilities")
    return Call(COMPLETION, orjson.dumps(payload))


def tokenize(text: str) -> Call:
    return Call(TOKENIZE, orjson.dumps({"content": text}))


def detokenize(tokens: Iterable[int]) -> Call:
    return Call(DETOKENIZE, orjson.dumps({"tokens": list(tokens)}))


def conversation(
    system: str, history: Iterable[Mapping[str, Any]], messages: list[dict[str, Any]]
) -> list[Mapping[str, Any]]:
    """The model's SYSTEM, unless the request begins with one, its stored messages, the request's.

    So a request's own system message stands after the stored messages (ollama-http 8.4).
    """
    own = bool(messages) and messages[0].get("role") == "system"
    head = [{"role": "system", "content": system}] if system and not own else []
    return [*head, *history, *messages]


def check_logprobs(body: Mapping[str, Any]) -> None:
    if not 0 <= body.get("top_logprobs", 0) <= _MOST_LOGPROBS:
        raise Invalid("top_logprobs must be between 0 and 20")


def check_format(body: Mapping[str, Any]) -> None:
    """Before anything is loaded: only "json", a schema, or nothing can be a format."""
    form = body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        raise _bad_format(form)


def _bad_format(form: Any) -> Invalid:
    quoted = orjson.dumps(orjson.dumps(form).decode()).decode()
    return Invalid(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


def _constraint(form: Any) -> dict[str, Any]:
    match form:
        case None | "":
            return {}
        case "json":
            return {"response_format": {"type": "json_object"}}
        case dict():
            schema = {"name": "schema", "schema": form}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case _:
            raise _bad_format(form)


def _thinking(think: bool | str | None) -> dict[str, Any]:
    if think is None:
        return {}
    kwargs: dict[str, Any] = {"enable_thinking": bool(think)}
    if isinstance(think, str):
        kwargs["reasoning_effort"] = think
    return {"chat_template_kwargs": kwargs}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in the engine's form; earlier thinking is left out, as Ollama does."""
    out: dict[str, Any] = {"role": message.get("role", ""), "content": message.get("content", "")}
    if images := message.get("images"):
        text = [{"type": "text", "text": out["content"]}] if out["content"] else []
        out["content"] = [*text, *(_image(data) for data in images)]
    if calls := message.get("tool_calls"):
        out["tool_calls"] = [_tool_call(call) for call in calls]
    if name := message.get("tool_name"):
        out["name"] = name
    if call_id := message.get("tool_call_id"):
        out["tool_call_id"] = call_id
    return out


def _image(data: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = orjson.dumps(function.get("arguments") or {}).decode()
    out: dict[str, Any] = {
        "type": "function",
        "function": {"name": function.get("name", ""), "arguments": arguments},
    }
    if call.get("id"):
        out["id"] = call["id"]
    return out
