"""Requests of /api/chat and /api/generate as requests for inference."""

import orjson

from gateway.api.ollama.fields import ChatRequest, GenerateRequest, InferenceRequest
from gateway.errors import Invalid
from gateway.inference.history import engine_message
from gateway.inference.types import GenerationRequest
from gateway.llama.requests import JsonObject

_MOST_LOGPROBS = 20


def chat(request: ChatRequest) -> GenerationRequest:
    """A chat; without messages it only loads the model."""
    return GenerationRequest(
        model=request.model,
        messages=[engine_message(message) for message in request.messages],
        tools=request.tools,
        think=request.think,
        options=request.options,
        response_format=_response_format(request.format),
        # Without `logprobs` Ollama does not look at it.
        top_logprobs=request.top_logprobs if request.logprobs else None,
        keep_alive=request.keep_alive,
        truncate=request.truncate,
        shift=request.shift,
    )


def generate(request: GenerateRequest) -> GenerationRequest:
    """A prompt as a conversation of one message, with what only /api/generate has."""
    user = {"role": "user", "content": request.prompt, "images": request.images}
    return GenerationRequest(
        model=request.model,
        messages=[engine_message(user)],
        kind="generate",
        system=request.system,
        # The context of an earlier reply holds what stood before it already.
        stored=request.context is None,
        think=request.think,
        options=request.options,
        response_format=_response_format(request.format),
        top_logprobs=request.top_logprobs if request.logprobs else None,
        keep_alive=request.keep_alive,
        truncate=request.truncate,
        shift=request.shift,
        raw_prompt=request.prompt if request.raw else None,
        template=request.template,
        suffix=request.suffix,
        context=request.context or (),
    )


def check(request: InferenceRequest) -> None:
    """Invalid for what cannot be had of any model."""
    # Apart from the rest: Ollama checks this before the model's name, so its error comes first.
    if not 0 <= request.top_logprobs <= _MOST_LOGPROBS:
        raise Invalid("top_logprobs must be between 0 and 20")


def _response_format(value: object) -> JsonObject | None:
    """As a chat completion has it. Invalid for what is neither "json", a schema, nor nothing."""
    match value:
        case None | "":
            return None
        case "json":
            return {"type": "json_object"}
        case dict():
            return {"type": "json_schema", "json_schema": {"name": "schema", "schema": value}}
    quoted = orjson.dumps(orjson.dumps(value).decode()).decode()
    raise Invalid(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')
