"""Pydantic AI over the OpenAI dialect; its agents run their tools and ask again."""

from typing import Any

from answers import URL, Answer, tell
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.ollama import OllamaProvider

PROVIDER = OllamaProvider(base_url=f"{URL}/v1", api_key="any")
calls: list[tuple[str, Any]] = []


def agent(model: str, **more: Any) -> Any:
    return Agent(OpenAIChatModel(model, provider=PROVIDER), **more)


def weather(city: str) -> str:
    """The weather of a city."""
    calls.append(("weather", {"city": city}))
    return "warm"


after = agent("agent", tools=[weather]).run_sync("hi").output
(call,) = calls
tell(
    "openai",
    agent("plain").run_sync("hi").output,
    agent("plain").run_stream_sync("hi").stream_text(delta=True, debounce_by=None),
    call,
    agent("json", output_type=NativeOutput(Answer)).run_sync("hi").output,
    after,
)
