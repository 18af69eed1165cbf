"""LiteLLM over the three dialects."""

import json
from functools import partial
from typing import Any

import litellm
from answers import HI, URL, WEATHER, Answer, tell

# Else it writes advice to standard output.
litellm.suppress_debug_info = True
WAYS = {
    "openai": ("openai", {"api_base": f"{URL}/v1", "api_key": "any"}),
    "ollama": ("ollama_chat", {"api_base": URL}),
    "anthropic": ("anthropic", {"api_base": URL, "api_key": "any", "max_tokens": 50}),
}


def ask(provider: str, more: dict[str, Any], model: str, **body: Any) -> Any:
    return litellm.completion(model=f"{provider}/{model}", messages=HI, **more, **body)


def message(reply: Any) -> Any:
    return reply.choices[0].message


for dialect, way in WAYS.items():
    requested = partial(ask, *way)
    (call,) = message(requested("tools", tools=[WEATHER])).tool_calls
    # It asks a model of Anthropic's for JSON by a schema, and any other by a tool.
    name = "claude-sonnet-4-5" if dialect == "anthropic" else "json"
    tell(
        dialect,
        message(requested("plain")).content,
        [chunk.choices[0].delta.content for chunk in requested("plain", stream=True)],
        (call.function.name, json.loads(call.function.arguments)),
        Answer.model_validate_json(message(requested(name, response_format=Answer)).content),
    )
