"""The Ollama dialect: chat and generate requests as turns.

Bodies come from `decode`, so every member has its type.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.errors import Invalid
from gateway.inference.history import engine_message
from gateway.inference.types import GenerationRequest

_MOST_LOGPROBS = 20


def chat(body: Mapping[str, Any]) -> GenerationRequest:
    """A chat; without messages it only loads the model."""
    messages = [engine_message(item) for item in body.get("messages", ())]
    return _request(body, messages, tools=body.get("tools") or ())


def generate(body: Mapping[str, Any]) -> GenerationRequest:
    """A prompt as a conversation of one message."""
    user = {"role": "user", "content": body.get("prompt", ""), "images": body.get("images")}
    return _request(
        body,
        [engine_message(user)],
        system=body.get("system", ""),
        stored="context" not in body,
        kind="generate",
        raw_prompt=body.get("prompt", "") if body.get("raw") else None,
        template=body.get("template", ""),
        suffix=body.get("suffix", ""),
        context=body.get("context", ()),
    )


def _request(
    body: Mapping[str, Any], messages: list[dict[str, Any]], **more: Any
) -> GenerationRequest:
    return GenerationRequest(
        model=body.get("model", ""),
        messages=messages,
        think=body.get("think"),
        options=body.get("options", {}),
        response_format=_format(body.get("format")),
        top_logprobs=body.get("top_logprobs", 0) if body.get("logprobs") else None,
        keep_alive=body.get("keep_alive"),
        truncate=body.get("truncate", True),
        shift=body.get("shift"),
        **more,
    )


def check(body: Mapping[str, Any]) -> None:
    """What is looked at before the model's name."""
    if not 0 <= body.get("top_logprobs", 0) <= _MOST_LOGPROBS:
        raise Invalid("top_logprobs must be between 0 and 20")


def _format(form: Any) -> dict[str, Any] | None:
    """A `response_format`: only "json", a schema, or nothing can be a format."""
    match form:
        case None | "":
            return None
        case "json":
            return {"type": "json_object"}
        case dict():
            return {"type": "json_schema", "json_schema": {"name": "schema", "schema": form}}
    quoted = orjson.dumps(orjson.dumps(form).decode()).decode()
    raise Invalid(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')
